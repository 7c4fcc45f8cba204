package vectortest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"slices"
)

// This file writes every format a second time, from the specification and without the
// code under test. Here salts and nonces are chosen, so that vectors are made the same
// again, and any single thing can be done wrong. Chosen nonces and short salts are what
// strict FIPS mode forbids: it is lifted for them, and for them only.

// refEnc is enc(label, fields).
func refEnc(label string, fields ...[]byte) []byte {
	b := append([]byte{byte(len(label) >> 8), byte(len(label))}, label...)
	for _, f := range fields {
		n := len(f)
		b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		b = append(b, f...)
	}
	return b
}

// refUint is an integer inside enc.
func refUint(n uint64) []byte {
	b := make([]byte, 8)
	for i := 7; i >= 0; i-- {
		b[i] = byte(n)
		n >>= 8
	}
	return b
}

// refHKDF is RFC 5869 with SHA-256.
func refHKDF(ikm, salt, info []byte, n int) []byte {
	mac := func(key []byte, parts ...[]byte) (sum []byte) {
		fips140.WithoutEnforcement(func() {
			m := hmac.New(sha256.New, key)
			for _, p := range parts {
				m.Write(p)
			}
			sum = m.Sum(nil)
		})
		return sum
	}
	prk := mac(salt, ikm)
	var out, t []byte
	for i := byte(1); len(out) < n; i++ {
		t = mac(prk, t, info, []byte{i})
		out = append(out, t...)
	}
	return out[:n]
}

// refGCM returns nonce || ciphertext || tag.
func refGCM(key, nonce, aad, plaintext []byte) []byte {
	return newGCM(key).Seal(slices.Clone(nonce), nonce, plaintext, aad)
}

// newGCM is GCM as everybody has it, with nonces of the caller.
func newGCM(key []byte) (gcm cipher.AEAD) {
	fips140.WithoutEnforcement(func() {
		block, err := aes.NewCipher(key)
		if err == nil {
			gcm, err = cipher.NewGCM(block)
		}
		if err != nil {
			panic(err)
		}
	})
	return gcm
}

// refGCMOpen is the way back; nil when it does not open.
func refGCMOpen(key, aad, b []byte) []byte {
	out, err := newGCM(key).Open([]byte{}, b[:12], b[12:], aad)
	if err != nil {
		return nil
	}
	return out
}

// seal1 says how to make a SEAL-1.
type seal1 struct {
	version, suite         byte
	key, keyref, salt      []byte
	nonce, aad, plaintext  []byte
	gcmAAD                 []byte // must be empty
	label                  string
	zeroCommit, noHashAAD  bool
	kdfVersion, kdfSuite   byte
	commitFirst, noKeyrefs bool
}

func (s seal1) make() []byte {
	sum := sha256.Sum256(s.aad)
	hash := sum[:]
	if s.noHashAAD {
		hash = s.aad
	}
	keyref := s.keyref
	if s.noKeyrefs {
		keyref = make([]byte, 16)
	}
	k := refHKDF(s.key, s.salt, refEnc(s.label, refUint(uint64(s.kdfVersion)), refUint(uint64(s.kdfSuite)), keyref, hash), 64)
	key, commitment := k[:32], k[32:]
	if s.commitFirst {
		key, commitment = commitment, key
	}
	if s.zeroCommit {
		commitment = make([]byte, 32)
	}
	b := []byte{s.version, s.suite}
	b = append(b, s.keyref...)
	b = append(b, s.salt...)
	b = append(b, commitment...)
	return append(b, refGCM(key, s.nonce, s.gcmAAD, s.plaintext)...)
}

// value1 says how to make a VALUE-1.
type value1 struct {
	suite, kdfSuite       byte
	key, keyref, salt     []byte
	nonce, aad, plaintext []byte
	label                 string
}

func (v value1) make() []byte {
	k := refHKDF(v.key, v.salt, refEnc(v.label, refUint(uint64(v.kdfSuite)), v.keyref), 32)
	b := append([]byte{v.suite}, v.keyref...)
	b = append(b, v.salt...)
	return append(b, refGCM(k, v.nonce, v.aad, v.plaintext)...)
}

