package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/vault"
)

// A private key reads as the same numbers in every form of a file.
func TestReadPrivate(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := e.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	wantRSA := &vault.Material{
		Type: "RSA", N: r.N.Bytes(), E: []byte{1, 0, 1}, D: r.D.Bytes(), P: r.Primes[0].Bytes(), Q: r.Primes[1].Bytes(),
	}
	wantEC := &vault.Material{Type: "EC", Curve: "P-384", D: raw, X: point[1:49], Y: point[49:]}
	pkcs8 := func(k any) []byte {
		b, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sec1, err := x509.MarshalECPrivateKey(e)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	b64 := base64.RawURLEncoding.EncodeToString
	web := func(m map[string]any) []byte {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tt := range map[string]struct {
		file []byte
		want *vault.Material
	}{
		"RSA, PKCS#8":          {text("PRIVATE KEY", pkcs8(r)), wantRSA},
		"RSA, PKCS#1":          {text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)), wantRSA},
		"EC, PKCS#8":           {text("PRIVATE KEY", pkcs8(e)), wantEC},
		"EC, after parameters": {append(text("EC PARAMETERS", []byte{5, 0}), text("EC PRIVATE KEY", sec1)...), wantEC},
		"EC, JSON": {web(map[string]any{"kty": "EC", "crv": "P-384", "d": b64(raw), "x": b64(point[1:49]), "y": b64(point[49:])}),
			wantEC},
		"RSA, JSON": {web(map[string]any{"kty": "RSA", "n": b64(r.N.Bytes()), "e": "AQAB", "d": b64(r.D.Bytes()),
			"p": b64(r.Primes[0].Bytes()), "q": b64(r.Primes[1].Bytes())}), wantRSA},
	} {
		got, _, err := readPrivate(tt.file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: another key", name) // the difference is a private key
		}
	}
	public, err := x509.MarshalPKIXPublicKey(&r.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"nothing":           nil,
		"text":              []byte("canary"),
		"cut off":           text("PRIVATE KEY", pkcs8(e)[:40]),
		"a public key":      text("PUBLIC KEY", public),
		"under a password":  text("ENCRYPTED PRIVATE KEY", []byte("canary")),
		"of the old form":   pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("canary")}),
		"JSON without d":    []byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`),
		"JSON without kty":  []byte(`{"d":"AAAA"}`),
		"JSON that is none": []byte(`{"kty":"EC","d":"canary`),
		"not base64":        []byte(`{"kty":"EC","d":"canary!"}`),
	} {
		if _, _, err := readPrivate(file); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want a refusal that tells nothing", name, err)
		}
	}
}
