package object

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	// SweepRate is the default limit of a sweep, in wraps a second.
	SweepRate = 2000
	// sweepScan is how many rows are looked at in one snapshot.
	sweepScan = 512
	// sweepSave is after how many snapshots without work the cursor is saved all the same.
	sweepSave = 64
	// sweepBatch is how many rows one transaction wraps anew.
	sweepBatch = 64
)

// Swept says what a sweep did. Rows may be counted again when it goes over them again.
type Swept struct {
	Rows         int64          // rows looked at
	Rewrapped    int64          // wraps made anew
	Passes       int            // finished passes
	Unreferenced []keys.Version // old versions that nothing names any more
}

// SweepOptions bound and watch a sweep.
type SweepOptions struct {
	Rate     int         // wraps a second; 0: SweepRate
	Progress func(Swept) // may be nil
}

// Fields of a sweep's cursor row.
const (
	cursorTable = FirstField     // prefix of the table, 1
	cursorKey   = FirstField + 1 // the next key in it
)

// sweepKey is the key of the cursor of a protector's sweep.
func sweepKey(p keys.Protector) []byte {
	b := p.Bytes()
	return append([]byte{'s'}, b[:]...)
}

// Sweep wraps every data key of p that is under an old version of the KEK anew, under
// the one that the protector row names. Content, metadata, ETags and times stay. It goes
// over the rows until a whole pass has found nothing, and then marks the old versions
// unreferenced in the key store: unless the wrap of such a version came into another
// row meanwhile, which may lie behind the pass.
//
// Its cursor is in a row: after a restart it goes on where it was. A pass that was cut
// off proves nothing, so another one follows.
func (s *Store) Sweep(ctx context.Context, p keys.Protector, o SweepOptions) (Swept, error) {
	if _, running := s.sweeping.LoadOrStore(p, true); running {
		return Swept{}, fault.New("object.Sweep", p.String(), fault.Busy, errors.New("a sweep of this protector is running"))
	}
	defer s.sweeping.Delete(p)
	info, ok := s.ring.Protector(p)
	if !ok {
		return Swept{}, fault.New("object.Sweep", p.String(), fault.ResourceNotFound, errors.New("no such protector"))
	}
	sw := &sweep{s: s, p: p, owner: info.Owner, chain: info.Chain, o: o}
	if sw.o.Rate <= 0 {
		sw.o.Rate = SweepRate
	}
	err := sw.run(meta.WithReclaim(ctx))
	return sw.did, classify("object.Sweep", err)
}

// sweep is one run of Sweep.
type sweep struct {
	s     *Store
	p     keys.Protector
	owner keys.ID
	chain keys.ID
	o     SweepOptions
	did   Swept

	found map[keys.ID]bool // krefs of wraps that this pass met under old versions
}

// run makes passes until one has nothing left to do.
func (w *sweep) run(ctx context.Context) error {
	for {
		old := w.oldVersions()
		if len(old) == 0 {
			return nil
		}
		before, err := w.places(ctx, old)
		if err != nil {
			return err
		}
		resumed, err := w.pass(ctx)
		if err != nil {
			return err
		}
		w.did.Passes++
		if resumed {
			continue
		}
		if err := w.prove(ctx, old, before); err != nil {
			return err
		}
		if len(w.found) == 0 {
			return nil
		}
	}
}

// oldVersions are those that open only and are not marked unreferenced.
func (w *sweep) oldVersions() []keys.Version {
	for _, c := range w.s.ring.Chains() {
		if c.ID == w.chain {
			return slices.DeleteFunc(c.Versions, func(v keys.Version) bool {
				return v.State != keys.Deactivated && v.State != keys.Compromised || !v.Unreferenced.IsZero()
			})
		}
	}
	return nil
}

func (w *sweep) places(ctx context.Context, vs []keys.Version) (counts []uint64, err error) {
	err = w.s.View(ctx, func(tx *Tx) error {
		counts = make([]uint64, len(vs))
		for i, v := range vs {
			if counts[i], err = tx.places(w.p, v.Kref); err != nil {
				return err
			}
		}
		return nil
	})
	return counts, err
}

// prove marks the versions that a whole pass did not meet.
func (w *sweep) prove(ctx context.Context, old []keys.Version, before []uint64) error {
	after, err := w.places(ctx, old)
	if err != nil {
		return err
	}
	for i, v := range old {
		if w.found[v.Kref] || after[i] != before[i] {
			w.found[v.Kref] = true // another pass
			continue
		}
		at := w.s.now().UTC()
		if err := w.s.ring.SetUnreferenced(ctx, w.chain, v.Number, at); err != nil {
			return err
		}
		v.Unreferenced = at
		w.did.Unreferenced = append(w.did.Unreferenced, v)
	}
	return nil
}

// pass goes once over all tables, from the cursor if there is one.
func (w *sweep) pass(ctx context.Context) (resumed bool, err error) {
	w.found = make(map[keys.ID]bool)
	from, key, err := w.cursor(ctx)
	if err != nil {
		return false, err
	}
	for _, t := range Tables() {
		if !t.Wraps || !t.Owned && w.owner != w.s.id || t.Prefix < from {
			continue
		}
		if t.Prefix != from {
			key = nil
		}
		if err := w.table(ctx, t, key); err != nil {
			return false, err
		}
	}
	err = w.s.Update(ctx, func(tx *Tx) error {
		tx.Delete(Cursor, sweepKey(w.p))
		return nil
	})
	return from != 0, err
}

func (w *sweep) cursor(ctx context.Context) (table byte, key []byte, err error) {
	err = w.s.View(ctx, func(tx *Tx) error {
		r, err := tx.Get(Cursor, w.s.id, sweepKey(w.p))
		if err != nil {
			return notFoundIsNil(err)
		}
		if t := r.Get(cursorTable); len(t) == 1 {
			table, key = t[0], r.Get(cursorKey)
		}
		return nil
	})
	return table, key, err
}

