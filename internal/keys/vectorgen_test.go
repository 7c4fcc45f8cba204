package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
)

var update = flag.Bool("update", false, "write the vectors of spec/testkit/keystore and cmk anew")

// A second implementation of the key-store file, from the specification alone: it
// shares no code with the package, draws from a fixed stream and builds every byte by
// hand. What it makes, the package must open; what it breaks, the package must refuse.

// stream is a deterministic source of bytes.
type stream struct{ n uint64 }

func (s *stream) bytes(n int) []byte {
	var out []byte
	for len(out) < n {
		h := sha256.Sum256(fmt.Appendf(nil, "coffer keystore vectors %d", s.n))
		s.n++
		out = append(out, h[:]...)
	}
	return out[:n]
}

func refEnc(label string, fields ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(label)))
	b = append(b, label...)
	for _, f := range fields {
		b = lv(b, f)
	}
	return b
}

// lv appends a field with its u32 length.
func lv(b, f []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
}

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func refHKDF(ikm, salt, info []byte, n int) []byte {
	out, err := hkdf.Key(sha256.New, ikm, salt, string(info), n)
	if err != nil {
		panic(err)
	}
	return out
}

func refKCV(key, chain []byte, version uint64) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(refEnc("coffer/kcv/v1", chain, u64(version)))
	return m.Sum(nil)[:16]
}

