package object_test

import (
	"io"
	"testing"

	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// BenchmarkRead is a read as a service does it: find the row and open the content in
// one View, then stream it.
func BenchmarkRead(b *testing.B) {
	for _, bench := range []struct {
		name   string
		make   func(*objecttest.Env)
		off, n int64
	}{
		{"inline 4 KiB", func(e *objecttest.Env) { put(b, e, "x", 4<<10, noise(1, 4<<10)) }, 0, 4 << 10},
		{"64 KiB of 1 MiB", func(e *objecttest.Env) { put(b, e, "x", 1<<20, noise(1, 1<<20)) }, 300_000, 64 << 10},
		{"of 128 blocks in a map", func(e *objecttest.Env) { stage(b, e, "x", 0, 128) }, 40*blockSize + 1, blockSize},
	} {
		b.Run(bench.name, func(b *testing.B) {
			e := objecttest.New(b)
			bench.make(e)
			b.SetBytes(bench.n)
			b.ReportAllocs()
			for b.Loop() {
				rd, err := openIn(e, "x", bench.off, bench.n)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := rd.WriteTo(io.Discard); err != nil || n != bench.n {
					b.Fatal(n, err)
				}
				rd.Close()
			}
		})
	}
}

// openIn is open in one View.
func openIn(e *objecttest.Env, name string, off, n int64) (rd *object.Reader, err error) {
	err = e.View(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Blob, e.Account, blobKey(e.Account, name))
		if err != nil {
			return err
		}
		rd, err = tx.Open(ctx, r, off, n)
		return err
	})
	return rd, err
}
