package janitor_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/janitor"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

var ctx = context.Background()

// put stores a content that a row names, or with orphan only its bytes.
func put(t *testing.T, e *objecttest.Env, name string, n int64, orphan bool) {
	t.Helper()
	d, err := e.NewDEK(e.Account, e.Protector())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := e.Write(ctx, d, extent.Single, n, io.LimitReader(strings.NewReader(strings.Repeat("x", int(n))), n))
	if err != nil {
		t.Fatal(err)
	}
	if orphan {
		return
	}
	err = e.Update(ctx, func(tx *object.Tx) error {
		w, err := tx.Wrap(d)
		if err != nil {
			return err
		}
		refs, err := tx.Attach(c)
		if err != nil {
			return err
		}
		r := &object.Row{Owner: e.Account, DEKs: []object.DEKEntry{w}}
		if err := tx.SetPieces(r, []object.Piece{{Refs: refs}}); err != nil {
			return err
		}
		return tx.Put(object.Blob, append(e.Account[:], name...), r)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func drop(t *testing.T, e *objecttest.Env, name string) {
	t.Helper()
	err := e.Update(ctx, func(tx *object.Tx) error {
		key := append(e.Account[:], name...)
		r, err := tx.Get(object.Blob, e.Account, key)
		if err != nil {
			return err
		}
		tx.Delete(object.Blob, key)
		return tx.Release(r, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRunOnce(t *testing.T) {
	e := objecttest.New(t)
	put(t, e, "stays", 2<<20, false)
	put(t, e, "goes", 2<<20, false)
	put(t, e, "", 2<<20, true)
	drop(t, e, "goes")
	e.Reopen()
	left := 3
	j := janitor.New(janitor.Options{
		Store: e.Store, Ring: e.Ring, Now: e.Clock.Now,
		Collectors: []janitor.Collector{func(_ context.Context, budget int) (bool, error) {
			if budget <= 0 {
				t.Errorf("budget = %d", budget)
			}
			left--
			return left > 0, nil
		}},
	})
	defer j.Close()
	if err := j.RunOnce(ctx); err != nil {
		t.Fatal(err)
	}
	s := j.Stats()
	if left != 0 || s.Collected.Extents != 2 || s.Orphans != 1 || s.BacklogContents != 0 || s.BacklogExtents != 0 || s.ScrubbedChunks != 1 {
		t.Errorf("Stats = %+v, %d calls of the collector left", s, left)
	}
}

// TestKeys: what is due is rotated, and everything is wrapped anew without content
// being written.
func TestKeys(t *testing.T) {
	e := objecttest.New(t)
	for _, name := range []string{"a", "b", "c"} {
		put(t, e, name, 100, false)
	}
	j := janitor.New(janitor.Options{Store: e.Store, Ring: e.Ring, Now: e.Clock.Now, SweepRate: 1 << 20})
	if err := j.Keys(ctx); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Rotated != 0 || s.Rewrapped != 0 {
		t.Errorf("Stats before anything is due = %+v", s)
	}
	before := e.Stats()
	e.Clock.Add(366 * 24 * time.Hour)
	if err := j.Keys(ctx); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Rotated == 0 || s.Rewrapped != 3 {
		t.Errorf("Stats after a year = %+v, want 3 wraps made anew", s)
	}
	after := e.Stats()
	if after.InlineRows != before.InlineRows || after.ChunkBytes != before.ChunkBytes {
		t.Errorf("rotation wrote content: %+v, before %+v", after, before)
	}
	if stale := e.Stale(); len(stale) != 0 {
		t.Errorf("stale protectors after a sweep: %v", stale)
	}
}

func TestErrorsDoNotStopTheRound(t *testing.T) {
	e := objecttest.New(t)
	put(t, e, "goes", 100, false)
	drop(t, e, "goes")
	bad := errors.New("service is ill")
	j := janitor.New(janitor.Options{
		Store: e.Store, Ring: e.Ring, Now: e.Clock.Now,
		Collectors: []janitor.Collector{func(context.Context, int) (bool, error) { return true, bad }},
	})
	if err := j.Collect(ctx); !errors.Is(err, bad) {
		t.Errorf("Collect error = %v, want the collector's", err)
	}
	if s := j.Stats(); s.Collected.Chunks != 1 {
		t.Errorf("Stats = %+v, want the chunk freed all the same", s)
	}
}

func TestStartAndClose(t *testing.T) {
	e := objecttest.New(t)
	var calls atomic.Int64
	called := make(chan bool, 10)
	j := janitor.New(janitor.Options{
		Store: e.Store, Ring: e.Ring, Now: e.Clock.Now, Every: time.Hour,
		Collectors: []janitor.Collector{func(context.Context, int) (bool, error) {
			calls.Add(1)
			called <- true
			return false, nil
		}},
	})
	j.Start()
	<-called
	j.Kick()
	<-called
	j.Close()
	n := calls.Load()
	j.Kick()
	if calls.Load() != n {
		t.Error("work after Close")
	}
	janitor.New(janitor.Options{Store: e.Store, Ring: e.Ring}).Close()
}
