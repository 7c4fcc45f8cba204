package blob_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
)

func TestRanges(t *testing.T) {
	w := newWorld(t)
	content := strings.Repeat("0123456789", 30_000)
	w.put("a", content)
	w.put("empty", "")
	n := int64(len(content))
	tests := []struct {
		name, blob string
		r          blob.Range
		want       string
		kind       fault.Kind
	}{
		{"first byte", "a", blob.Range{Off: 0, N: 1}, "0", success},
		{"over a segment border", "a", blob.Range{Off: 65_530, N: 20}, content[65_530:65_550], success},
		{"to the end", "a", blob.Range{Off: n - 3, N: -1}, "789", success},
		{"past the end", "a", blob.Range{Off: n - 3, N: 100}, "789", success},
		{"all", "a", blob.Range{Off: 0, N: -1}, content, success},
		{"from the end", "a", blob.Range{Off: n, N: 1}, "", fault.InvalidRange},
		{"empty range", "a", blob.Range{Off: 0, N: 0}, "", fault.InvalidRange},
		{"of an empty blob", "empty", blob.Range{Off: 0, N: -1}, "", fault.InvalidRange},
		{"negative", "a", blob.Range{Off: -1, N: 1}, "", fault.InvalidRange},
	}
	for _, tt := range tests {
		got, p, err := w.tryGet(tt.blob, &tt.r)
		w.want("Open "+tt.name, err, tt.kind)
		if tt.kind == success && (got != tt.want || p.Length != n) {
			t.Errorf("Open %s = %d bytes of %d, want %d", tt.name, len(got), p.Length, len(tt.want))
		}
	}
}

func TestRangeSums(t *testing.T) {
	w := newWorld(t)
	content := strings.Repeat("0123456789", 500_000)
	w.put("a", content)
	open := func(o blob.ReadOptions) (*blob.Download, error) {
		d, err := w.Blobs.Open(w.ctx, w.who, ref("a"), o)
		if err == nil {
			t.Cleanup(func() { d.Close() })
		}
		return d, err
	}
	r := &blob.Range{Off: 5, N: 1000}
	d, err := open(blob.ReadOptions{Range: r, RangeMD5: true})
	if err != nil || !bytes.Equal(d.RangeMD5, sum(content[5:1005])) || d.RangeCRC64 != nil {
		t.Errorf("range MD5: %v", err)
	}
	if d, err = open(blob.ReadOptions{Range: r, RangeCRC64: true}); err != nil || !bytes.Equal(d.RangeCRC64, crc(content[5:1005])) {
		t.Errorf("range CRC: %v", err)
	}
	var b bytes.Buffer
	if _, err := d.WriteTo(&b); err != nil || b.String() != content[5:1005] {
		t.Errorf("content after its sum: %v", err)
	}
	_, err = open(blob.ReadOptions{Range: &blob.Range{Off: 0, N: 4<<20 + 1}, RangeMD5: true})
	w.want("sum of too much", err, fault.RangeTooLargeForHash)
	_, err = open(blob.ReadOptions{Range: &blob.Range{Off: 0, N: 4 << 20}, RangeMD5: true})
	w.want("sum of just enough", err, success)
	_, err = open(blob.ReadOptions{RangeMD5: true})
	w.want("sum without a range", err, fault.InvalidHeaderValue)
	_, err = open(blob.ReadOptions{Range: r, RangeMD5: true, RangeCRC64: true})
	w.want("both sums", err, fault.MD5AndCRC64)
}

