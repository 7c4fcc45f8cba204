package keys_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

var errPort = errors.New("injected")

// failingPort fails Swaps and Settles as it is told to.
type failingPort struct {
	keys.Memory
	mu      sync.Mutex
	swaps   int
	before  map[int]error // fails the n-th Swap, before it is done
	after   map[int]error // .., after it is done
	settle  error
	settles int
}

func (p *failingPort) Swap(ctx context.Context, old uint64, next []byte) error {
	p.mu.Lock()
	p.swaps++
	before, after := p.before[p.swaps], p.after[p.swaps]
	p.mu.Unlock()
	if before != nil {
		return before
	}
	if err := p.Memory.Swap(ctx, old, next); err != nil {
		return err
	}
	return after
}

func (p *failingPort) Settle(context.Context, []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settles++
	return p.settle
}

func (p *failingPort) set(f func()) { p.mu.Lock(); defer p.mu.Unlock(); f() }

func TestSwapUnchangedGoesOn(t *testing.T) {
	p := &failingPort{}
	w := newWorld(p)
	r := w.create(t)
	p.set(func() { p.before = map[int]error{p.swaps + 1: keys.ErrUnchanged} })
	gen, _ := r.Generation()
	owner := keys.NewID()
	if err := r.AddOwner(t.Context(), owner); !fault.Is(err, fault.KeyStore) {
		t.Errorf("AddOwner = %v, want KeyStore", err)
	}
	if g, _ := r.Generation(); g != gen {
		t.Errorf("generation %d, want %d", g, gen)
	}
	if _, _, err := r.System(owner); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("System of an owner that was not added = %v", err)
	}
	if err := r.AddOwner(t.Context(), owner); err != nil {
		t.Errorf("second try = %v", err)
	}
}

// After a Swap of unknown outcome nothing new is handed out and nothing is changed; what
// there was goes on. A restart sees whichever it was.
func TestUnknownOutcomeStopsChanges(t *testing.T) {
	for _, done := range []bool{false, true} {
		p := &failingPort{}
		w := newWorld(p)
		r := w.create(t)
		chain := chainOf(t, r, keys.VFSK)
		was, _, _ := r.SealVFS()
		p.set(func() {
			m := map[int]error{p.swaps + 1: errPort}
			if done {
				p.after = m
			} else {
				p.before = m
			}
		})
		if _, err := r.Rotate(t.Context(), chain.ID); !fault.Is(err, fault.KeyStore) || !strings.Contains(err.Error(), "restart") {
			t.Errorf("Rotate = %v, want KeyStore that says restart", err)
		}
		if err := r.AddOwner(t.Context(), keys.NewID()); !fault.Is(err, fault.KeyStore) || !strings.Contains(err.Error(), "restart") {
			t.Errorf("later change = %v, want KeyStore that says restart", err)
		}
		if err := r.RotateRoot(t.Context(), keys.SRK); !fault.Is(err, fault.KeyStore) {
			t.Errorf("later purge = %v, want KeyStore", err)
		}
		if r.Stopped() == nil {
			t.Error("Stopped() = nil")
		}
		if now, _, err := r.SealVFS(); now != was || err != nil {
			t.Errorf("SealVFS changed (%v)", err)
		}
		q := w.open(t)
		now, _, err := q.SealVFS()
		if err != nil || (now != was) != done {
			t.Errorf("after a restart: changed %v, want %v (%v)", now != was, done, err)
		}
		if _, err := q.Rotate(t.Context(), chain.ID); err != nil {
			t.Errorf("after a restart: Rotate = %v", err)
		}
	}
}

// The new version is handed out only after OnSwap; inside it the generation is new.
func TestOnSwapComesFirst(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	chain := chainOf(t, r, keys.VFSK)
	was, _, _ := r.SealVFS()
	gen, _ := r.Generation()
	calls := 0
	r.OnSwap(func() error {
		calls++
		if g, _ := r.Generation(); g != gen+1 {
			t.Errorf("generation inside OnSwap %d, want %d", g, gen+1)
		}
		if now, _, _ := r.SealVFS(); now != was {
			t.Error("the new version is handed out inside OnSwap")
		}
		return nil
	})
	v, err := r.Rotate(t.Context(), chain.ID)
	if err != nil || calls != 1 {
		t.Fatalf("Rotate = %v, %d calls", err, calls)
	}
	if now, _, _ := r.SealVFS(); now != v.Kref {
		t.Error("the new version is not handed out")
	}
	r.OnSwap(func() error { return errPort })
	if _, err := r.Rotate(t.Context(), chain.ID); !errors.Is(err, errPort) || !fault.Is(err, fault.KeyStore) {
		t.Errorf("Rotate with a failing OnSwap = %v", err)
	}
	if now, _, _ := r.SealVFS(); now != v.Kref {
		t.Error("a version was handed out although OnSwap failed")
	}
	if r.Stopped() == nil {
		t.Error("a failing OnSwap does not stop key changes")
	}
}

