package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/internal/server"
)

// connection sets the connection string of a server in the environment.
func connection(ts *testscript.TestScript, _ bool, args []string) {
	var st server.Status
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &st))
	ts.Setenv("AZURE_STORAGE_CONNECTION_STRING", fmt.Sprintf(
		"DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s/%s;", st.Account, st.Key, st.Blob, st.Account))
}

func TestContainerOfURL(t *testing.T) {
	tests := []struct{ target, url, rest string }{
		{"https://acct.blob.core.windows.net/box/dir/b?sv=1&sig=s", "https://acct.blob.core.windows.net/box?sv=1&sig=s", "dir/b"},
		{"https://acct.blob.core.windows.net/box", "https://acct.blob.core.windows.net/box", ""},
		{"http://127.0.0.1:10000/acct/box/a%20b", "http://127.0.0.1:10000/acct/box", "a b"},
		{"http://127.0.0.1:10000/acct/box?sig=s", "http://127.0.0.1:10000/acct/box?sig=s", ""},
	}
	for _, tt := range tests {
		c, rest, err := containerOfURL(tt.target)
		if err != nil || c.URL() != tt.url || rest != tt.rest {
			t.Errorf("containerOfURL(%q) = %v, %q, %v; want %q, %q", tt.target, c, rest, err, tt.url, tt.rest)
		}
	}
	for _, bad := range []string{"http://127.0.0.1:1/acct", "https://acct.blob.core.windows.net/", "http://[?sig=secret"} {
		if _, _, err := containerOfURL(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("containerOfURL(%q): %v", bad, err)
		}
	}
}

// Every code has a hint.
func TestCseHints(t *testing.T) {
	for _, code := range []cse.Code{
		cse.NotEncrypted, cse.UnknownProtocol, cse.BadMetadata, cse.V1NotAllowed, cse.KeyNotFound, cse.KeyUnavailable,
		cse.AuthenticationFailed, cse.RegionTooLarge, cse.InvalidRange, cse.InvalidOption, cse.TooLarge, cse.Unsupported, cse.Changed,
	} {
		if cseHint(fmt.Errorf("x: %w", &cse.Error{Code: code})) == "" {
			t.Errorf("no hint for %s", code)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	raw := make([]byte, 24)
	raw[3] = 0xfe
	tests := []struct {
		text string
		size int // 0: no key
	}{
		{string(raw), 24},
		{string(raw[:23]), 0},
		{base64.StdEncoding.EncodeToString(raw), 24}, // 32 bytes of text
		{base64.StdEncoding.EncodeToString(raw[:16]) + "\n", 16},
		{"twenty four bytes: text\n", 0},
		{"", 0},
	}
	for _, tt := range tests {
		if key, ok := aesBytes([]byte(tt.text)); len(key) != tt.size || ok != (tt.size > 0) {
			t.Errorf("aesBytes(%q) has %d bytes, %v; want %d", tt.text, len(key), ok, tt.size)
		}
	}
	dir := t.TempDir()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"PRIVATE KEY": pkcs8, "PUBLIC KEY": public, "RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(private)} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := (&cseKeys{}).read("k", file)
		if err != nil || k.KeyID() != "k" {
			t.Errorf("%s: %v, %v", name, k, err)
		}
		bad := pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der[:20]})
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := (&cseKeys{}).read("k", file); err == nil {
			t.Errorf("%s cut: %v", name, k)
		}
	}
}
