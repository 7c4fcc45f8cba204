package blob_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
)

func TestSetMetadata(t *testing.T) {
	w := newWorld(t)
	a := w.put("a", "content")
	w.Clock.Add(time.Hour)
	m := blob.Metadata{{Name: "Zeta", Value: "1"}, {Name: "alpha", Value: "2"}}
	b, err := w.Blobs.SetMetadata(w.ctx, w.who, ref("a"), m, blob.Conditions{IfMatch: a.ETag}, blob.EncryptionOptions{})
	if err != nil || b.ETag == a.ETag || !b.Encrypted {
		t.Fatalf("SetMetadata = %+v, %v", b, err)
	}
	p := w.props("a")
	if d := cmp.Diff(m, p.Metadata); d != "" || p.ETag != b.ETag || !p.LastModified.Equal(b.LastModified) || !p.Created.Equal(a.LastModified) || w.get("a") != "content" {
		t.Errorf("properties = %+v\n%s", p, d)
	}
	if _, err := w.Blobs.SetMetadata(w.ctx, w.who, ref("a"), nil, blob.Conditions{}, blob.EncryptionOptions{}); err != nil {
		t.Fatal(err)
	}
	if p := w.props("a"); p.Metadata != nil || p.ContentMD5 == nil {
		t.Errorf("after it was removed: %+v", p)
	}
	for name, tt := range map[string]struct {
		blob string
		m    blob.Metadata
		c    blob.Conditions
		want fault.Kind
	}{
		"not there":  {"none", m, blob.Conditions{}, fault.BlobNotFound},
		"condition":  {"a", m, blob.Conditions{IfMatch: a.ETag}, fault.ConditionNotMet},
		"none match": {"a", m, blob.Conditions{IfNoneMatch: "*"}, fault.ConditionNotMet},
		"lease":      {"a", m, blob.Conditions{LeaseID: "l"}, fault.LeaseNotPresent},
		"bad name":   {"a", blob.Metadata{{Name: "a b"}}, blob.Conditions{}, fault.InvalidMetadata},
	} {
		_, err := w.Blobs.SetMetadata(w.ctx, w.who, ref(tt.blob), tt.m, tt.c, blob.EncryptionOptions{})
		w.want("SetMetadata "+name, err, tt.want)
	}
	_, err = w.Blobs.SetMetadata(w.ctx, w.sas("rc").who, ref("a"), m, blob.Conditions{}, blob.EncryptionOptions{})
	w.want("SetMetadata without w", err, fault.PermissionMismatch)
}

// TestSetMetadataWhileReplaced sets metadata while the blob gets new data keys; whatever
// comes last, metadata and content open.
func TestSetMetadataWhileReplaced(t *testing.T) {
	w := newWorld(t)
	w.put("a", "0")
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 50 {
			w.put("a", "x")
		}
	})
	wg.Go(func() {
		for range 50 {
			_, err := w.Blobs.SetMetadata(w.ctx, w.who, ref("a"), blob.Metadata{{Name: "a", Value: "b"}}, blob.Conditions{}, blob.EncryptionOptions{})
			if err != nil && !fault.Is(err, fault.Busy) {
				t.Errorf("SetMetadata = %v", err)
			}
		}
	})
	wg.Wait()
	w.get("a")
	w.props("a")
}

func TestSetHTTPHeaders(t *testing.T) {
	w := newWorld(t)
	a, err := w.tryPut("a", "content", blob.PutOptions{Metadata: blob.Metadata{{Name: "m", Value: "v"}}, Headers: blob.Headers{CacheControl: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	h := blob.Headers{ContentType: "text/html", ContentLanguage: "en", ContentMD5: sum("anything")}
	b, err := w.Blobs.SetHTTPHeaders(w.ctx, w.who, ref("a"), h, blob.Conditions{IfMatch: a.ETag})
	if err != nil || b.ETag == a.ETag {
		t.Fatalf("SetHTTPHeaders = %+v, %v", b, err)
	}
	if p := w.props("a"); cmp.Diff(h, p.Headers) != "" || len(p.Metadata) != 1 || w.get("a") != "content" {
		t.Errorf("properties = %+v", p)
	}
	if _, err := w.Blobs.SetHTTPHeaders(w.ctx, w.who, ref("a"), blob.Headers{}, blob.Conditions{}); err != nil {
		t.Fatal(err)
	}
	if p := w.props("a"); cmp.Diff(blob.Headers{ContentType: "application/octet-stream"}, p.Headers) != "" {
		t.Errorf("cleared headers = %+v", p.Headers)
	}
	_, err = w.Blobs.SetHTTPHeaders(w.ctx, w.who, ref("a"), blob.Headers{ContentMD5: []byte{1}}, blob.Conditions{})
	w.want("short MD5", err, fault.InvalidMD5)
	_, err = w.Blobs.SetHTTPHeaders(w.ctx, w.who, ref("none"), blob.Headers{}, blob.Conditions{})
	w.want("not there", err, fault.BlobNotFound)
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	a := w.put("a", "content")
	w.stage("a", id(1), "staged")
	del := func(n string, o blob.DeleteOptions) error { return w.Blobs.Delete(w.ctx, w.who, ref(n), o) }
	w.want("not there", del("none", blob.DeleteOptions{}), fault.BlobNotFound)
	w.want("condition", del("a", blob.DeleteOptions{Conditions: blob.Conditions{IfNoneMatch: a.ETag}}), fault.ConditionNotMet)
	w.want("lease", del("a", blob.DeleteOptions{Conditions: blob.Conditions{LeaseID: "l"}}), fault.LeaseNotPresent)
	w.want("nonsense", del("a", blob.DeleteOptions{Snapshots: "all"}), fault.InvalidHeaderValue)
	w.want("only snapshots", del("a", blob.DeleteOptions{Snapshots: "only"}), success)
	if got := w.get("a"); got != "content" {
		t.Errorf("content = %q", got)
	}
	w.want("without d", w.Blobs.Delete(w.ctx, w.sas("rwc").who, ref("a"), blob.DeleteOptions{}), fault.PermissionMismatch)
	w.want("match", del("a", blob.DeleteOptions{Conditions: blob.Conditions{IfMatch: a.ETag}, Snapshots: "include"}), success)
	w.want("again", del("a", blob.DeleteOptions{}), fault.BlobNotFound)
	w.wantNoContent()
}
