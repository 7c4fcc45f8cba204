package slot

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
	"github.com/coffer-storage/coffer/internal/secret"
)

var update = flag.Bool("update", false, "write the vectors of spec/testkit/slot anew, with new RSA keys")

func class(err error) string {
	switch {
	case err == nil:
		return vectortest.OK
	case errors.Is(err, ErrFormat):
		return vectortest.Format
	case errors.Is(err, ErrOpen):
		return vectortest.Open
	}
	return "another error: " + err.Error()
}

func TestVectors(t *testing.T) {
	seen := map[string]int{}
	for _, c := range vectortest.Load(t, "slot") {
		t.Run(c.Name, func(t *testing.T) {
			seen[c.Text("format")]++
			open := map[string]func(*testing.T, vectortest.Case) (secret.Key, error){"RECOVERY": openRecovery, "SHARES": openShares}[c.Text("format")]
			if open == nil {
				t.Fatalf("format %q has no opener", c.Text("format"))
			}
			k, err := open(t, c)
			if got, want := class(err), c.Text("expect"); got != want {
				t.Fatalf("%s: %s, want %s", c.Text("comment"), got, want)
			}
			if err != nil {
				if !k.IsZero() {
					t.Error("a failure returned a key")
				}
				return
			}
			if !bytes.Equal(raw(t, k), c.Bytes(t, "secret")) {
				t.Error("opened to something else")
			}
		})
	}
	if seen["RECOVERY"] < 8 || seen["SHARES"] < 6 {
		t.Errorf("only %v vectors", seen)
	}
}

func placeFrom(t *testing.T, c vectortest.Case) Place {
	return Place{Store: c.ID(t, "store"), Slot: c.ID(t, "slot"), Root: uint8(c.Int(t, "root")), Ref: c.ID(t, "ref"),
		Provider: uint8(c.Int(t, "provider")), Params: c.Bytes(t, "params")}
}

func openRecovery(t *testing.T, c vectortest.Case) (secret.Key, error) {
	var u secret.Key
	if c.Has("passphrase") {
		q, err := ParseParams(Passphrase, c.Bytes(t, "params"))
		if err != nil {
			return secret.Key{}, err
		}
		if u, err = FromPassphrase(c.Text("passphrase"), q.Salt, q.Iterations); err != nil {
			return secret.Key{}, err
		}
	} else {
		u = secret.New(c.Bytes(t, "u"))
	}
	root, pin, err := OpenRoot(u, placeFrom(t, c), c.Bytes(t, "blob"))
	if err == nil && !bytes.Equal(pin[:], c.Bytes(t, "pin")) {
		t.Error("another pin")
	}
	return root, err
}

func openShares(t *testing.T, c vectortest.Case) (secret.Key, error) {
	var shares []Share
	for _, text := range strings.Fields(c.Text("shares")) {
		s, err := ParseShare(text)
		if err != nil {
			return secret.Key{}, err
		}
		shares = append(shares, s)
	}
	return Join(shares, uint8(c.Int(t, "k")))
}

// The generator. Shares come from a second implementation over tables of logarithms;
// recovery slots from the standard library, with what the specification says spelled
// out here. RSA keys cannot be drawn from a seed, so each run writes other bytes.

type vectors struct {
	t    *testing.T
	keys []*rsa.PrivateKey
}

// TestMakeVectors is no test: with -update it writes the vectors that the others read.
func TestMakeVectors(t *testing.T) {
	if !*update {
		return
	}
	v := &vectors{t: t}
	for _, bits := range []int{3072, 2048} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		v.keys = append(v.keys, k)
	}
	v.recovery()
	v.shares()
}

func (v *vectors) write(c vectortest.Case, comment string) {
	dir := filepath.Join(vectortest.Root(), "slot")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		v.t.Fatal(err)
	}
	name := strings.ToLower(strings.NewReplacer(" ", "-", ",", "").Replace(c.Text("format") + "-" + comment))
	if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(c.String()), 0o644); err != nil {
		v.t.Fatal(err)
	}
}

// recoveryCase is a slot whose parts can be spoiled one by one.
type recoveryCase struct {
	place      Place
	head       []byte
	u, root    []byte
	pin        [32]byte
	passphrase string
	key        *rsa.PrivateKey
	aadFirst   func([]byte) []byte // what the private key is bound to
	label      func(Place) []byte
	params     func([]byte) []byte
}

