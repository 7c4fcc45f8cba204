package jwk

import (
	"bytes"
	"crypto/aes"
	"crypto/fips140"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 3394, section 4.
func TestRFC3394(t *testing.T) {
	tests := []struct{ key, data, want string }{
		{"000102030405060708090A0B0C0D0E0F", "00112233445566778899AABBCCDDEEFF",
			"1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{"000102030405060708090A0B0C0D0E0F1011121314151617", "00112233445566778899AABBCCDDEEFF0001020304050607",
			"031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2"},
		{"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
			"00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
			"28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	}
	for _, tt := range tests {
		b, err := aes.NewCipher(unhex(t, tt.key))
		if err != nil {
			t.Fatal(err)
		}
		got, err := wrapRFC3394(b, unhex(t, tt.data))
		if err != nil || !bytes.Equal(got, unhex(t, tt.want)) {
			t.Errorf("wrap = %X, %v, want %s", got, err, tt.want)
		}
		back, err := unwrapRFC3394(b, unhex(t, tt.want))
		if err != nil || !bytes.Equal(back, unhex(t, tt.data)) {
			t.Errorf("unwrap = %X, %v, want %s", back, err, tt.data)
		}
		for i := range got {
			bad := bytes.Clone(got)
			bad[i] ^= 1
			if _, err := unwrapRFC3394(b, bad); !errors.Is(err, ErrOpen) {
				t.Errorf("unwrap with byte %d changed: %v, want ErrOpen", i, err)
			}
		}
	}
}

// NIST SP 800-38A, F.2.1.
func TestCBCVector(t *testing.T) {
	k, err := ImportOct(unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	if err != nil {
		t.Fatal(err)
	}
	in := Input{IV: unhex(t, "000102030405060708090a0b0c0d0e0f"), Value: unhex(t, "6bc1bee22e409f96e93d7e117393172a")}
	out, err := k.Seal("A128CBC", Encrypts, in)
	if err != nil || hex.EncodeToString(out.Value) != "7649abac8119b246cee98e9b12e9197d" {
		t.Errorf("Seal = %x, %v", out.Value, err)
	}
}

// keysOf makes one key of each kind; RSA keys take long.
var keysOf = sync.OnceValue(func() map[string]*Private {
	m := map[string]*Private{}
	for name, f := range map[string]func() (*Private, error){
		"RSA":   func() (*Private, error) { return Generate(RSA, 2048, "") },
		"128":   func() (*Private, error) { return Generate(Oct, 128, "") },
		"192":   func() (*Private, error) { return Generate(Oct, 192, "") },
		"256":   func() (*Private, error) { return Generate(Oct, 256, "") },
		"P-256": func() (*Private, error) { return Generate(EC, 0, "P-256") },
		"P-384": func() (*Private, error) { return Generate(EC, 0, "P-384") },
		"P-521": func() (*Private, error) { return Generate(EC, 0, "P-521") },
	} {
		k, err := f()
		if err != nil {
			panic(err)
		}
		m[name] = k
	}
	return m
})

// keyFor returns the key that has an algorithm.
func keyFor(t *testing.T, a Algorithm) *Private {
	t.Helper()
	for _, k := range keysOf() {
		if _, err := k.Find(a.Name, a.Use); err == nil || errors.Is(err, ErrStrict) {
			return k
		}
	}
	t.Fatalf("no key has %s", a.Name)
	return nil
}

// Every algorithm does and undoes its work, and notices what was changed.
func TestAlgorithms(t *testing.T) {
	for _, a := range algorithms {
		k := keyFor(t, a)
		if a.Use == Signs {
			digest := make([]byte, a.Bits/8)
			digest[0] = 9
			sig, err := k.Sign(a.Name, digest)
			if err != nil {
				t.Errorf("%s: Sign: %v", a.Name, err)
				continue
			}
			if ok, err := k.Verify(a.Name, digest, sig); !ok || err != nil {
				t.Errorf("%s: Verify = %v, %v", a.Name, ok, err)
			}
			sig[len(sig)-1] ^= 1
			if ok, _ := k.Verify(a.Name, digest, sig); ok {
				t.Errorf("%s: a changed signature is valid", a.Name)
			}
			if _, err := k.Sign(a.Name, digest[1:]); !errors.Is(err, ErrInput) {
				t.Errorf("%s: short digest: %v", a.Name, err)
			}
			continue
		}
		for _, use := range []Purpose{Encrypts, Wraps} {
			if a.Use&use == 0 {
				continue
			}
			text := bytes.Repeat([]byte{7}, 32)
			in := Input{Value: text}
			if a.Type == Oct && a.Name[4:] == "GCM" {
				in.AAD = []byte("context")
			}
			out, err := k.Seal(a.Name, use, in)
			if fips140.Enforced() && (a.Name == "RSA1_5" || a.Name == "RSA-OAEP") {
				if !errors.Is(err, ErrStrict) {
					t.Errorf("%s: in strict FIPS mode: %v", a.Name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: Seal: %v", a.Name, err)
				continue
			}
			back, err := k.Open(a.Name, use, out)
			if err != nil || !bytes.Equal(back, text) {
				t.Errorf("%s: Open = %x, %v", a.Name, back, err)
			}
			out.Value[len(out.Value)-1] ^= 0x80
			if back, err := k.Open(a.Name, use, out); err == nil && bytes.Equal(back, text) {
				t.Errorf("%s: opens after a change", a.Name)
			}
		}
	}
}

// A stored key is the same key again.
func TestEncode(t *testing.T) {
	for name, k := range keysOf() {
		b, err := k.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(k.Type, b)
		if err != nil {
			t.Errorf("%s: Decode: %v", name, err)
			continue
		}
		if diff := cmp.Diff(k.Public, back.Public); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, n := range []int{0, 1, len(b) / 2, len(b) - 1} {
			if _, err := Decode(k.Type, b[:n]); err == nil && !(k.Type == Oct && (n == 16 || n == 24)) {
				t.Errorf("%s: cut to %d bytes it decodes", name, n)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	ks := keysOf()
	if _, err := Generate(RSA, 1024, ""); !errors.Is(err, ErrSize) {
		t.Errorf("RSA 1024: %v", err)
	}
	if _, err := Generate(EC, 0, "P-256K"); !errors.Is(err, ErrCurve) {
		t.Errorf("P-256K: %v", err)
	}
	if _, err := Generate(Oct, 64, ""); !errors.Is(err, ErrSize) {
		t.Errorf("oct 64: %v", err)
	}
	for _, tt := range []struct {
		key, alg string
		use      Purpose
	}{
		{"RSA", "A256KW", Wraps}, {"RSA", "RS256", Encrypts}, {"256", "A128KW", Wraps}, {"256", "A256KW", Encrypts},
		{"256", "A256GCM", Wraps}, {"P-256", "ES384", Signs}, {"P-256", "RSA-OAEP", Encrypts}, {"RSA", "RSNULL", Signs}, {"RSA", "", Signs},
	} {
		if _, err := ks[tt.key].Find(tt.alg, tt.use); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("Find(%s, %s, %d) = %v, want ErrAlgorithm", tt.key, tt.alg, tt.use, err)
		}
	}
	if _, err := ks["RSA"].Seal("RSA-OAEP-256", Wraps, Input{Value: make([]byte, 200)}); !errors.Is(err, ErrInput) {
		t.Errorf("too long for RSA: %v", err)
	}
	if _, err := ks["RSA"].Open("RSA-OAEP-256", Wraps, Input{Value: make([]byte, 12)}); !errors.Is(err, ErrInput) {
		t.Errorf("short for RSA: %v", err)
	}
	if _, err := ks["256"].Seal("A256GCM", Encrypts, Input{IV: make([]byte, 12)}); !errors.Is(err, ErrInput) {
		t.Errorf("GCM with a nonce of the caller: %v", err)
	}
	if _, err := ks["256"].Seal("A256CBC", Encrypts, Input{Value: make([]byte, 15)}); !errors.Is(err, ErrInput) {
		t.Errorf("CBC of 15 bytes: %v", err)
	}
	if _, err := ks["256"].Seal("A256GCM", Encrypts, Input{Value: make([]byte, MaxValue+1)}); !errors.Is(err, ErrInput) {
		t.Errorf("too much: %v", err)
	}
}

func TestImport(t *testing.T) {
	r := keysOf()["RSA"].rsa.k
	n, e, d, p, q := r.N.Bytes(), []byte{1, 0, 1}, r.D.Bytes(), r.Primes[0].Bytes(), r.Primes[1].Bytes()
	k, err := ImportRSA(n, e, d, p, q)
	if err != nil || !bytes.Equal(k.N, n) || k.Bits != 2048 {
		t.Fatalf("ImportRSA = %v, %v", k, err)
	}
	bad := bytes.Clone(d)
	bad[3] ^= 1
	if _, err := ImportRSA(n, e, bad, p, q); err == nil {
		t.Error("a private exponent that does not fit is taken")
	}
	if _, err := ImportRSA(n, e, d, p, p); err == nil {
		t.Error("primes that do not fit are taken")
	}
	if _, err := ImportRSA(n, []byte{2}, d, p, q); err == nil {
		t.Error("exponent 2 is taken")
	}
	for _, c := range Curves {
		ec := keysOf()[c]
		raw, err := ec.ec.k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if k, err := ImportEC(c, raw, ec.X, ec.Y); err != nil || !bytes.Equal(k.X, ec.X) {
			t.Errorf("%s: ImportEC: %v", c, err)
		}
		if _, err := ImportEC(c, raw, ec.Y, ec.X); err == nil {
			t.Errorf("%s: a public key that does not fit is taken", c)
		}
	}
}

// Signatures are those of the hash named, which another library's digest shows.
func TestDigests(t *testing.T) {
	k := keysOf()["RSA"]
	d := sha256.Sum256([]byte("text"))
	if _, err := k.Sign("RS256", d[:]); err != nil {
		t.Error(err)
	}
	l := sha512.Sum512([]byte("text"))
	if _, err := k.Sign("RS256", l[:]); !errors.Is(err, ErrInput) {
		t.Errorf("SHA-512 for RS256: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, k := range keysOf() {
		b, err := k.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(k.Type), b)
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		k, err := Decode(Type(kind), b)
		if err != nil {
			return
		}
		again, err := k.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(k.Type, again); err != nil {
			t.Errorf("what was encoded does not decode: %v", err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	ks := keysOf()
	for _, name := range []string{"A256KW", "A256GCM", "A256CBCPAD"} {
		f.Add(name, make([]byte, 40), make([]byte, 12), make([]byte, 16))
		f.Add(name, make([]byte, 32), make([]byte, 16), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, name string, value, iv, tag []byte) {
		for _, use := range []Purpose{Encrypts, Wraps} {
			if out, err := ks["256"].Open(name, use, Input{Value: value, IV: iv, Tag: tag}); err != nil && out != nil {
				t.Errorf("%s: an error and %x", name, out)
			}
		}
	})
}
