package blob_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
)

// modelBlob is what a blob should be.
type modelBlob struct {
	committed bool
	content   string
	etag      string
	metadata  blob.Metadata
	ctype     string
	list      []modelBlock
	staged    map[string]string
}

type modelBlock struct{ id, content string }

// model is one container as a map.
type model struct {
	w     *world
	blobs map[string]*modelBlob
}

func (m *model) at(n string) *modelBlob {
	if m.blobs[n] == nil {
		m.blobs[n] = &modelBlob{staged: map[string]string{}}
	}
	return m.blobs[n]
}

var (
	genName    = rapid.SampledFrom([]string{"a", "a/b", "a/c", "b", "b/x/y", "c"})
	genID      = rapid.SampledFrom([]string{id(1), id(2), id(3)})
	genContent = rapid.Custom(func(t *rapid.T) string {
		n := rapid.SampledFrom([]int{0, 1, 5, 32 << 10, 32<<10 + 1, 70_000}).Draw(t, "size")
		return strings.Repeat(string(rapid.ByteRange('a', 'z').Draw(t, "byte")), n)
	})
	genMetadata = rapid.Custom(func(t *rapid.T) blob.Metadata {
		n := rapid.IntRange(0, 2).Draw(t, "pairs")
		var m blob.Metadata
		for i := range n {
			m = append(m, blob.MetaPair{Name: fmt.Sprintf("Name%d", i), Value: rapid.StringMatching(`[a-z ]{0,5}`).Draw(t, "value")})
		}
		return m
	})
)

// condition draws a condition and says what it does to a create and to a change.
func (m *model) condition(t *rapid.T, b *modelBlob) (c blob.Conditions, create, change fault.Kind) {
	absent := fault.BlobNotFound
	switch kind := rapid.SampledFrom([]string{"none", "none", "match", "stale", "star", "fresh"}).Draw(t, "condition"); kind {
	case "match":
		c.IfMatch = b.etag
		if !b.committed {
			c.IfMatch = `"0x1"`
			return c, fault.ConditionNotMet, absent
		}
	case "stale":
		c.IfMatch = `"0x1"`
		if b.committed {
			return c, fault.ConditionNotMet, fault.ConditionNotMet
		}
		return c, fault.ConditionNotMet, absent
	case "star":
		c.IfMatch = "*"
		if !b.committed {
			return c, fault.ConditionNotMet, absent
		}
	case "fresh":
		c.IfNoneMatch = "*"
		if b.committed {
			return c, fault.BlobAlreadyExists, fault.ConditionNotMet
		}
	}
	if !b.committed {
		return c, success, absent
	}
	return c, success, success
}

func (m *model) refused(t *rapid.T, what string, err error, want fault.Kind) bool {
	if want == success {
		if err != nil {
			t.Fatalf("%s = %v, want success", what, err)
		}
		return false
	}
	if !fault.Is(err, want) {
		t.Fatalf("%s = %v, want %v", what, err, want)
	}
	return true
}

func (m *model) put(t *rapid.T) {
	n, content, meta := genName.Draw(t, "name"), genContent.Draw(t, "content"), genMetadata.Draw(t, "metadata")
	b := m.at(n)
	c, want, _ := m.condition(t, b)
	a, err := m.w.tryPut(n, content, blob.PutOptions{Metadata: meta, Conditions: c, Headers: blob.Headers{ContentType: "t/" + content[:min(3, len(content))]}})
	if m.refused(t, "PutBlob "+n, err, want) {
		return
	}
	m.blobs[n] = &modelBlob{committed: true, content: content, etag: a.ETag, metadata: meta, ctype: "t/" + content[:min(3, len(content))], staged: map[string]string{}}
}

func (m *model) stage(t *rapid.T) {
	n, blockID := genName.Draw(t, "name"), genID.Draw(t, "id")
	content := genContent.Filter(func(s string) bool { return s != "" }).Draw(t, "content")
	if _, err := m.w.tryStage(n, blockID, content); err != nil {
		t.Fatalf("PutBlock %s = %v", n, err)
	}
	m.at(n).staged[blockID] = content
}

func (m *model) commit(t *rapid.T) {
	n, meta := genName.Draw(t, "name"), genMetadata.Draw(t, "metadata")
	b := m.at(n)
	list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) blob.BlockListEntry {
		return blob.BlockListEntry{ID: genID.Draw(t, "id"), Where: rapid.SampledFrom([]blob.Where{blob.Latest, blob.Committed, blob.Uncommitted}).Draw(t, "where")}
	}), 0, 4).Draw(t, "list")
	c, want, _ := m.condition(t, b)
	var blocks []modelBlock
	content := ""
	for _, e := range list {
		got, ok := b.find(e)
		if !ok && want == success {
			want = fault.InvalidBlockList
		}
		blocks = append(blocks, modelBlock{e.ID, got})
		content += got
	}
	a, err := m.w.tryCommit(n, blob.ListOptions{Entries: list, Metadata: meta, Conditions: c})
	if m.refused(t, "PutBlockList "+n, err, want) {
		return
	}
	m.blobs[n] = &modelBlob{committed: true, content: content, etag: a.ETag, metadata: meta, ctype: "application/octet-stream", list: blocks, staged: map[string]string{}}
}

func (b *modelBlob) find(e blob.BlockListEntry) (string, bool) {
	if s, ok := b.staged[e.ID]; ok && e.Where != blob.Committed {
		return s, true
	}
	if e.Where != blob.Uncommitted {
		for _, have := range b.list {
			if have.id == e.ID {
				return have.content, true
			}
		}
	}
	return "", false
}