// infra1 says how to make an INFRA-1.
type infra1 struct {
	suite, kdfSuite   byte
	key, keyref, salt []byte
	iv, aad, inner    []byte
	label             string
	pad               []byte // instead of the right padding
	bits              uint64 // added to the length of the AAD
	tagLen            int
	swapKeys          bool // encryption key first
	skipIV            bool // MAC without the IV
}

func (v infra1) make() []byte {
	k := refHKDF(v.key, v.salt, refEnc(v.label, refUint(uint64(v.kdfSuite)), v.keyref), 64)
	macKey, encKey := k[:32], k[32:]
	if v.swapKeys {
		macKey, encKey = encKey, macKey
	}
	padded := slices.Clone(v.inner)
	if v.pad != nil {
		padded = append(padded, v.pad...)
	} else {
		n := 16 - len(v.inner)%16
		for range n {
			padded = append(padded, byte(n))
		}
	}
	block, err := aes.NewCipher(encKey)
	if err != nil {
		panic(err)
	}
	ct := make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, v.iv).CryptBlocks(ct, padded)
	m := hmac.New(sha512.New, macKey)
	m.Write(v.aad)
	if !v.skipIV {
		m.Write(v.iv)
	}
	m.Write(ct)
	m.Write(binary.BigEndian.AppendUint64(nil, 8*uint64(len(v.aad))+v.bits))
	b := append([]byte{v.suite}, v.keyref...)
	b = append(b, v.salt...)
	b = append(b, v.iv...)
	b = append(b, ct...)
	return append(b, m.Sum(nil)[:v.tagLen]...)
}

// cfc1 says how to make a chunk.
type cfc1 struct {
	magic                string
	version, suite, lg   byte
	flags                byte
	zero                 []byte // 8 bytes
	dek, dekID           []byte
	owner, chunk         []byte
	plaintext            []byte
	label                string
	kdfSalt              []byte                          // instead of the chunk id
	nonce                func(i int) []byte              // 12 bytes
	aad                  func(i, count int) (idx, f int) // what the AAD says
	cut                  int                             // plaintext bytes per segment, if not 2^lg
	zeroCommit           bool
	emptyLast, noFinal   bool // an empty segment after a full one; no final flag
	segAAD               string
	headerInKDF          []byte
	ownerInKDF, dekInKDF []byte
}

func (c cfc1) make() []byte {
	header := append([]byte(c.magic), c.version, c.suite, c.lg, c.flags)
	header = append(header, c.zero...)
	header = append(header, c.chunk...)
	or := func(a, b []byte) []byte {
		if a != nil {
			return a
		}
		return b
	}
	k := refHKDF(c.dek, or(c.kdfSalt, c.chunk), refEnc(c.label, or(c.headerInKDF, header), or(c.ownerInKDF, c.owner), or(c.dekInKDF, c.dekID)), 64)
	commitment := k[32:]
	if c.zeroCommit {
		commitment = make([]byte, 32)
	}
	out := append(header, commitment...)
	size := 1 << c.lg
	if c.cut > 0 {
		size = c.cut
	}
	var segs [][]byte
	for p := c.plaintext; len(p) > 0; {
		n := min(size, len(p))
		segs = append(segs, p[:n])
		p = p[n:]
	}
	if len(segs) == 0 || c.emptyLast {
		segs = append(segs, nil)
	}
	for i, s := range segs {
		idx, final := i, 0
		if i == len(segs)-1 {
			final = 1
		}
		if c.noFinal {
			final = 0
		}
		if c.aad != nil {
			idx, final = c.aad(i, len(segs))
		}
		out = append(out, refGCM(k[:32], c.nonce(i), refEnc(c.segAAD, refUint(uint64(idx)), refUint(uint64(final))), s)...)
	}
	return out
}

// refFields is the encoding of SYS fields, right or wrong.
func refFields(fs ...any) []byte {
	var b []byte
	for i := 0; i < len(fs); i += 2 {
		v := []byte(fs[i+1].(string))
		b = append(b, byte(fs[i].(int)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}