func (v *vectors) newRecovery() recoveryCase {
	return recoveryCase{
		place: Place{Store: [16]byte(random(16)), Slot: [16]byte(random(16)), Root: 1, Ref: [16]byte(random(16)), Provider: Kit},
		head:  []byte{2, 3}, u: random(32), root: random(32), pin: [32]byte(random(32)), key: v.keys[0],
		label: func(p Place) []byte {
			return enc.Encode("coffer/slot/v1", p.Store[:], p.Slot[:], enc.Uint(uint64(p.Root)), p.Ref[:], enc.Uint(uint64(p.Provider)), p.Params)
		},
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (v *vectors) add(expect, comment string, r recoveryCase) {
	spki, err := x509.MarshalPKIXPublicKey(&r.key.PublicKey)
	if err != nil {
		v.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(r.key)
	if err != nil {
		v.t.Fatal(err)
	}
	p := r.place
	first := append(bytes.Clone(r.head), spki...)
	bound := first
	if r.aadFirst != nil {
		bound = r.aadFirst(bytes.Clone(first))
	}
	aad := enc.Encode("coffer/slot/private/v1", p.Store[:], p.Slot[:], enc.Uint(uint64(p.Root)), enc.Uint(uint64(p.Provider)), bound)
	sealed, err := keywrap.Seal(secret.New(bytes.Clone(r.u)), p.Slot, aad, append(r.pin[:], private...))
	if err != nil {
		v.t.Fatal(err)
	}
	p.Params = append(append(binary.BigEndian.AppendUint32(nil, uint32(len(first))), first...), sealed...)
	if r.params != nil {
		p.Params = r.params(p.Params)
	}
	blob, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &r.key.PublicKey, r.root, r.label(p))
	if err != nil {
		v.t.Fatal(err)
	}
	var c vectortest.Case
	c.Add("format", "RECOVERY")
	c.Add("expect", expect)
	c.Add("comment", comment)
	if r.passphrase != "" {
		c.Add("passphrase", r.passphrase)
	} else {
		c.AddBytes("u", r.u)
	}
	c.AddBytes("store", p.Store[:])
	c.AddBytes("slot", p.Slot[:])
	c.Add("root", string('0'+rune(p.Root)))
	c.AddBytes("ref", p.Ref[:])
	c.Add("provider", string('0'+rune(p.Provider)))
	c.AddBytes("params", p.Params)
	c.AddBytes("blob", blob)
	c.AddBytes("pin", r.pin[:])
	c.AddBytes("secret", r.root)
	v.write(c, comment)
}

func (v *vectors) recovery() {
	v.add(vectortest.OK, "kit, 2 of 3", v.newRecovery())
	withPass := func(n uint32) recoveryCase {
		r := v.newRecovery()
		r.place.Provider, r.place.Root, r.passphrase = Passphrase, 2, "an owl counts eleven keys"
		salt := [16]byte(random(16))
		r.head = binary.BigEndian.AppendUint32(bytes.Clone(salt[:]), n)
		if u, err := FromPassphrase(r.passphrase, salt, max(n, MinIterations)); err == nil {
			r.u = raw(v.t, u)
		}
		return r
	}
	v.add(vectortest.OK, "passphrase, infrastructure root", withPass(600_000))
	v.add(vectortest.Format, "too few iterations", withPass(599_999))
	bad := func(expect, comment string, change func(*recoveryCase)) {
		r := v.newRecovery()
		change(&r)
		v.add(expect, comment, r)
	}
	bad(vectortest.Format, "RSA 2048", func(r *recoveryCase) { r.key = v.keys[1] })
	bad(vectortest.Format, "no share needed", func(r *recoveryCase) { r.head = []byte{0, 3} })
	bad(vectortest.Format, "more shares needed than there are", func(r *recoveryCase) { r.head = []byte{4, 3} })
	bad(vectortest.Format, "first cut", func(r *recoveryCase) { r.params = func(b []byte) []byte { b[3]--; return b } })
	bad(vectortest.Format, "root of 31 bytes", func(r *recoveryCase) { r.root = r.root[:31] })
	bad(vectortest.Open, "private key sealed for another threshold", func(r *recoveryCase) {
		r.aadFirst = func(b []byte) []byte { b[0] = 1; return b }
	})
	bad(vectortest.Open, "private key changed", func(r *recoveryCase) {
		r.params = func(b []byte) []byte { b[len(b)-20] ^= 1; return b }
	})
	bad(vectortest.Open, "root sealed for another root ref", func(r *recoveryCase) {
		right := r.label
		r.label = func(p Place) []byte { p.Ref[0] ^= 1; return right(p) }
	})
	bad(vectortest.Open, "root sealed without its params", func(r *recoveryCase) {
		right := r.label
		r.label = func(p Place) []byte { p.Params = nil; return right(p) }
	})
}

// tables is GF(2^8) with 0x11B by powers of the generator 3.
func tables() (exp [510]byte, log [256]int) {
	x := 1
	for i := range 255 {
		exp[i], exp[i+255] = byte(x), byte(x)
		log[x] = i
		x ^= x << 1
		if x > 255 {
			x ^= 0x11B
		}
	}
	return exp, log
}

func refShare(coefficients [][]byte, x byte) Share {
	exp, log := tables()
	times := func(a, b byte) byte {
		if a == 0 || b == 0 {
			return 0
		}
		return exp[log[a]+log[b]]
	}
	s := Share{x}
	power := byte(1)
	for _, c := range coefficients {
		for i := range c {
			s[1+i] ^= times(c[i], power)
		}
		power = times(power, x)
	}
	h := sha256.Sum256(s[:33])
	copy(s[33:], h[:4])
	return s
}

func (v *vectors) shares() {
	add := func(expect, comment, k string, u []byte, texts ...string) {
		var c vectortest.Case
		c.Add("format", "SHARES")
		c.Add("expect", expect)
		c.Add("comment", comment)
		c.Add("k", k)
		c.Add("shares", strings.Join(texts, " "))
		c.AddBytes("secret", u)
		v.write(c, comment)
	}
	u := random(32)
	co := [][]byte{u, random(32), random(32)}
	one, last := refShare(co, 1).Text(), refShare(co, 255).Text()
	add(vectortest.OK, "1 of 1", "1", u, refShare(co[:1], 1).Text())
	add(vectortest.OK, "3 of 255, out of order", "3", u, last, one, refShare(co, 80).Text())
	add(vectortest.OK, "3 of 255, other three", "3", u, refShare(co, 2).Text(), refShare(co, 3).Text(), refShare(co, 4).Text())
	add(vectortest.OK, "lower case without dashes", "1", u, strings.ToLower(strings.ReplaceAll(refShare(co[:1], 1).Text(), "-", "")))
	slip := []byte(one)
	slip[7] = alphabet[(strings.IndexByte(alphabet, slip[7])+1)%32]
	add(vectortest.Format, "a slip of the pen", "1", u, string(slip))
	add(vectortest.Format, "a character short", "1", u, one[1:])
	add(vectortest.Format, "share number 0", "1", u, refShare(co, 0).Text())
}
