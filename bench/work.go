package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"time"
)

// operation is one round of the closed loop; it gives the bytes it moved.
type operation func(ctx context.Context, r *rand.Rand) (int64, error)

// workload is one kind of load.
type workload struct {
	whole   bool // counted in repetitions, not in time; concurrency is inside
	maxConc int  // no second dimension, or nothing to gain, past this
	prepare func(ctx context.Context, b *bench) error
	op      func(b *bench, conc int) (op operation, after func(), err error)
}

// more says whether a worker goes round once more.
func (w workload) more(b *bench, k int, start time.Time) bool {
	if w.whole {
		return k < b.reps
	}
	return time.Since(start) < b.dur
}

const (
	smallSet, small = 512, 4 << 10 // distinct blobs that the GETs of a size read
	midSet, mid     = 32, 4 << 20
)

var workloads = map[string]workload{
	"put4k":    {maxConc: math.MaxInt, prepare: nothing, op: putOp("p4k", small)},
	"put4m":    {maxConc: math.MaxInt, prepare: nothing, op: putOp("p4m", mid)},
	"get4k":    {maxConc: math.MaxInt, prepare: filled("small/", smallSet, small, 16), op: getOp("small/", smallSet, small)},
	"get4m":    {maxConc: math.MaxInt, prepare: filled("mid/", midSet, mid, 4), op: getOp("mid/", midSet, mid)},
	"range64k": {maxConc: math.MaxInt, prepare: bigBlob, op: rangeOp},
	"put1g":    {whole: true, maxConc: 8, prepare: nothing, op: putBigOp},
	"get1g":    {whole: true, maxConc: 8, prepare: bigBlob, op: getBigOp},
	"stream1g": {whole: true, maxConc: 1, prepare: bigBlob, op: streamOp},
	"list":     {whole: true, maxConc: 1, prepare: listed("list/", 64), op: listOp("list/")},
	"list32k":  {whole: true, maxConc: 1, prepare: listed("list32k/", 32<<10), op: listOp("list32k/")},
}

func nothing(context.Context, *bench) error { return nil }
func noAfter()                              {}

func filled(prefix string, n, size, par int) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) error { return b.fill(ctx, prefix, n, size, par) }
}

// listed puts what list lists; a driver that cannot list is asked first.
func listed(prefix string, size int) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) error {
		if _, err := b.d.List(ctx, "none/"); err != nil {
			return err
		}
		return b.fill(ctx, prefix, b.listN, size, 32)
	}
}

// bigBlob puts the blob that big reads share, and checks one range of it.
func bigBlob(ctx context.Context, b *bench) error {
	if b.bigReady {
		return nil
	}
	if err := b.d.PutBig(ctx, "big/read", newSource(b.body, b.bigN), b.bigN, 4); err != nil {
		return err
	}
	var got bytes.Buffer
	off := b.bigN/2 + 12345
	n := min(1<<20, b.bigN-off)
	if _, err := b.d.Get(ctx, "big/read", off, n, &got); err != nil {
		return err
	}
	want := make([]byte, n)
	s := newSource(b.body, b.bigN)
	s.off = off
	if _, err := io.ReadFull(s, want); err != nil {
		return err
	}
	if !bytes.Equal(got.Bytes(), want) {
		return fmt.Errorf("big/read: the range at %d came back different", off)
	}
	b.bigReady = true
	return nil
}

// putOp writes a new blob every time.
func putOp(prefix string, size int) func(*bench, int) (operation, func(), error) {
	return func(b *bench, _ int) (operation, func(), error) {
		return func(ctx context.Context, _ *rand.Rand) (int64, error) {
			name := fmt.Sprintf("%s-%s/%08d", prefix, b.run, b.seq.Add(1))
			return int64(size), b.d.Put(ctx, name, b.body[:size])
		}, noAfter, nil
	}
}

func getOp(prefix string, set, size int) func(*bench, int) (operation, func(), error) {
	return func(b *bench, _ int) (operation, func(), error) {
		return func(ctx context.Context, r *rand.Rand) (int64, error) {
			return b.exact(ctx, fmt.Sprintf("%s%05d", prefix, r.IntN(set)), 0, 0, int64(size))
		}, noAfter, nil
	}
}

func rangeOp(b *bench, _ int) (operation, func(), error) {
	const n = 64 << 10
	return func(ctx context.Context, r *rand.Rand) (int64, error) {
		return b.exact(ctx, "big/read", r.Int64N(b.bigN-n), n, n)
	}, noAfter, nil
}

func streamOp(b *bench, _ int) (operation, func(), error) {
	return func(ctx context.Context, _ *rand.Rand) (int64, error) {
		return b.exact(ctx, "big/read", 0, 0, b.bigN)
	}, noAfter, nil
}

// putBigOp overwrites two names in turn, so that a run does not fill the disk.
func putBigOp(b *bench, conc int) (operation, func(), error) {
	return func(ctx context.Context, _ *rand.Rand) (int64, error) {
		name := fmt.Sprintf("big/w-%s-%d", b.run, b.seq.Add(1)%2)
		return b.bigN, b.d.PutBig(ctx, name, newSource(b.body, b.bigN), b.bigN, conc)
	}, noAfter, nil
}

// getBigOp downloads into a file that is filled before the clock starts: the
// client's page allocation is no part of the figure.
func getBigOp(b *bench, conc int) (operation, func(), error) {
	f, err := os.CreateTemp(b.tmp, "bench")
	if err != nil {
		return nil, nil, err
	}
	after := func() { f.Close(); os.Remove(f.Name()) }
	if _, err := io.Copy(f, newSource(b.body, b.bigN)); err != nil {
		after()
		return nil, nil, err
	}
	return func(ctx context.Context, _ *rand.Rand) (int64, error) {
		return b.bigN, b.d.GetBig(ctx, "big/read", f, b.bigN, conc)
	}, after, nil
}

func listOp(prefix string) func(*bench, int) (operation, func(), error) {
	return func(b *bench, _ int) (operation, func(), error) {
		return func(ctx context.Context, _ *rand.Rand) (int64, error) {
			n, err := b.d.List(ctx, prefix)
			if err == nil && n != b.listN {
				err = fmt.Errorf("listed %d of %d", n, b.listN)
			}
			return 0, err
		}, noAfter, nil
	}
}

// exact gets and throws away, and insists on the number of bytes.
func (b *bench) exact(ctx context.Context, name string, off, n, want int64) (int64, error) {
	got, err := b.d.Get(ctx, name, off, n, io.Discard)
	if err == nil && got != want {
		err = fmt.Errorf("%s: got %d of %d bytes", name, got, want)
	}
	return got, err
}
