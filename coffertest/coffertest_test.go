package coffertest_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/coffertest"
	"github.com/coffer-storage/coffer/internal/wire/auth/authtest"
)

// do sends a signed request and returns status and body.
func do(t *testing.T, srv *coffertest.Server, method, scheme, path string, body []byte, header map[string]string) (*http.Response, []byte) {
	t.Helper()
	req := signed(t, srv, method, scheme, path, body, header)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func signed(t *testing.T, srv *coffertest.Server, method, scheme, path string, body []byte, header map[string]string) *http.Request {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(srv.Key)
	if err != nil {
		t.Fatal(err)
	}
	url := scheme + strings.TrimPrefix(srv.BlobURL, "http") + path
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-ms-version", "2025-01-05")
	for k, v := range header {
		req.Header[k] = []string{v} // in the given spelling
	}
	authtest.Credential{Account: srv.Account, Key: key}.Sign(req, req.URL.EscapedPath(), time.Now())
	return req
}

func TestStoreAndReadOverBothSchemes(t *testing.T) {
	srv := coffertest.New(t)
	content := bytes.Repeat([]byte("some content "), 20_000) // an extent of its own is not needed
	for _, scheme := range []string{"http", "https"} {
		container := "/c-" + scheme
		if resp, b := do(t, srv, "PUT", scheme, container+"?restype=container", nil, nil); resp.StatusCode != http.StatusCreated {
			t.Fatalf("create container: %s %s", resp.Status, b)
		}
		resp, b := do(t, srv, "PUT", scheme, container+"/dir/blob", content, map[string]string{"x-ms-blob-type": "BlockBlob"})
		if resp.StatusCode != http.StatusCreated || resp.Header.Get("x-ms-request-server-encrypted") != "true" {
			t.Fatalf("put: %s %s", resp.Status, b)
		}
		if _, b = do(t, srv, "GET", scheme, container+"/dir/blob", nil, nil); !bytes.Equal(b, content) {
			t.Errorf("%s: got %d bytes, want %d", scheme, len(b), len(content))
		}
	}
}

// A default transport would use HTTP/2 if it were offered, and put all transfers of a
// client on one connection.
func TestStorageSpeaksHTTP1Only(t *testing.T) {
	srv := coffertest.New(t)
	client := srv.Client()
	tr := client.Transport.(*http.Transport)
	tr.ForceAttemptHTTP2 = true
	resp, err := client.Do(signed(t, srv, "GET", "https", "?comp=list", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 1 || resp.TLS.NegotiatedProtocol == "h2" || resp.StatusCode != http.StatusOK {
		t.Errorf("answer %s %s, ALPN %q; want HTTP/1.1 200", resp.Proto, resp.Status, resp.TLS.NegotiatedProtocol)
	}
}

// Metadata names come back in the spelling in which they were sent, over both kinds of
// connection.
func TestMetadataSpelling(t *testing.T) {
	srv := coffertest.New(t)
	do(t, srv, "PUT", "http", "/meta?restype=container", nil, nil)
	for _, scheme := range []string{"http", "https"} {
		names := []string{"x-ms-meta-CamelCase", "x-ms-meta-lower", "X-MS-META-UPPER"}
		h := map[string]string{"x-ms-blob-type": "BlockBlob"}
		for _, n := range names {
			h[n] = "v"
		}
		if resp, b := do(t, srv, "PUT", scheme, "/meta/b", nil, h); resp.StatusCode != http.StatusCreated {
			t.Fatalf("put: %s %s", resp.Status, b)
		}
		head := rawHead(t, srv, scheme, signed(t, srv, "GET", scheme, "/meta/b", nil, nil))
		for _, n := range names {
			if want := "\r\nx-ms-meta-" + n[len("x-ms-meta-"):] + ": v\r\n"; !strings.Contains(head, want) {
				t.Errorf("%s: the answer has no %q:\n%s", scheme, want, head)
			}
		}
	}
}

// rawHead sends req over a connection of its own and returns the head of the answer as
// it stands on the wire.
func rawHead(t *testing.T, srv *coffertest.Server, scheme string, req *http.Request) string {
	t.Helper()
	var conn net.Conn
	var err error
	if scheme == "https" {
		cfg := srv.Client().Transport.(*http.Transport).TLSClientConfig
		conn, err = tls.Dial("tcp", req.URL.Host, cfg)
	} else {
		conn, err = net.Dial("tcp", req.URL.Host)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req.Close = true
	raw, err := httputil.DumpRequestOut(req, true)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write(raw)
	b, _ := io.ReadAll(conn)
	head, _, _ := strings.Cut(string(b), "\r\n\r\n")
	return head + "\r\n"
}

// Our CA signs for an account's host-style name, and for no other.
func TestCertificatesByName(t *testing.T) {
	srv := coffertest.New(t, &coffertest.Options{Domains: []string{"store.example"}})
	cfg := srv.Client().Transport.(*http.Transport).TLSClientConfig
	addr := strings.TrimPrefix(strings.TrimSuffix(srv.BlobURL, "/"+srv.Account), "http://")
	for name, want := range map[string]bool{
		srv.Account + ".blob.core.windows.net":           true,
		srv.Account + "-secondary.blob.core.windows.net": true,
		"store.example":                true,
		"localhost":                    true,
		"127.0.0.1":                    true,
		"nobody.blob.core.windows.net": false,
		"bank.example":                 false,
	} {
		c := cfg.Clone()
		c.ServerName = name
		conn, err := tls.Dial("tcp", addr, c)
		if (err == nil) != want {
			t.Errorf("handshake for %s: %v, want success %t", name, err, want)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// What tests store is sealed on disk, names included.
func TestNothingReadableOnDisk(t *testing.T) {
	srv := coffertest.New(t)
	do(t, srv, "PUT", "http", "/plaincontainer?restype=container", nil, nil)
	do(t, srv, "PUT", "http", "/plaincontainer/plainblobname", []byte("plain content here"),
		map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-meta-plainmeta": "plainvalue"})
	needles := []string{"plaincontainer", "plainblobname", "plain content here", "plainmeta", "plainvalue"}
	files := 0
	err := filepath.WalkDir(srv.DataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		for _, n := range needles {
			if bytes.Contains(b, []byte(n)) {
				t.Errorf("%s holds %q", path, n)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("looked at %d files: %v", files, err)
	}
}

func ExampleNew() {
	test := func(t *testing.T) {
		srv := coffertest.New(t)
		fmt.Println(srv.Account)
		// client, err := azblob.NewClientFromConnectionString(srv.ConnectionString, nil)
	}
	_ = test
	// Output:
}
