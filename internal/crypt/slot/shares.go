package slot

import (
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/coffer-storage/coffer/internal/secret"
)

// ErrShamir is returned where a build in FIPS mode would split a secret: no NIST
// standard covers it. Joining is allowed, so that every build opens every store.
var ErrShamir = errors.New("slot: secret sharing is not available in FIPS mode")

// Share is one part of a kit: x (1..n) || y (32) || first 4 bytes of their SHA-256.
type Share [37]byte

// KitHead is what stands before the public key of a kit slot: k, n.
func KitHead(k, n uint8) []byte { return []byte{k, n} }

// Split cuts u into n shares of which any k give it back (Shamir over GF(2^8), 0x11B).
func Split(u secret.Key, k, n uint8) ([]Share, error) {
	if k == 0 || k > n {
		return nil, fmt.Errorf("slot: %d of %d shares", k, n)
	}
	if n > 1 && fips140.Enabled() {
		return nil, ErrShamir
	}
	shares := make([]Share, n)
	err := u.Use(func(b []byte) error {
		if len(b) != KeySize {
			return ErrFormat
		}
		coefficients := make([]byte, int(k)-1)
		defer clear(coefficients)
		for i := range b {
			rand.Read(coefficients)
			for j := range shares {
				shares[j][1+i] = evaluate(b[i], coefficients, uint8(j+1))
			}
		}
		return nil
	})
	for j := range shares {
		shares[j][0] = uint8(j + 1)
		shares[j].sum()
	}
	return shares, err
}

// evaluate is the polynomial with constant term c at x.
func evaluate(c byte, coefficients []byte, x uint8) byte {
	var y byte
	for i := len(coefficients) - 1; i >= 0; i-- {
		y = mul(y^coefficients[i], x)
	}
	return y ^ c
}

// Join gives back the secret from k shares of different x; more are ignored.
func Join(shares []Share, k uint8) (secret.Key, error) {
	var use []Share
	seen := map[byte]bool{}
	for _, s := range shares {
		if s[0] == 0 {
			return secret.Key{}, ErrFormat
		}
		if !seen[s[0]] && len(use) < int(k) {
			use = append(use, s)
		}
		seen[s[0]] = true
	}
	if k == 0 || len(use) < int(k) {
		return secret.Key{}, fmt.Errorf("slot: %d different shares given, %d are needed", len(use), k)
	}
	u := make([]byte, KeySize)
	for j, s := range use {
		l := lagrange(use, j)
		for i := range u {
			u[i] ^= mul(l, s[1+i])
		}
	}
	return secret.New(u), nil
}

// lagrange is the weight of share j at x = 0.
func lagrange(use []Share, j int) byte {
	num, den := byte(1), byte(1)
	for m, s := range use {
		if m != j {
			num = mul(num, s[0])
			den = mul(den, s[0]^use[j][0])
		}
	}
	return mul(num, inverse(den))
}

// mul multiplies in GF(2^8) without branches or tables that depend on its inputs.
func mul(a, b byte) byte {
	var p byte
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1B&-(a>>7)
		b >>= 1
	}
	return p
}

// inverse is a^254.
func inverse(a byte) byte {
	r := byte(1)
	for range 254 {
		r = mul(r, a)
	}
	return r
}

func (s *Share) sum() {
	h := sha256.Sum256(s[:33])
	copy(s[33:], h[:4])
}

// alphabet is base 32 without letters that are taken for digits or for each other.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const (
	shareChars = 60 // ceil(37*8/5)
	groupSize  = 5
)

// Text is the printed form: 12 groups of 5 characters.
func (s Share) Text() string {
	var b strings.Builder
	var acc uint32
	bits, chars := 0, 0
	put := func(v uint32) {
		if chars > 0 && chars%groupSize == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[v&31])
		chars++
	}
	for _, c := range s {
		acc = acc<<8 | uint32(c)
		bits += 8
		for bits >= 5 {
			bits -= 5
			put(acc >> bits)
		}
	}
	if bits > 0 {
		put(acc << (5 - bits))
	}
	return b.String()
}

// ParseShare reads a printed share. Case, spaces and dashes do not matter, and O, I and
// L are taken for the digits they look like; the checksum finds other slips.
func ParseShare(text string) (Share, error) {
	var s Share
	var acc uint32
	bits, chars, n := 0, 0, 0
	for _, r := range strings.ToUpper(text) {
		switch r {
		case ' ', '-', '\t', '\r', '\n':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		v := strings.IndexRune(alphabet, r)
		if v < 0 {
			return Share{}, fmt.Errorf("%w: %d characters in, there is one that no share has", ErrFormat, chars)
		}
		chars++
		acc = acc<<5 | uint32(v)
		if bits += 5; bits >= 8 && n < len(s) {
			bits -= 8
			s[n] = byte(acc >> bits)
			n++
		}
	}
	if chars != shareChars {
		return Share{}, fmt.Errorf("%w: %d characters, a share has %d", ErrFormat, chars, shareChars)
	}
	want := s
	want.sum()
	if subtle.ConstantTimeCompare(s[:], want[:]) != 1 || acc&(1<<bits-1) != 0 || s[0] == 0 {
		return Share{}, fmt.Errorf("%w: the checksum is wrong; look for a slip of the pen", ErrFormat)
	}
	return s, nil
}

// String hides the share: Text prints it.
func (Share) String() string { return "slot.Share(hidden)" }

// GoString hides the share.
func (Share) GoString() string { return "slot.Share(hidden)" }
