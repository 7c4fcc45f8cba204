package object

import (
	"context"
	"sync"

	"github.com/coffer-storage/coffer/internal/keys"
)

// holds is who uses what, for the collector. All of it is in memory: after a restart
// there are no readers.
//
// Short holds (View, Hold) have an epoch; the collector waits for those that began
// before it looked. A Reader may live for hours, so it is not waited for: it holds the
// data keys of its content, and everything that dies under them is left for later.
type holds struct {
	mu      sync.Mutex
	epoch   uint64
	short   map[uint64]int             // epoch -> short holds
	deks    map[keys.ID]map[uint64]int // data key -> epoch -> Readers
	reading map[[16]byte]int           // extents with a resolved place in use
	pending map[[16]byte]int           // extents with chunks that no row names yet
	suspect map[[16]byte]bool          // extents that perhaps hold given-up chunks
	changed chan struct{}              // closed when the short holds of an epoch end; nil: nobody waits
}

func newHolds() *holds {
	return &holds{
		short:   make(map[uint64]int),
		deks:    make(map[keys.ID]map[uint64]int),
		reading: make(map[[16]byte]int),
		pending: make(map[[16]byte]int),
		suspect: make(map[[16]byte]bool),
	}
}

// Hold keeps all content that can be found now until release. It is for a moment: the
// collector waits for it. View holds by itself, and a Reader keeps its own content.
func (s *Store) Hold() (release func()) {
	e := s.held.begin()
	var once sync.Once
	return func() { once.Do(func() { s.held.release(e) }) }
}

// begin is Hold; the epoch is for one release.
func (h *holds) begin() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.short[h.epoch]++
	return h.epoch
}

func (h *holds) release(e uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.short[e]--; h.short[e] == 0 {
		delete(h.short, e)
		if h.changed != nil {
			close(h.changed)
			h.changed = nil
		}
	}
}

// quiesce waits for the short holds that began before the call. What no snapshot of now
// can find is held afterwards only by Readers of an earlier epoch than the one returned.
func (h *holds) quiesce(ctx context.Context) (epoch uint64, err error) {
	h.mu.Lock()
	h.epoch++
	epoch = h.epoch
	h.mu.Unlock()
	for {
		h.mu.Lock()
		old := false
		for e := range h.short {
			old = old || e < epoch
		}
		if old && h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		if !old {
			return epoch, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// holdDEKs is taken by a Reader.
func (h *holds) holdDEKs(ids []keys.ID) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.epoch
	for _, id := range ids {
		if h.deks[id] == nil {
			h.deks[id] = make(map[uint64]int, 1)
		}
		h.deks[id][e]++
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, id := range ids {
			if h.deks[id][e]--; h.deks[id][e] == 0 {
				delete(h.deks[id], e)
			}
			if len(h.deks[id]) == 0 {
				delete(h.deks, id)
			}
		}
	}
}

// dekHeld reports whether a Reader that began before epoch holds id.
func (h *holds) dekHeld(id keys.ID, epoch uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for e := range h.deks[id] {
		if e < epoch {
			return true
		}
	}
	return false
}

// count changes a count of an extent.
func (h *holds) count(m map[[16]byte]int, id [16]byte, by int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m[id] += by; m[id] == 0 {
		delete(m, id)
	}
}

// busy reports whether an extent is being read from, or has chunks on their way.
func (h *holds) busy(id [16]byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reading[id] > 0 || h.pending[id] > 0
}

// suspected notes an extent that may hold chunks that nothing will ever name.
func (h *holds) suspected(id [16]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.suspect[id] = true
}

func (h *holds) takeSuspects() (ids [][16]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.suspect {
		ids = append(ids, id)
	}
	clear(h.suspect)
	return ids
}
