package occ

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// shared is a snapshot that transactions share for as long as no commit comes: to take
// and close one costs the engine a lock and a look for work.
type shared struct {
	snap  Snapshot
	since uint64       // snap shows every commit up to this one
	users atomic.Int64 // the Engine, while it is the newest, counts as one
}

// snapshot returns the newest snapshot; release is required.
func (e *Engine) snapshot() (*shared, error) {
	// The number first: the snapshot may show more than it says, never less.
	since := e.seq.Load()
	if s := e.newest.Load(); s != nil && s.since == since && s.retain() {
		return s, nil
	}
	snap, err := e.backend.Snapshot()
	if err != nil {
		return nil, err
	}
	s := &shared{snap: snap, since: since}
	s.users.Store(2)
	if old := e.newest.Swap(s); old != nil {
		old.release()
	}
	if e.seq.Load() != since && e.newest.CompareAndSwap(s, nil) {
		s.release() // a commit came, and did not find it
	}
	return s, nil
}

// outdate lets go of the newest snapshot, which would keep alive what a commit removed.
func (e *Engine) outdate() {
	if s := e.newest.Swap(nil); s != nil {
		s.release()
	}
}

// retain adds a user, unless the snapshot is closed already.
func (s *shared) retain() bool {
	for {
		n := s.users.Load()
		if n == 0 {
			return false
		}
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *shared) release() {
	if s.users.Add(-1) == 0 {
		s.snap.Close()
	}
}

// unsettled stands for a commit that is being applied.
const unsettled = math.MaxUint64

// versions holds, by first byte of a key, the last commit that wrote such a key.
type versions [256]atomic.Uint64

// at returns the version of the keys that begin with b, as a snapshot shows them that was
// taken before the call and shows every commit up to since.
func (v *versions) at(b byte, since uint64) (uint64, bool) {
	// Later commits that write such keys say so before they are applied, so none of
	// them is in the snapshot.
	n := v[b].Load()
	return n, n <= since
}

// firsts is a set of first bytes.
type firsts [4]uint64

func (f *firsts) add(lo, hi byte) {
	for b := int(lo); b <= int(hi); b++ {
		f[b/64] |= 1 << (b % 64)
	}
}

func (f firsts) has(b byte) bool { return f[b/64]>>(b%64)&1 != 0 }

// firsts returns the first bytes of the keys that w changes. The empty key has none and
// counts as all of them.
func (w *Writes) firsts() (f firsts) {
	w.Keys.Scan(Span{}, false, func(k []byte, _ Value) bool {
		if len(k) == 0 {
			f.add(0, math.MaxUint8)
			return true
		}
		f.add(k[0], k[0])
		return true
	})
	for _, s := range w.Spans {
		lo, hi := byte(0), byte(math.MaxUint8)
		if len(s.Lo) > 0 {
			lo = s.Lo[0]
		}
		if len(s.Hi) > 0 {
			hi = s.Hi[0]
		}
		f.add(lo, hi)
	}
	return f
}

// set gives all of f the version n.
func (v *versions) set(f firsts, n uint64) {
	for i, word := range f {
		for ; word != 0; word &= word - 1 {
			v[i*64+bits.TrailingZeros64(word)].Store(n)
		}
	}
}
