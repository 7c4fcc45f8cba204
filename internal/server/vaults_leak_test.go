package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/coffer-storage/coffer/internal/server/search"
	"github.com/coffer-storage/coffer/internal/vault"
)

// TestImportLeavesNoKey (C1): private keys that come in over HTTP, well or refused, values
// that are wrapped and unwrapped, and the tokens of those calls are not in the log at its
// lowest level, nor in refusals, nor in the data directory or temporary files.
func TestImportLeavesNoKey(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	p := newPlace(t)
	r := p.serve(t)
	ctx := t.Context()
	app, cred := r.program("app")
	v := r.vaultOf(vault.Spec{Kind: vault.Standard, Name: "box", RBAC: true, PurgeProtection: true})
	r.vaultOf(vault.Spec{Kind: vault.Standard, Name: "shut", RBAC: true})
	r.vaultOf(vault.Spec{Kind: vault.HSM, Name: "safe"})
	r.assign("Key Vault Crypto Officer", v.Scope(""), app.ObjectID)
	r.assign("Managed HSM Crypto User", vault.HSMScope("safe"), app.ObjectID)
	box, shut, safe := r.keysOf(vault.Standard, "box", cred), r.keysOf(vault.Standard, "shut", cred), r.keysOf(vault.HSM, "safe", cred)

	var secrets [][]byte
	keep := func(parts ...[]byte) {
		for _, b := range parts {
			for i := 0; i+24 <= len(b); i += 24 {
				secrets = append(secrets, b[i:i+24])
			}
			secrets = append(secrets, b[max(0, len(b)-24):])
		}
	}
	rk, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ek, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ek.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := ek.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	aes, value := make([]byte, 32), make([]byte, 48)
	rand.Read(aes)
	rand.Read(value)
	rsaJWK := azkeys.JSONWebKey{Kty: ptr(azkeys.KeyTypeRSA), N: rk.N.Bytes(), E: []byte{1, 0, 1}, D: rk.D.Bytes(), P: rk.Primes[0].Bytes(), Q: rk.Primes[1].Bytes(),
		DP: rk.Precomputed.Dp.Bytes(), DQ: rk.Precomputed.Dq.Bytes(), QI: rk.Precomputed.Qinv.Bytes()}
	ecJWK := azkeys.JSONWebKey{Kty: ptr(azkeys.KeyTypeEC), Crv: ptr(azkeys.CurveNameP256), X: point[1:33], Y: point[33:], D: d}
	octJWK := azkeys.JSONWebKey{Kty: ptr(azkeys.KeyTypeOctHSM), K: aes}
	keep(rsaJWK.D, rsaJWK.P, rsaJWK.Q, rsaJWK.DP, rsaJWK.DQ, rsaJWK.QI, d, aes, value)
	for _, scope := range []string{"https://vault.localhost/.default", "https://managedhsm.localhost/.default"} {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, []byte(token.Token), []byte(token.Token[strings.LastIndexByte(token.Token, '.')+1:]))
	}
	s, err := search.New(secrets)
	if err != nil {
		t.Fatal(err)
	}
	var refusals strings.Builder
	in := func(c *azkeys.Client, name string, k azkeys.JSONWebKey, good bool) {
		t.Helper()
		_, err := c.ImportKey(ctx, name, azkeys.ImportKeyParameters{Key: &k}, nil)
		if (err == nil) != good {
			t.Fatalf("import %s: %v", name, err)
		}
		if err != nil {
			refusals.WriteString(err.Error()) // with the body of the answer
		}
	}
	in(box, "rsa", rsaJWK, true)
	in(box, "ec", ecJWK, true)
	in(safe, "aes", octJWK, true)
	in(shut, "rsa", rsaJWK, false) // may not
	in(box, "aes", octJWK, false)  // not in a vault
	half := rsaJWK
	half.Q = nil
	in(box, "half", half, false)
	other := ecJWK
	other.X = value[:32] // not its point
	in(box, "other", other, false)
	short := octJWK
	short.K = aes[:31]
	in(safe, "short", short, false)

	// What is sealed with them, and opened.
	for _, c := range []struct {
		client *azkeys.Client
		key    string
		alg    azkeys.EncryptionAlgorithm
	}{{box, "rsa", azkeys.EncryptionAlgorithmRSAOAEP256}, {safe, "aes", azkeys.EncryptionAlgorithmA256KW}} {
		w, err := c.client.WrapKey(ctx, c.key, "", azkeys.KeyOperationParameters{Algorithm: &c.alg, Value: value}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.client.UnwrapKey(ctx, c.key, "", azkeys.KeyOperationParameters{Algorithm: &c.alg, Value: w.Result}, nil)
		if err != nil || !bytes.Equal(got.Result, value) {
			t.Fatalf("unwrap: %v", err)
		}
		w.Result[len(w.Result)-1] ^= 1
		if _, err := c.client.UnwrapKey(ctx, c.key, "", azkeys.KeyOperationParameters{Algorithm: &c.alg, Value: w.Result}, nil); err == nil {
			t.Fatal("a changed value opens")
		}
	}
	r.stop()

	look := func(where string, b []byte) {
		if _, err := s.Reader(bytes.NewReader(b), func(h search.Hit) {
			t.Errorf("%s holds secret %d of %d (%s)", where, h.Needle, len(secrets), h.Encoding)
		}); err != nil {
			t.Fatal(err)
		}
	}
	// Control: as a request has them, each is found.
	hit := map[int]bool{}
	for _, b := range secrets {
		if _, err := s.Reader(strings.NewReader(`{"d":"`+base64.RawURLEncoding.EncodeToString(b)+`"}`), func(h search.Hit) { hit[h.Needle] = true }); err != nil {
			t.Fatal(err)
		}
	}
	if len(hit) != len(secrets) {
		t.Errorf("control: %d of %d secrets are found", len(hit), len(secrets))
	}
	text := r.logText()
	if !strings.Contains(text, "level=DEBUG") || refusals.Len() < 500 {
		t.Errorf("the log has no line of its lowest level, or there were no refusals: %d and %d bytes", len(text), refusals.Len())
	}
	look("the log", []byte(text))
	look("an answer", []byte(refusals.String()))
	for _, dir := range []string{filepath.Dir(p.data), tmp} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			look(path, b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
