package blob_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

func TestPutBlockAnswers(t *testing.T) {
	w := newWorld(t)
	put := func(o blob.BlockOptions) (blob.Written, error) {
		o.ID, o.Length, o.Body = id(1), 5, strings.NewReader("hello")
		return w.Blobs.PutBlock(w.ctx, w.who, ref("a"), o)
	}
	a, err := put(blob.BlockOptions{})
	if err != nil || a.ContentMD5 != nil || !bytes.Equal(a.ContentCRC64, crc("hello")) || a.ETag != "" || !a.Encrypted {
		t.Errorf("PutBlock = %+v, %v, want the CRC alone", a, err)
	}
	a, err = put(blob.BlockOptions{MD5: sum("hello")})
	if err != nil || a.ContentCRC64 != nil || !bytes.Equal(a.ContentMD5, sum("hello")) {
		t.Errorf("PutBlock with MD5 = %+v, %v, want the MD5 alone", a, err)
	}
	_, err = put(blob.BlockOptions{MD5: sum("other")})
	w.want("wrong MD5", err, fault.MD5Mismatch)
	_, err = put(blob.BlockOptions{CRC64: crc("other")})
	w.want("wrong CRC", err, fault.CRC64Mismatch)
	_, err = put(blob.BlockOptions{LeaseID: "l"})
	w.want("lease", err, fault.LeaseNotPresent)
}

func TestPutBlockRefuses(t *testing.T) {
	w := newWorld(t)
	w.put("whole", "x")
	w.stage("a", id(1), "x")
	w.stage("done", id(1), "x")
	w.commit("done", id(1))
	tests := []struct {
		name, blob, id string
		length         int64
		want           fault.Kind
	}{
		{"same length", "a", id(2), 1, success},
		{"another length", "a", base64.StdEncoding.EncodeToString([]byte("longer")), 1, fault.InvalidBlockID},
		{"another length than the committed", "done", base64.StdEncoding.EncodeToString([]byte("longer")), 1, fault.InvalidBlockID},
		{"any length over Put Blob", "whole", base64.StdEncoding.EncodeToString([]byte("longer")), 1, success},
		{"not base64", "b", "!!", 1, fault.InvalidQueryParameter},
		{"empty id", "b", "", 1, fault.InvalidQueryParameter},
		{"empty block", "b", id(1), 0, fault.InvalidHeaderValue},
		{"too large", "b", id(1), blob.MaxBlock + 1, fault.RequestBodyTooLarge},
		{"no length", "b", id(1), -1, fault.MissingContentLength},
	}
	for _, tt := range tests {
		_, err := w.Blobs.PutBlock(w.ctx, w.who, ref(tt.blob), blob.BlockOptions{ID: tt.id, Length: tt.length, Body: strings.NewReader("x")})
		w.want("PutBlock "+tt.name, err, tt.want)
	}
	r := ref("a")
	r.Container = "nobox"
	_, err := w.Blobs.PutBlock(w.ctx, w.who, r, blob.BlockOptions{ID: id(1), Length: 1, Body: strings.NewReader("x")})
	w.want("PutBlock into no container", err, fault.ContainerNotFound)
	_, err = w.sas("c").tryStage("c", id(1), "x")
	w.want("PutBlock with create only", err, fault.PermissionMismatch)
	_, err = w.sas("w").tryStage("c", id(1), "x")
	w.want("PutBlock with write", err, success)
}

// TestStagedIsNotThere shows what a blob of staged blocks only answers.
func TestStagedIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.stage("a", id(1), "x")
	_, _, err := w.tryGet("a", nil)
	w.want("Open", err, fault.BlobNotFound)
	_, err = w.Blobs.SetMetadata(w.ctx, w.who, ref("a"), nil, blob.Conditions{}, blob.EncryptionOptions{})
	w.want("SetMetadata", err, fault.BlobNotFound)
	_, err = w.Blobs.SetHTTPHeaders(w.ctx, w.who, ref("a"), blob.Headers{}, blob.Conditions{})
	w.want("SetHTTPHeaders", err, fault.BlobNotFound)
	w.want("Delete", w.Blobs.Delete(w.ctx, w.who, ref("a"), blob.DeleteOptions{}), fault.BlobNotFound)
	if l := w.blocks("a", blob.WhichAll); l.ETag != "" || len(l.Uncommitted) != 1 {
		t.Errorf("block list = %+v, want one staged block and no ETag", l)
	}
	_, err = w.Blobs.GetBlockList(w.ctx, w.who, ref("b"), blob.WhichAll, blob.Conditions{})
	w.want("GetBlockList of nothing", err, fault.BlobNotFound)
	_, err = w.tryCommit("a", blob.ListOptions{Entries: entries(id(1)), Conditions: blob.Conditions{IfNoneMatch: "*"}})
	w.want("create of what is only staged", err, success)
}

func TestPutBlockLeavesTheBlob(t *testing.T) {
	w := newWorld(t)
	before := w.put("a", "whole")
	w.Clock.Add(time.Hour)
	w.stage("a", id(1), "x")
	if p := w.props("a"); p.ETag != before.ETag || !p.LastModified.Equal(before.LastModified) || w.get("a") != "whole" {
		t.Errorf("Put Block changed the blob: %+v", p)
	}
}

