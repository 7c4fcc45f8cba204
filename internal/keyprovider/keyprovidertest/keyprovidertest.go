// Package keyprovidertest is the suite that every keyprovider.Provider must pass.
package keyprovidertest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Run runs the suite. open returns a provider over the same place each time, as after a
// restart; one test uses one place for one store and one root.
func Run(t *testing.T, open func(t *testing.T) func() keyprovider.Provider) {
	t.Run("MakeThenOpen", func(t *testing.T) { makeThenOpen(t, open(t)) })
	t.Run("SlotsAreApart", func(t *testing.T) { slotsAreApart(t, open(t)) })
	t.Run("WrongInput", func(t *testing.T) { wrongInput(t, open(t)) })
	t.Run("Prune", func(t *testing.T) { prune(t, open(t)) })
	t.Run("CallerOwnsTheSecret", func(t *testing.T) { callerOwns(t, open(t)) })
	t.Run("Parallel", func(t *testing.T) { parallel(t, open(t)) })
}

var pin = [32]byte{1, 2, 3}

func at(slot byte) keyprovider.Slot {
	return keyprovider.Slot{Store: [16]byte{0xAA}, ID: [16]byte{slot}, Root: 1}
}

func mustMake(t *testing.T, p keyprovider.Provider, s *keyprovider.Slot) secret.Key {
	t.Helper()
	u, params, err := p.Make(t.Context(), *s, pin)
	if err != nil {
		t.Fatal(err)
	}
	s.Params = params
	return u
}

// mustOpen opens a slot and compares its secret.
func mustOpen(t *testing.T, p keyprovider.Provider, s keyprovider.Slot, want secret.Key) {
	t.Helper()
	u, got, err := p.Open(t.Context(), s)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	if got != pin {
		t.Error("Open returns another pin")
	}
	if same, err := slot.Same(u, want); err != nil || !same {
		t.Errorf("Open returns another secret (%v)", err)
	}
}

func makeThenOpen(t *testing.T, open func() keyprovider.Provider) {
	p, s := open(), at(1)
	if !p.Kind().Online() {
		t.Errorf("Kind() = %v, which is not online", p.Kind())
	}
	u := mustMake(t, p, &s)
	if err := u.Use(func(b []byte) error {
		if len(b) != slot.KeySize {
			return fmt.Errorf("secret of %d bytes", len(b))
		}
		if strings.Count(string(b), "\x00") > 16 {
			return errors.New("secret is mostly zero")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	mustOpen(t, p, s, u)
	mustOpen(t, open(), s, u) // after a restart
}

func slotsAreApart(t *testing.T, open func() keyprovider.Provider) {
	p, a, b := open(), at(1), at(2)
	ua, ub := mustMake(t, p, &a), mustMake(t, p, &b)
	if same, _ := slot.Same(ua, ub); same {
		t.Error("two slots have the same secret")
	}
	mustOpen(t, open(), a, ua)
	mustOpen(t, open(), b, ub)
}

func wrongInput(t *testing.T, open func() keyprovider.Provider) {
	p, s := open(), at(1)
	mustMake(t, p, &s)
	other := at(9)
	other.Params = s.Params
	if _, _, err := p.Open(t.Context(), other); !errors.Is(err, keyprovider.ErrNoSecret) {
		t.Errorf("Open of an unknown slot = %v, want ErrNoSecret", err)
	}
	for name, change := range map[string]func(*keyprovider.Slot){
		"store": func(s *keyprovider.Slot) { s.Store[0]++ },
		"root":  func(s *keyprovider.Slot) { s.Root = 2 },
	} {
		bad := s
		change(&bad)
		if u, _, err := p.Open(t.Context(), bad); err == nil || !u.IsZero() {
			t.Errorf("Open with another %s succeeds", name)
		}
	}
}

func prune(t *testing.T, open func() keyprovider.Provider) {
	p, a, b := open(), at(1), at(2)
	mustMake(t, p, &a)
	ub := mustMake(t, p, &b)
	if err := p.Prune(t.Context(), at(0), [][16]byte{b.ID}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []keyprovider.Provider{p, open()} {
		if _, _, err := q.Open(t.Context(), a); !errors.Is(err, keyprovider.ErrNoSecret) {
			t.Errorf("Open of a pruned slot = %v, want ErrNoSecret", err)
		}
		mustOpen(t, q, b, ub)
	}
	if err := p.Prune(t.Context(), at(0), [][16]byte{b.ID}); err != nil {
		t.Errorf("second Prune = %v", err)
	}
}

func callerOwns(t *testing.T, open func() keyprovider.Provider) {
	p, s := open(), at(1)
	u := mustMake(t, p, &s)
	u.Destroy()
	v, _, err := p.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	v.Destroy()
	if _, _, err := p.Open(t.Context(), s); err != nil {
		t.Errorf("Open after the caller destroyed its key = %v", err)
	}
}

func parallel(t *testing.T, open func() keyprovider.Provider) {
	p := open()
	var wg sync.WaitGroup
	for i := range byte(8) {
		wg.Go(func() {
			s := at(i + 1)
			u, params, err := p.Make(t.Context(), s, pin)
			if err != nil {
				t.Error(err)
				return
			}
			s.Params = params
			v, _, err := p.Open(t.Context(), s)
			if err != nil {
				t.Error(err)
				return
			}
			if same, _ := slot.Same(u, v); !same {
				t.Error("a parallel Make changed the secret")
			}
		})
	}
	wg.Wait()
}
