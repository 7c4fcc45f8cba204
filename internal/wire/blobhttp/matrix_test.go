package blobhttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
)

// matrix is spec/request-matrix.md: its tables, by the heading that they stand under.
type matrix struct {
	words  map[string]string // word of a cell -> status and code
	ops    []keyOperation
	tables map[string][][]string // the first row is the head
}

// keyOperation is an operation that takes keys on the request.
type keyOperation struct {
	name, method, query string
	body                string
	headers             []string

	// As the specification's table says.
	kind  string // new, change, read
	ok    int
	flag  string // the header that says that things are encrypted; "": none
	named bool   // the answer has hash or scope
}

const (
	requestSE = "x-ms-request-server-encrypted"
	storedSE  = "x-ms-server-encrypted"
)

// keyOperations are how the operations of the specification's table are asked for.
var keyOperations = []keyOperation{
	{name: "Put Blob", method: "PUT", body: "new content", headers: blockBlob},
	{name: "Put Block", method: "PUT", query: blockQuery, body: "block"},
	{name: "Put Block List", method: "PUT", query: "?comp=blocklist", body: emptyList},
	{name: "Set Blob Metadata", method: "PUT", query: "?comp=metadata", headers: []string{"x-ms-meta-a", "b"}},
	{name: "Get Blob", method: "GET"},
	{name: "Get Blob, range", method: "GET", headers: []string{"x-ms-range", "bytes=2-5"}},
	{name: "Get Blob Properties", method: "HEAD"},
	{name: "Get Blob Metadata", method: "GET", query: "?comp=metadata"},
}

// readMatrix reads the specification.
func readMatrix(t testing.TB) *matrix {
	t.Helper()
	text, err := os.ReadFile("../../../spec/request-matrix.md")
	if err != nil {
		t.Fatal(err)
	}
	m := &matrix{words: map[string]string{}, tables: map[string][][]string{}}
	at := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if h, ok := strings.CutPrefix(line, "## "); ok {
			at = h
		}
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		var row []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			row = append(row, strings.TrimSpace(cell))
		}
		key := at
		if len(m.tables[key]) > 0 && len(m.tables[key][0]) != len(row) {
			key += ", second"
		}
		m.tables[key] = append(m.tables[key], row)
	}
	for _, row := range m.tables["Words"][1:] {
		m.words[row[0]] = row[1]
	}
	for _, row := range m.tables["Words, second"][1:] {
		m.ops = append(m.ops, m.operation(t, row))
	}
	if len(m.ops) != len(keyOperations) {
		t.Fatalf("the specification has %d operations, the test %d", len(m.ops), len(keyOperations))
	}
	return m
}

func (m *matrix) operation(t testing.TB, row []string) keyOperation {
	t.Helper()
	for _, op := range keyOperations {
		if op.name != row[0] {
			continue
		}
		var err error
		if op.ok, err = strconv.Atoi(row[2]); err != nil {
			t.Fatal(err)
		}
		op.kind, op.named = row[1], row[5] == "yes"
		switch {
		case row[3] == "true":
			op.flag = requestSE
		case row[4] == "true":
			op.flag = storedSE
		}
		return op
	}
	t.Fatalf("the test does not know the operation %q", row[0])
	return keyOperation{}
}

// table returns the cells of a table: row, column, cell. The first n columns name a row.
func (m *matrix) table(t testing.TB, heading string, n int, f func(row []string, column, cell string)) {
	t.Helper()
	rows := m.tables[heading]
	if len(rows) < 2 {
		t.Fatalf("no table under %q", heading)
	}
	for _, row := range rows[1:] {
		if len(row) != len(rows[0]) {
			t.Fatalf("%s: a row of %d cells", heading, len(row))
		}
		for i, cell := range row[n:] {
			f(row[:n], rows[0][n+i], cell)
		}
	}
}

// wireRig is a client over TLS, with the same server over plain HTTP beside it.
type wireRig struct {
	client
	plain *httptest.Server
	cells int
}

