package vault_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/vault"
)

const oaep = "RSA-OAEP-256"

// TestUsable: what a disabled key and one outside of its dates may still do.
func TestUsable(t *testing.T) {
	w := newWorld(t)
	now := w.env.Clock.Now()
	hour := time.Hour
	off := false
	tests := []struct {
		name                 string
		change               vault.KeyChange
		protect, open, check fault.Kind
	}{
		{"in order", vault.KeyChange{}, success, success, success},
		{"disabled", vault.KeyChange{Enabled: &off}, fault.VaultKeyDisabled, fault.VaultKeyDisabled, fault.VaultKeyDisabled},
		{"too early", vault.KeyChange{NotBefore: ptr(now.Add(hour))}, fault.VaultKeyNotYetValid, success, success},
		{"too late", vault.KeyChange{Expires: ptr(now.Add(-hour))}, fault.VaultKeyExpired, success, success},
		{"at its end", vault.KeyChange{Expires: ptr(now)}, fault.VaultKeyExpired, success, success},
		{"for other things", vault.KeyChange{Ops: &[]string{}}, fault.VaultKeyOperation, fault.VaultKeyOperation, fault.VaultKeyOperation},
	}
	for _, tt := range tests {
		k := w.key(t, ref("k"), vault.NewKey{Type: "RSA"})
		r := ref("k")
		r.Version = k.Version
		digest := make([]byte, 32)
		sealed, err := w.Wrap(ctx, op, r, vault.Operation{Algorithm: oaep, Value: []byte("x")})
		is(t, "Wrap", err, success)
		sig, err := w.Sign(ctx, op, r, vault.Operation{Algorithm: "PS256", Value: digest})
		is(t, "Sign", err, success)
		if _, err := w.UpdateKey(ctx, op, r, tt.change); err != nil {
			t.Fatal(err)
		}
		value := vault.Operation{Algorithm: oaep, Value: []byte("x")}
		_, err = w.Wrap(ctx, op, r, value)
		is(t, tt.name+": Wrap", err, tt.protect)
		_, err = w.Encrypt(ctx, op, r, value)
		is(t, tt.name+": Encrypt", err, tt.protect)
		_, err = w.Sign(ctx, op, r, vault.Operation{Algorithm: "PS256", Value: digest})
		is(t, tt.name+": Sign", err, tt.protect)
		value.Value = sealed.Value
		_, err = w.Unwrap(ctx, op, r, value)
		is(t, tt.name+": Unwrap", err, tt.open)
		_, err = w.Decrypt(ctx, op, r, value)
		is(t, tt.name+": Decrypt", err, tt.open)
		got, err := w.Verify(ctx, op, r, vault.Operation{Algorithm: "PS256", Value: digest, Signature: sig.Value})
		is(t, tt.name+": Verify", err, tt.check)
		if err == nil && !got.Valid {
			t.Errorf("%s: the signature is not valid", tt.name)
		}
		_, err = w.GetKey(ctx, op, r)
		is(t, tt.name+": GetKey", err, success)
	}
}

func ptr[T any](v T) *T { return &v }

// An old version goes on opening what it sealed; without a version the newest is used.
func TestVersions(t *testing.T) {
	w := newWorld(t)
	old := w.key(t, ref("k"), vault.NewKey{Type: "RSA"})
	sealed, err := w.Wrap(ctx, op, ref("k"), vault.Operation{Algorithm: oaep, Value: []byte("x")})
	is(t, "Wrap", err, success)
	next, err := w.RotateKey(ctx, op, ref("k"))
	is(t, "RotateKey", err, success)
	again, err := w.Wrap(ctx, op, ref("k"), vault.Operation{Algorithm: oaep, Value: []byte("x")})
	if err != nil || again.Ref.Version != next.Version {
		t.Errorf("Wrap used version %s, %v", again.Ref.Version, err)
	}
	w.restart()
	_, err = w.Unwrap(ctx, op, ref("k"), vault.Operation{Algorithm: oaep, Value: sealed.Value})
	is(t, "Unwrap by the newest", err, fault.InvalidInput)
	r := ref("k")
	r.Version = old.Version
	got, err := w.Unwrap(ctx, op, r, vault.Operation{Algorithm: oaep, Value: sealed.Value})
	if err != nil || string(got.Value) != "x" {
		t.Errorf("Unwrap by the old version = %q, %v", got.Value, err)
	}
}

