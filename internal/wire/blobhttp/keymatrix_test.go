package blobhttp

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// request sends op, over HTTP where the row of the table says so.
func (w *wireRig) request(op keyOperation, target, carries string) *http.Response {
	w.Helper()
	carries, plain := strings.CutSuffix(carries, ", plain HTTP")
	if carries == "A" {
		carries = "key A"
	}
	headers, ok := keyHeaders[carries]
	if !ok {
		headers = asked(carries)
	}
	headers = append(append([]string{}, op.headers...), headers...)
	if !plain {
		return w.do(op.method, target+op.query, []byte(op.body), headers...)
	}
	r, err := http.NewRequest(op.method, w.plain.URL+"/"+w.cred.Account+target+op.query, bytes.NewReader([]byte(op.body)))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("x-ms-version", "2026-12-06")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w.cred.Sign(r, r.URL.EscapedPath(), w.store.Clock.Now())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestKeyMatrix asks every cell of the table of customer-provided keys, of every
// operation, in accounts of one layer and of two.
func TestKeyMatrix(t *testing.T) {
	m := readMatrix(t)
	put := map[string][]string{"A": keyA.headers(), "account": nil, "scope-a": asked("scope-a")}
	for _, v := range variants {
		w := newWireRig(t, v)
		w.want(201, "PUT", "/box?restype=container", nil)
		carried := map[string]bool{}
		m.table(t, "Customer-provided keys", 1, func(row []string, column, cell string) {
			under, kind, ok := strings.Cut(column, ": ")
			if !ok { // new content, over what is under A
				under, kind = "A", column
			}
			carried[row[0]] = true
			for _, op := range m.ops {
				if op.kind != kind {
					continue
				}
				target := fmt.Sprintf("/box/blob-%d", w.cells)
				if under != "no blob" {
					w.want(201, "PUT", target, []byte("old content"), append(put[under], blockBlob...)...)
				}
				resp := w.request(op, target, row[0])
				what := fmt.Sprintf("%s: blob under %s, carries %q: %s", v.name, under, row[0], op.name)
				w.expect(what, m, op, cell, resp)
			}
		})
		for carries := range keyHeaders {
			if !carried[carries] {
				t.Errorf("the specification has no row for %q", carries)
			}
		}
		w.finish(v, 20*(3+4*5))
	}
}
