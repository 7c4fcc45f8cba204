package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/filestore"
)

// life is what happened to a key store so far, as far as it was acknowledged.
type life struct {
	provider *localkey.Memory
	created  bool
	owners   []keys.ID
	gen      uint64
}

func (l *life) options(t *testing.T, fsys vfs.FS) keys.Options {
	t.Helper()
	s, err := filestore.New(fsys, "data", "two")
	if err != nil {
		t.Fatal(err)
	}
	return keys.Options{Store: s, Service: l.provider, Infra: l.provider}
}

// run does some of everything, and after returns each time something is acknowledged.
// It stops at the first error.
func (l *life) run(t *testing.T, fsys vfs.FS, after func()) error {
	r, err := keys.Create(t.Context(), l.options(t, fsys))
	if err != nil {
		return err
	}
	defer r.Close()
	l.created = true
	done := func() {
		l.gen, _ = r.Generation()
		after()
	}
	done()
	if err := r.Initialize(t.Context()); err != nil {
		return err
	}
	done()
	for range 2 {
		owner := keys.NewID()
		if err := r.AddOwner(t.Context(), owner); err != nil {
			return err
		}
		l.owners = append(l.owners, owner)
		done()
	}
	info, _ := r.Protector(keys.AccountProtector(l.owners[0]))
	if _, err := r.Rotate(t.Context(), info.Chain); err != nil {
		return err
	}
	done()
	if err := r.RotateRoot(t.Context(), keys.SRK); err != nil {
		return err
	}
	done()
	if err := r.RotateRoot(t.Context(), keys.IRK, keys.NewSecret()); err != nil {
		return err
	}
	done()
	return r.Unsettled()
}

// check opens what a crash left and asks for everything that was acknowledged.
func (l *life) check(t *testing.T, fsys vfs.FS, what string) {
	t.Helper()
	r, err := keys.Open(t.Context(), l.options(t, fsys))
	if err != nil {
		if fault.Is(err, fault.ResourceNotFound) && !l.created {
			return
		}
		t.Fatalf("%s: Open = %v", what, err)
	}
	defer r.Close()
	if g, _ := r.Generation(); g < l.gen {
		t.Fatalf("%s: generation %d, %d was acknowledged", what, g, l.gen)
	}
	for _, step := range []func() error{
		func() error { return r.Repair(t.Context()) },
		func() error { return r.Initialize(t.Context()) },
		func() error { return r.FinishPurge(t.Context()) },
	} {
		if err := step(); err != nil {
			t.Fatalf("%s: start: %v", what, err)
		}
	}
	if r.PurgePending() || !r.Initialized() {
		t.Fatalf("%s: start did not finish", what)
	}
	for _, owner := range l.owners {
		if _, _, err := r.KEK(context.Background(), keys.AccountProtector(owner)); err != nil {
			t.Fatalf("%s: KEK of an acknowledged owner: %v", what, err)
		}
		if _, _, err := r.System(owner); err != nil {
			t.Fatalf("%s: SYSK of an acknowledged owner: %v", what, err)
		}
	}
	for _, c := range r.Chains() {
		if c.Kind == keys.IDK {
			if _, _, err := r.SealInfra(); err != nil {
				t.Fatalf("%s: IDK: %v", what, err)
			}
		}
	}
	if err := r.AddOwner(t.Context(), keys.NewID()); err != nil {
		t.Fatalf("%s: the store takes no change after the start: %v", what, err)
	}
}

// Cut the power at every sync and after every acknowledgement.
func TestAckedSurvivesPowerCut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	disk := vfs.NewCrashableMem()
	mkdirs(t, disk)
	l := &life{provider: localkey.NewMemory()}
	points, percents := 0, []int{0, 50, 100}
	if testing.Short() {
		percents = percents[:1]
	}
	cut := func() {
		points++
		for _, percent := range percents {
			clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			l.check(t, clone, fmt.Sprintf("point %d, %d%% unsynced", points, percent))
		}
	}
	atSync := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync {
			cut()
		}
		return nil
	})
	if err := l.run(t, errorfs.Wrap(disk, atSync), cut); err != nil {
		t.Fatal(err)
	}
	if points < 30 {
		t.Errorf("only %d points", points)
	}
}

func mkdirs(t *testing.T, disk vfs.FS) {
	t.Helper()
	for _, d := range []string{"data", "two"} {
		if err := disk.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	root, err := disk.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.Sync(); err != nil {
		t.Fatal(err)
	}
}

var errDisk = errors.New("injected")

// Fail the k-th write operation for k = 1, 2, .. until the run ends clean: what was
// acknowledged is there, and a start puts everything right.
func TestFaultAtEveryStep(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 5
	}
	for k := 1; ; k += step {
		disk := vfs.NewCrashableMem()
		mkdirs(t, disk)
		l := &life{provider: localkey.NewMemory()}
		n := 0
		fail := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			if n++; n == k {
				return errDisk
			}
			return nil
		})
		err := l.run(t, errorfs.Wrap(disk, fail), func() {})
		if n < k {
			if err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			t.Logf("%d steps", k-1)
			return
		}
		l.check(t, disk, fmt.Sprintf("fault at step %d", k))
		cut := disk.CrashClone(vfs.CrashCloneCfg{})
		l.check(t, cut, fmt.Sprintf("fault at step %d and a power cut", k))
	}
}
