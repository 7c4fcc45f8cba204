package pebblekv_test

import (
	"bytes"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
)

// BenchmarkCommit measures synced commits at 32 writers: one small row each, after a
// read of it, as a small PUT does. "plain" is Pebble alone on the same disk.
func BenchmarkCommit(b *testing.B) {
	value := bytes.Repeat([]byte{7}, 300)
	key := func(n uint64) []byte { return fmt.Appendf(nil, "b/account/container/%012d", n) }
	b.Run("sealed", func(b *testing.B) {
		tmp := b.TempDir()
		s := open(b, vfs.Default, func(o *pebblekv.Options) { o.Dir, o.Create = tmp, true })
		var n atomic.Uint64
		b.SetParallelism(16)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				k := key(n.Add(1))
				err := s.Update(b.Context(), func(tx meta.Tx) error {
					if _, err := tx.Get(k); err != meta.ErrNotFound {
						return err
					}
					tx.Put(k, crypttest.Sealed(value))
					return nil
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		b.ReportMetric(s.Stats().BatchMean, "commits/sync")
	})
	b.Run("plain", func(b *testing.B) {
		db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{}})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		var n atomic.Uint64
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := db.Set(key(n.Add(1)), value, pebble.Sync); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	})
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format, args...)
	os.Exit(3)
}
