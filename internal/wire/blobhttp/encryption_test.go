package blobhttp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// customer is a key as a client has it.
type customer struct{ key, hash string }

// newCustomer is a key of 32 equal bytes, but for c = 0: the vector of the SDKs' suites.
func newCustomer(c byte) customer {
	b := bytes.Repeat([]byte{c}, 32)
	if c == 0 {
		b = []byte("01234567012345670123456701234567")
	}
	sum := sha256.Sum256(b)
	return customer{base64.StdEncoding.EncodeToString(b), base64.StdEncoding.EncodeToString(sum[:])}
}

func (c customer) headers() []string {
	return []string{headerKey, c.key, headerKeyHash, c.hash, headerAlgorithm, algorithm}
}

var keyA, keyB = newCustomer(0), newCustomer('B')

// What a request can carry of a customer-provided key, right or wrong.
var keyHeaders = map[string][]string{
	"none":              nil,
	"key A":             keyA.headers(),
	"key B":             keyB.headers(),
	"A, no hash":        {headerKey, keyA.key, headerAlgorithm, algorithm},
	"A, no algorithm":   {headerKey, keyA.key, headerKeyHash, keyA.hash},
	"A alone":           {headerKey, keyA.key},
	"hash, no key":      {headerKeyHash, keyA.hash, headerAlgorithm, algorithm},
	"algorithm alone":   {headerAlgorithm, algorithm},
	"A, hash of B":      {headerKey, keyA.key, headerKeyHash, keyB.hash, headerAlgorithm, algorithm},
	"A, hash no base64": {headerKey, keyA.key, headerKeyHash, "%%", headerAlgorithm, algorithm},
	"A, AES128":         {headerKey, keyA.key, headerKeyHash, keyA.hash, headerAlgorithm, "AES128"},
	"A, aes256":         {headerKey, keyA.key, headerKeyHash, keyA.hash, headerAlgorithm, "aes256"},
	"31 bytes":          {headerKey, base64.StdEncoding.EncodeToString(make([]byte, 31)), headerKeyHash, keyA.hash, headerAlgorithm, algorithm},
	"33 bytes":          {headerKey, base64.StdEncoding.EncodeToString(make([]byte, 33)), headerKeyHash, keyA.hash, headerAlgorithm, algorithm},
	"no base64":         {headerKey, "not base64 at all, but forty-four chars: ok=", headerKeyHash, keyA.hash, headerAlgorithm, algorithm},
	"A and scope-a":     append(keyA.headers(), headerScope, "scope-a"),
	"empty key":         {headerKey, "", headerKeyHash, keyA.hash, headerAlgorithm, algorithm},
}

var (
	blockA     = base64.StdEncoding.EncodeToString([]byte("block-a"))
	blockQuery = "?comp=block&blockid=" + url.QueryEscape(blockA)
	emptyList  = "<BlockList></BlockList>"
	listOf     = func(id string) string { return "<BlockList><Latest>" + id + "</Latest></BlockList>" }
	blockBlob  = []string{"x-ms-blob-type", "BlockBlob", "x-ms-meta-colour", "blue"}
)

// Codes of the tables.
const (
	uses     = "409 BlobUsesCustomerSpecifiedEncryption"
	doesNot  = "409 BlobDoesNotUseCustomerSpecifiedEncryption"
	mismatch = "409 BlobCustomerSpecifiedEncryptionMismatch"
	badValue = "400 InvalidHeaderValue"
	missing  = "400 MissingRequiredHeader"
)

// outcome is the answer in the words of the tables.
func outcome(resp *http.Response) string {
	if resp.StatusCode < 300 {
		return "ok"
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, resp.Header.Get("x-ms-error-code"))
}

