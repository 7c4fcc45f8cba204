package cbchs

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// fromHex decodes hex with spaces.
func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRFC7518 is appendix B.3 of the RFC.
func TestRFC7518(t *testing.T) {
	var key [KeySize]byte
	for i := range key {
		key[i] = byte(i)
	}
	plaintext := []byte("A cipher system must not be required to be secret, and it must be able to fall into the hands of the enemy without inconvenience")
	aad := []byte("The second principle of Auguste Kerckhoffs")
	iv := fromHex(t, "1af38c2dc2b96ffdd86694092341bc04")
	want := fromHex(t, `1af38c2dc2b96ffdd86694092341bc04
		4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd
		822c301dd67c373bccb584ad3e9279c2e6d12a1374b77f077553df829410446b
		36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3
		a3b75e662a2594410ae496b2e2e6609e31e6e02cc837f053d21f37ff4f51950b
		be2638d09dd7a4930930806d0703b1f6
		4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5`)
	c := New(key)
	got := c.Seal(nil, [16]byte(iv), aad, plaintext)
	if !bytes.Equal(got, want) {
		t.Errorf("Seal = %x, want %x", got, want)
	}
	back, ok := c.Open(aad, want)
	if !ok || !bytes.Equal(back, plaintext) {
		t.Errorf("Open = %q, %v", back, ok)
	}
}

func TestTamper(t *testing.T) {
	c := New([KeySize]byte{1})
	for _, n := range []int{0, 1, 15, 16, 17, 100} {
		plain := bytes.Repeat([]byte{7}, n)
		b := c.Seal([]byte("before"), [16]byte{2}, []byte("aad"), plain)
		if string(b[:6]) != "before" || len(b)-6 != Size(n) {
			t.Fatalf("Seal of %d appended %d bytes, want %d", n, len(b)-6, Size(n))
		}
		b = b[6:]
		if got, ok := c.Open([]byte("aad"), b); !ok || !bytes.Equal(got, plain) {
			t.Fatalf("Open of %d = %x, %v", n, got, ok)
		}
		for i := range len(b) * 8 {
			b[i/8] ^= 1 << (i % 8)
			if _, ok := c.Open([]byte("aad"), b); ok {
				t.Errorf("bit %d flipped: opens", i)
			}
			b[i/8] ^= 1 << (i % 8)
		}
		for i := range b {
			if _, ok := c.Open([]byte("aad"), b[:i]); ok {
				t.Errorf("cut to %d: opens", i)
			}
		}
	}
}

// TestBoundaryOfAAD moves bytes between the AAD and the IV: the length in the MAC stops it.
func TestBoundaryOfAAD(t *testing.T) {
	c := New([KeySize]byte{1})
	aad := []byte("0123456789abcdef")
	b := c.Seal(nil, [16]byte{2}, aad, []byte("text"))
	if _, ok := c.Open(nil, append(aad, b...)); ok {
		t.Error("AAD moved into the ciphertext: opens")
	}
}

// TestPadding makes authentic texts with wrong padding.
func TestPadding(t *testing.T) {
	for _, b := range [][]byte{
		append(make([]byte, 15), 0), append(make([]byte, 15), 17), append(make([]byte, 15), 2),
		append(make([]byte, 15), 255),
	} {
		if got, ok := unpad(b); ok {
			t.Errorf("unpad(%x) = %x", b, got)
		}
	}
	if got, ok := unpad(bytes.Repeat([]byte{16}, 16)); !ok || len(got) != 0 {
		t.Errorf("unpad of a block of padding = %x, %v", got, ok)
	}
}
