package proof

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/store"
)

const chainKindVFS = keys.VFSK

// TestRotationUnderLoad rotates the account key, the file system key and the root while
// clients write and read: no request fails, and no content byte is written but those of
// the clients. Afterwards the recovery kit still opens the store.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	rotations := sized(2, 5, 100)
	fs, sec := vfs.NewMem(), newSecrets()
	st := mustOpen(t, fs, sec)
	kit, err := st.Ring.AddRecovery(ctx, keys.RecoveryOptions{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	const seeded = 200
	for i := range seeded {
		if err := put(st, fmt.Sprintf("seed-%d", i), content(fmt.Sprint(i), 100+i*300)); err != nil {
			t.Fatal(err)
		}
	}
	before := st.Objects.Stats()
	small, large := content("s", 1_000), content("l", 100_000)

	load, stop := context.WithCancel(ctx)
	var ops, smalls, larges atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; load.Err() == nil; i++ {
				data, counter := small, &smalls
				if i%5 == 0 {
					data, counter = large, &larges
				}
				name := fmt.Sprintf("w%d-%d", w, i%50)
				if err := put(st, name, data); err != nil {
					t.Errorf("put during rotation: %v", err)
					return
				}
				counter.Add(1)
				if got, _, err := get(st, name); err != nil || !bytes.Equal(got, data) {
					t.Errorf("get during rotation: %s, %v", describe(got), err)
					return
				}
				old := i % seeded
				if got, _, err := get(st, fmt.Sprintf("seed-%d", old)); err != nil || !bytes.Equal(got, content(fmt.Sprint(old), 100+old*300)) {
					t.Errorf("get during rotation: %s, %v", describe(got), err)
					return
				}
				ops.Add(3)
			}
		})
	}
	for i := range rotations {
		if err := rotateAll(t, st); err != nil {
			t.Errorf("rotation %d: %v", i, err)
			break
		}
	}
	stop()
	wg.Wait()

	after := st.Objects.Stats()
	wantChunks := larges.Load() * segment.SealedSize(int64(len(large)), 16)
	if got := after.ChunkBytes - before.ChunkBytes; got != wantChunks || after.MovedBytes != before.MovedBytes {
		t.Errorf("content bytes written %d (moved %d), want %d: rotation must rewrite none", got, after.MovedBytes-before.MovedBytes, wantChunks)
	}
	if got := after.InlineRows - before.InlineRows; got != smalls.Load() {
		t.Errorf("inline rows written %d, want %d", got, smalls.Load())
	}
	if after.Rewraps == before.Rewraps {
		t.Error("nothing was wrapped anew: the sweep did not run")
	}
	t.Logf("%d operations during %d rotations of each key, %d wraps made anew", ops.Load(), rotations, after.Rewraps-before.Rewraps)

	if _, err := st.Ring.ProveRecovery(ctx, kitSecret(kit)); err != nil {
		t.Errorf("the recovery kit after the rotations: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = mustOpen(t, fs, sec)
	defer st.Close()
	for i := range seeded {
		if got, _, err := get(st, fmt.Sprintf("seed-%d", i)); err != nil || !bytes.Equal(got, content(fmt.Sprint(i), 100+i*300)) {
			t.Errorf("seed-%d after the restart: %s, %v", i, describe(got), err)
		}
	}
}

// rotateAll rotates account KEK with its sweep, VFS key and service root.
func rotateAll(t *testing.T, st *store.Store) error {
	if err := rotateKEK(st, chain(t, st, keys.KEK)); err != nil {
		return fmt.Errorf("account KEK: %w", err)
	}
	if _, err := st.Ring.Rotate(ctx, chain(t, st, keys.VFSK)); err != nil {
		return fmt.Errorf("VFS key: %w", err)
	}
	if err := st.Ring.RotateRoot(ctx, keys.SRK); err != nil {
		return fmt.Errorf("service root: %w", err)
	}
	return nil
}

// rotateKEK makes a new version of the account's KEK and wraps every data key anew.
func rotateKEK(st *store.Store, chain keys.ID) error {
	v, err := st.Ring.Rotate(ctx, chain)
	if err != nil {
		return err
	}
	if err := st.Objects.Mirror(ctx); err != nil {
		return err
	}
	_, err = st.Objects.Sweep(ctx, v.Protector, object.SweepOptions{Rate: 1_000_000})
	return err
}

func kitSecret(k keys.Kit) keys.RecoverySecret { return keys.RecoverySecret{Shares: k.Shares} }