// table goes over the rows of the owner in one table.
func (w *sweep) table(ctx context.Context, t Table, lo []byte) error {
	var hi []byte
	if t.Owned {
		hi = prefixEnd(w.owner[:])
		if lo == nil {
			lo = w.owner[:]
		}
	}
	for looks := 1; ; looks++ {
		stale, next, err := w.look(ctx, t, lo, hi)
		if err != nil {
			return err
		}
		for batch := range slices.Chunk(stale, sweepBatch) {
			if err := w.rewrap(ctx, t, batch); err != nil {
				return err
			}
		}
		if w.o.Progress != nil {
			w.o.Progress(w.did)
		}
		if next == nil {
			return nil
		}
		lo = next
		if looks%sweepSave == 0 && len(stale) == 0 {
			err := w.s.Update(ctx, func(tx *Tx) error { return w.putCursor(tx, t, lo) })
			if err != nil {
				return err
			}
		}
	}
}

// look finds the rows that hold wraps under old versions, and where to go on.
func (w *sweep) look(ctx context.Context, t Table, lo, hi []byte) (stale [][]byte, next []byte, err error) {
	n := 0
	err = w.s.View(ctx, func(tx *Tx) error {
		pr, err := tx.protector(w.p)
		if err != nil {
			return err
		}
		return tx.Scan(t, w.owner, lo, hi, false, func(key []byte, r *Row) (bool, error) {
			if n == sweepScan {
				next = key
				return false, nil
			}
			n++
			if w.old(r, pr.active) {
				stale = append(stale, key)
			}
			return true, nil
		})
	})
	w.did.Rows += int64(n)
	return stale, next, err
}

// old reports whether r holds wraps of the protector under other versions than active.
func (w *sweep) old(r *Row, active keys.ID) bool {
	return slices.ContainsFunc(r.DEKs, func(e DEKEntry) bool { return w.isOld(e, active) })
}

func (w *sweep) isOld(e DEKEntry, active keys.ID) bool {
	return e.Form == FormWrap && e.Protector == w.p && e.Kref() != active
}

// rewrap wraps the data keys of some rows anew and moves the cursor behind them.
func (w *sweep) rewrap(ctx context.Context, t Table, rowKeys [][]byte) error {
	began := w.s.now()
	var n int
	var met []keys.ID
	err := w.s.Update(ctx, func(tx *Tx) error {
		n, met = 0, nil
		pr, err := tx.protector(w.p)
		if err != nil {
			return err
		}
		for _, key := range rowKeys {
			r, err := tx.Get(t, w.owner, key)
			if errors.Is(err, meta.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			krefs, err := w.row(tx, r, pr.active)
			if err != nil {
				return err
			}
			if len(krefs) == 0 {
				continue
			}
			n += len(krefs)
			met = append(met, krefs...)
			if err := tx.Put(t, key, r); err != nil {
				return err
			}
		}
		return w.putCursor(tx, t, append(slices.Clone(rowKeys[len(rowKeys)-1]), 0))
	})
	if err != nil {
		return err
	}
	for _, kref := range met {
		w.found[kref] = true
	}
	w.did.Rewrapped += int64(n)
	w.s.counters.Rewraps.Add(int64(n))
	return pause(ctx, time.Duration(n)*time.Second/time.Duration(w.o.Rate)-w.s.now().Sub(began))
}

// row wraps the old entries of r anew and returns the versions they were under.
func (w *sweep) row(tx *Tx, r *Row, active keys.ID) (krefs []keys.ID, err error) {
	for i, e := range r.DEKs {
		if !w.isOld(e, active) {
			continue
		}
		krefs = append(krefs, e.Kref())
		if r.DEKs[i], err = tx.rewrap(r.Owner, e, active); err != nil {
			return nil, err
		}
	}
	return krefs, nil
}

// rewrap opens a wrap and makes it anew under another version.
func (tx *Tx) rewrap(owner keys.ID, e DEKEntry, kref keys.ID) (DEKEntry, error) {
	v, kek, err := tx.kek(e.Protector, e.Kref())
	if err != nil {
		return e, keyFault("object.Sweep", err)
	}
	key, err := keywrap.Unwrap(kek, v.Kref, wrapAAD(owner, v, e.Protector, e.ID), e.Wrap)
	if errors.Is(err, secret.ErrDestroyed) {
		return e, &needsValidation{e.Protector}
	}
	if err != nil {
		return e, fault.New("object.Sweep", "", fault.Corrupt, err)
	}
	d := (&dataKey{id: e.ID, owner: owner, prot: e.Protector, key: key}).lend()
	defer d.Close()
	return tx.wrap(d, kref)
}

func (w *sweep) putCursor(tx *Tx, t Table, next []byte) error {
	r := &Row{Owner: w.s.id}
	r.Set(cursorTable, []byte{t.Prefix})
	r.Set(cursorKey, next)
	return tx.Put(Cursor, sweepKey(w.p), r)
}

// pause waits for d, or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stale returns the protectors whose KEK has old versions that are not known to be
// unreferenced: those that a sweep has work with.
func (s *Store) Stale() []keys.Protector {
	var ps []keys.Protector
	for _, c := range s.ring.Chains() {
		if c.Kind != keys.KEK {
			continue
		}
		if slices.ContainsFunc(c.Versions, func(v keys.Version) bool {
			return (v.State == keys.Deactivated || v.State == keys.Compromised) && v.Unreferenced.IsZero()
		}) {
			ps = append(ps, c.Protector)
		}
	}
	return ps
}
