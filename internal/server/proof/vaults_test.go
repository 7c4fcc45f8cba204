package proof

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/recordtest"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
	"github.com/coffer-storage/coffer/internal/server/backup"
	finder "github.com/coffer-storage/coffer/internal/server/search"
	"github.com/coffer-storage/coffer/internal/server/store"
	"github.com/coffer-storage/coffer/internal/vault"
)

// vaultKeys gives a store a vault and a Managed HSM with keys of every type, made, imported
// and rotated.
func vaultKeys(t testing.TB, st *store.Store, rounds int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	op := vault.Operator()
	for _, s := range []vault.Spec{
		{Kind: vault.Standard, Name: "box", PurgeProtection: true}, {Kind: vault.Standard, Name: "other", PurgeProtection: true},
		{Kind: vault.HSM, Name: "safe"},
	} {
		_, err := st.Vaults.CreateVault(ctx, s)
		must(err)
	}
	for i := range rounds {
		for _, k := range []struct {
			vault.Ref
			vault.NewKey
		}{
			{vault.Ref{Kind: vault.Standard, Vault: "box"}, vault.NewKey{Type: "RSA"}},
			{vault.Ref{Kind: vault.Standard, Vault: "other"}, vault.NewKey{Type: "RSA"}},
			{vault.Ref{Kind: vault.Standard, Vault: "box"}, vault.NewKey{Type: "EC"}},
			{vault.Ref{Kind: vault.HSM, Vault: "safe"}, vault.NewKey{Type: "EC-HSM", Curve: "P-521"}},
			{vault.Ref{Kind: vault.HSM, Vault: "safe"}, vault.NewKey{Type: "oct-HSM", Bits: 256}},
		} {
			k.Key = fmt.Sprintf("%s-%d", strings.ToLower(k.Type), i)
			_, err := st.Vaults.CreateKey(ctx, op, k.Ref, k.NewKey)
			must(err)
			if k.Type != "RSA" || i == 0 {
				_, err = st.Vaults.RotateKey(ctx, op, k.Ref)
				must(err)
			}
		}
		_, err := st.Vaults.ImportKey(ctx, op, vault.Ref{Kind: vault.HSM, Vault: "safe", Key: fmt.Sprintf("imported-%d", i)},
			&vault.Material{Type: "oct-HSM", K: content(fmt.Sprintf("imported %d", i), 32)}, vault.NewKey{Type: "oct-HSM"})
		must(err)
	}
	_, err := st.Vaults.BackupKey(ctx, op, vault.Ref{Kind: vault.Standard, Vault: "box", Key: "rsa-0"})
	must(err)
	_, err = st.Vaults.BackupKey(ctx, op, vault.Ref{Kind: vault.HSM, Vault: "safe", Key: "oct-hsm-0"})
	must(err)
}

// private is a private key in parts that give it away, and in the forms programs write.
type private struct {
	parts [][]byte
	texts []string
}

