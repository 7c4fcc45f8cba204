package object

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

// InlineMax is the longest content that lies in the row of its chunk.
const InlineMax = 32 << 10

// Options open a Store.
type Options struct {
	Meta    meta.Store
	Extents extent.Store
	Ring    *keys.Ring
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: none
	// VerifyOneIn is how many chunks are written for each one that is read back before
	// the answer; 1 is all, 0 the default of 64.
	VerifyOneIn int
	// OnCorrupt is told of bytes that did not authenticate. It must not block.
	OnCorrupt func(Damage)
	Layout    Layout // for tests
}

// Layout is how contents are cut when they are written; readers take any. The zero value
// is what spec/rows.md says.
type Layout struct {
	Inline int64 // longest content in rows, 0: InlineMax, negative: none
	Chunk  int64 // longest chunk, 0: 64 MiB; a staged block has at most 64
	Lg     uint8 // log2 of the segment size, 0: 16
}

func (l Layout) complete() Layout {
	if l.Inline == 0 {
		l.Inline = InlineMax
	}
	if l.Chunk == 0 {
		l.Chunk = segment.MaxPlain
	}
	if l.Lg == 0 {
		l.Lg = chunkLg
	}
	return l
}

// Damage is something that did not authenticate. It names no user data: a service that
// knows the rows of a table can name it.
type Damage struct {
	Table Table
	Key   []byte  // of the row
	Chunk keys.ID // when a chunk is damaged, else zero
	Err   error
}

func (d Damage) String() string {
	s := "row of table " + d.Table.Name + " with key " + hex.EncodeToString(d.Key)
	if !d.Chunk.IsZero() {
		s += ", chunk " + d.Chunk.String()
	}
	return s + ": " + d.Err.Error()
}

// Store is the barrier. All methods are safe in parallel.
type Store struct {
	meta    meta.Store
	extents extent.Store
	ring    *keys.Ring
	now     func() time.Time
	log     *slog.Logger
	id      keys.ID

	onCorrupt func(Damage)
	sample    uint64
	layout    Layout

	salter   envelope.Salter // of SYS
	opened   envelope.Cache  // AEADs of SYS and META that were opened
	deks     *dekCache
	recalled recalled
	maps     openedMaps
	held     *holds
	counters counters
	long     longReads
	deferred deferrals
	sweeping sync.Map // of keys.Protector
}

// New opens the store and sets the protector rows from the key store.
func New(ctx context.Context, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnCorrupt == nil {
		o.OnCorrupt = func(Damage) {}
	}
	if o.VerifyOneIn <= 0 {
		o.VerifyOneIn = 64
	}
	s := &Store{
		meta:      o.Meta,
		extents:   o.Extents,
		ring:      o.Ring,
		now:       o.Now,
		log:       o.Logger,
		id:        o.Ring.StoreID(),
		onCorrupt: o.OnCorrupt,
		sample:    uint64(o.VerifyOneIn),
		layout:    o.Layout.complete(),
		deks:      newDEKCache(o.Now),
		held:      newHolds(),
	}
	if err := s.Mirror(ctx); err != nil {
		return nil, err
	}
	o.Ring.OnDrop(s.deks.drop)
	return s, nil
}

// Close zeroes the cached keys. It closes neither ports nor ring.
func (s *Store) Close() { s.deks.clear() }

// StoreID is the id of the store, owner of its own rows.
func (s *Store) StoreID() keys.ID { return s.id }

// View runs f over one snapshot. Content that f finds is not removed while it runs; a
// Reader opened in f keeps its own afterwards. f may run again when a customer's key that
// it needs had to be validated.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	return classify("object.View", s.validated(ctx, func() error {
		defer s.held.release(s.held.begin())
		return s.meta.View(ctx, func(r meta.Reader) error { return f(&Tx{s: s, r: r, ctx: ctx}) })
	}))
}

// Update runs f in a serializable transaction; on return it is durable. f may run
// several times and must have no other effects.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	var last *Tx
	err := s.validated(ctx, func() error {
		defer func() {
			if last != nil {
				last.releaseHolds()
			}
		}()
		return s.meta.Update(ctx, func(m meta.Tx) error {
			if last != nil { // a conflict: it runs again
				last.releaseHolds()
			}
			last = &Tx{s: s, r: m, w: m, ctx: ctx}
			if err := f(last); err != nil {
				return err
			}
			return last.checkHolds()
		})
	})
	if err == nil {
		for _, c := range last.attached {
			c.committed()
		}
		s.counters.InlineRows.Add(last.inlineRows)
	}
	return classify("object.Update", err)
}

// classify turns an error of a port into a fault. Faults, meta.ErrNotFound and what the
// services return from their transactions go through as they are.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, extent.ErrFull) {
		return fault.New(op, "", fault.Full, err)
	}
	if kind := meta.FaultKind(err); kind != fault.Internal {
		return fault.New(op, "", kind, err)
	}
	return err
}