func TestRandom(t *testing.T) {
	w := newWorld(t)
	a, err := w.Random(ctx, op, hsm(""), 128)
	b, err2 := w.Random(ctx, op, hsm(""), 128)
	if err != nil || err2 != nil || len(a) != 128 || bytes.Equal(a, b) {
		t.Errorf("Random = %x, %x, %v, %v", a, b, err, err2)
	}
	for _, n := range []int{0, -1, 129} {
		_, err := w.Random(ctx, op, hsm(""), n)
		is(t, "Random of an odd count", err, fault.InvalidInput)
	}
	_, err = w.Random(ctx, op, ref(""), 16)
	is(t, "Random of a vault", err, fault.UnsupportedOperation)
}

// TestRotateKEK: the keys that private keys are under are rotated like all others.
func TestRotateKEK(t *testing.T) {
	w := newWorld(t)
	w.key(t, ref("k"), vault.NewKey{Type: "RSA"})
	sealed, err := w.Wrap(ctx, op, ref("k"), vault.Operation{Algorithm: oaep, Value: []byte("x")})
	is(t, "Wrap", err, success)
	v, _ := w.Vault(ctx, vault.Standard, "box")
	info, ok := w.env.Ring.Protector(v.Protector())
	if !ok {
		t.Fatal("the vault has no protector")
	}
	if _, err := w.env.Ring.Rotate(ctx, info.Chain); err != nil {
		t.Fatal(err)
	}
	if err := w.env.MirrorProtector(ctx, v.Protector()); err != nil {
		t.Fatal(err)
	}
	swept, err := w.env.Sweep(ctx, v.Protector(), object.SweepOptions{})
	if err != nil || swept.Rewrapped != 1 {
		t.Errorf("Sweep = %+v, %v", swept, err)
	}
	w.env.Reopen()
	w.restart()
	got, err := w.Unwrap(ctx, op, ref("k"), vault.Operation{Algorithm: oaep, Value: sealed.Value})
	if err != nil || string(got.Value) != "x" {
		t.Errorf("Unwrap after the rotation = %q, %v", got.Value, err)
	}
}

// TestTamper: no bit of a stored row can be changed, and no row put in another's place.
func TestTamper(t *testing.T) {
	w := newWorld(t)
	w.key(t, ref("a"), vault.NewKey{Type: "EC"})
	w.key(t, ref("b"), vault.NewKey{Type: "EC"})
	rows := map[string][]byte{}
	scan(t, w, func(k, v []byte) { rows[string(k)] = v })
	works := func() bool {
		w.restart() // nothing is cached
		for _, n := range []string{"a", "b"} {
			if _, err := w.Sign(ctx, op, ref(n), vault.Operation{Algorithm: "ES256", Value: make([]byte, 32)}); err != nil {
				return false
			}
		}
		_, err := w.Vaults(ctx, vault.HSM)
		return err == nil
	}
	if !works() {
		t.Fatal("nothing works before the damage")
	}
	step := 7
	if testing.Short() {
		step = 97
	}
	for k, v := range rows {
		for i := 0; i < len(v); i += step {
			bad := bytes.Clone(v)
			bad[i] ^= 0x10
			put(t, w, k, bad)
			if works() {
				t.Errorf("row %q: byte %d of %d was changed, unseen", k[:2], i, len(v))
			}
		}
		put(t, w, k, v)
	}
	for k, v := range rows {
		for k2, v2 := range rows {
			if k == k2 {
				continue
			}
			put(t, w, k, v2)
			if works() {
				t.Errorf("the row %q was put in the place of %q, unseen", k2[:2], k[:2])
			}
		}
		put(t, w, k, v)
	}
	if !works() {
		t.Error("nothing works after the repair")
	}
}