// privateKeys opens the rows of the vaults.
func privateKeys(t testing.TB, st *store.Store) (list []private) {
	t.Helper()
	err := st.Objects.View(ctx, func(tx *object.Tx) error {
		list = nil
		return tx.Scan(object.Vault, st.Objects.StoreID(), nil, nil, false, func(k []byte, r *object.Row) (bool, error) {
			if k[0] != 'n' {
				return true, nil
			}
			plain, err := st.Objects.OpenMeta(ctx, r)
			if err == nil {
				list = append(list, privateOf(plain))
			}
			return true, err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func privateOf(plain []byte) private {
	p := private{parts: [][]byte{plain}}
	var numbers []*big.Int
	k, err := x509.ParsePKCS8PrivateKey(plain)
	switch k := k.(type) {
	case *rsa.PrivateKey:
		numbers = []*big.Int{k.D, k.Primes[0], k.Primes[1], k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv}
		p.parts = append(p.parts, x509.MarshalPKCS1PrivateKey(k))
	case *ecdsa.PrivateKey:
		b, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		der, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			panic(err)
		}
		numbers = []*big.Int{new(big.Int).SetBytes(b)}
		p.parts = append(p.parts, der)
	default: // AES
		p.texts = append(p.texts, fmt.Sprint(plain))
		err = nil
	}
	if err != nil {
		panic(err)
	}
	for _, n := range numbers {
		p.parts = append(p.parts, n.Bytes())
		p.texts = append(p.texts, n.String())
	}
	return p
}

// pieces are parts of 24 bytes: half a line of PEM, so that some lie in a line whatever
// breaks it.
func pieces(b []byte) (out [][]byte) {
	if len(b) < 24 {
		return [][]byte{b}
	}
	for i := 0; i+24 <= len(b); i += 24 {
		out = append(out, b[i:i+24])
	}
	return append(out, b[len(b)-24:])
}

func (p private) needles() (out [][]byte) {
	for _, b := range p.parts {
		out = append(out, pieces(b)...)
	}
	for _, s := range p.texts {
		out = append(out, []byte(s[:min(40, len(s))]))
	}
	return out
}

// written is a key as programs write it.
func (p private) written() []byte {
	var b bytes.Buffer
	for _, part := range p.parts {
		pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: part})
		fmt.Fprintf(&b, `{"kty":"RSA","d":%q,"k":%q}`+"\n", base64.RawURLEncoding.EncodeToString(part), base64.StdEncoding.EncodeToString(part))
		fmt.Fprintf(&b, "%x %X\n%s\n", part, part, hex.Dump(part))
		b.Write(part)
	}
	for _, s := range p.texts {
		b.WriteString(s)
	}
	return b.Bytes()
}

// customerHalves opens the key store of a directory with the unseal secret and returns every
// R that is in it.
func customerHalves(t testing.TB, dir string, sec *secrets) (list secretBytes) {
	t.Helper()
	var newest *cfks.File
	for _, n := range []string{"keystore.A", "keystore.B"} {
		b, err := os.ReadFile(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		f, err := cfks.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if newest == nil || f.Generation > newest.Generation {
			newest = f
		}
	}
	f := newest
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range f.Slots {
		if s.Root != cfks.SRK {
			continue
		}
		u, _, err := sec.service.Open(ctx, keyprovider.Slot{Store: f.Store, ID: s.ID, Root: uint8(s.Root), Params: s.Params})
		check(err)
		root, err := slot.Unwrap(u, slot.Place{Store: f.Store, Slot: s.ID, Root: uint8(s.Root), Ref: f.SRKRef, Provider: s.Provider, Params: s.Params}, s.Blob)
		check(err)
		sk, err := slot.SealKey(root, f.Store, uint8(s.Root), f.SRKRef)
		check(err)
		plain, err := keywrap.Open(sk, f.SRKRef, f.BodyAAD(), f.Body)
		check(err)
		body, err := cfks.ParseBody(plain)
		check(err)
		for _, p := range body.Protectors {
			for _, w := range p.Wrappings {
				at := p.Protector.Bytes()
				r, err := keywrap.Unwrap(sk, f.SRKRef, enc.Encode("coffer/cmk/r/v1", f.Store[:], at[:], w.W[:]), w.R[:])
				check(err)
				check(r.Use(func(b []byte) error { list = append(list, bytes.Clone(b)); return nil }))
			}
		}
	}
	return list
}

// TestNoPlaintextOfVaultKeys (C1) searches data directory, backup, log and temporary files for the private keys of vaults and Managed HSMs, for tokens, and for both
// halves of what customers' keys give and the keys below them.
func TestNoPlaintextOfVaultKeys(t *testing.T) {
	base := t.TempDir()
	tmp := filepath.Join(base, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	var hearing sync.Mutex
	var heard bytes.Buffer
	recordtest.Listen(t, func(kind string, p []byte) {
		if kind == recordtest.Value {
			hearing.Lock()
			heard.Write(p)
			hearing.Unlock()
		}
	})
	log, err := os.Create(filepath.Join(base, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	sec := newSecrets()
	o := sec.options(vfs.Default)
	o.Dir = filepath.Join(base, dataDir)
	o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	st, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			st.Close()
		}
	}()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(furnish(st))
	vaultKeys(t, st, sized(1, 2, 40))

	// Customers of the vault: the account, and scopes; with what they store.
	own, err := newOwnVault(st)
	must(err)
	info, err := st.Accounts.Get(ctx, account)
	must(err)
	scopes := sized(2, 6, 100)
	for i := range scopes {
		ref := ownRef("box", "rsa-0")
		_, err := st.Scopes.Create(ctx, info.ID, name.Scope(fmt.Sprintf("scope-%d", i)), scope.Options{CustomerKey: &ref, FollowVersion: i%2 == 0})
		must(err)
	}
	must(st.Ring.SetVaultKey(ctx, keys.AccountProtector(info.ID), ownRef("box", "rsa-0"), true))
	must(st.Ring.SetVaultKey(ctx, keys.AccountProtector(info.ID), ownRef("other", "rsa-0"), true))
	must(put(st, "one", content("one", 100_000)))

	// What must be nowhere.
	list := privateKeys(t, st)
	var needles [][]byte
	for _, p := range list {
		needles = append(needles, p.needles()...)
	}
	ofVaults := len(needles)
	for i := range sized(3, 10, 200) {
		who, _, err := st.Identity.CreatePrincipal(ctx, fmt.Sprint("client ", i))
		must(err)
		token, _, err := st.Identity.Issue(ctx, who.ObjectID, "https://vault.localhost")
		must(err)
		needles = append(needles, []byte(token), []byte(token[strings.LastIndexByte(token, '.')+1:]))
	}
	halves := customerHalves(t, o.Dir, sec)
	if len(halves) != scopes+2 || len(own.values) != scopes+2 {
		t.Fatalf("%d R and %d P, want %d of each: the account's previous wrapping is one", len(halves), len(own.values), scopes+2)
	}
	needles = append(append(needles, halves...), own.values...)
	keks := 0
	for _, c := range st.Ring.Chains() {
		for _, v := range c.Versions {
			if c.Kind != keys.KEK {
				continue
			}
			_, k, err := st.Ring.KEKByRef(ctx, v.Protector, v.Kref)
			must(err)
			must(k.Use(func(b []byte) error { needles = append(needles, bytes.Clone(b)); return nil }))
			keks++
		}
	}
	s, err := finder.New(needles)
	must(err)
	found := func(b []byte) map[int]bool {
		hit := map[int]bool{}
		if _, err := s.Reader(bytes.NewReader(b), func(h finder.Hit) { hit[h.Needle] = true }); err != nil {
			t.Fatal(err)
		}
		return hit
	}

	// Control: every piece is found in what programs write, and was heard where it was sealed.
	var written bytes.Buffer
	for _, p := range list {
		written.Write(p.written())
	}
	if n := len(found(written.Bytes())); n != ofVaults {
		t.Errorf("control: the search finds %d of %d pieces", n, ofVaults)
	}
	inner := 0
	hearing.Lock()
	all := found(bytes.Clone(heard.Bytes()))
	hearing.Unlock()
	at := 0
	for _, p := range list {
		for i := range pieces(p.parts[0]) {
			if !all[at+i] {
				inner++
			}
		}
		at += len(p.needles())
	}
	if inner > 0 {
		t.Errorf("control: %d pieces of private keys were not heard where they are sealed", inner)
	}

	_, err = backup.Create(ctx, st, filepath.Join(base, "set"), time.Now(), nil)
	must(err)
	must(st.Meta.CompactAll(ctx))
	closed = true
	must(st.Close())
	var bytesSeen int64
	err = filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := s.Reader(f, func(h finder.Hit) {
			t.Errorf("%s holds secret %d of %d (%s)", path, h.Needle, len(needles), h.Encoding)
		})
		bytesSeen += n
		return err
	})
	must(err)
	t.Logf("C1: 0 of %d pieces of %d private keys, %d tokens, R and P of %d wrappings, and %d KEKs in %d bytes",
		ofVaults, len(list), sized(3, 10, 200), len(halves), keks, bytesSeen)
	if bytesSeen < 1<<18 {
		t.Errorf("only %d bytes searched", bytesSeen)
	}
}

// TestVaultVariants (C2, C4) changes the rows of vaults and Managed HSMs, and puts each in the
// place of each other one: whatever needs the row is refused, and nothing comes out.
func TestVaultVariants(t *testing.T) {
	t.Parallel()
	w := &town{fs: vfs.NewMem()}
	w.Store = mustOpen(t, w.fs, newSecrets())
	t.Cleanup(func() { w.Close() })
	vaultKeys(t, w.Store, 1)
	uses := vaultUses(t, w.Store)
	ks, vs := w.rows(t, object.Vault)
	if len(uses) < 8 || len(ks) < 16 {
		t.Fatalf("%d rows, %d uses", len(ks), len(uses))
	}
	var bits, pairs refusals
	try := func(c *refusals, i int, bad []byte, what string, args ...any) {
		w.set(t, ks[i], bad)
		v := vault.New(w.Objects, w.Ring, vault.Options{})
		for _, u := range uses {
			if !u.needs(ks[i][1:]) {
				continue
			}
			out, err := u.do(v)
			c.expect(t, err, what, args...)
			if len(out) > 0 {
				t.Errorf("%s: gives %x", fmt.Sprintf(what, args...), out)
			}
			break
		}
	}
	for i := range ks {
		size := len(vs[i])
		if ks[i][1] == 'f' { // the part of a family is there to have a data key; nobody opens it
			sys, _, err := envelope.SplitRow(vs[i])
			if err != nil {
				t.Fatal(err)
			}
			size = 5 + len(sys)
		}
		for bit := 0; bit < 8*size; bit += sized(211, 41, 1) {
			bad := bytes.Clone(vs[i])
			bad[bit/8] ^= 1 << (bit % 8)
			try(&bits, i, bad, "row %q with bit %d changed", ks[i], bit)
		}
		for n := 0; n < len(vs[i]); n += sized(97, 31, 1) {
			try(&bits, i, vs[i][:n], "row %q cut to %d bytes", ks[i], n)
		}
		for j := range ks {
			if i != j {
				try(&pairs, i, vs[j], "row %q in the place of %q", ks[j], ks[i])
			}
		}
		w.set(t, ks[i], vs[i])
	}
	v := vault.New(w.Objects, w.Ring, vault.Options{})
	for _, u := range uses {
		if _, err := u.do(v); err != nil {
			t.Errorf("%v after everything was put back: %v", u.Ref, err)
		}
	}
	t.Logf("C2: %d of %d changes and %d of %d exchanges refused", bits.refused, bits.pairs, pairs.refused, pairs.pairs)
	if bits.pairs < sized(200, 1000, 1000) || pairs.pairs < 16*15 {
		t.Error("too few")
	}
	w.exchangePrivate(t, uses)
}

// exchangePrivate puts the private key of each version under each other version, with and
// without the data key that it is under, in rows that are sealed well: nobody can who has not
// the root. An AES key with its data key opens, for there is no public key to compare.
func (w *town) exchangePrivate(t *testing.T, uses []vaultUse) {
	t.Helper()
	var c refusals
	read := func(u vaultUse) (r *object.Row) {
		var err error
		if r, err = w.row(object.Vault, append([]byte{object.Vault.Prefix}, u.row...)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	write := func(u vaultUse, r *object.Row) {
		err := w.Objects.Update(ctx, func(tx *object.Tx) error { return tx.Put(object.Vault, u.row, r) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, a := range uses {
		if a.row == nil {
			continue
		}
		good := read(a)
		isAES := func(u vaultUse) bool { return strings.HasPrefix(u.Key, "oct") || strings.HasPrefix(u.Key, "imported") }
		for j, b := range uses {
			if i == j || b.row == nil {
				continue
			}
			other := read(b)
			for name, change := range map[string]func(*object.Row){
				"private key": func(r *object.Row) { r.SetPart(other.Parts[0]) },
				"data key":    func(r *object.Row) { r.DEKs = other.DEKs },
				"wrap of the data key": func(r *object.Row) {
					r.DEKs[0].Wrap = other.DEKs[0].Wrap
				},
				"private key with its data key": func(r *object.Row) {
					r.SetPart(other.Parts[0])
					r.DEKs = other.DEKs
				},
			} {
				if name == "private key with its data key" && isAES(a) && isAES(b) {
					continue
				}
				write(a, good)
				r := read(a)
				change(r)
				write(a, r)
				w.forget()
				out, err := a.do(vault.New(w.Objects, w.Ring, vault.Options{}))
				c.expect(t, err, "%s of %v under %v", name, b.Ref, a.Ref)
				if len(out) > 0 {
					t.Errorf("%s of %v under %v gives %x", name, b.Ref, a.Ref, out)
				}
			}
		}
		write(a, good)
		w.forget()
		if _, err := a.do(vault.New(w.Objects, w.Ring, vault.Options{})); err != nil {
			t.Errorf("%v as it was: %v", a.Ref, err)
		}
	}
	c.report(t, "private keys", 200)
}

// vaultUse is something that needs rows of a vault.
type vaultUse struct {
	vault.Ref
	row    []byte   // its version's row
	others [][]byte // and the others
	do     func(*vault.Service) ([]byte, error)
}

func (u vaultUse) needs(row []byte) bool {
	for _, k := range append(u.others, u.row) {
		if bytes.Equal(k, row) {
			return true
		}
	}
	return false
}

// vaultUses uses the private key of every version, and makes a backup of each kind.
func vaultUses(t testing.TB, st *store.Store) (list []vaultUse) {
	t.Helper()
	op := vault.Operator()
	for _, at := range []struct {
		kind vault.Kind
		name string
	}{{vault.Standard, "box"}, {vault.Standard, "other"}, {vault.HSM, "safe"}} {
		v, err := st.Vaults.Vault(ctx, at.kind, at.name)
		if err != nil {
			t.Fatal(err)
		}
		box := append([]byte{'v', byte(at.kind)}, at.name...)
		page, err := st.Vaults.ListKeys(ctx, op, vault.Ref{Kind: at.kind, Vault: at.name}, "", 25)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys {
			versions, err := st.Vaults.ListVersions(ctx, op, k.Ref, "", 25)
			if err != nil {
				t.Fatal(err)
			}
			prefix := append(v.ID[:], k.Key...)
			prefix = append(prefix, 0)
			key := append([]byte{'k'}, prefix...)
			for _, ver := range versions.Keys {
				id, err := hex.DecodeString(ver.Version)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, vaultUse{ver.Ref, append(append([]byte{'n'}, prefix...), id...), [][]byte{box, key}, useOf(t, st, ver)})
			}
			if k.Key == "rsa-0" && at.name == "box" || k.Key == "oct-hsm-0" {
				list = append(list, vaultUse{k.Ref, nil, [][]byte{{'f', byte(at.kind)}}, func(s *vault.Service) ([]byte, error) {
					return s.BackupKey(ctx, op, k.Ref)
				}})
			}
		}
	}
	return list
}

// useOf uses the private key of a version.
func useOf(t testing.TB, st *store.Store, k vault.Key) func(*vault.Service) ([]byte, error) {
	t.Helper()
	alg := map[string]string{"RSA": "RSA-OAEP-256", "oct-HSM": "A256KW", "EC": "ES256", "EC-HSM": "ES512"}[k.Type]
	if strings.HasPrefix(k.Type, "EC") {
		return func(s *vault.Service) ([]byte, error) {
			out, err := s.Sign(ctx, vault.Operator(), k.Ref, vault.Operation{Algorithm: alg, Value: make([]byte, map[string]int{"ES256": 32, "ES512": 64}[alg])})
			return out.Value, err
		}
	}
	w, err := st.Vaults.Wrap(ctx, vault.Operator(), k.Ref, vault.Operation{Algorithm: alg, Value: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return func(s *vault.Service) ([]byte, error) {
		out, err := s.Unwrap(ctx, vault.Operator(), k.Ref, vault.Operation{Algorithm: alg, Value: bytes.Clone(w.Value)})
		return out.Value, err
	}
}
