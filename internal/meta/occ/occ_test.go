package occ

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/coffer-storage/coffer/internal/meta"
)

// TestTree compares the tree with a map, and its old versions with themselves.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[a-d]{0,3}`)
		var tree Tree[int]
		model := map[string]int{}
		var old Tree[int]
		var oldModel map[string]int
		for i := range rapid.IntRange(0, 60).Draw(t, "steps") {
			if i == 30 {
				old, oldModel = tree, maps.Clone(model)
			}
			k := key.Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0, 1:
				tree = tree.Set([]byte(k), i)
				model[k] = i
			case 2:
				tree = tree.Delete([]byte(k))
				delete(model, k)
			case 3:
				hi := key.Draw(t, "hi")
				s := Span{Lo: []byte(k), Hi: []byte(hi)}
				if rapid.Bool().Draw(t, "open") {
					s.Hi = nil
				}
				tree = tree.DeleteSpan(s)
				maps.DeleteFunc(model, func(k string, _ int) bool { return s.Contains([]byte(k)) })
			}
		}
		compare(t, tree, model)
		if oldModel != nil {
			compare(t, old, oldModel)
		}
	})
}

func compare(t *rapid.T, tree Tree[int], model map[string]int) {
	t.Helper()
	if tree.Len() != len(model) {
		t.Fatalf("Len = %d, want %d", tree.Len(), len(model))
	}
	want := slices.Sorted(maps.Keys(model))
	for _, s := range []Span{{}, {Lo: []byte("b")}, {Lo: []byte("a"), Hi: []byte("cc")}, {Hi: []byte("b")}} {
		for _, reverse := range []bool{false, true} {
			var got []string
			tree.Scan(s, reverse, func(k []byte, v int) bool {
				if model[string(k)] != v {
					t.Fatalf("%q = %d, want %d", k, v, model[string(k)])
				}
				got = append(got, string(k))
				return true
			})
			in := slices.DeleteFunc(slices.Clone(want), func(k string) bool { return !s.Contains([]byte(k)) })
			if reverse {
				slices.Reverse(in)
			}
			if !slices.Equal(got, in) {
				t.Fatalf("Scan(%q, %v) = %q, want %q", s, reverse, got, in)
			}
		}
	}
}

func writes(keys ...string) *Writes {
	w := &Writes{}
	for _, k := range keys {
		w.Keys = w.Keys.Set([]byte(k), Value{Bytes: []byte("v")})
	}
	return w
}

func TestLogConflicts(t *testing.T) {
	var l log
	l.add(10, writes("a", "b"))
	l.add(11, &Writes{Spans: []Span{{Lo: []byte("m"), Hi: []byte("p")}}})
	l.add(13, writes("b"))
	point := func(k string) *Reads { r := &Reads{}; r.key([]byte(k)); return r }
	span := func(lo, hi string) *Reads {
		r := &Reads{}
		s := Span{Lo: []byte(lo), Hi: []byte(hi)}
		if hi == "" {
			s.Hi = nil
		}
		r.span(s)
		return r
	}
	tests := []struct {
		since uint64
		reads *Reads
		want  bool
	}{
		{9, point("a"), true}, {10, point("a"), false}, {12, point("b"), true}, {13, point("b"), false},
		{9, point("c"), false}, {10, point("n"), true}, {10, point("p"), false}, {11, point("n"), false},
		{9, span("a", "b"), true}, {10, span("a", "b"), false}, {10, span("a", ""), true}, {11, span("c", ""), false},
		{10, span("o", "z"), true}, {10, span("p", "z"), false}, {10, span("c", "m"), false},
		{0, &Reads{}, false},
	}
	for _, tt := range tests {
		if got := l.conflicts(tt.since, tt.reads); got != tt.want {
			t.Errorf("conflicts(%d, %+v) = %v", tt.since, tt.reads, got)
		}
	}
}

// TestLogBounds: what the log forgot, conflicts; it never grows without end.
func TestLogBounds(t *testing.T) {
	var l log
	r := &Reads{}
	r.key([]byte("never written"))
	for i := range uint64(3 * maxCommits) {
		l.add(i+1, writes(fmt.Sprintf("k%06d", i)))
	}
	if len(l.commits) > maxCommits || len(l.last) > maxCommits {
		t.Errorf("%d commits, %d keys", len(l.commits), len(l.last))
	}
	if !l.conflicts(l.horizon-1, r) || l.conflicts(l.horizon, r) {
		t.Error("the horizon is not where the log begins")
	}
	var big Writes
	for i := range maxBytes / 64 {
		big.Keys = big.Keys.Set(fmt.Appendf(nil, "%08d", i), Value{})
	}
	l.add(1<<40, &big)
	if l.bytes > maxBytes || len(l.last) > len(l.commits) || !l.conflicts(1<<40-1, r) {
		t.Errorf("after a large commit: %d bytes, %d keys", l.bytes, len(l.last))
	}
}

