package occ

import (
	"bytes"
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/meta"
)

// checkEvery is the number of rows of a scan between two looks at the context.
const checkEvery = 256

// reader is a View: a snapshot, and nothing to remember.
type reader struct {
	ctx  context.Context
	e    *Engine
	snap *shared
}

func (r *reader) Get(key []byte) ([]byte, error) { return r.snap.snap.Get(key) }

func (r *reader) Version(key []byte) (uint64, bool) {
	if len(key) == 0 {
		return 0, false
	}
	return r.e.wrote.at(key[0], r.snap.since)
}

func (r *reader) Scan(lo, hi []byte, reverse bool, f func(k, v []byte) (bool, error)) error {
	s := Span{lo, hi}
	if s.Empty() {
		return r.ctx.Err()
	}
	return r.snap.snap.Scan(s, reverse, checked(r.ctx, f))
}

// checked makes a long scan end with its context.
func checked(ctx context.Context, f func(k, v []byte) (bool, error)) func(k, v []byte) (bool, error) {
	n := 0
	return func(k, v []byte) (bool, error) {
		if n++; n%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
		return f(k, v)
	}
}

// tx is one attempt of an Update: reads come from its pending writes, then from a
// snapshot that is taken at the first need.
type tx struct {
	ctx    context.Context
	e      *Engine
	snap   *shared // nil: nothing read yet
	broken error   // that came instead of a snapshot
	reads  Reads
	writes Writes
}

var _ meta.Tx = (*tx)(nil)

func (t *tx) base() Snapshot {
	if t.snap == nil && t.broken == nil {
		t.snap, t.broken = t.e.snapshot()
	}
	if t.broken != nil {
		return noSnapshot{t.broken}
	}
	return t.snap.snap
}

func (t *tx) close() {
	if t.snap != nil {
		t.snap.release()
	}
}

// Version tells nothing of tables that the transaction itself has written to.
func (t *tx) Version(key []byte) (uint64, bool) {
	if len(key) == 0 || !t.writes.Empty() && t.writes.firsts().has(key[0]) {
		return 0, false
	}
	t.base()
	if t.broken != nil {
		return 0, false
	}
	n, ok := t.e.wrote.at(key[0], t.snap.since)
	if ok {
		t.reads.key(key)
	}
	return n, ok
}

func (t *tx) Get(key []byte) ([]byte, error) {
	if v, ok := t.writes.Keys.Get(key); ok {
		if v.Deleted {
			return nil, meta.ErrNotFound
		}
		return bytes.Clone(v.Bytes), nil
	}
	if t.writes.masked(key) {
		return nil, meta.ErrNotFound
	}
	snap := t.base()
	t.reads.key(key)
	return snap.Get(key)
}

func (t *tx) Put(key []byte, value crypt.Sealed) {
	t.writes.Keys = t.writes.Keys.Set(bytes.Clone(key), Value{Bytes: value.Bytes()})
}

func (t *tx) Delete(key []byte) {
	t.writes.Keys = t.writes.Keys.Set(bytes.Clone(key), Value{Deleted: true})
}

func (t *tx) DeleteRange(lo, hi []byte) {
	s := Span{bytes.Clone(lo), bytes.Clone(hi)}
	if s.Empty() {
		return
	}
	t.writes.Keys = t.writes.Keys.DeleteSpan(s)
	t.writes.Spans = append(t.writes.Spans[:len(t.writes.Spans):len(t.writes.Spans)], s)
}

// Rewrite writes a row again as it is, or a tombstone where there is none. An engine
// needs it to make its own compaction meet the row; the value was sealed before.
func Rewrite(in meta.Tx, key []byte) error {
	t := in.(*tx)
	v, err := t.Get(key)
	if errors.Is(err, meta.ErrNotFound) {
		t.Delete(key)
		return nil
	}
	if err == nil {
		t.writes.Keys = t.writes.Keys.Set(bytes.Clone(key), Value{Bytes: v})
	}
	return err
}

// Scan merges the pending writes as they are now into the snapshot.
func (t *tx) Scan(lo, hi []byte, reverse bool, f func(k, v []byte) (bool, error)) error {
	s := Span{bytes.Clone(lo), bytes.Clone(hi)}
	if s.Empty() {
		return t.ctx.Err()
	}
	snap := t.base()
	f = checked(t.ctx, f)
	m := merger{writes: t.writes, own: t.writes.Keys.Cursor(s, reverse), reverse: reverse, f: f}
	err := snap.Scan(s, reverse, m.base)
	if err == nil && !m.stopped {
		err = m.rest()
	}
	t.reads.span(m.examined(s))
	return err
}

// merger joins the rows of a snapshot, which are pushed, with pending rows, which
// are pulled.
type merger struct {
	writes  Writes
	own     *Cursor[Value]
	reverse bool
	f       func(k, v []byte) (bool, error)
	stopped bool
	last    []byte // where it stopped
}

func (m *merger) emit(k, v []byte) (bool, error) {
	more, err := m.f(k, v)
	if err != nil || !more {
		m.stopped = true
		m.last = bytes.Clone(k)
	}
	return more, err
}

// base takes the next row of the snapshot.
func (m *merger) base(k, v []byte) (bool, error) {
	for m.own.Valid() {
		c := bytes.Compare(m.own.Key(), k)
		if m.reverse {
			c = -c
		}
		if c > 0 {
			break
		}
		if more, err := m.ownRow(); err != nil || !more {
			return more, err
		}
		if c == 0 {
			return true, nil
		}
	}
	if m.writes.masked(k) {
		return true, nil
	}
	return m.emit(k, v)
}

func (m *merger) ownRow() (bool, error) {
	k, v := m.own.Key(), m.own.Value()
	m.own.Next()
	if v.Deleted {
		return true, nil
	}
	return m.emit(k, v.Bytes)
}

func (m *merger) rest() error {
	for m.own.Valid() {
		if more, err := m.ownRow(); err != nil || !more {
			return err
		}
	}
	return nil
}

// examined is the part of s that was looked at.
func (m *merger) examined(s Span) Span {
	switch {
	case !m.stopped:
		return s
	case m.reverse:
		return Span{m.last, s.Hi}
	default:
		return Span{s.Lo, after(m.last)}
	}
}