func (s *stream) seal(key, keyref, aad, plain []byte) []byte {
	salt, nonce := s.bytes(16), s.bytes(12)
	sum := sha256.Sum256(aad)
	kc := refHKDF(key, salt, refEnc("coffer/seal/v1", u64(1), u64(1), keyref, sum[:]), 64)
	b := slices.Concat([]byte{1, 1}, keyref, salt, kc[32:], nonce)
	fips140.WithoutEnforcement(func() { // strict FIPS mode knows no chosen nonces
		block, err := aes.NewCipher(kc[:32])
		if err != nil {
			panic(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			panic(err)
		}
		b = gcm.Seal(b, nonce, plain, nil)
	})
	return b
}

// refKey is a version of a chain.
type refKey struct {
	number                                 uint64
	kref, secret                           []byte
	state                                  byte
	created, activated, deactivated, unref uint64
	destroyed                              uint64
	by                                     string
	aadNumber                              uint64 // version that the secret is bound to; 0: number
	kcvFlip                                bool
}

type refChain struct {
	id, owner, protector []byte
	kind                 byte
	period               uint64
	keys                 []refKey
	wrappings            []refWrapping
	secrets              func([]refSecret) []refSecret // spoils what a version has
}

// refWrapping is a wrapping by a customer's key.
type refWrapping struct {
	w, r, p, blob    []byte
	role, follow     byte
	uri, id, client  string
	created, demoted uint64
}

type refSecret struct {
	form    byte
	w, wrap []byte
}

// refStore is everything that a file says.
type refStore struct {
	s                              *stream
	version, dev                   byte
	store, srkRef, irkRef          []byte
	srk, irk, uS, uI, slotS, slotI []byte
	generation                     uint64
	identity                       ed25519.PrivateKey
	chains                         []refChain
	extra                          func(body []byte) []byte // spoils the body before it is sealed
	bodyHead                       func(head []byte) []byte // spoils what the body is bound to
	sealed                         func(b []byte) []byte    // spoils the sealed body before it is signed
	blob                           func(b []byte) []byte    // spoils the blob of the service slot
	headKey                        []byte                   // identity in the head, if another
	signer                         ed25519.PrivateKey       // if another
}

func newRefStore() *refStore {
	s := &stream{}
	r := &refStore{
		s: s, version: 1, store: s.bytes(16), srkRef: s.bytes(16), irkRef: s.bytes(16),
		srk: s.bytes(32), irk: s.bytes(32), uS: s.bytes(32), uI: s.bytes(32),
		slotS: append([]byte{1}, s.bytes(15)...), slotI: append([]byte{2}, s.bytes(15)...),
		generation: 1<<32 + 7, identity: ed25519.NewKeyFromSeed(s.bytes(32)),
	}
	account := s.bytes(16)
	chain := func(kind byte, owner []byte, protector []byte, secret []byte) refChain {
		return refChain{id: append([]byte{byte(len(r.chains)*16 + 1)}, s.bytes(15)...), kind: kind, owner: owner, protector: protector,
			period: 3600, keys: []refKey{{number: 1, kref: s.bytes(16), secret: secret, state: 2, created: 1 << 33, activated: 1<<33 + 1}}}
	}
	none := make([]byte, 17)
	add := func(c refChain) { r.chains = append(r.chains, c) }
	add(chain(5, r.store, none, r.identity.Seed()))
	add(chain(6, r.store, none, s.bytes(32)))
	add(chain(3, r.store, none, s.bytes(32)))
	add(chain(2, r.store, none, s.bytes(32)))
	add(chain(4, r.store, none, s.bytes(32)))
	add(chain(2, account, none, s.bytes(32)))
	kek := chain(1, account, append([]byte{1}, account...), s.bytes(32))
	gone := refKey{number: 1, kref: s.bytes(16), state: 5, created: 1, activated: 2, deactivated: 3, unref: 4, destroyed: 5, by: "operator"}
	old := refKey{number: 2, kref: s.bytes(16), secret: s.bytes(32), state: 3, created: 6, activated: 7, deactivated: 8}
	kek.keys[0].number = 3
	kek.keys = []refKey{gone, old, kek.keys[0]}
	add(kek)
	return r
}

func (r *refStore) sealKey(root byte) ([]byte, []byte) {
	if root == 1 {
		return refHKDF(r.srk, r.store, refEnc("coffer/root/v1", u64(1), r.srkRef), 32), r.srkRef
	}
	return refHKDF(r.irk, r.store, refEnc("coffer/root/v1", u64(2), r.irkRef), 32), r.irkRef
}

func (r *refStore) body() []byte {
	b := append([]byte{1, 1}, u64(86400)...) // initialized, retention
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.chains)))
	var protectors [][]byte
	for _, c := range r.chains {
		b = slices.Concat(b, c.id, []byte{c.kind}, c.owner, c.protector, u64(c.period))
		b = binary.BigEndian.AppendUint32(b, uint32(len(c.keys)))
		for _, k := range c.keys {
			b = append(b, r.key(c, k)...)
		}
		if c.kind == 1 {
			protectors = append(protectors, slices.Concat(c.protector, c.owner, c.id, []byte{1, 0}, u64(1), r.wrappings(c)))
		}
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(protectors)))
	b = append(b, slices.Concat(protectors...)...)
	b = binary.BigEndian.AppendUint32(b, 1) // slot facts
	b = lv(append(b, r.slotS...), []byte("unseal key"))
	return append(append(b, u64(0)...), make([]byte, 16)...)
}

func (r *refStore) key(c refChain, k refKey) []byte {
	b := slices.Concat(u64(k.number), k.kref, []byte{k.state}, u64(k.created), u64(k.activated), u64(k.deactivated), u64(k.unref), u64(k.destroyed))
	b = lv(b, []byte(k.by))
	if c.kind == 5 || c.kind == 6 {
		b = lv(b, ed25519.NewKeyFromSeed(k.secret).Public().(ed25519.PublicKey))
	}
	kcv := make([]byte, 16)
	if k.secret != nil {
		kcv = refKCV(k.secret, c.id, k.number)
	}
	if k.kcvFlip {
		kcv[15] ^= 1
	}
	b = append(b, kcv...)
	if k.secret == nil {
		return append(b, 0)
	}
	form := byte(1)
	if c.kind == 4 {
		form = 2
	}
	number := k.number
	if k.aadNumber != 0 {
		number = k.aadNumber
	}
	sk, ref := r.sealKey(form)
	aad := refEnc("coffer/key/v1", r.store, c.id, u64(uint64(c.kind)), c.owner, c.protector, u64(number), k.kref)
	var secrets []refSecret
	for _, x := range c.wrappings {
		key := refHKDF(slices.Concat(x.r, x.p), x.w, refEnc("coffer/cmk/v1", c.owner, c.protector, []byte(x.uri)), 32)
		secrets = append(secrets, refSecret{3, x.w, r.s.seal(key, x.w, aad, k.secret)})
	}
	if secrets == nil {
		secrets = []refSecret{{form, make([]byte, 16), r.s.seal(sk, ref, aad, k.secret)}}
	}
	if c.secrets != nil {
		secrets = c.secrets(secrets)
	}
	b = append(b, byte(len(secrets)))
	for _, x := range secrets {
		b = slices.Concat(b, []byte{x.form}, x.w, x.wrap)
	}
	return b
}

