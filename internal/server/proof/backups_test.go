package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/backup"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// counter is one blob that is overwritten again and again: round n has a content and a
// metadata value that say n.
type counter struct {
	name  string
	begun atomic.Int64
	acked atomic.Int64
	sizes []int
}

func (c *counter) data(n int64) []byte {
	return content(c.name+strconv.FormatInt(n, 10), c.sizes[int(n)%len(c.sizes)])
}

func (c *counter) next(st *store.Store) error {
	n := c.begun.Add(1)
	err := put(st, c.name, c.data(n), blob.MetaPair{Name: "Round", Value: strconv.FormatInt(n, 10)})
	if err == nil {
		c.acked.Store(n)
	}
	return err
}

// check reads the blob: it is whole, and of a round between lo and hi.
func (c *counter) check(st *store.Store, lo, hi int64) error {
	v, err := look(st, string(box)+"/"+c.name)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	n := int64(0)
	if v.data != nil {
		if n, err = strconv.ParseInt(v.meta, 10, 64); err != nil {
			return fmt.Errorf("%s: round %q", c.name, v.meta)
		}
	}
	if n < lo || n > hi {
		return fmt.Errorf("%s is of round %d, want %d to %d", c.name, n, lo, hi)
	}
	if want := (value{data: c.data(n), meta: v.meta}); n > 0 && !v.equal(want) {
		return fmt.Errorf("%s = %v, want %v", c.name, v, want)
	}
	return nil
}

// TestBackupsUnderLoad makes backups at random moments while clients write, keys rotate
// and garbage is collected. Each is verified, restored to another place, opened there,
// verified whole, and compared with what was acknowledged before and begun after.
func TestBackupsUnderLoad(t *testing.T) {
	t.Parallel()
	backups := sized(1, 3, 20)
	rng := rand.New(rand.NewPCG(newSeed(t), 5))
	dir, sec := t.TempDir(), newSecrets()
	o := sec.options(vfs.Default)
	o.Dir = filepath.Join(dir, "data")
	st, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := furnish(st); err != nil {
		t.Fatal(err)
	}
	var counters []*counter
	for i := range 24 {
		counters = append(counters, &counter{name: fmt.Sprintf("c%d", i), sizes: []int{0, 50, 20_000, 40_000, 300_000, 1_300_000}})
	}
	load, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for w := range 3 {
		wg.Go(func() {
			for i := 0; load.Err() == nil; i++ {
				if err := counters[w*8+i%8].next(st); err != nil {
					t.Errorf("under load: %v", err)
					return
				}
				time.Sleep(time.Millisecond) // a slow backup keeps all that is written meanwhile
			}
		})
	}
	wg.Go(func() {
		for load.Err() == nil {
			if _, err := st.Objects.Collect(ctx); err != nil {
				t.Errorf("collecting: %v", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	wg.Go(func() {
		for i := 0; load.Err() == nil; i++ {
			if err := (&rotator{t, st}).rotate(i % 2); err != nil {
				t.Errorf("rotating: %v", err)
			}
			time.Sleep(150 * time.Millisecond)
		}
	})
	rounds := int64(0)
	for i := range backups {
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		set, restored := filepath.Join(dir, fmt.Sprint("set", i)), filepath.Join(dir, fmt.Sprint("restored", i))
		n, err := oneBackup(st, sec, counters, set, restored)
		if err != nil {
			t.Fatalf("backup %d: %v", i, err)
		}
		if err := errors.Join(os.RemoveAll(set), os.RemoveAll(restored)); err != nil {
			t.Fatal(err)
		}
		rounds += n
	}
	t.Logf("%d backups made, restored and verified; %d writes were acknowledged while they were made", backups, rounds)
	if rounds == 0 {
		t.Error("there was no load")
	}
}

// rotator rotates without a whole load.
type rotator struct {
	t  testing.TB
	st *store.Store
}

func (l *rotator) rotate(which int) error {
	if which == 0 {
		_, err := l.st.Ring.Rotate(ctx, chain(l.t, l.st, keys.VFSK))
		return err
	}
	return rotateKEK(l.st, chain(l.t, l.st, keys.KEK))
}

// oneBackup returns how many writes were acknowledged while it ran.
func oneBackup(st *store.Store, sec *secrets, counters []*counter, set, to string) (int64, error) {
	var lo, hi []int64
	for _, c := range counters {
		lo = append(lo, c.acked.Load())
	}
	quiet := func(string, int64, int64) {}
	if _, err := backup.Create(ctx, st, set, time.Now(), quiet); err != nil {
		return 0, fmt.Errorf("create: %w", err)
	}
	writes := int64(0)
	for i, c := range counters {
		hi = append(hi, c.begun.Load())
		writes += c.acked.Load() - lo[i]
	}
	mine := sec.copy()
	opener := func(ctx context.Context, port keys.Port) (*keys.Ring, error) {
		return keys.Open(ctx, keys.Options{Store: port, Service: mine.service, Infra: mine.infra})
	}
	if _, err := backup.Verify(ctx, vfs.Default, set, opener, quiet); err != nil {
		return writes, fmt.Errorf("verify of the set: %w", err)
	}
	if _, err := backup.Restore(ctx, vfs.Default, set, to, opener, quiet); err != nil {
		return writes, fmt.Errorf("restore: %w", err)
	}
	o := mine.options(vfs.Default)
	o.Dir, o.NoCreate = to, true
	back, err := store.Open(ctx, o)
	if err != nil {
		return writes, fmt.Errorf("opening what was restored: %w", err)
	}
	defer back.Close()
	damages := 0
	if _, err := back.Objects.Verify(ctx, object.VerifyOptions{Damage: func(object.Damage) { damages++ }}); err != nil || damages > 0 {
		return writes, fmt.Errorf("verify of what was restored: %d damages, %w", damages, err)
	}
	for i, c := range counters {
		if err := c.check(back, lo[i], hi[i]); err != nil {
			return writes, err
		}
	}
	return writes, put(back, "after", []byte("the restore"))
}