func TestReadsJoinPages(t *testing.T) {
	var r Reads
	for i := range byte(100) {
		r.span(Span{Lo: []byte{i}, Hi: []byte{i + 1}})
	}
	if len(r.spans) != 1 || r.spans[0].Hi[0] != 100 {
		t.Errorf("%d spans", len(r.spans))
	}
}

// stub is a backend that fails where it is told.
type stub struct {
	snapshot, prepare, apply, durable error
	seq                               uint64
	discarded                         int
}

func (s *stub) Snapshot() (Snapshot, error)                   { return empty{}, s.snapshot }
func (s *stub) Prepare(context.Context, *Writes) (any, error) { return s, s.prepare }
func (s *stub) Discard(any)                                   { s.discarded++ }
func (s *stub) Durable(any) error                             { return s.durable }
func (s *stub) Apply(any) (uint64, error) {
	if s.apply == nil {
		s.seq++
	}
	return s.seq, s.apply
}

type empty struct{}

func (empty) Get([]byte) ([]byte, error)                             { return nil, meta.ErrNotFound }
func (empty) Scan(Span, bool, func(k, v []byte) (bool, error)) error { return nil }
func (empty) Close()                                                 {}

func TestErrorsOfTheBackend(t *testing.T) {
	boom := errors.New("boom")
	change := func(tx meta.Tx) error {
		_, _ = tx.Get([]byte("k"))
		tx.Delete([]byte("k"))
		return nil
	}
	for name, s := range map[string]*stub{
		"snapshot": {snapshot: boom}, "prepare": {prepare: boom}, "apply": {apply: boom}, "durable": {durable: boom},
	} {
		e := New(s, 5, nil)
		if err := e.Update(t.Context(), change); !errors.Is(err, boom) {
			t.Errorf("%s: Update = %v", name, err)
		}
		if want := map[string]int{"apply": 1}[name]; s.discarded != want {
			t.Errorf("%s: %d discarded, want %d", name, s.discarded, want)
		}
		if name != "durable" && e.Sequence() != 5 {
			t.Errorf("%s: Sequence = %d", name, e.Sequence())
		}
	}
}

func TestFail(t *testing.T) {
	e := New(&stub{}, 0, nil)
	boom := errors.New("boom")
	e.lock <- struct{}{} // somebody hangs in the engine
	waiting := make(chan error)
	go func() {
		waiting <- e.Update(t.Context(), func(tx meta.Tx) error { tx.Delete([]byte("k")); return nil })
	}()
	inside := make(chan bool)
	viewing := make(chan error)
	go func() {
		viewing <- e.View(t.Context(), func(meta.Reader) error { inside <- true; <-inside; return nil })
	}()
	<-inside
	e.Fail(boom)
	e.Fail(errors.New("later"))
	inside <- true
	if err := <-waiting; !errors.Is(err, meta.ErrFailed) {
		t.Errorf("waiting Update = %v", err)
	}
	if err := <-viewing; !errors.Is(err, meta.ErrFailed) {
		t.Errorf("running View = %v", err)
	}
	if e.Failed() != boom {
		t.Errorf("Failed = %v", e.Failed())
	}
	e.Close() // does not wait for who hangs
}

// TestCancelWhileLocked: waiting for the lock ends with the context.
func TestCancelWhileLocked(t *testing.T) {
	s := &stub{}
	e := New(s, 0, nil)
	e.lock <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	err := e.Update(ctx, func(tx meta.Tx) error { tx.Delete([]byte("k")); cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v", err)
	}
}

// TestPanicReleases: a panic of f leaves the lock as it was, also when f runs alone.
func TestPanicReleases(t *testing.T) {
	e := New(&stub{}, 0, nil)
	func() {
		defer func() { _ = recover() }()
		_ = e.attempt(t.Context(), func(meta.Tx) error { panic("f") }, true)
	}()
	if err := e.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case e.lock <- struct{}{}:
		t.Error("the lock has two owners")
	default:
	}
}

func BenchmarkTree(b *testing.B) {
	var tree Tree[int]
	for i := range 100_000 {
		tree = tree.Set(fmt.Appendf(nil, "%08d", i*7919%100_000), i)
	}
	b.Run("get", func(b *testing.B) {
		k := []byte("00050000")
		for b.Loop() {
			tree.Get(k)
		}
	})
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		k := bytes.Repeat([]byte("0"), 8)
		for b.Loop() {
			tree.Set(k, 1)
		}
	})
}
