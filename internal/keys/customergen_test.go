package keys

import (
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"hash"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
)

// The wrapping by a customer's vault, made by the second implementation: RSA by big
// integers, OAEP and PKCS #1 by hand, so that the same bytes come out each time.

// rsaKey is a key of the vault that the stream gives.
func (s *stream) rsaKey(bits int) *rsa.PrivateKey {
	e := big.NewInt(65537)
	for {
		p, q := s.prime(bits/2), s.prime(bits/2)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, big.NewInt(1)), new(big.Int).Sub(q, big.NewInt(1)))
		d := new(big.Int).ModInverse(e, phi)
		if d == nil || p.Cmp(q) == 0 {
			continue
		}
		k := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: d, Primes: []*big.Int{p, q},
		}
		k.Precompute()
		return k
	}
}

// vaultKeys are keys of vaults with 2048, 2048 and 3072 bits.
var vaultKeys = sync.OnceValue(func() [3]*rsa.PrivateKey {
	s := &stream{n: 1 << 30}
	return [3]*rsa.PrivateKey{s.rsaKey(2048), s.rsaKey(2048), s.rsaKey(3072)}
})

func vaultKeyDER(k *rsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return der
}

// prime is the first prime behind a number of the stream with the two highest bits set.
func (s *stream) prime(bits int) *big.Int {
	b := s.bytes(bits / 8)
	b[0] |= 0xC0
	b[len(b)-1] |= 1
	p := new(big.Int).SetBytes(b)
	var small, rest []int64 // a sieve, or it takes seconds
	for n := int64(3); n < 4000; n += 2 {
		if big.NewInt(n).ProbablyPrime(0) {
			small, rest = append(small, n), append(rest, new(big.Int).Mod(p, big.NewInt(n)).Int64())
		}
	}
next:
	for add := int64(0); ; add += 2 {
		for i, n := range small {
			if (rest[i]+add)%n == 0 {
				continue next
			}
		}
		if c := new(big.Int).Add(p, big.NewInt(add)); c.ProbablyPrime(8) {
			return c
		}
	}
}

func mgf1(h func() hash.Hash, seed []byte, n int) []byte {
	var out []byte
	for i := uint32(0); len(out) < n; i++ {
		d := h()
		d.Write(seed)
		d.Write(binary.BigEndian.AppendUint32(nil, i))
		out = d.Sum(out)
	}
	return out[:n]
}

// oaep wraps m: RFC 8017 7.1.1.
func (s *stream) oaep(k *rsa.PublicKey, h func() hash.Hash, label, m []byte) []byte {
	d := h()
	d.Write(label)
	n := k.Size()
	db := slices.Concat(d.Sum(nil), make([]byte, n-len(m)-2*d.Size()-2), []byte{1}, m)
	seed := s.bytes(d.Size())
	subtle.XORBytes(db, db, mgf1(h, seed, len(db)))
	subtle.XORBytes(seed, seed, mgf1(h, db, len(seed)))
	return rsaPublic(k, slices.Concat([]byte{0}, seed, db))
}

// pkcs1 wraps m: RFC 8017 7.2.1.
func (s *stream) pkcs1(k *rsa.PublicKey, m []byte) []byte {
	pad := s.bytes(k.Size() - len(m) - 3)
	for i := range pad {
		pad[i] |= 1
	}
	return rsaPublic(k, slices.Concat([]byte{0, 2}, pad, []byte{0}, m))
}

func rsaPublic(k *rsa.PublicKey, em []byte) []byte {
	c := new(big.Int).Exp(new(big.Int).SetBytes(em), big.NewInt(int64(k.E)), k.N)
	return c.FillBytes(make([]byte, k.Size()))
}

// refCustomer is one KEK version under a customer's key. What is sealed for something else than
// what the case says is spoiled by the fields that begin with "for".
type refCustomer struct {
	s                                     *stream
	vault                                 *rsa.PrivateKey
	store, sk, srkRef                     []byte
	owner, protector, chain, kref, w      []byte
	version                               uint64
	uri                                   string
	r, p, kek                             []byte
	forR, forK, forSecret                 *refCustomer // what R, K and the secret are bound to; nil: what is there
	label, labelR                         string
	ikm                                   func(r, p []byte) []byte
	wrap                                  func(p []byte) []byte
	keyrefR, keyrefSecret                 []byte
	kind                                  uint64
	underSecret                           []byte
	sealedR, sealedSecret, sealedBlob, kc func([]byte) []byte
	kekOfKCV                              []byte
}