func TestBlockListWhere(t *testing.T) {
	w := newWorld(t)
	w.stage("a", id(1), "one ")
	w.stage("a", id(2), "two ")
	w.commit("a", id(1), id(2))
	w.stage("a", id(1), "ONE ")
	w.stage("a", id(3), "three ")
	tests := []struct {
		name  string
		words []string
		want  string // "" is refused
	}{
		{"latest takes the staged", []string{id(1), id(2), id(3)}, "ONE two three "},
		{"committed takes the old", []string{"=" + id(1), "+" + id(1)}, "one ONE "},
		{"twice", []string{id(2), id(2), id(2)}, "two two two "},
		{"uncommitted is not staged", []string{"+" + id(2)}, ""},
		{"committed is only staged", []string{"=" + id(3)}, ""},
		{"nowhere", []string{id(9)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newWorld(t)
			v.stage("a", id(1), "one ")
			v.stage("a", id(2), "two ")
			v.commit("a", id(1), id(2))
			v.stage("a", id(1), "ONE ")
			v.stage("a", id(3), "three ")
			_, err := v.tryCommit("a", blob.ListOptions{Entries: entries(tt.words...)})
			if tt.want == "" {
				v.want("PutBlockList", err, fault.InvalidBlockList)
				if got := v.get("a"); got != "one two " {
					t.Errorf("a refused list changed the blob to %q", got)
				}
				if l := v.blocks("a", blob.WhichUncommitted); len(l.Uncommitted) != 2 {
					t.Errorf("a refused list dropped staged blocks: %v", l)
				}
				return
			}
			if got := v.get("a"); err != nil || got != tt.want {
				t.Errorf("PutBlockList = %v, content %q, want %q", err, got, tt.want)
			}
			if l := v.blocks("a", blob.WhichAll); len(l.Uncommitted) != 0 || len(l.Committed) != len(tt.words) {
				t.Errorf("lists after the commit = %+v", l)
			}
			if err := v.Blobs.Delete(v.ctx, v.who, ref("a"), blob.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			v.wantNoContent()
		})
	}
}

func TestBlockListProperties(t *testing.T) {
	w := newWorld(t)
	w.stage("a", id(1), "one")
	m := blob.Metadata{{Name: "Ab", Value: "c"}}
	h := blob.Headers{ContentType: "text/plain", ContentMD5: sum("not checked")}
	first, err := w.tryCommit("a", blob.ListOptions{Entries: entries(id(1)), Metadata: m, Headers: h, Tier: "Cold"})
	if err != nil {
		t.Fatal(err)
	}
	p := w.props("a")
	if d := cmp.Diff(h, p.Headers); d != "" || cmp.Diff(m, p.Metadata) != "" || p.Tier != "Cold" || p.CommittedBlocks != 1 {
		t.Errorf("properties = %+v\n%s", p, d)
	}
	w.Clock.Add(time.Hour)
	second := w.commit("a", "="+id(1))
	p = w.props("a")
	if first.ETag == second.ETag || p.Metadata != nil || p.ContentType != "application/octet-stream" || p.ContentMD5 != nil || !p.TierInferred {
		t.Errorf("a list without properties does not clear them: %+v", p)
	}
	if !p.Created.Equal(first.LastModified) {
		t.Errorf("created = %v, want that of the first commit", p.Created)
	}
	for name, o := range map[string]struct {
		o    blob.ListOptions
		want fault.Kind
	}{
		"too long":      {blob.ListOptions{Entries: make([]blob.BlockListEntry, blob.MaxBlocks+1)}, fault.BlockListTooLong},
		"archive":       {blob.ListOptions{Tier: "Archive"}, fault.UnsupportedOperation},
		"bad metadata":  {blob.ListOptions{Metadata: blob.Metadata{{Name: "-"}}}, fault.InvalidMetadata},
		"create only":   {blob.ListOptions{Conditions: blob.Conditions{IfNoneMatch: "*"}}, fault.BlobAlreadyExists},
		"match":         {blob.ListOptions{Conditions: blob.Conditions{IfMatch: `"0x1"`}}, fault.ConditionNotMet},
		"scope":         {blob.ListOptions{Encryption: blob.EncryptionOptions{Scope: "s"}}, fault.ScopeNotFound},
		"lease":         {blob.ListOptions{Conditions: blob.Conditions{LeaseID: "l"}}, fault.LeaseNotPresent},
		"two of a kind": {blob.ListOptions{Conditions: blob.Conditions{IfMatch: "*", IfNoneMatch: "*"}}, fault.MultipleConditions},
	} {
		_, err := w.tryCommit("a", o.o)
		w.want("PutBlockList "+name, err, o.want)
	}
}

func TestEmptyBlockList(t *testing.T) {
	w := newWorld(t)
	w.stage("a", id(1), "given up")
	w.commit("a")
	if got := w.get("a"); got != "" || w.props("a").Length != 0 {
		t.Errorf("content of an empty list = %q", got)
	}
	if _, err := w.Blobs.SetMetadata(w.ctx, w.who, ref("a"), blob.Metadata{{Name: "a", Value: "b"}}, blob.Conditions{}, blob.EncryptionOptions{}); err != nil {
		t.Errorf("metadata of an empty blob = %v", err)
	}
	w.commit("new") // nothing there at all
	if got := w.get("new"); got != "" {
		t.Errorf("content = %q", got)
	}
}

// TestKeysOfABlob shows that rounds of blocks go on with one data key and that a Put
// Blob draws a new one.
func TestKeysOfABlob(t *testing.T) {
	w := newWorld(t)
	deks := func() []object.DEKEntry {
		var found []object.DEKEntry
		owner, err := w.Accounts.Get(w.ctx, acct)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Objects.View(w.ctx, func(tx *object.Tx) error {
			return tx.Scan(object.Blob, owner.ID, owner.ID[:], nil, false, func(_ []byte, r *object.Row) (bool, error) {
				found = r.DEKs
				return false, nil
			})
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	w.put("a", "whole")
	first := deks()
	for i := range 5 {
		w.stage("a", id(i), "block")
		words := []string{id(i)}
		if i > 0 {
			words = append(words, "="+id(i-1))
		}
		w.commit("a", words...)
		if got := deks(); len(got) != 1 || got[0].ID != first[0].ID {
			t.Fatalf("round %d has %d data keys, want the one of the first content", i, len(got))
		}
	}
	w.put("a", "again")
	if got := deks(); len(got) != 1 || got[0].ID == first[0].ID {
		t.Error("Put Blob did not draw a new data key")
	}
}

// TestCommitWhileStaging stages blocks in parallel with commits; every block that was
// acknowledged after the last commit is staged, and nothing is lost or left over.
func TestCommitWhileStaging(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 25 {
				w.stage("a", id(g*100+i), strings.Repeat("x", 10+g))
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			w.commit("a")
		}
	})
	wg.Wait()
	for _, b := range w.blocks("a", blob.WhichUncommitted).Uncommitted {
		if b.Size < 10 || b.Size > 13 {
			t.Errorf("block %v", b)
		}
	}
	w.commit("a")
	if err := w.Blobs.Delete(w.ctx, w.who, ref("a"), blob.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.wantNoContent()
}

func TestReplaceStagedBlock(t *testing.T) {
	w := newWorld(t)
	w.stage("a", id(1), strings.Repeat("first", 10_000))
	w.stage("a", id(1), strings.Repeat("second", 10_000))
	if l := w.blocks("a", blob.WhichUncommitted); len(l.Uncommitted) != 1 || l.Uncommitted[0].Size != 60_000 {
		t.Errorf("staged = %v, want the second alone", l.Uncommitted)
	}
	w.collect()
	if n := w.Extents.Len(); n != 1 {
		t.Errorf("%d extents, want that of the second", n)
	}
}

func TestManyLeftovers(t *testing.T) {
	w := newWorld(t)
	for i := range 1200 {
		w.stage("a", id(i), "x")
	}
	w.commit("a", id(7))
	if got := w.get("a"); got != "x" {
		t.Errorf("content = %q", got)
	}
	w.collect()
	if n := w.rows(); n["t"] != 0 || n["s"] != 0 || n["k"] != 1 {
		t.Errorf("rows left: %v, want one chunk", n)
	}
	if got := w.get("a"); got != "x" {
		t.Errorf("content after collection = %q", got)
	}
}

// TestLongestBlockList commits 50,000 blocks, from only a few that are staged.
func TestLongestBlockList(t *testing.T) {
	n := blob.MaxBlocks
	if testing.Short() {
		n /= 10
	}
	w := newWorld(t)
	var list []blob.BlockListEntry
	var whole strings.Builder
	for i := range 100 {
		w.stage("a", id(i), string(rune('a'+i%26)))
	}
	for i := range n {
		list = append(list, blob.BlockListEntry{ID: id(i % 100)})
		whole.WriteByte(byte('a' + i%100%26))
	}
	if _, err := w.tryCommit("a", blob.ListOptions{Entries: list, Metadata: blob.Metadata{{Name: "a", Value: "b"}}}); err != nil {
		t.Fatal(err)
	}
	if got := w.get("a"); got != whole.String() {
		t.Error("content is not that of the list")
	}
	l := w.blocks("a", blob.WhichAll)
	if len(l.Committed) != n || l.Committed[n-1].ID != id((n-1)%100) {
		t.Errorf("%d committed blocks, want %d", len(l.Committed), n)
	}
	w.stage("a", id(1000), "!")
	list[0] = blob.BlockListEntry{ID: id(1000), Where: blob.Uncommitted}
	if _, err := w.tryCommit("a", blob.ListOptions{Entries: list}); err != nil {
		t.Fatal(err)
	}
	if got := w.get("a"); got != "!"+whole.String()[1:] {
		t.Error("content is not that of the second list")
	}
	if err := w.Blobs.Delete(w.ctx, w.who, ref("a"), blob.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.wantNoContent()
}
