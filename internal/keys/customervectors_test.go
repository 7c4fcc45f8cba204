package keys

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// planted is a key version under a customer's key, as a key store would hold it.
type planted struct {
	s    *state
	c    *cfks.Chain
	w    *cfks.Wrapping
	p    Protector
	want []byte // the KEK
}

func plantedOf(t testing.TB, c vectortest.Case) *planted {
	t.Helper()
	p, err := cfks.ParseProtector(c.Bytes(t, "protector"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := strconv.ParseUint(c.Text("version"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	w := cfks.Wrapping{
		W: c.ID(t, "w"), Role: cfks.Current, KeyURI: c.Text("key-uri"),
		R: [126]byte(c.Bytes(t, "r")), Blob: c.Bytes(t, "wrapped"),
	}
	x := &planted{p: p, want: c.Bytes(t, "kek")}
	x.c = &cfks.Chain{ID: c.ID(t, "chain"), Kind: cfks.KEK, Owner: c.ID(t, "owner"), Protector: p, Keys: []cfks.Key{{
		Number: version, Kref: c.ID(t, "kref"), State: cfks.Active, KCV: c.ID(t, "kcv"),
		Secrets: []cfks.Secret{{Form: cfks.UnderCMK, W: w.W, Wrap: [126]byte(c.Bytes(t, "secret"))}},
	}}}
	rec := &cfks.ProtectorRecord{Protector: p, Owner: x.c.Owner, Chain: x.c.ID, Wrappings: []cfks.Wrapping{w}}
	x.w = &rec.Wrappings[0]
	x.s = &state{
		file: &cfks.File{Store: c.ID(t, "store"), SRKRef: c.ID(t, "srk-ref")}, sk: secret.New(c.Bytes(t, "seal-key")),
		byID: map[ID]*cfks.Chain{x.c.ID: x.c}, protectors: map[Protector]*cfks.ProtectorRecord{p: rec},
	}
	return x
}

// vaultOpens is what a vault does with the wrapped value.
func vaultOpens(key *rsa.PrivateKey, blob []byte) ([]byte, error) {
	return rsa.DecryptOAEP(sha256.New(), nil, key, blob, nil)
}

func vaultKeyOf(t testing.TB, c vectortest.Case) *rsa.PrivateKey {
	t.Helper()
	k, err := x509.ParsePKCS8PrivateKey(c.Bytes(t, "vault-key"))
	if err != nil {
		t.Fatal(err)
	}
	return k.(*rsa.PrivateKey)
}

// open opens the version with what the vault gave, as a validation does.
func (x *planted) open(value []byte) ([]byte, error) {
	k, err := x.s.deriveCustomer(x.p, x.w, secret.New(bytes.Clone(value)))
	if err != nil {
		return nil, err
	}
	defer k.Destroy()
	if err := x.s.checkUnder(x.p, x.w.W, k); err != nil {
		return nil, err
	}
	key, err := x.s.openUnder(x.c, &x.c.Keys[0], &x.c.Keys[0].Secrets[0], k, x.w.W)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	var out []byte
	err = key.Use(func(b []byte) error { out = bytes.Clone(b); return nil })
	return out, err
}

func TestCustomerVectors(t *testing.T) {
	for _, c := range vectortest.Load(t, "cmk") {
		x := plantedOf(t, c)
		var got []byte
		value, err := vaultOpens(vaultKeyOf(t, c), x.w.Blob)
		if errors.Is(err, rsa.ErrDecryption) {
			err = keywrap.ErrOpen
		}
		if err == nil {
			got, err = x.open(value)
		}
		if class(err) != c.Text("expect") {
			t.Errorf("%s: %s, want %s", c.Name, class(err), c.Text("expect"))
		}
		if err == nil && !bytes.Equal(got, x.want) || err != nil && got != nil {
			t.Errorf("%s: opens to %x, want %x", c.Name, got, x.want)
		}
	}
}

// goodCustomer is the first good vector of the wrapping, with its value.
func goodCustomer(t testing.TB) (vectortest.Case, *planted, []byte) {
	t.Helper()
	i := slices.IndexFunc(vectortest.Load(t, "cmk"), func(c vectortest.Case) bool { return c.Text("expect") == vectortest.OK })
	c := vectortest.Load(t, "cmk")[i]
	x := plantedOf(t, c)
	value, err := vaultOpens(vaultKeyOf(t, c), x.w.Blob)
	if err != nil {
		t.Fatal(err)
	}
	return c, x, value
}

// Every bit of everything that a wrapping is made of, its wrapped value included, counts.
func TestCustomerEveryBit(t *testing.T) {
	c, x, value := goodCustomer(t)
	if got, err := x.open(value); err != nil || !bytes.Equal(got, x.want) {
		t.Fatalf("control: %x, %v", got, err)
	}
	tried := 0
	try := func(what string, i int, open func() ([]byte, error)) {
		t.Helper()
		tried++
		if got, err := open(); err == nil || got != nil {
			t.Errorf("%s with bit %d changed opens to %x", what, i, got)
		}
	}
	rec := x.s.protectors[x.p]
	k, sec := &x.c.Keys[0], &x.c.Keys[0].Secrets[0]
	for _, f := range []struct {
		name string
		b    []byte
	}{
		{"R", x.w.R[:]}, {"secret", sec.Wrap[:]}, {"KCV", k.KCV[:]}, {"kref", k.Kref[:]}, {"owner of the protector", rec.Owner[:]},
		{"owner of the chain", x.c.Owner[:]}, {"store", x.s.file.Store[:]}, {"root", x.s.file.SRKRef[:]}, {"value", value},
	} {
		for i := range len(f.b) * 8 {
			f.b[i/8] ^= 1 << (i % 8)
			try(f.name, i, func() ([]byte, error) { return x.open(value) })
			f.b[i/8] ^= 1 << (i % 8)
		}
	}
	uri := x.w.KeyURI
	for i := range len(uri) * 8 {
		b := []byte(uri)
		b[i/8] ^= 1 << (i % 8)
		x.w.KeyURI = string(b)
		try("address", i, func() ([]byte, error) { return x.open(value) })
	}
	x.w.KeyURI = uri
	w := x.w.W
	for i := range len(w) * 8 {
		x.w.W[i/8] ^= 1 << (i % 8)
		sec.W = x.w.W
		try("w", i, func() ([]byte, error) { return x.open(value) })
		x.w.W, sec.W = w, w
	}
	step := 61 // an RSA operation each
	if os.Getenv("COFFER_LONG") == "1" {
		step = 1
	}
	key := vaultKeyOf(t, c)
	for i := 0; i < len(x.w.Blob)*8; i += step {
		b := bytes.Clone(x.w.Blob)
		b[i/8] ^= 1 << (i % 8)
		try("wrapped value", i, func() ([]byte, error) {
			v, err := vaultOpens(key, b)
			if err != nil {
				return nil, err
			}
			return x.open(v)
		})
	}
	if got, err := x.open(value); err != nil || !bytes.Equal(got, x.want) {
		t.Fatalf("control at the end: %x, %v", got, err)
	}
	t.Logf("refused %d of %d", tried, tried)
}

func FuzzCustomer(f *testing.F) {
	c, x, value := goodCustomer(f)
	f.Add(c.Bytes(f, "r"), c.Bytes(f, "secret"), value, c.Text("key-uri"), c.Bytes(f, "w"))
	f.Fuzz(func(t *testing.T, r, sec, p []byte, uri string, w []byte) {
		if len(r) != 126 || len(sec) != 126 || len(w) != 16 {
			return
		}
		same := bytes.Equal(r, c.Bytes(t, "r")) && bytes.Equal(sec, c.Bytes(t, "secret")) && bytes.Equal(p, value) &&
			uri == c.Text("key-uri") && bytes.Equal(w, c.Bytes(t, "w"))
		x.w.R, x.w.KeyURI, x.w.W = [126]byte(r), uri, ID(w)
		x.c.Keys[0].Secrets[0] = cfks.Secret{Form: cfks.UnderCMK, W: ID(w), Wrap: [126]byte(sec)}
		if got, err := x.open(p); (err == nil) != same || same && !bytes.Equal(got, x.want) {
			t.Errorf("opens to %x, %v; the good one: %v", got, err, same)
		}
	})
}