// Operations that need no key work without it, and do not take one.
func TestNoKeyNeeded(t *testing.T) {
	c := client{newSecureRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil)
	c.want(201, "PUT", "/box/a", []byte("content"), append(keyA.headers(), blockBlob...)...)
	for _, op := range []struct {
		method, target string
		headers        []string
		status         int
	}{
		{"PUT", "/box/a?comp=properties", []string{"x-ms-blob-content-type", "text/plain"}, 200},
		{"GET", "/box/a?comp=blocklist", nil, 200},
		{"GET", "/box?restype=container&comp=list&include=metadata", nil, 200},
		{"DELETE", "/box/a", nil, 202},
	} {
		withKey := c.do(op.method, op.target, nil, append(keyA.headers(), op.headers...)...)
		if got := outcome(withKey); got != "400 UnsupportedHeader" {
			t.Errorf("%s %s with a key: %s", op.method, op.target, got)
		}
		resp := c.want(op.status, op.method, op.target, nil, op.headers...)
		for n := range resp.Header {
			if strings.Contains(strings.ToLower(n), "encrypt") {
				t.Errorf("%s %s answers %s", op.method, op.target, n)
			}
		}
	}
}

// The rules of section 7: blocks keep their key, a list commits under one.
func TestKeyedBlocks(t *testing.T) {
	c := client{newSecureRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil)
	ids := []string{blockA, base64.StdEncoding.EncodeToString([]byte("block-b"))}
	list := "<BlockList><Latest>" + ids[0] + "</Latest><Latest>" + ids[1] + "</Latest></BlockList>"
	tests := []struct {
		name           string
		before         []string // how the committed blob was put; nil: there is none
		exists         bool
		first, second  []string // of the blocks
		commit         []string
		list           string
		want           string
		readable, hash []string
	}{
		{name: "all with A", first: keyA.headers(), second: keyA.headers(), commit: keyA.headers(), want: "ok", readable: keyA.headers()},
		{name: "A, committed with B", first: keyA.headers(), second: keyA.headers(), commit: keyB.headers(), want: mismatch},
		{name: "A, committed without", first: keyA.headers(), second: keyA.headers(), want: uses},
		{name: "plain, committed with A", commit: keyA.headers(), want: doesNot},
		{name: "mixed, committed with A", first: keyA.headers(), second: keyB.headers(), commit: keyA.headers(), want: mismatch},
		{name: "A and plain, committed with A", first: keyA.headers(), commit: keyA.headers(), want: doesNot},
		{name: "A and plain, committed without", first: keyA.headers(), want: uses},
		{name: "over an account-key blob", exists: true, first: keyA.headers(), second: keyA.headers(), commit: keyA.headers(), want: "ok", readable: keyA.headers()},
		{name: "plain over a blob of A", exists: true, before: keyA.headers(), want: "ok"},
		{name: "B over a blob of A", exists: true, before: keyA.headers(), first: keyB.headers(), second: keyB.headers(), commit: keyB.headers(), want: "ok", readable: keyB.headers()},
	}
	for i, tt := range tests {
		target := fmt.Sprintf("/box/blob-%d", i)
		if tt.exists {
			c.want(201, "PUT", target, []byte("old"), append(tt.before, blockBlob...)...)
		}
		for j, h := range [][]string{tt.first, tt.second} {
			resp := c.want(201, "PUT", target+"?comp=block&blockid="+url.QueryEscape(ids[j]), []byte("0123456789"), h...)
			if got := resp.Header.Get(headerKeyHash); h != nil && got != h[3] || h == nil && got != "" {
				t.Errorf("%s: block %d answers the hash %q", tt.name, j, got)
			}
		}
		resp := c.do("PUT", target+"?comp=blocklist", []byte(list), append(tt.commit, "x-ms-meta-a", "b")...)
		if got := outcome(resp); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			continue
		}
		if tt.want == "ok" {
			body, _ := io.ReadAll(c.want(200, "GET", target, nil, tt.readable...).Body)
			if string(body) != "01234567890123456789" {
				t.Errorf("%s: read %q", tt.name, body)
			}
		}
	}

	// Blocks of the old blob cannot be given another key.
	c.want(201, "PUT", "/box/old"+blockQuery, []byte("0123456789"), keyA.headers()...)
	c.want(201, "PUT", "/box/old?comp=blocklist", []byte(listOf(blockA)), keyA.headers()...)
	for _, tt := range []struct {
		name    string
		headers []string
		want    string
	}{{"B", keyB.headers(), mismatch}, {"none", nil, uses}, {"A", keyA.headers(), "ok"}} {
		if got := outcome(c.do("PUT", "/box/old?comp=blocklist", []byte(listOf(blockA)), tt.headers...)); got != tt.want {
			t.Errorf("committed block again with %s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A list shows the hash, and that there is metadata, but not the metadata.
func TestKeyedList(t *testing.T) {
	c := client{newSecureRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil)
	c.want(201, "PUT", "/box/keyed", []byte("x"), append(keyA.headers(), blockBlob...)...)
	c.want(201, "PUT", "/box/keyed-bare", []byte("x"), append(keyA.headers(), "x-ms-blob-type", "BlockBlob")...)
	c.want(201, "PUT", "/box/plain", []byte("x"), blockBlob...)
	body, _ := io.ReadAll(c.want(200, "GET", "/box?restype=container&comp=list&include=metadata", nil).Body)
	items := strings.Split(string(body), "<Blob>")[1:]
	if len(items) != 3 {
		t.Fatalf("%d items in %s", len(items), body)
	}
	hash := "<ServerEncrypted>true</ServerEncrypted><CustomerProvidedKeySha256>" + keyA.hash + "</CustomerProvidedKeySha256>"
	for i, want := range [][]string{
		{hash, `<Metadata Encrypted="true" />`, `<OrMetadata />`},
		{hash, `<Metadata />`},
		{"<ServerEncrypted>true</ServerEncrypted>", "<Metadata><Colour>blue</Colour></Metadata>"},
	} {
		got := strings.NewReplacer(`"true"/>`, `"true" />`, "<Metadata/>", "<Metadata />", "<OrMetadata/>", "<OrMetadata />").Replace(items[i])
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("item %d lacks %s:\n%s", i, w, got)
			}
		}
	}
	if strings.Contains(items[0], "blue") || strings.Contains(items[2], "CustomerProvidedKey") {
		t.Errorf("list shows too much:\n%s", body)
	}
}

// Over plain HTTP a key is refused before anything else, whatever the operation, the
// signature and the resource; the text says where to go, and the key is nowhere.
func TestKeyOverPlainHTTP(t *testing.T) {
	c := client{newRig(t)}
	for _, r := range []struct{ method, target string }{
		{"PUT", "/nobox/a"}, {"GET", "/nobox/a"}, {"HEAD", "/nobox/a"}, {"DELETE", "/nobox/a"},
		{"GET", "?comp=list"}, {"GET", "/box?restype=container&comp=list"}, {"PATCH", "/box/a"}, {"PUT", "/box/a?comp=nothing"},
	} {
		for _, h := range [][]string{keyA.headers(), {headerKey, keyA.key}, {headerSourceKey, keyA.key}, {headerKeyHash, keyA.hash}} {
			req, _ := http.NewRequest(r.method, c.srv.URL+"/"+c.cred.Account+r.target, nil)
			for i := 0; i < len(h); i += 2 {
				req.Header.Set(h[i], h[i+1])
			}
			resp, err := http.DefaultClient.Do(req) // nobody signed it
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if got := outcome(resp); got != badValue {
				t.Errorf("%s %s with %s: %s, want %s", r.method, r.target, h[0], got, badValue)
			}
			if want := "https://" + strings.TrimPrefix(c.srv.URL, "http://"); r.method != "HEAD" && !strings.Contains(string(body), want) {
				t.Errorf("%s %s: the text does not name %s:\n%s", r.method, r.target, want, body)
			}
			if strings.Contains(string(body), keyA.key) {
				t.Errorf("%s %s tells the key back", r.method, r.target)
			}
		}
	}
	if strings.Contains(c.log.String(), keyA.key) {
		t.Error("a key is in the log")
	}
}

// A signature that does not fit tells back the text that was signed, without the key.
func TestSignedTextHidesKey(t *testing.T) {
	c := client{newSecureRig(t)}
	req, _ := http.NewRequest("GET", c.srv.URL+"/"+c.cred.Account+"/box/a", nil)
	req.Header.Set("x-ms-version", "2026-12-06")
	for i, h := 0, keyA.headers(); i < len(h); i += 2 {
		req.Header.Set(h[i], h[i+1])
	}
	wrong := c.cred
	wrong.Key = []byte("wrong")
	wrong.Sign(req, req.URL.EscapedPath(), c.store.Clock.Now())
	resp, err := c.srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 403 || !strings.Contains(string(body), "x-ms-encryption-key:(hidden)") || strings.Contains(string(body), keyA.key) {
		t.Errorf("%s\n%s", resp.Status, body)
	}
}
