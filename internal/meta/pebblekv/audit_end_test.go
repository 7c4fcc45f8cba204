package pebblekv_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestUnsyncedEndOfAudit: when the end of the trail could not be synced, HEAD must not
// say clean: what lies on the disk may reach further than it says, and the next start
// would be refused.
func TestUnsyncedEndOfAudit(t *testing.T) {
	b := newBroken(t)
	a, err := b.store.FS().CreateAudit(1)
	must(t, err)
	must(t, a.Append([]byte("frame")))
	must(t, a.Sync())
	syncs := 0
	b.set(func(op, path string) error {
		if op == "sync" && strings.HasSuffix(path, ".aud") {
			if syncs++; syncs == 2 { // after the end frame
				return errBoom
			}
		}
		return nil
	})
	if err := a.Close(); err == nil || syncs != 2 {
		t.Fatalf("Close = %v after %d syncs, want the failure of the second", err, syncs)
	}
	if err := b.store.Close(); err == nil {
		t.Error("the store was stopped in order, with a trail whose end is not known")
	}
	for _, percent := range []int{0, 100} {
		disk := b.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 1))})
		open(t, disk, nil)
	}
}