func newRefCustomer(vault *rsa.PrivateKey) *refCustomer {
	s := &stream{n: 1 << 20}
	c := &refCustomer{
		s: s, vault: vault, store: s.bytes(16), sk: s.bytes(32), srkRef: s.bytes(16), owner: s.bytes(16), chain: s.bytes(16),
		kref: s.bytes(16), w: s.bytes(16), version: 1, uri: "https://hq.vault.example/keys/switch/0123456789abcdef0123456789abcdef",
		r: s.bytes(32), p: s.bytes(32), kek: s.bytes(32), label: "coffer/cmk/v1", labelR: "coffer/cmk/r/v1", kind: 1,
	}
	c.protector = append([]byte{1}, c.owner...)
	return c
}

// at is a copy with one place changed.
func (c *refCustomer) at(change func(*refCustomer)) *refCustomer {
	x := *c
	change(&x)
	return &x
}

func (c *refCustomer) caseOf(expect, comment string) vectortest.Case {
	same := func(b []byte) []byte { return b }
	or := func(f func([]byte) []byte) func([]byte) []byte {
		if f == nil {
			return same
		}
		return f
	}
	place := func(x *refCustomer) *refCustomer {
		if x == nil {
			return c
		}
		return x
	}
	keyref := func(b, other []byte) []byte {
		if other == nil {
			return b
		}
		return other
	}
	// R
	a := place(c.forR)
	r := c.s.seal(a.sk, keyref(c.srkRef, c.keyrefR), refEnc(c.labelR, a.store, a.protector, a.w), c.r)
	// P
	wrap := c.wrap
	if wrap == nil {
		wrap = func(p []byte) []byte { return c.s.oaep(&c.vault.PublicKey, sha256.New, nil, p) }
	}
	// K
	a = place(c.forK)
	ikm := slices.Concat(c.r, c.p)
	if c.ikm != nil {
		ikm = c.ikm(c.r, c.p)
	}
	k := refHKDF(ikm, a.w, refEnc(c.label, a.owner, a.protector, []byte(a.uri)), 32)
	// The KEK
	a = place(c.forSecret)
	aad := refEnc("coffer/key/v1", a.store, a.chain, u64(a.kind), a.owner, a.protector, u64(a.version), a.kref)
	secret := c.s.seal(keyref(k, c.underSecret), keyref(c.w, c.keyrefSecret), aad, c.kek)

	kind := "bad"
	if expect == vectortest.OK {
		kind = "ok"
	}
	out := vectortest.Case{Name: "cmk-" + kind + "-" + strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(comment)}
	out.Add("format", "CMK")
	out.Add("expect", expect)
	out.Add("comment", comment)
	out.AddBytes("vault-key", vaultKeyDER(c.vault))
	out.Add("key-uri", c.uri)
	for _, f := range []struct {
		name string
		b    []byte
	}{
		{"store", c.store}, {"seal-key", c.sk}, {"srk-ref", c.srkRef}, {"owner", c.owner}, {"protector", c.protector},
		{"chain", c.chain}, {"kref", c.kref}, {"w", c.w}, {"r", or(c.sealedR)(r)}, {"wrapped", or(c.sealedBlob)(wrap(c.p))},
		{"secret", or(c.sealedSecret)(secret)}, {"kcv", or(c.kc)(refKCV(keyref(c.kek, c.kekOfKCV), c.chain, c.version))}, {"kek", c.kek},
	} {
		out.AddBytes(f.name, f.b)
	}
	out.Add("version", strconv.FormatUint(c.version, 10))
	return out
}

