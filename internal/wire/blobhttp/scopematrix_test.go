package blobhttp

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/keys"
)

// sesValues are the scopes that a SAS may name; "" is a request without SAS.
var sesValues = []string{"", "scope-a", "scope-b", "scope-off", "scope-gone", "no-such", accountSc}

// TestScopeMatrix asks every cell of the tables of encryption scopes: what the container
// says, what header and SAS carry, what the blob is under, and the state of each scope.
// The specification has the tables without a SAS and the rule for ses; together they say
// what comes of every pair.
func TestScopeMatrix(t *testing.T) {
	m := readMatrix(t)
	for i, v := range variants {
		if i > 0 && testing.Short() {
			break
		}
		w := newWireRig(t, v)
		boxes := w.furnish(m)
		w.uploads(m, v)
		w.changes(m, v)
		w.reads(m, v, boxes)
		w.finish(v, 3_500)
	}
}

// furnish makes the containers and in each a blob under whatever it allows, and then
// disables one scope and destroys the keys of another.
func (w *wireRig) furnish(m *matrix) (boxes []string) {
	w.Helper()
	made := m.tables["Encryption scopes: changes"]
	for _, row := range m.tables["Encryption scopes: new content"][1:] {
		box, def, deny := row[0], row[1], row[2]
		boxes = append(boxes, box)
		var h []string
		if def != "(none)" {
			h = []string{headerDefaultScope, def, headerDenyOverride, deny}
		}
		w.want(201, "PUT", "/"+box+"?restype=container", nil, h...)
		for _, row := range made[1:] {
			if row[0] != box || row[1] == "nothing" {
				continue
			}
			for _, op := range append([]keyOperation{{name: "kept"}}, w.over(m)...) {
				target := "/" + box + "/" + row[1] + op.name
				w.want(201, "PUT", target, []byte("old content"), append(w.under(row[1]), blockBlob...)...)
			}
		}
	}
	w.state("scope-off", keys.Disabled)
	gone, err := w.store.Scopes.Find(context.Background(), w.owner(), "scope-gone")
	if err == nil {
		err = w.store.Ring.ShredProtector(context.Background(), gone.Protector(), "test")
	}
	if err == nil {
		w.store.Objects.DropKeys(gone.Protector())
		err = w.store.Objects.MirrorProtector(context.Background(), gone.Protector())
	}
	if err != nil {
		w.Fatal(err)
	}
	return boxes
}

// over are blobs that new content is put over, one for every column.
func (w *wireRig) over(m *matrix) (list []keyOperation) {
	head := m.tables["Encryption scopes: new content, second"][0]
	for _, carries := range head[1:] {
		list = append(list, keyOperation{name: "-" + strings.ReplaceAll(carries, " ", "")})
	}
	return list
}

func (w *wireRig) under(what string) []string {
	switch what {
	case "account":
		return asked(accountSc)
	case "A":
		return keyA.headers()
	}
	return asked(what)
}

// send sends op with what a column carries, through a SAS with that scope if there is one:
// in turn one of the account and one of the container.
func (w *wireRig) send(op keyOperation, target, carries, ses string) *http.Response {
	w.Helper()
	headers := append([]string{}, op.headers...)
	switch carries {
	case "none":
	case "key A":
		headers = append(headers, keyA.headers()...)
	case "A and scope-a":
		headers = append(headers, asked("key and scope")...)
	default:
		headers = append(headers, asked(carries)...)
	}
	if ses == "" {
		return w.do(op.method, target+op.query, []byte(op.body), headers...)
	}
	if w.cells%2 == 0 {
		return w.withServiceSAS(ses, op.method, target+op.query, []byte(op.body), headers...)
	}
	return w.withSAS(ses, op.method, target+op.query, []byte(op.body), headers...)
}

// withSES is the rule of the specification: which column a write stands in that carries
// something and comes through a SAS with a scope; "" is bad value.
func withSES(carries, ses string) string {
	switch {
	case ses == "" || carries == ses:
		return carries
	case carries == "none":
		return ses
	}
	return ""
}