func (r *refStore) wrappings(c refChain) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(c.wrappings)))
	sk, ref := r.sealKey(1)
	for _, x := range c.wrappings {
		b = lv(slices.Concat(b, x.w, []byte{x.role}), []byte(x.uri))
		b = lv(lv(append(b, x.follow), []byte(x.id)), []byte(x.client))
		b = append(b, r.s.seal(sk, ref, refEnc("coffer/cmk/r/v1", r.store, c.protector, x.w), x.r)...)
		b = slices.Concat(lv(b, x.blob), u64(x.created), u64(x.demoted))
	}
	return b
}

// customer puts the KEK of the account under two wrappings of one customer's key: the one
// in force, and the one before.
func (r *refStore) customer() *refChain {
	c := &r.chains[6]
	for i, role := range []byte{1, 3} {
		p := r.s.bytes(32)
		c.wrappings = append(c.wrappings, refWrapping{
			w: append([]byte{byte(i + 1)}, r.s.bytes(15)...), r: r.s.bytes(32), p: p, role: role, follow: 1,
			blob: r.s.oaep(&vaultKeys()[0].PublicKey, sha256.New, nil, p),
			uri:  fmt.Sprintf("https://hq.vault.example/keys/switch/%d", 2-i), id: "/subscriptions/s/identity", client: "app", created: 9,
		})
	}
	c.wrappings[1].demoted = 10
	return c
}

func (r *refStore) slot(id []byte, root byte, u, key, ref []byte) []byte {
	aad := refEnc("coffer/slot/v1", r.store, id, u64(uint64(root)), ref, u64(1), nil)
	blob := r.s.seal(u, id, aad, key)
	if root == 1 && r.blob != nil {
		blob = r.blob(blob)
	}
	return lv(lv(slices.Concat(id, []byte{root, 1}), nil), blob)
}

func (r *refStore) make() []byte {
	public := []byte(r.identity.Public().(ed25519.PublicKey))
	if r.headKey != nil {
		public = r.headKey
	}
	b := slices.Concat([]byte("CFKS"), []byte{r.version, 1, r.dev, 0}, r.store, u64(r.generation), r.srkRef, r.irkRef, public)
	slots := [][]byte{r.slot(r.slotS, 1, r.uS, r.srk, r.srkRef), r.slot(r.slotI, 2, r.uI, r.irk, r.irkRef)}
	b = binary.BigEndian.AppendUint16(b, uint16(len(slots)))
	b = append(b, slices.Concat(slots...)...)
	body := r.body()
	if r.extra != nil {
		body = r.extra(body)
	}
	bound := b
	if r.bodyHead != nil {
		bound = r.bodyHead(bytes.Clone(b))
	}
	sk, ref := r.sealKey(1)
	sealed := r.s.seal(sk, ref, refEnc("coffer/keystore/v1", bound), body)
	if r.sealed != nil {
		sealed = r.sealed(sealed)
	}
	b = lv(b, sealed)
	signer := r.identity
	if r.signer != nil {
		signer = r.signer
	}
	return append(b, ed25519.Sign(signer, refEnc("coffer/keystore/sig/v1", b))...)
}

func (r *refStore) pin() []byte {
	h := sha256.Sum256(refEnc("coffer/identity/v1", r.identity.Public().(ed25519.PublicKey)))
	return h[:]
}

