package pebblekv

import "sync"

// batchBounds are the upper bounds of the histogram's buckets.
var batchBounds = [...]uint64{1, 2, 4, 8, 16, 32, 64, 128}

// Batches says how many commits the syncs of the log made durable: what each shared.
// Commits are told apart by the sync that woke them, so one that wakes late counts with
// the next.
type Batches struct {
	Syncs, Commits uint64
	UpTo           map[float64]uint64 // syncs with at most so many commits
}

// batches counts the commits of the sync that is under way, and those before.
type batches struct {
	mu      sync.Mutex
	sync    uint64 // number of the sync that commits were counted for last
	open    uint64 // its commits
	commits uint64
	sizes   [len(batchBounds) + 1]uint64
}

// add counts a commit that the sync with this number made durable.
func (b *batches) add(sync uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sync != b.sync && b.open > 0 {
		b.sizes[bucket(b.open)]++
		b.open = 0
	}
	b.sync = sync
	b.open++
	b.commits++
}

// snapshot returns the histogram, with the batch that may still grow.
func (b *batches) snapshot() Batches {
	b.mu.Lock()
	defer b.mu.Unlock()
	sizes := b.sizes
	if b.open > 0 {
		sizes[bucket(b.open)]++
	}
	out := Batches{Commits: b.commits, UpTo: make(map[float64]uint64, len(batchBounds))}
	for i, n := range sizes {
		out.Syncs += n
		if i < len(batchBounds) {
			out.UpTo[float64(batchBounds[i])] = out.Syncs
		}
	}
	return out
}

func bucket(n uint64) int {
	for i, bound := range batchBounds {
		if n <= bound {
			return i
		}
	}
	return len(batchBounds)
}
