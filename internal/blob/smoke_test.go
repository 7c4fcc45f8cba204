package blob_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
)

func TestSmoke(t *testing.T) {
	s := blobtest.New(t)
	s.Account(t, "acct1")
	ctx := context.Background()
	own := blobtest.Owner("acct1")
	if _, err := s.Blobs.CreateContainer(ctx, own, "acct1", "box", blob.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	ref := blob.Ref{Account: "acct1", Container: "box", Blob: "a/b"}
	w, err := s.Blobs.PutBlob(ctx, own, ref, blob.PutOptions{Length: 5, Body: strings.NewReader("hello"), Metadata: blob.Metadata{{"Ab", "c"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(w)
	d, err := s.Blobs.Open(ctx, own, ref, blob.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var b bytes.Buffer
	if _, err := d.WriteTo(&b); err != nil || b.String() != "hello" {
		t.Fatal(err, b.String())
	}
}
