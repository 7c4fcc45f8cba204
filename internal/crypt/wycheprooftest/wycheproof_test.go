package wycheprooftest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/aead"
	"github.com/coffer-storage/coffer/internal/crypt/internal/cbchs"
	"github.com/coffer-storage/coffer/internal/crypt/mac"
	"github.com/coffer-storage/coffer/internal/secret"
)

// bin is hex in the files.
type bin []byte

func (b *bin) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	var err error
	*b, err = hex.DecodeString(s)
	return err
}

// group is a group of cases of any schema: what a schema does not have stays empty.
type group struct {
	KeySize, TagSize int
	PrivateKeyPkcs8  bin
	PublicKey        struct{ PK bin }
	Tests            []vector
}

type vector struct {
	ID      int `json:"tcId"`
	Comment string
	Result  string // valid, invalid, acceptable

	Key, IV, AAD, Msg, CT, Tag bin
	IKM, Salt, Info, OKM       bin
	Password, DK               bin
	Label, Sig                 bin
	Size                       int
	IterationCount, DKLen      int
}

// forEach runs f, which reports whether the case was accepted, over a file. want is the
// number of cases, so that a lost file or group shows.
func forEach(t *testing.T, file string, want int, f func(t *testing.T, g *group, v *vector) bool) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ TestGroups []group }
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for i := range all.TestGroups {
		g := &all.TestGroups[i]
		for j := range g.Tests {
			v := &g.Tests[j]
			count[v.Result]++
			if got := f(t, g, v); got != (v.Result == "valid") {
				t.Errorf("%s %d (%s): accepted %v, want %s", file, v.ID, v.Comment, got, v.Result)
			}
		}
	}
	t.Logf("%s: %v", file, count)
	if n := count["valid"] + count["invalid"]; n != want {
		t.Errorf("%s: %d cases that are valid or invalid, want %d (%v)", file, n, want, count)
	}
}

// AES-256-GCM as everything is sealed with it: the nonce stands before the ciphertext.
func TestGCM(t *testing.T) {
	forEach(t, "aes_gcm", 66, func(t *testing.T, _ *group, v *vector) bool {
		got, err := aead.New(v.Key).Open(nil, nil, bytes.Join([][]byte{v.IV, v.CT, v.Tag}, nil), v.AAD)
		return err == nil && bytes.Equal(got, v.Msg)
	})
}

// The second layer of values. Sealing with the vector's IV must give its bytes.
func TestCBCHS(t *testing.T) {
	forEach(t, "a256cbc_hs512", 94, func(t *testing.T, _ *group, v *vector) bool {
		c := cbchs.New([cbchs.KeySize]byte(v.Key))
		sealed := bytes.Join([][]byte{v.IV, v.CT, v.Tag}, nil)
		got, ok := c.Open(v.AAD, sealed)
		if !ok || !bytes.Equal(got, v.Msg) {
			return false
		}
		if again := c.Seal(nil, [cbchs.BlockSize]byte(v.IV), v.AAD, v.Msg); !bytes.Equal(again, sealed) {
			t.Errorf("case %d: sealed to %x, want %x", v.ID, again, sealed)
		}
		return true
	})
}

// lenient runs a primitive without what strict FIPS mode forbids, such as the short keys
// of many vectors. What the store itself does never needs it.
func lenient(f func()) { fips140.WithoutEnforcement(f) }

// HKDF; what asks for more than 255 blocks must be refused.
func TestHKDF(t *testing.T) {
	forEach(t, "hkdf_sha256", 86, func(t *testing.T, _ *group, v *vector) (ok bool) {
		defer func() {
			if recover() != nil {
				ok = false // out of range: the callers' lengths are constants
			}
		}()
		lenient(func() { ok = bytes.Equal(enc.Derive(v.IKM, v.Salt, v.Info, v.Size), v.OKM) })
		return ok
	})
}

// HMAC, also cut to 16 bytes, as check values are.
func TestHMAC(t *testing.T) {
	forEach(t, "hmac_sha256", 174, func(t *testing.T, g *group, v *vector) bool {
		k := secret.New(bytes.Clone(v.Key))
		var ok bool
		lenient(func() {
			tag, err := mac.Sum(k, v.Msg)
			if err != nil {
				t.Fatal(err)
			}
			ok = hmac.Equal(tag[:g.TagSize/8], v.Tag)
			if g.TagSize == 8*mac.Size && mac.Verify([]secret.Key{k}, v.Msg, v.Tag) != ok {
				t.Errorf("case %d: Verify and Sum do not agree", v.ID)
			}
		})
		return ok
	})
}

func TestPBKDF2(t *testing.T) {
	forEach(t, "pbkdf2_hmacsha256", 60, func(t *testing.T, _ *group, v *vector) bool {
		var got []byte
		var err error
		lenient(func() { got, err = pbkdf2.Key(sha256.New, string(v.Password), v.Salt, v.IterationCount, v.DKLen) })
		return err == nil && bytes.Equal(got, v.DK)
	})
}

// RSA-OAEP of recovery slots (3072 bits), and the sizes that keys given to us may have.
func TestOAEP(t *testing.T) {
	for _, bits := range []string{"2048", "3072", "4096"} {
		forEach(t, "rsa_oaep_"+bits+"_sha256_mgf1sha256", 37, func(t *testing.T, g *group, v *vector) bool {
			key, err := x509.ParsePKCS8PrivateKey(g.PrivateKeyPkcs8)
			if err != nil {
				t.Fatal(err)
			}
			got, err := rsa.DecryptOAEP(sha256.New(), nil, key.(*rsa.PrivateKey), v.CT, v.Label)
			return err == nil && bytes.Equal(got, v.Msg)
		})
	}
}

// Ed25519, which signs key stores.
func TestEd25519(t *testing.T) {
	forEach(t, "ed25519", 150, func(t *testing.T, g *group, v *vector) bool {
		return len(v.Sig) == ed25519.SignatureSize && ed25519.Verify(ed25519.PublicKey(g.PublicKey.PK), v.Msg, v.Sig)
	})
}