// customerCases are all vectors of the wrapping, each bad one with one fault.
func customerCases() []vectortest.Case {
	vault, other, large := vaultKeys()[0], vaultKeys()[1], vaultKeys()[2]
	var out []vectortest.Case
	add := func(expect, comment string, change func(*refCustomer)) {
		c := newRefCustomer(vault)
		if change != nil {
			change(c)
		}
		out = append(out, c.caseOf(expect, comment))
	}
	const format, open, keyref, mismatch = vectortest.Format, vectortest.Open, vectortest.Keyref, vectortest.Mismatch

	add(vectortest.OK, "account", nil)
	add(vectortest.OK, "scope", func(c *refCustomer) { c.protector = append([]byte{2}, c.s.bytes(16)...) })
	add(vectortest.OK, "disk encryption set", func(c *refCustomer) { c.protector = append([]byte{6}, c.s.bytes(16)...) })
	add(vectortest.OK, "key of 3072 bits in a managed HSM", func(c *refCustomer) {
		c.vault, c.uri = large, "https://hq.managedhsm.example/keys/switch/1"
	})
	add(vectortest.OK, "version above 2^32", func(c *refCustomer) { c.version = 1<<32 + 1 })
	add(vectortest.OK, "the same KEK in a new wrapping", func(c *refCustomer) {
		c.w, c.r, c.p, c.uri = c.s.bytes(16), c.s.bytes(32), c.s.bytes(32), c.uri[:len(c.uri)-32]+"ffffffffffffffffffffffffffffffff"
	})

	// What the vault wraps.
	blob := func(expect, comment string, f func(c *refCustomer, p []byte) []byte) {
		add(expect, comment, func(c *refCustomer) { c.wrap = func(p []byte) []byte { return f(c, p) } })
	}
	blob(open, "P wrapped by another key", func(c *refCustomer, p []byte) []byte {
		return c.s.oaep(&other.PublicKey, sha256.New, nil, p)
	})
	blob(open, "P wrapped with SHA-1", func(c *refCustomer, p []byte) []byte {
		var out []byte
		fips140.WithoutEnforcement(func() { out = c.s.oaep(&vault.PublicKey, sha1.New, nil, p) })
		return out
	})
	blob(open, "P wrapped with a label", func(c *refCustomer, p []byte) []byte {
		return c.s.oaep(&vault.PublicKey, sha256.New, []byte("coffer/cmk/v1"), p)
	})
	blob(open, "P wrapped by PKCS 1 v1.5", func(c *refCustomer, p []byte) []byte { return c.s.pkcs1(&vault.PublicKey, p) })
	blob(format, "P of 31 bytes", func(c *refCustomer, p []byte) []byte {
		return c.s.oaep(&vault.PublicKey, sha256.New, nil, p[:31])
	})
	blob(format, "P of 33 bytes", func(c *refCustomer, p []byte) []byte {
		return c.s.oaep(&vault.PublicKey, sha256.New, nil, append(p[:32:32], 0))
	})
	blob(open, "another P", func(c *refCustomer, _ []byte) []byte {
		return c.s.oaep(&vault.PublicKey, sha256.New, nil, c.s.bytes(32))
	})
	blob(open, "the KEK itself wrapped", func(c *refCustomer, _ []byte) []byte {
		return c.s.oaep(&vault.PublicKey, sha256.New, nil, c.kek)
	})
	add(open, "wrapped P changed", func(c *refCustomer) { c.sealedBlob = flipAt(-9) })
	add(open, "wrapped P cut", func(c *refCustomer) { c.sealedBlob = func(b []byte) []byte { return b[:len(b)-1] } })

	// R, which never leaves the key store.
	forR := func(comment string, change func(*refCustomer)) {
		add(open, comment, func(c *refCustomer) { c.forR = c.at(change) })
	}
	forR("R under another seal key", func(c *refCustomer) { c.sk = c.s.bytes(32) })
	forR("R of another store", func(c *refCustomer) { c.store = c.s.bytes(16) })
	forR("R of another protector", func(c *refCustomer) { c.protector = append([]byte{2}, c.owner...) })
	forR("R of another wrapping", func(c *refCustomer) { c.w = c.s.bytes(16) })
	add(open, "R under another label", func(c *refCustomer) { c.labelR = "coffer/cmk/v1" })
	add(keyref, "R names another root", func(c *refCustomer) { c.keyrefR = c.s.bytes(16) })
	add(open, "R changed", func(c *refCustomer) { c.sealedR = flipAt(-20) })
	add(format, "R of an unknown suite", func(c *refCustomer) { c.sealedR = flipAt(1) })

	// The key that both give.
	ikm := func(comment string, f func(r, p []byte) []byte) {
		add(open, comment, func(c *refCustomer) { c.ikm = f })
	}
	ikm("key from P alone", func(_, p []byte) []byte { return p })
	ikm("key from R alone", func(r, _ []byte) []byte { return r })
	ikm("key from P and R in the other order", func(r, p []byte) []byte { return slices.Concat(p, r) })
	ikm("key from the sum of R and P", func(r, p []byte) []byte {
		out := make([]byte, 32)
		subtle.XORBytes(out, r, p)
		return out
	})
	forK := func(comment string, change func(*refCustomer)) {
		add(open, comment, func(c *refCustomer) { c.forK = c.at(change) })
	}
	forK("key for another wrapping", func(c *refCustomer) { c.w = c.s.bytes(16) })
	forK("key for another owner", func(c *refCustomer) { c.owner = c.s.bytes(16) })
	forK("key for another protector", func(c *refCustomer) { c.protector = append([]byte{2}, c.owner...) })
	forK("key for another version of the customer's key", func(c *refCustomer) { c.uri = c.uri[:len(c.uri)-1] + "0" })
	forK("key for the address without a version", func(c *refCustomer) { c.uri = c.uri[:len(c.uri)-33] })
	forK("key for the address with a slash at the end", func(c *refCustomer) { c.uri += "/" })
	forK("key for the same name in another vault", func(c *refCustomer) { c.uri = strings.Replace(c.uri, "hq.", "hr.", 1) })
	add(open, "key under another label", func(c *refCustomer) { c.label = "coffer/cmk/r/v1" })

	// The KEK.
	forSecret := func(comment string, change func(*refCustomer)) {
		add(open, comment, func(c *refCustomer) { c.forSecret = c.at(change) })
	}
	forSecret("KEK of another version", func(c *refCustomer) { c.version++ })
	forSecret("KEK of another name", func(c *refCustomer) { c.kref = c.s.bytes(16) })
	forSecret("KEK of another chain", func(c *refCustomer) { c.chain = c.s.bytes(16) })
	forSecret("KEK of another owner", func(c *refCustomer) { c.owner = c.s.bytes(16) })
	forSecret("KEK of another protector", func(c *refCustomer) { c.protector = append([]byte{2}, c.owner...) })
	forSecret("KEK of another store", func(c *refCustomer) { c.store = c.s.bytes(16) })
	forSecret("key of another kind", func(c *refCustomer) { c.kind = 2 })
	add(keyref, "KEK names another wrapping", func(c *refCustomer) { c.keyrefSecret = c.s.bytes(16) })
	add(keyref, "KEK in the service's form", func(c *refCustomer) { c.underSecret, c.keyrefSecret = c.sk, c.srkRef })
	add(open, "KEK under the service's key with the name of the wrapping", func(c *refCustomer) { c.underSecret = c.sk })
	add(open, "KEK changed", func(c *refCustomer) { c.sealedSecret = flipAt(-20) })
	add(mismatch, "check value changed", func(c *refCustomer) { c.kc = flipAt(-1) })
	add(mismatch, "check value of another KEK", func(c *refCustomer) { c.kekOfKCV = c.s.bytes(32) })
	return out
}

func TestMakeCustomerVectors(t *testing.T) {
	compareVectors(t, filepath.Join(vectortest.Root(), "cmk"), customerCases())
}

// compareVectors compares what the second implementation makes with what is stored.
func compareVectors(t *testing.T, dir string, cases []vectortest.Case) {
	t.Helper()
	made := map[string]bool{}
	for _, c := range cases {
		made[c.Name+".txt"] = true
		path := filepath.Join(dir, c.Name+".txt")
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if string(b) != c.String() {
			t.Errorf("%s is not what the second implementation makes", c.Name)
		}
	}
	stored, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range stored {
		if !made[e.Name()] {
			t.Errorf("%s is made by nobody", e.Name())
		}
	}
}
