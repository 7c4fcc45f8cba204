package pebblekv

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBatches(t *testing.T) {
	var b batches
	if got := b.snapshot(); got.Syncs != 0 || got.Commits != 0 || len(got.UpTo) != len(batchBounds) {
		t.Errorf("before anything: %+v", got)
	}
	for sync, commits := range []int{1, 3, 1, 0, 200, 2} {
		for range commits {
			b.add(uint64(sync + 1))
		}
	}
	want := Batches{Syncs: 5, Commits: 207, UpTo: map[float64]uint64{1: 2, 2: 3, 4: 4, 8: 4, 16: 4, 32: 4, 64: 4, 128: 4}}
	if d := cmp.Diff(want, b.snapshot()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