// caseOf is one vector.
func (r *refStore) caseOf(expect, comment string, file []byte) vectortest.Case {
	kind := "bad"
	if expect == vectortest.OK {
		kind = "ok"
	}
	c := vectortest.Case{Name: "file-" + kind + "-" + strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(comment)}
	c.Add("format", "CFKS")
	c.Add("expect", expect)
	c.Add("comment", comment)
	c.AddBytes("service-secret", r.uS)
	c.AddBytes("infra-secret", r.uI)
	c.AddBytes("pin", r.pin())
	if r.chains[6].wrappings != nil {
		c.AddBytes("vault-key", vaultKeyDER(vaultKeys()[0]))
	}
	c.AddBytes("file", file)
	return c
}

func flipAt(i int) func([]byte) []byte {
	return func(b []byte) []byte {
		b = bytes.Clone(b)
		b[(i+len(b))%len(b)] ^= 1
		return b
	}
}

// refCases are all vectors of the file, each bad one with one fault.
func refCases() []vectortest.Case {
	var out []vectortest.Case
	add := func(expect, comment string, change func(*refStore), spoil func([]byte) []byte) {
		r := newRefStore()
		if change != nil {
			change(r)
		}
		file := r.make()
		if spoil != nil {
			file = spoil(file)
		}
		out = append(out, r.caseOf(expect, comment, file))
	}
	add(vectortest.OK, "every kind of chain", nil, nil)
	add(vectortest.OK, "development store", func(r *refStore) { r.dev = 1 }, nil)
	add(vectortest.OK, "generation 1", func(r *refStore) { r.generation = 1 }, nil)
	const format, open, keyref, mismatch = vectortest.Format, vectortest.Open, vectortest.Keyref, vectortest.Mismatch

	add(format, "nothing", nil, func([]byte) []byte { return nil })
	add(format, "version 2", func(r *refStore) { r.version = 2 }, nil)
	add(format, "unknown flag", func(r *refStore) { r.dev = 2 }, nil)
	add(format, "generation 0", func(r *refStore) { r.generation = 0 }, nil)
	add(format, "one byte more", nil, func(b []byte) []byte { return append(b, 0) })
	add(format, "one byte cut", nil, func(b []byte) []byte { return b[:len(b)-1] })
	add(format, "slots out of order", func(r *refStore) { r.slotS[0] = 3 }, nil)
	add(mismatch, "planted identity", func(r *refStore) {
		r.signer = ed25519.NewKeyFromSeed(r.s.bytes(32))
		r.headKey = r.signer.Public().(ed25519.PublicKey)
	}, nil)
	add(open, "signature changed", nil, flipAt(-1))
	add(open, "signed by another key", func(r *refStore) { r.signer = ed25519.NewKeyFromSeed(r.s.bytes(32)) }, nil)
	add(open, "root under another slot secret", func(r *refStore) {
		r.blob = func(b []byte) []byte { return r.s.seal(r.s.bytes(32), b[2:18], nil, r.srk) }
	}, nil)
	add(open, "root in the slot changed", func(r *refStore) { r.blob = flipAt(-20) }, nil)
	add(format, "root in the slot cut", func(r *refStore) { r.blob = func(b []byte) []byte { return b[:125] } }, nil)
	add(open, "body changed", func(r *refStore) { r.sealed = flipAt(-30) }, nil)
	add(keyref, "body names another root", func(r *refStore) { r.sealed = flipAt(2) }, nil)
	add(open, "body sealed for another generation", func(r *refStore) { r.bodyHead = flipAt(31) }, nil)
	add(open, "body sealed for a development store", func(r *refStore) { r.bodyHead = flipAt(6) }, nil)
	body := func(comment string, f func(*refStore)) { add(format, comment, f, nil) }
	body("body version 2", func(r *refStore) { r.extra = func(b []byte) []byte { b[0] = 2; return b } })
	body("unknown body flag", func(r *refStore) { r.extra = func(b []byte) []byte { b[1] |= 4; return b } })
	body("one byte after the body", func(r *refStore) { r.extra = func(b []byte) []byte { return append(b, 0) } })
	body("chains out of order", func(r *refStore) { r.chains[2].id[0] = 0xFF })
	body("two active versions", func(r *refStore) { r.chains[6].keys[1].state = 2 })
	body("destroyed version with a secret", func(r *refStore) { r.chains[6].keys[1].state, r.chains[6].keys[1].destroyed = 5, 9 })
	body("version number skipped", func(r *refStore) { r.chains[6].keys[2].number = 4 })
	body("kref twice", func(r *refStore) { r.chains[3].keys[0].kref = r.chains[2].keys[0].kref })
	body("unknown state", func(r *refStore) { r.chains[2].keys[0].state = 6 })
	body("unknown kind of chain", func(r *refStore) { r.chains[2].kind = 7 })
	body("identity of head and body differ", func(r *refStore) { r.chains[0].keys[0].secret = r.s.bytes(32) })
	add(mismatch, "KCV of a KEK changed", func(r *refStore) { r.chains[6].keys[2].kcvFlip = true }, nil)
	add(open, "secret of another version", func(r *refStore) { r.chains[6].keys[1].aadNumber = 3 }, nil)

	add(vectortest.OK, "customer's key in force and the one before", func(r *refStore) { r.customer() }, nil)
	add(vectortest.OK, "customer's key without a name of an identity", func(r *refStore) {
		c := r.customer()
		c.wrappings = c.wrappings[:1]
		c.wrappings[0].id, c.wrappings[0].client, c.wrappings[0].follow = "", "", 0
	}, nil)
	customer := func(comment string, f func(*refChain)) { body(comment, func(r *refStore) { f(r.customer()) }) }
	customer("two wrappings in force", func(c *refChain) { c.wrappings[1].role = 1 })
	customer("wrapping of an unknown role", func(c *refChain) { c.wrappings[1].role = 4 })
	customer("wrapping of role 0", func(c *refChain) { c.wrappings[1].role = 0 })
	customer("wrapping follows a little", func(c *refChain) { c.wrappings[0].follow = 2 })
	customer("wrapping without an address", func(c *refChain) { c.wrappings[1].uri = "" })
	customer("wrapping without a wrapped value", func(c *refChain) { c.wrappings[1].blob = nil })
	customer("wrapped value of 1025 bytes", func(c *refChain) { c.wrappings[1].blob = make([]byte, 1025) })
	customer("secrets of wrappings out of order", func(c *refChain) {
		c.secrets = func(s []refSecret) []refSecret { return []refSecret{s[1], s[0]} }
	})
	customer("one secret twice", func(c *refChain) {
		c.secrets = func(s []refSecret) []refSecret { return []refSecret{s[0], s[0]} }
	})
	customer("secret under an unknown wrapping", func(c *refChain) {
		c.secrets = func(s []refSecret) []refSecret { s[1].w = bytes.Repeat([]byte{0xFF}, 16); return s }
	})
	customer("customer's form without a wrapping", func(c *refChain) {
		c.secrets = func(s []refSecret) []refSecret { s[0].w = make([]byte, 16); return s }
	})
	customer("service's form with a wrapping", func(c *refChain) {
		c.secrets = func(s []refSecret) []refSecret { s[0].form = 1; return s }
	})
	customer("KEK in the form of the infrastructure", func(c *refChain) {
		c.secrets = func(s []refSecret) []refSecret { s[0].form, s[0].w = 2, make([]byte, 16); return s }
	})
	body("system key in the customer's form", func(r *refStore) {
		w := r.customer().wrappings[0].w
		r.chains[5].secrets = func(s []refSecret) []refSecret { s[0].form, s[0].w = 3, w; return s }
	})
	body("wrappings out of order", func(r *refStore) {
		c := r.customer()
		slices.Reverse(c.wrappings)
		c.secrets = func(s []refSecret) []refSecret { slices.Reverse(s); return s }
	})
	return out
}

func TestMakeVectors(t *testing.T) {
	compareVectors(t, filepath.Join(vectortest.Root(), "keystore"), refCases())
}