// column finds the cell of a row.
func (w *wireRig) column(head, row []string, name string) string {
	w.Helper()
	if name == "" {
		return "bad value"
	}
	i := slices.Index(head, name)
	if i < 0 {
		w.Fatalf("the specification has no column %q", name)
	}
	return row[i]
}

// tokens are the scopes of SAS with which a cell is asked: all of them, or with two layers
// none and one of the others in turn.
func (w *wireRig) tokens(v variant) []string {
	if v == variants[0] {
		return sesValues
	}
	return []string{"", sesValues[1+w.cells/2%(len(sesValues)-1)]}
}

// uploads: new content, where nothing is and, without a SAS, over what is there, which
// does not count.
func (w *wireRig) uploads(m *matrix, v variant) {
	rows := m.tables["Encryption scopes: new content, second"]
	head := rows[0]
	for _, row := range rows[1:] {
		for _, carries := range head[1:] {
			for _, op := range m.ops {
				if op.kind != "new" {
					continue
				}
				for _, ses := range w.tokens(v) {
					target := fmt.Sprintf("/%s/new-%d", row[0], w.cells)
					what := fmt.Sprintf("%s: %s, carries %q, ses %q: %s", v.name, row[0], carries, ses, op.name)
					w.expect(what, m, op, w.column(head, row, withSES(carries, ses)), w.send(op, target, carries, ses))
				}
			}
		}
	}
	m.table(w, "Encryption scopes: changes", 2, func(row []string, carries, _ string) {
		if row[1] == "nothing" {
			return
		}
		var cell string
		for _, up := range rows[1:] {
			if up[0] == row[0] {
				cell = w.column(head, up, carries)
			}
		}
		op := m.ops[0]
		target := "/" + row[0] + "/" + row[1] + "-" + strings.ReplaceAll(carries, " ", "")
		what := fmt.Sprintf("%s: %s, over a blob under %s, carries %q: %s", v.name, row[0], row[1], carries, op.name)
		w.expect(what, m, op, cell, w.send(op, target, carries, ""))
	})
}

func (w *wireRig) changes(m *matrix, v variant) {
	rows := m.tables["Encryption scopes: changes"]
	for _, row := range rows[1:] {
		for _, carries := range rows[0][2:] {
			for _, op := range m.ops {
				if op.kind != "change" {
					continue
				}
				for _, ses := range w.tokens(v) {
					what := fmt.Sprintf("%s: %s, blob under %s, carries %q, ses %q: %s", v.name, row[0], row[1], carries, ses, op.name)
					w.expect(what, m, op, w.column(rows[0], row, withSES(carries, ses)), w.send(op, w.kept(row[0], row[1]), carries, ses))
				}
			}
		}
	}
}

// kept is the blob that changes and reads are tried on; none of them changes its keys.
func (w *wireRig) kept(box, under string) string { return "/" + box + "/" + under + "kept" }

// reads are the same in every container and through every SAS.
func (w *wireRig) reads(m *matrix, v variant, boxes []string) {
	made := map[string]bool{}
	for _, row := range m.tables["Encryption scopes: changes"][1:] {
		made[row[0]+"/"+row[1]] = true
	}
	m.table(w, "Encryption scopes: reads", 1, func(row []string, carries, cell string) {
		for i, box := range boxes {
			if !made[box+"/"+row[0]] {
				continue
			}
			for j, op := range m.ops {
				if op.kind != "read" {
					continue
				}
				list := []string{"", sesValues[1+(i+j)%(len(sesValues)-1)]}
				if box == "default-a" {
					list = w.tokens(v)
				}
				for _, ses := range list {
					what := fmt.Sprintf("%s: %s, blob under %s, carries %q, ses %q: %s", v.name, box, row[0], carries, ses, op.name)
					w.expect(what, m, op, cell, w.send(op, w.kept(box, row[0]), carries, ses))
				}
			}
		}
	})
}