func (m *model) setMetadata(t *rapid.T) {
	n, meta := genName.Draw(t, "name"), genMetadata.Draw(t, "metadata")
	b := m.at(n)
	c, _, want := m.condition(t, b)
	a, err := m.w.Blobs.SetMetadata(m.w.ctx, m.w.who, ref(n), meta, c, blob.EncryptionOptions{})
	if !m.refused(t, "SetMetadata "+n, err, want) {
		b.metadata, b.etag = meta, a.ETag
	}
}

func (m *model) setHeaders(t *rapid.T) {
	n := genName.Draw(t, "name")
	b := m.at(n)
	c, _, want := m.condition(t, b)
	a, err := m.w.Blobs.SetHTTPHeaders(m.w.ctx, m.w.who, ref(n), blob.Headers{ContentType: "new/type"}, c)
	if !m.refused(t, "SetHTTPHeaders "+n, err, want) {
		b.ctype, b.etag = "new/type", a.ETag
	}
}

func (m *model) delete(t *rapid.T) {
	n := genName.Draw(t, "name")
	b := m.at(n)
	c, _, want := m.condition(t, b)
	err := m.w.Blobs.Delete(m.w.ctx, m.w.who, ref(n), blob.DeleteOptions{Conditions: c})
	if !m.refused(t, "Delete "+n, err, want) {
		delete(m.blobs, n)
	}
}

func (m *model) deleteContainer(t *rapid.T) {
	if rapid.IntRange(0, 5).Draw(t, "rarely") > 0 {
		return
	}
	if err := m.w.Blobs.DeleteContainer(m.w.ctx, m.w.who, acct, "box", blob.Conditions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.w.Blobs.CreateContainer(m.w.ctx, m.w.who, acct, "box", blob.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	clear(m.blobs)
}

func (m *model) janitor(t *rapid.T) {
	if _, err := m.w.Blobs.Collect(m.w.ctx, rapid.SampledFrom([]int{1, 3, 1000}).Draw(t, "budget")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.w.Objects.Collect(m.w.ctx); err != nil {
		t.Fatal(err)
	}
}

// check compares everything visible with the model.
func (m *model) check(t *rapid.T) {
	var want []string
	for n, b := range m.blobs {
		if !b.committed {
			if _, _, err := m.w.tryGet(n, nil); !fault.Is(err, fault.BlobNotFound) {
				t.Fatalf("%s is there: %v", n, err)
			}
			if len(b.staged) > 0 {
				want = append(want, "?"+n)
			}
			continue
		}
		want = append(want, n)
		got, p, err := m.w.tryGet(n, nil)
		if err != nil || got != b.content {
			t.Fatalf("%s: %d bytes, %v, want %d", n, len(got), err, len(b.content))
		}
		if p.ETag != b.etag || p.ContentType != b.ctype || cmp.Diff(b.metadata, p.Metadata) != "" || p.Length != int64(len(b.content)) {
			t.Fatalf("%s: properties %+v, want %+v", n, p, b)
		}
	}
	for n, b := range m.blobs {
		m.checkBlocks(t, n, b)
	}
	o := blob.ListBlobsOptions{Include: blob.IncludeUncommitted, MaxResults: rapid.SampledFrom([]int{0, 1, 2, 4}).Draw(t, "page")}
	got, _ := m.w.list(o)
	slices.SortFunc(want, func(a, b string) int { return strings.Compare(strings.TrimPrefix(a, "?"), strings.TrimPrefix(b, "?")) })
	if !slices.Equal(got, want) {
		t.Fatalf("list = %v, want %v", got, want)
	}
}

func (m *model) checkBlocks(t *rapid.T, n string, b *modelBlob) {
	l, err := m.w.Blobs.GetBlockList(m.w.ctx, m.w.who, ref(n), blob.WhichAll, blob.Conditions{})
	if !b.committed && len(b.staged) == 0 {
		if !fault.Is(err, fault.BlobNotFound) {
			t.Fatalf("block list of %s = %v, %v", n, l, err)
		}
		return
	}
	var committed, staged []blob.BlockInfo
	for _, k := range b.list {
		committed = append(committed, blob.BlockInfo{ID: k.id, Size: int64(len(k.content))})
	}
	for _, k := range slices.Sorted(maps.Keys(b.staged)) {
		staged = append(staged, blob.BlockInfo{ID: k, Size: int64(len(b.staged[k]))})
	}
	if err != nil || cmp.Diff(committed, l.Committed) != "" || cmp.Diff(staged, l.Uncommitted) != "" {
		t.Fatalf("block list of %s = %+v, %v, want %v and %v", n, l, err, committed, staged)
	}
}

// TestModel runs random operations against the map. When everything is deleted at the
// end, nothing may be left in the store.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{w: newWorld(t), blobs: map[string]*modelBlob{}}
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.put, "stage": m.stage, "stage again": m.stage, "commit": m.commit, "commit again": m.commit,
			"metadata": m.setMetadata, "headers": m.setHeaders, "delete": m.delete,
			"container": m.deleteContainer, "janitor": m.janitor, "": m.check,
		})
		if err := m.w.Blobs.DeleteContainer(m.w.ctx, m.w.who, acct, "box", blob.Conditions{}); err != nil {
			rt.Fatal(err)
		}
		m.w.wantNoContent()
	})
}
