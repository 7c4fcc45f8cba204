package blob_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/memkv"
	"github.com/coffer-storage/coffer/internal/name"
)

const (
	acct    = name.Account("acct1")
	success = fault.KindCount // no refusal
)

// world is a store with one account and one container, and short words to act on it.
type world struct {
	testing.TB
	*blobtest.Store
	ctx context.Context
	who *access.Caller
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOver(t, memkv.New())
}

// as is w for another caller.
func (w *world) as(c *access.Caller) *world {
	v := *w
	v.who = c
	return &v
}

// sas is w for the holder of an account SAS with these permissions on blobs.
func (w *world) sas(permissions string) *world {
	return w.as(&access.Caller{Kind: access.AccountSAS, Account: acct, SAS: &access.SAS{
		Services: "b", ResourceTypes: "sco", Permissions: permissions,
	}})
}

func ref(blobName string) blob.Ref {
	return blob.Ref{Account: acct, Container: "box", Blob: name.Blob(blobName)}
}

func (w *world) want(what string, err error, kind fault.Kind) {
	w.Helper()
	if kind == success {
		if err != nil {
			w.Errorf("%s = %v, want success", what, err)
		}
		return
	}
	if !fault.Is(err, kind) {
		w.Errorf("%s = %v, want %v", what, err, kind)
	}
}

func (w *world) box(n name.Container, public string) {
	w.Helper()
	if _, err := w.Blobs.CreateContainer(w.ctx, w.who, acct, n, blob.ContainerOptions{PublicAccess: public}); err != nil {
		w.Fatal(err)
	}
}

// tryPut puts content with the options that o sets beside it.
func (w *world) tryPut(n, content string, o blob.PutOptions) (blob.Written, error) {
	o.Length, o.Body = int64(len(content)), bytes.NewReader([]byte(content))
	return w.Blobs.PutBlob(w.ctx, w.who, ref(n), o)
}

func (w *world) put(n, content string) blob.Written {
	w.Helper()
	a, err := w.tryPut(n, content, blob.PutOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *world) tryStage(n, id, content string) (blob.Written, error) {
	return w.Blobs.PutBlock(w.ctx, w.who, ref(n), blob.BlockOptions{
		ID: id, Length: int64(len(content)), Body: bytes.NewReader([]byte(content)),
	})
}

func (w *world) stage(n, id, content string) {
	w.Helper()
	if _, err := w.tryStage(n, id, content); err != nil {
		w.Fatal(err)
	}
}

// entries reads "+id" as uncommitted, "=id" as committed and "id" as latest.
func entries(words ...string) []blob.BlockListEntry {
	var list []blob.BlockListEntry
	for _, s := range words {
		e := blob.BlockListEntry{ID: s}
		switch s[0] {
		case '+':
			e = blob.BlockListEntry{ID: s[1:], Where: blob.Uncommitted}
		case '=':
			e = blob.BlockListEntry{ID: s[1:], Where: blob.Committed}
		}
		list = append(list, e)
	}
	return list
}

func (w *world) tryCommit(n string, o blob.ListOptions) (blob.Written, error) {
	return w.Blobs.PutBlockList(w.ctx, w.who, ref(n), o)
}

func (w *world) commit(n string, words ...string) blob.Written {
	w.Helper()
	a, err := w.tryCommit(n, blob.ListOptions{Entries: entries(words...)})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// tryGet reads a range, or all with nil.
func (w *world) tryGet(n string, r *blob.Range) (string, blob.Properties, error) {
	d, err := w.Blobs.Open(w.ctx, w.who, ref(n), blob.ReadOptions{Range: r})
	if err != nil {
		return "", blob.Properties{}, err
	}
	defer d.Close()
	var b bytes.Buffer
	m, err := d.WriteTo(&b)
	if err == nil && (m != d.N || int64(b.Len()) != d.N) {
		err = fmt.Errorf("WriteTo streamed %d and reports %d bytes, want %d", b.Len(), m, d.N)
	}
	return b.String(), d.Properties, err
}

func (w *world) get(n string) string {
	w.Helper()
	s, _, err := w.tryGet(n, nil)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) props(n string) blob.Properties {
	w.Helper()
	p, err := w.Blobs.GetProperties(w.ctx, w.who, ref(n), blob.Conditions{}, blob.EncryptionOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w *world) blocks(n string, which blob.Which) blob.BlockList {
	w.Helper()
	l, err := w.Blobs.GetBlockList(w.ctx, w.who, ref(n), which, blob.Conditions{})
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// id makes a block id of four bytes.
func id(n int) string {
	return base64.StdEncoding.EncodeToString([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// rows counts the rows of the store by the first byte of their key.
func (w *world) rows() map[string]int {
	w.Helper()
	n := make(map[string]int)
	if err := w.Meta.View(w.ctx, func(r meta.Reader) error {
		clear(n)
		return r.Scan(nil, nil, false, func(k, _ []byte) (bool, error) {
			n[string(k[:1])]++
			return true, nil
		})
	}); err != nil {
		w.Fatal(err)
	}
	return n
}

// collect runs the janitor's steps until nothing is left to do.
func (w *world) collect() {
	w.Helper()
	for range 1000 {
		more, err := w.Blobs.Collect(w.ctx, 10_000)
		if err != nil {
			w.Fatal(err)
		}
		if !more {
			break
		}
	}
	for range 50 {
		if _, err := w.Objects.Collect(w.ctx); err != nil {
			w.Fatal(err)
		}
	}
}

// wantNoContent collects and checks that no content, staged or committed, is left.
func (w *world) wantNoContent() {
	w.Helper()
	w.collect()
	n := w.rows()
	for table, prefix := range map[string]string{
		"blob": "b", "staging": "s", "block": "t", "map": "m", "chunk": "k", "place": "p", "garbage": "g", "dead": "d",
	} {
		if n[prefix] != 0 {
			w.Errorf("table %s has %d rows left", table, n[prefix])
		}
	}
	if got := w.Extents.Len(); got != 0 {
		w.Errorf("%d extents are left", got)
	}
}