func chainOf(t *testing.T, r *keys.Ring, kind keys.Kind) keys.ChainInfo {
	t.Helper()
	for _, c := range r.Chains() {
		if c.Kind == kind {
			return c
		}
	}
	t.Fatalf("no chain of kind %v", kind)
	return keys.ChainInfo{}
}

// Changes that wait together share one Swap, and lookups go on meanwhile.
func TestChangesInParallel(t *testing.T) {
	p := &failingPort{}
	w := newWorld(p)
	r := w.create(t)
	const n = 40
	owners := make([]keys.ID, n)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := r.SealStore(); err != nil {
					t.Error(err)
					return
				}
				for _, q := range r.Protectors() {
					if _, _, err := r.KEK(context.Background(), q.Protector); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for i := range owners {
		owners[i] = keys.NewID()
		wg.Go(func() {
			if err := r.AddOwner(t.Context(), owners[i]); err != nil {
				t.Error(err)
			}
			if _, _, err := r.KEK(context.Background(), keys.AccountProtector(owners[i])); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if err := r.RotateRoot(t.Context(), keys.SRK); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	close(stop)
	readers.Wait()
	q := w.open(t)
	for _, o := range owners {
		if _, _, err := q.KEK(context.Background(), keys.AccountProtector(o)); err != nil {
			t.Error(err)
		}
	}
	gen, _ := r.Generation()
	t.Logf("%d changes in %d generations", n+3, gen)
}

func TestOneBadChangeLeavesTheOthers(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	taken := keys.NewID()
	if err := r.AddOwner(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 10 {
		fresh := keys.NewID()
		wg.Go(func() {
			if err := r.AddOwner(t.Context(), taken); !fault.Is(err, fault.Exists) {
				t.Errorf("AddOwner twice = %v, want Exists", err)
			}
		})
		wg.Go(func() {
			if err := r.AddOwner(t.Context(), fresh); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// trail is a recorder that remembers, and refuses when told to.
type trail struct {
	mu     sync.Mutex
	recs   []audit.Record
	refuse error
}

func (a *trail) Before(_ context.Context, r audit.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse == nil {
		a.recs = append(a.recs, r)
	}
	return a.refuse
}

func (a *trail) After(r audit.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recs = append(a.recs, r)
}

func (a *trail) ops() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, r := range a.recs {
		out = append(out, r.Operation+":"+r.Outcome)
	}
	a.recs = nil
	return strings.Join(out, " ")
}

func TestAudit(t *testing.T) {
	w := newWorld(&keys.Memory{})
	w.create(t)
	r := w.open(t)
	a := &trail{}
	r.SetAudit(a)
	if got, want := a.ops(), "keys.root.open:ok keys.root.open:ok"; got != want {
		t.Errorf("opening: %q, want %q", got, want)
	}
	owner := keys.NewID()
	ctx := audit.WithBy(t.Context(), audit.Origin{Actor: "operator", RequestID: "r1"})
	if err := r.AddOwner(ctx, owner); err != nil {
		t.Fatal(err)
	}
	if rec := a.recs[0]; rec.Actor != "operator" || rec.RequestID != "r1" || rec.What != owner.String() {
		t.Errorf("record %+v", rec)
	}
	if got, want := a.ops(), "keys.owner.add:begin keys.owner.add:ok"; got != want {
		t.Errorf("AddOwner: %q, want %q", got, want)
	}
	_ = r.AddOwner(ctx, owner)
	if got, want := a.ops(), "keys.owner.add:begin keys.owner.add:Exists"; got != want {
		t.Errorf("refused AddOwner: %q, want %q", got, want)
	}
	q := w.open(t)
	q.SetAudit(a)
	_ = a.ops()
	for range 3 {
		if _, _, err := q.KEK(context.Background(), keys.AccountProtector(owner)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := a.ops(), "keys.kek.open:ok"; got != want {
		t.Errorf("KEK three times: %q, want %q", got, want)
	}
	a.refuse = errPort
	gen, _ := q.Generation()
	for name, change := range map[string]func() error{
		"AddOwner":   func() error { return q.AddOwner(ctx, keys.NewID()) },
		"Rotate":     func() error { _, err := q.Rotate(ctx, chainOf(t, q, keys.VFSK).ID); return err },
		"RotateRoot": func() error { return q.RotateRoot(ctx, keys.SRK) },
		"Destroy":    func() error { return q.Destroy(ctx, chainOf(t, q, keys.VFSK).ID, 1, "x") },
		"Shred":      func() error { return q.Shred(ctx, owner, "x") },
	} {
		if err := change(); !errors.Is(err, errPort) {
			t.Errorf("%s without its record = %v, want a refusal", name, err)
		}
	}
	if g, _ := q.Generation(); g != gen {
		t.Error("something was changed without its record")
	}
}