// TestPolicyTick: a policy is kept in its form, and rotates when it is due.
func TestPolicyTick(t *testing.T) {
	w := newWorld(t)
	first := w.key(t, ref("k"), vault.NewKey{Type: "EC"})
	for name, p := range map[string]vault.RotationPolicy{
		"no trigger":       {Actions: []vault.LifetimeAction{{Action: "Rotate"}}},
		"two triggers":     {ExpiryTime: "P90D", Actions: []vault.LifetimeAction{{Action: "Rotate", TimeAfterCreate: "P30D", TimeBeforeExpiry: "P30D"}}},
		"word":             {Actions: []vault.LifetimeAction{{Action: "Explode", TimeAfterCreate: "P30D"}}},
		"duration":         {Actions: []vault.LifetimeAction{{Action: "Rotate", TimeAfterCreate: "30 days"}}},
		"short":            {Actions: []vault.LifetimeAction{{Action: "Rotate", TimeAfterCreate: "P6D"}}},
		"short life":       {ExpiryTime: "P27D"},
		"no end":           {Actions: []vault.LifetimeAction{{Action: "Rotate", TimeBeforeExpiry: "P30D"}}},
		"twice":            {Actions: []vault.LifetimeAction{{Action: "Rotate", TimeAfterCreate: "P30D"}, {Action: "rotate", TimeAfterCreate: "P31D"}}},
		"notify on create": {Actions: []vault.LifetimeAction{{Action: "Notify", TimeAfterCreate: "P30D"}}},
	} {
		_, err := w.SetRotationPolicy(ctx, op, ref("k"), p)
		is(t, name, err, fault.InvalidInput)
	}
	_, err := w.SetRotationPolicy(ctx, op, ref("k"), vault.RotationPolicy{ExpiryTime: "p2m", Actions: []vault.LifetimeAction{
		{Action: "rotate", TimeAfterCreate: "P30D"}, {Action: "notify", TimeBeforeExpiry: "P7D"}}})
	is(t, "SetRotationPolicy", err, success)
	w.restart()
	w.env.Clock.Add(30*24*time.Hour - time.Second)
	is(t, "Tick", w.Tick(ctx), success)
	if k, _ := w.GetKey(ctx, op, ref("k")); k.Version != first.Version {
		t.Error("rotated before its time")
	}
	w.env.Clock.Add(time.Second)
	w.trail.take()
	is(t, "Tick", w.Tick(ctx), success)
	is(t, "Tick again", w.Tick(ctx), success)
	want := []string{"server vault.rotateKey vault/box/keys/k begin", "server vault.rotateKey vault/box/keys/k ok"}
	if diff := cmp.Diff(want, w.trail.take()); diff != "" {
		t.Error(diff)
	}
	second, _ := w.GetKey(ctx, op, ref("k"))
	if second.Version == first.Version || !second.Expires.Equal(w.env.Clock.Now().AddDate(0, 2, 0)) {
		t.Errorf("after the rotation: %+v", second)
	}
}

// Without a policy the end of a key is announced 30 days before, once.
func TestNotify(t *testing.T) {
	w := newWorld(t)
	w.key(t, ref("k"), vault.NewKey{Type: "EC", Expires: w.env.Clock.Now().AddDate(0, 0, 40)})
	w.trail.take()
	is(t, "Tick", w.Tick(ctx), success)
	w.env.Clock.Add(10 * 24 * time.Hour)
	is(t, "Tick", w.Tick(ctx), success)
	is(t, "Tick again", w.Tick(ctx), success)
	if diff := cmp.Diff([]string{"server vault.keyNearExpiry vault/box/keys/k ok"}, w.trail.take()); diff != "" {
		t.Error(diff)
	}
}