// variant is how many layers there are, and where they come from.
type variant struct {
	name                  string
	doubleAcct, doubleSco bool
}

var variants = []variant{{name: "single"}, {name: "double account", doubleAcct: true}, {name: "double scopes", doubleSco: true}}

func newWireRig(t testing.TB, v variant) *wireRig {
	t.Helper()
	c := client{newSecureRig(t)}
	if v.doubleAcct {
		key, err := base64.StdEncoding.DecodeString(account.DefaultKey)
		if err != nil {
			t.Fatal(err)
		}
		c.cred.Account = "twice"
		if _, err := c.store.Accounts.CreateDouble(context.Background(), "twice", [2][]byte{key, nil}); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"scope-a", "scope-b", "scope-off", "scope-gone"} {
		c.scope(n, scope.Options{Double: v.doubleSco})
	}
	plain := httptest.NewServer(c.srv.Config.Handler)
	t.Cleanup(plain.Close)
	return &wireRig{client: c, plain: plain}
}

// expect sends a request and compares the answer with a cell: status, code in header and
// body, and the encryption headers, which no refusal has.
func (w *wireRig) expect(what string, m *matrix, op keyOperation, cell string, resp *http.Response) {
	w.Helper()
	w.cells++
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Errorf("%s: %v", what, err)
	}
	want := m.words[cell]
	under, ok := strings.CutPrefix(cell, "ok")
	if ok {
		want, under = fmt.Sprintf("%d ", op.ok), strings.TrimSpace(under)
	}
	if want == "" {
		w.Fatalf("%s: the specification does not explain %q", what, cell)
	}
	code := resp.Header.Get("x-ms-error-code")
	if got := fmt.Sprintf("%d %s", resp.StatusCode, code); got != want {
		w.Errorf("%s = %s, want %s (%s)\n%s", what, got, want, cell, body)
		return
	}
	if !ok && op.method != http.MethodHead && !bytes.Contains(body, []byte("<Code>"+code+"</Code>")) {
		w.Errorf("%s: the body has not the code %s:\n%s", what, code, body)
	}
	if bytes.Contains(body, []byte(keyA.key)) || bytes.Contains(body, []byte(keyB.key)) {
		w.Errorf("%s tells a key back", what)
	}
	headers := map[string]string{}
	if ok && op.flag != "" {
		headers[op.flag] = "true"
	}
	if ok && op.named {
		switch under {
		case "":
		case "A":
			headers[headerKeyHash] = keyA.hash
		case "B":
			headers[headerKeyHash] = keyB.hash
		default:
			headers[headerScope] = under
		}
	}
	have := map[string]string{}
	for n, v := range resp.Header {
		if n = strings.ToLower(n); strings.Contains(n, "encrypt") {
			have[n] = strings.Join(v, ",")
		}
	}
	if d := cmp.Diff(headers, have); d != "" {
		w.Errorf("%s: headers differ (-want +got):\n%s", what, d)
	}
}

// finish looks at what the run left: nothing in the log, and whole content of as many
// layers as there should be.
func (w *wireRig) finish(v variant, least int) {
	w.Helper()
	w.Logf("%s: %d cells", v.name, w.cells)
	if w.cells < least {
		w.Errorf("%s: only %d cells, want %d", v.name, w.cells, least)
	}
	log := w.log.String()
	for _, key := range []string{keyA.key, keyB.key, "01234567012345670123456701234567", strings.Repeat("B", 32)} {
		if strings.Contains(log, key) {
			w.Error("a key is in the log")
		}
	}
	rep, err := w.store.Objects.Verify(context.Background(), object.VerifyOptions{})
	if err != nil || rep.Damaged > 0 {
		w.Errorf("Verify: %+v, %v", rep, err)
	}
	if double := v.doubleAcct || v.doubleSco; (rep.Double > 0) != double {
		w.Errorf("%d things have two layers", rep.Double)
	}
}