// TestReadOutlivesTheBlob opens a read, lets the blob be replaced and collected, and
// wants the old content to the end.
func TestReadOutlivesTheBlob(t *testing.T) {
	w := newWorld(t)
	old := strings.Repeat("old content ", 20_000)
	w.put("a", old)
	d, err := w.Blobs.Open(w.ctx, w.who, ref("a"), blob.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.put("a", "new")
	w.collect()
	var b bytes.Buffer
	if _, err := d.WriteTo(&b); err != nil || b.String() != old {
		t.Errorf("read of what was replaced: %d bytes, %v", b.Len(), err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	w.collect()
	if n := w.Extents.Len(); n != 0 {
		t.Errorf("%d extents are left after the read", n)
	}
}

// TestPropertiesTouchNoContent counts what goes through the extent port.
func TestPropertiesTouchNoContent(t *testing.T) {
	w := newWorld(t)
	w.put("a", strings.Repeat("x", 1<<20))
	w.put("b", "small")
	written, read, chunks := w.Extents.Written.Load(), w.Extents.Read.Load(), w.rows()["k"]
	inline := w.Objects.Stats().InlineRows
	if _, err := w.Blobs.SetMetadata(w.ctx, w.who, ref("a"), blob.Metadata{{Name: "m", Value: "v"}}, blob.Conditions{}, blob.EncryptionOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Blobs.SetMetadata(w.ctx, w.who, ref("b"), blob.Metadata{{Name: "m", Value: "v"}}, blob.Conditions{}, blob.EncryptionOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Blobs.SetHTTPHeaders(w.ctx, w.who, ref("a"), blob.Headers{ContentType: "a/b"}, blob.Conditions{}); err != nil {
		t.Fatal(err)
	}
	w.props("a")
	if _, err := w.Blobs.List(w.ctx, w.who, acct, "box", blob.ListBlobsOptions{Include: blob.IncludeMetadata | blob.IncludeUncommitted}); err != nil {
		t.Fatal(err)
	}
	if w.Extents.Written.Load() != written || w.Extents.Read.Load() != read || w.rows()["k"] != chunks || w.Objects.Stats().InlineRows != inline {
		t.Error("properties, metadata or list touched content")
	}
	w.get("a")
	if w.Extents.Read.Load() == read {
		t.Error("the counter does not count")
	}
}

func TestConditionalReads(t *testing.T) {
	w := newWorld(t)
	a := w.put("a", "x")
	for _, tt := range []struct {
		name string
		c    blob.Conditions
		want fault.Kind
	}{
		{"match", blob.Conditions{IfMatch: a.ETag}, success},
		{"match another", blob.Conditions{IfMatch: `"0x1"`}, fault.ConditionNotMet},
		{"none match", blob.Conditions{IfNoneMatch: a.ETag}, fault.NotModified},
		{"none match star", blob.Conditions{IfNoneMatch: "*"}, fault.UnsatisfiableCondition},
		{"modified since", blob.Conditions{IfModifiedSince: a.LastModified}, fault.NotModified},
		{"two", blob.Conditions{IfMatch: "*", IfNoneMatch: "*"}, fault.MultipleConditions},
		{"lease", blob.Conditions{LeaseID: "l"}, fault.LeaseNotPresent},
	} {
		d, err := w.Blobs.Open(w.ctx, w.who, ref("a"), blob.ReadOptions{Conditions: tt.c})
		w.want("Open "+tt.name, err, tt.want)
		if err == nil {
			d.Close()
		}
		_, err = w.Blobs.GetProperties(w.ctx, w.who, ref("a"), tt.c, blob.EncryptionOptions{})
		w.want("GetProperties "+tt.name, err, tt.want)
		_, err = w.Blobs.GetMetadata(w.ctx, w.who, ref("a"), tt.c, blob.EncryptionOptions{})
		w.want("GetMetadata "+tt.name, err, tt.want)
		_, err = w.Blobs.GetBlockList(w.ctx, w.who, ref("a"), blob.WhichAll, tt.c)
		w.want("GetBlockList "+tt.name, err, tt.want)
	}
}

// TestTamper changes the bytes of a content and wants no wrong byte out.
func TestTamper(t *testing.T) {
	w := newWorld(t)
	content := strings.Repeat("0123456789abcdef", 20_000)
	w.put("a", content)
	w.Extents.Flip(t, 100_000)
	var b bytes.Buffer
	d, err := w.Blobs.Open(w.ctx, w.who, ref("a"), blob.ReadOptions{})
	if err == nil {
		defer d.Close()
		_, err = d.WriteTo(&b)
	}
	w.want("read of a changed chunk", err, fault.Corrupt)
	if !strings.HasPrefix(content, b.String()) || b.Len() > 100_000 {
		t.Errorf("%d bytes came out of a changed chunk", b.Len())
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// TestReaderGoesAway shows whose fault a broken answer is.
func TestReaderGoesAway(t *testing.T) {
	w := newWorld(t)
	w.put("a", strings.Repeat("x", 100_000))
	d, err := w.Blobs.Open(w.ctx, w.who, ref("a"), blob.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_, err = d.WriteTo(brokenWriter{errors.New("broken pipe")})
	w.want("WriteTo a broken pipe", err, fault.Canceled)
}
