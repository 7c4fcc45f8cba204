package proof

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/scope"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// doubleUnder are the blobs under the scope with two layers, and how many steps of
// infraLife have been answered when each is there.
var doubleUnder = map[string]int{"first": 2, "second": 4, "last": 7}

// infraLife is the life of everything with two layers: scope, keys, roots, and an account
// that comes and goes.
var infraLife = life{
	begin: func(st *store.Store) error { return put(st, "plain", content("p", 1_000)) },
	steps: []lifeStep{
		{"create a double scope", func(st *store.Store, _ *shredded) error {
			id, err := accountID(st)
			if err == nil {
				_, err = st.Scopes.Create(ctx, id, "scope-twice", scope.Options{Double: true})
			}
			return err
		}},
		{"put", func(st *store.Store, _ *shredded) error { return putDouble(st, "first") }},
		{"rotate the infrastructure key", func(st *store.Store, _ *shredded) error { return rotateKind(st, keys.IDK) }},
		{"put again", func(st *store.Store, _ *shredded) error { return putDouble(st, "second") }},
		{"rotate the infrastructure root", func(st *store.Store, _ *shredded) error { return st.Ring.RotateRoot(ctx, keys.IRK) }},
		{"rotate the scope", func(st *store.Store, _ *shredded) error { return rotateScope(st, "scope-twice") }},
		{"put a third time", func(st *store.Store, _ *shredded) error { return putDouble(st, "last") }},
		{"rotate the service root", func(st *store.Store, _ *shredded) error { return st.Ring.RotateRoot(ctx, keys.SRK) }},
		{"create a double account", func(st *store.Store, _ *shredded) error { return makeThird(st) }},
		{"put into it", func(st *store.Store, _ *shredded) error { return putIn(st, third, "its", content("its", 50_000)) }},
		{"shred the account", shredThird},
		{"shred the scope", func(st *store.Store, gone *shredded) error { return shredScope(st, "scope-twice", gone) }},
	},
	after: afterInfraCut,
}

func putDouble(st *store.Store, n string) error {
	return putUnder(st, n, content(n, 50_000), blob.EncryptionOptions{Scope: "scope-twice"}, blob.MetaPair{Name: "of", Value: n})
}

func rotateKind(st *store.Store, kind keys.Kind) error {
	for _, c := range st.Ring.Chains() {
		if c.Kind == kind {
			_, err := st.Ring.Rotate(ctx, c.ID)
			return err
		}
	}
	return fmt.Errorf("the store has no %v", kind)
}

// makeThird makes an account of two layers with a scope and a container.
func makeThird(st *store.Store) error {
	info, err := st.Accounts.CreateDouble(ctx, third, [2][]byte{})
	if err != nil {
		return err
	}
	if _, err := st.Scopes.Create(ctx, info.ID, "scope-c", scope.Options{}); err != nil {
		return err
	}
	_, err = st.Blobs.CreateContainer(ctx, callerOf(third), third, box, blob.ContainerOptions{})
	return err
}

func putIn(st *store.Store, a name.Account, n string, data []byte) error {
	_, err := st.Blobs.PutBlob(ctx, callerOf(a), blob.Ref{Account: a, Container: box, Blob: name.Blob(n)}, blob.PutOptions{
		Length: int64(len(data)), Body: bytes.NewReader(data),
	})
	return err
}

// shredThird destroys the keys of the account as the server does.
func shredThird(st *store.Store, gone *shredded) error {
	info, err := st.Accounts.Get(ctx, third)
	if err != nil {
		return err
	}
	if err := gone.take(st, info.ID, keys.Protector{}); err != nil {
		return err
	}
	if err := st.Ring.Shred(ctx, info.ID, "test"); err != nil {
		return err
	}
	for _, p := range st.Ring.Protectors() {
		if p.Owner == info.ID {
			st.Objects.DropKeys(p.Protector)
		}
	}
	if err := st.Objects.Mirror(ctx); err != nil {
		return err
	}
	return st.Blobs.ForgetAccount(ctx, info)
}

// TestDoubleSurvivesPowerCut cuts the power at every event that changes the disk while a
// scope and an account of two layers are made, used and shredded, and while every key and
// root above them is rotated. There is a valid wrap of everything at any time, and what
// was shredded never opens.
func TestDoubleSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	cutLives(t, infraLife, sized(1, 1, 3), sized(16, 5, 1))
}

func afterInfraCut(st *store.Store, step int) error {
	const createScope, createAccount, putIts, shredAccount, shredScope = 0, 8, 9, 10, 11
	if err := holds(st, "plain", content("p", 1_000)); err != nil {
		return err
	}
	if err := named(st, step == createScope || step == createAccount); err != nil {
		return err
	}
	if step > createScope {
		if s, err := findScope(st, "scope-twice"); err != nil || !s.Double {
			return fmt.Errorf("the scope was answered: %+v, %v", s, err)
		}
	}
	for n, done := range doubleUnder {
		got, m, err := get(st, n)
		switch {
		case step > shredScope && !fault.Is(err, fault.KeyGone):
			return fmt.Errorf("shredded content %s: %s, %v", n, describe(got), err)
		case step >= done && step < shredScope && (err != nil || !bytes.Equal(got, content(n, 50_000)) || len(m) != 1 || m[0].Value != n):
			return fmt.Errorf("%s: %s, %v, %v", n, describe(got), m, err)
		}
	}
	if step < shredAccount {
		// The keys work: what is new opens, too.
		if err := put(st, "new", content("new", 50_000)); err != nil {
			return err
		}
		if err := holds(st, "new", content("new", 50_000)); err != nil {
			return err
		}
	}
	return afterThird(st, step > createAccount, step > putIts, step < shredAccount, step > shredAccount)
}

// afterThird checks the account that comes and goes.
func afterThird(st *store.Store, made, filled, alive, gone bool) error {
	info, err := st.Accounts.Get(ctx, third)
	switch {
	case gone && !fault.Is(err, fault.AccountNotFound):
		return fmt.Errorf("an account that was shredded: %v", err)
	case made && alive && (err != nil || !info.Double):
		return fmt.Errorf("the account was answered: %v", err)
	case err != nil:
		return nil
	}
	if !filled {
		return nil
	}
	d, err := st.Blobs.Open(ctx, callerOf(third), blob.Ref{Account: third, Container: box, Blob: "its"}, blob.ReadOptions{})
	if err != nil {
		return fmt.Errorf("the account is there, and its blob: %w", err)
	}
	defer d.Close()
	var b bytes.Buffer
	if _, err := d.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), content("its", 50_000)) {
		return fmt.Errorf("its blob: %s, %v", describe(b.Bytes()), err)
	}
	return nil
}
