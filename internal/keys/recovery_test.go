package keys_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/secret"
)

func TestKit(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	owner := keys.NewID()
	if err := r.AddOwner(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	k, n := 2, 3
	if fips140.Enabled() { // which has no secret sharing
		k, n = 1, 1
	}
	kit, err := r.AddRecovery(t.Context(), keys.RecoveryOptions{Name: "safe", Threshold: k, Shares: n})
	if err != nil {
		t.Fatal(err)
	}
	if len(kit.Shares) != n || kit.Threshold != k || len(kit.Slots) != 2 || kit.Pin != r.Identity() || kit.Store != keys.ID(r.StoreID()) {
		t.Errorf("kit %v", kit)
	}
	if r.RecoveryProved() {
		t.Error("a kit counts before it is proved")
	}
	prove := func(shares ...string) error {
		_, err := r.ProveRecovery(t.Context(), keys.RecoverySecret{Shares: shares})
		return err
	}
	if err := prove(kit.Shares[0]); k > 1 && !fault.Is(err, fault.NotAllowed) {
		t.Errorf("proof with one share of two = %v, want NotAllowed", err)
	}
	if err := prove("nonsense"); !fault.Is(err, fault.InvalidInput) {
		t.Errorf("proof with nonsense = %v, want InvalidInput", err)
	}
	if err := prove(); !fault.Is(err, fault.InvalidInput) {
		t.Errorf("proof with nothing = %v, want InvalidInput", err)
	}
	if err := prove(kit.Shares[n-1], strings.ToLower(kit.Shares[0])); err != nil {
		t.Fatalf("proof = %v", err)
	}
	if !r.RecoveryProved() {
		t.Error("a proved kit does not count")
	}

	// A new root reaches the kit without its secret; doctor asks for a new proof.
	if err := r.RotateRoot(t.Context(), keys.SRK); err != nil {
		t.Fatal(err)
	}
	stale := 0
	for _, s := range r.Slots() {
		if s.Stale {
			stale++
		}
	}
	if stale != 1 || !r.RecoveryProved() {
		t.Errorf("%d stale slots, proved %v; want 1, true", stale, r.RecoveryProved())
	}

	// The unseal keys are lost.
	_, key, err := r.KEK(context.Background(), keys.AccountProtector(owner))
	want := value(t, key, err)
	w.provider = localkey.NewMemory()
	if _, err := keys.Open(t.Context(), w.options()); !fault.Is(err, fault.KeyStore) {
		t.Errorf("Open without the unseal key = %v", err)
	}
	if _, err := keys.OpenWithKit(t.Context(), w.options(), keys.RecoverySecret{Shares: kit.Shares[:1]}); k > 1 && err == nil {
		t.Error("one share of two opens the store")
	}
	q, err := keys.OpenWithKit(t.Context(), w.options(), keys.RecoverySecret{Shares: kit.Shares[n-k:]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	if err := q.NewUnsealKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := w.open(t)
	_, key, err = again.KEK(context.Background(), keys.AccountProtector(owner))
	if value(t, key, err) != want {
		t.Error("another KEK after the recovery")
	}
	if _, err := again.ProveRecovery(t.Context(), keys.RecoverySecret{Shares: kit.Shares}); err != nil {
		t.Errorf("the kit does not open afterwards: %v", err)
	}
	for _, s := range again.Slots() {
		if s.Stale {
			t.Errorf("stale after a new proof: %+v", s)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", kit, kit, keys.RecoverySecret{Shares: kit.Shares}); strings.Contains(s, kit.Shares[0]) {
		t.Error("a kit shows its shares")
	}
}

func TestPassphrase(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	if _, err := r.AddRecovery(t.Context(), keys.RecoveryOptions{Passphrase: "short"}); !fault.Is(err, fault.InvalidInput) {
		t.Errorf("a short passphrase = %v, want InvalidInput", err)
	}
	const phrase = "an owl counts eleven keys"
	kit, err := r.AddRecovery(t.Context(), keys.RecoveryOptions{Name: "words", Passphrase: phrase})
	if err != nil || len(kit.Shares) != 0 {
		t.Fatalf("AddRecovery = %v, %v", kit, err)
	}
	if _, err := r.ProveRecovery(t.Context(), keys.RecoverySecret{Passphrase: "a cat counts eleven keys"}); !fault.Is(err, fault.NotAllowed) {
		t.Errorf("the wrong passphrase = %v, want NotAllowed", err)
	}
	got, err := r.ProveRecovery(t.Context(), keys.RecoverySecret{Passphrase: phrase})
	if err != nil || len(got) != 2 {
		t.Fatalf("ProveRecovery = %v, %v", got, err)
	}
	if bytes.Contains(r.Snapshot(), []byte(phrase)) {
		t.Error("the passphrase is in the file")
	}
	w.provider = localkey.NewMemory()
	q, err := keys.OpenWithKit(t.Context(), w.options(), keys.RecoverySecret{Passphrase: phrase})
	if err != nil {
		t.Fatal(err)
	}
	q.Close()
}

func TestSlotsStay(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	for _, s := range r.Slots() {
		if err := r.RemoveSlot(t.Context(), s.ID); !fault.Is(err, fault.NotAllowed) {
			t.Errorf("RemoveSlot of the last online slot = %v, want NotAllowed", err)
		}
		if err := r.RotateRoot(t.Context(), s.Root, keys.DropSlot(s.ID)); !fault.Is(err, fault.KeyStore) {
			t.Errorf("RotateRoot without any online slot = %v, want KeyStore", err)
		}
	}
	if err := r.RemoveSlot(t.Context(), keys.NewID()); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("RemoveSlot of nothing = %v", err)
	}
	for _, c := range []keys.RecoveryOptions{{Threshold: 3, Shares: 2}, {Threshold: 1, Shares: 256}, {Name: strings.Repeat("n", 201)}} {
		if _, err := r.AddRecovery(t.Context(), c); !fault.Is(err, fault.InvalidInput) {
			t.Errorf("AddRecovery(%d of %d) = %v, want InvalidInput", c.Threshold, c.Shares, err)
		}
	}
}

// silent is a provider that stops answering.
type silent struct {
	*localkey.Memory
	err error
}

func (s *silent) Open(ctx context.Context, at keyprovider.Slot) (secret.Key, [32]byte, error) {
	if s.err != nil {
		return secret.Key{}, [32]byte{}, s.err
	}
	return s.Memory.Open(ctx, at)
}

// A provider that does not answer refuses a new root: it would lose its slot.
func TestNewRootNeedsEverySlot(t *testing.T) {
	w := newWorld(&keys.Memory{})
	p := &silent{Memory: w.provider}
	o := w.options()
	o.Service = p
	r, err := keys.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	gen, _ := r.Generation()
	p.err = errors.New("unplugged")
	if err := r.RotateRoot(t.Context(), keys.SRK); !errors.Is(err, p.err) || !fault.Is(err, fault.KeyStore) {
		t.Errorf("RotateRoot = %v, want the provider's error", err)
	}
	if g, _ := r.Generation(); g != gen || r.Stopped() != nil {
		t.Errorf("generation %d, want %d; stopped %v", g, gen, r.Stopped())
	}
	p.err = nil
	if err := r.RotateRoot(t.Context(), keys.SRK); err != nil {
		t.Errorf("RotateRoot after it came back = %v", err)
	}
}

func TestDrill(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	gone, kept := keys.NewID(), keys.NewID()
	for _, o := range []keys.ID{gone, kept} {
		if err := r.AddOwner(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	v, _, err := r.KEK(context.Background(), keys.AccountProtector(kept))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rotate(t.Context(), v.Chain); err != nil {
		t.Fatal(err)
	}
	if err := r.Shred(t.Context(), gone, "op"); err != nil {
		t.Fatal(err)
	}
	asked := map[keys.Protector]bool{}
	rep, err := keys.Drill(t.Context(), r.Snapshot(), w.options(), func(_ context.Context, q *keys.Ring, p keys.Protector) error {
		asked[p] = true
		_, _, err := q.KEK(context.Background(), p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Failed != 0 || len(rep.Results) != 3 || len(rep.Roots) != 2 || rep.Others < 5 || len(asked) != 2 {
		t.Errorf("Drill = %+v, asked %d", rep, len(asked))
	}
	for _, res := range rep.Results {
		switch res.Protector {
		case keys.AccountProtector(gone):
			if res.Skipped == "" {
				t.Errorf("destroyed protector: %+v", res)
			}
		case keys.AccountProtector(kept):
			if res.Versions != 2 {
				t.Errorf("rotated protector: %+v", res)
			}
		}
	}
	wrong := errors.New("DEK does not open")
	rep, err = keys.Drill(t.Context(), r.Snapshot(), w.options(), func(context.Context, *keys.Ring, keys.Protector) error { return wrong })
	if err != nil || rep.Failed != 2 {
		t.Errorf("Drill with failing data keys = %+v, %v", rep, err)
	}
	bad := bytes.Clone(r.Snapshot())
	bad[len(bad)-1] ^= 1
	if _, err := keys.Drill(t.Context(), bad, w.options(), nil); !fault.Is(err, fault.KeyStore) {
		t.Errorf("Drill of a damaged copy = %v", err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	_, k, err := r.SealVFS()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	r.Close()
	if err := k.Use(func([]byte) error { return nil }); err == nil {
		t.Error("a key is usable after Close")
	}
	if _, _, err := r.SealVFS(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("SealVFS after Close = %v, want Unavailable", err)
	}
	if err := r.AddOwner(t.Context(), keys.NewID()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("AddOwner after Close = %v, want Unavailable", err)
	}
}
