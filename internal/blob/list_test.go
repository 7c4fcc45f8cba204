package blob_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta/memkv"
	"github.com/coffer-storage/coffer/internal/name"
)

// list collects all pages. Prefixes come back with a bar before them, staged blobs with
// a question mark.
func (w *world) list(o blob.ListBlobsOptions) (items []string, pages int) {
	w.Helper()
	for {
		p, err := w.Blobs.List(w.ctx, w.who, acct, "box", o)
		if err != nil {
			w.Fatal(err)
		}
		pages++
		if o.MaxResults > 0 && len(p.Items) > o.MaxResults {
			w.Fatalf("page of %d items, want at most %d", len(p.Items), o.MaxResults)
		}
		for _, i := range p.Items {
			switch {
			case i.IsPrefix:
				items = append(items, "|"+i.Name)
			case i.Uncommitted:
				items = append(items, "?"+i.Name)
			default:
				items = append(items, i.Name)
			}
		}
		if o.Marker = p.NextMarker; o.Marker == "" {
			return items, pages
		}
		if len(p.Items) == 0 {
			w.Fatal("an empty page has a marker")
		}
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"a", "a/1", "a/2", "a/b/3", "a0", "b--x", "b--y", "b-z", "c/", "c//d", "d", "é", "语/1"} {
		w.put(n, n)
	}
	for _, n := range []string{"a", "a/b/staged", "s", "s/1", "z/z"} {
		w.stage(n, id(1), "x")
	}
	tests := []struct {
		name string
		o    blob.ListBlobsOptions
		want string
	}{
		{"flat", blob.ListBlobsOptions{}, "a a/1 a/2 a/b/3 a0 b--x b--y b-z c/ c//d d é 语/1"},
		{"prefix", blob.ListBlobsOptions{Prefix: "a/"}, "a/1 a/2 a/b/3"},
		{"prefix without a match", blob.ListBlobsOptions{Prefix: "q"}, ""},
		{"prefix is a name", blob.ListBlobsOptions{Prefix: "d"}, "d"},
		{"hierarchy", blob.ListBlobsOptions{Delimiter: "/"}, "a |a/ a0 b--x b--y b-z |c/ d é |语/"},
		{"hierarchy below", blob.ListBlobsOptions{Prefix: "a/", Delimiter: "/"}, "a/1 a/2 |a/b/"},
		{"hierarchy, half a name", blob.ListBlobsOptions{Prefix: "a", Delimiter: "/"}, "a |a/ a0"},
		{"hierarchy, empty name", blob.ListBlobsOptions{Prefix: "c/", Delimiter: "/"}, "c/ |c//"},
		{"long delimiter", blob.ListBlobsOptions{Delimiter: "--"}, "a a/1 a/2 a/b/3 a0 |b-- b-z c/ c//d d é 语/1"},
		{"staged", blob.ListBlobsOptions{Prefix: "s", Include: blob.IncludeUncommitted}, "?s ?s/1"},
		{"staged, hierarchy", blob.ListBlobsOptions{Delimiter: "/", Include: blob.IncludeUncommitted}, "a |a/ a0 b--x b--y b-z |c/ d ?s |s/ |z/ é |语/"},
		{"staged, below", blob.ListBlobsOptions{Prefix: "a/b/", Include: blob.IncludeUncommitted}, "a/b/3 ?a/b/staged"},
		{"what cannot be there", blob.ListBlobsOptions{Prefix: "d", Include: blob.IncludeSnapshots | blob.IncludeVersions | blob.IncludeDeleted | blob.IncludeTags | blob.IncludeCopy}, "d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.Fields(tt.want)
			for _, most := range []int{0, 1, 2, 3, 5, 100} {
				tt.o.MaxResults = most
				got, pages := w.list(tt.o)
				if !slices.Equal(got, want) {
					t.Errorf("pages of %d: %v, want %v", most, got, want)
				}
				if most > 0 && len(want) > 0 && pages != (len(want)+most-1)/most {
					t.Errorf("pages of %d: %d pages for %d items", most, pages, len(want))
				}
			}
		})
	}
}

func TestListProperties(t *testing.T) {
	w := newWorld(t)
	m := blob.Metadata{{Name: "Ab", Value: "c"}}
	if _, err := w.tryPut("a", "hello", blob.PutOptions{Metadata: m}); err != nil {
		t.Fatal(err)
	}
	for _, include := range []blob.Include{0, blob.IncludeMetadata} {
		page, err := w.Blobs.List(w.ctx, w.who, acct, "box", blob.ListBlobsOptions{Include: include})
		if err != nil || len(page.Items) != 1 {
			t.Fatal(page, err)
		}
		want := w.props("a")
		if include == 0 {
			want.Metadata = nil
		}
		if d := cmp.Diff(want, page.Items[0].Properties); d != "" {
			t.Errorf("include %b (-want +got):\n%s", include, d)
		}
	}
}

func TestListRefuses(t *testing.T) {
	w := newWorld(t)
	for name, tt := range map[string]struct {
		box  name.Container
		o    blob.ListBlobsOptions
		want fault.Kind
	}{
		"no container":      {"nobox", blob.ListBlobsOptions{}, fault.ContainerNotFound},
		"bad marker":        {"box", blob.ListBlobsOptions{Marker: "zzz"}, fault.InvalidQueryParameter},
		"negative maximum":  {"box", blob.ListBlobsOptions{MaxResults: -1}, fault.OutOfRangeQueryParameter},
		"more than a page":  {"box", blob.ListBlobsOptions{MaxResults: 1_000_000}, success},
		"nothing is listed": {"box", blob.ListBlobsOptions{}, success},
	} {
		_, err := w.Blobs.List(w.ctx, w.who, acct, tt.box, tt.o)
		w.want(name, err, tt.want)
	}
	_, err := w.sas("rwdc").Blobs.List(w.ctx, w.sas("rwdc").who, acct, "box", blob.ListBlobsOptions{})
	w.want("list without l", err, fault.PermissionMismatch)
}

// TestPageIsBounded shows that a page of large metadata ends early.
func TestPageIsBounded(t *testing.T) {
	w := newWorld(t)
	m := blob.Metadata{{Name: "a", Value: strings.Repeat("x", 8000)}}
	const n = 700
	for i := range n {
		if _, err := w.tryPut(fmt.Sprintf("%04d", i), "", blob.PutOptions{Metadata: m}); err != nil {
			t.Fatal(err)
		}
	}
	items, pages := w.list(blob.ListBlobsOptions{Include: blob.IncludeMetadata})
	if len(items) != n || pages != 2 {
		t.Errorf("%d items on %d pages, want %d on 2", len(items), pages, n)
	}
	if _, pages := w.list(blob.ListBlobsOptions{}); pages != 1 {
		t.Errorf("%d pages without metadata, want 1", pages)
	}
}

// TestListSeeks shows that a prefix that stands for many blobs is passed over, not read.
func TestListSeeks(t *testing.T) {
	counted := &countingStore{Store: memkv.New()}
	w := newWorldOver(t, counted)
	for i := range 500 {
		w.put(fmt.Sprintf("dir/%04d", i), "")
	}
	w.put("end", "")
	counted.rows.Store(0)
	if got, _ := w.list(blob.ListBlobsOptions{Delimiter: "/"}); !slices.Equal(got, []string{"|dir/", "end"}) {
		t.Errorf("list = %v", got)
	}
	if n := counted.rows.Load(); n > 10 {
		t.Errorf("%d rows were read for two items", n)
	}
}
