package proof

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

// client speaks the Blob protocol with SharedKeyLite, independently of the server's code.
type client struct {
	base    string // http://127.0.0.1:1234/devstoreaccount1
	account string
	key     []byte
	http    *http.Client
}

func newClient(base, account, key string) (*client, error) {
	k, err := base64.StdEncoding.DecodeString(key)
	return &client{base: base + "/" + account, account: account, key: k, http: &http.Client{Timeout: 20 * time.Second}}, err
}

// do sends one request; path begins with a slash and may have a query.
func (c *client) do(method, path string, body []byte, headers ...string) (status int, answer []byte, err error) {
	req, err := http.NewRequest(method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("x-ms-version", "2021-12-02")
	req.Header.Set("x-ms-date", time.Now().UTC().Format(http.TimeFormat))
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	c.sign(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func (c *client) sign(req *http.Request) {
	var names []string
	for n := range req.Header {
		if l := strings.ToLower(n); strings.HasPrefix(l, "x-ms-") {
			names = append(names, l)
		}
	}
	sort.Strings(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n%s\n\n", req.Method, req.Header.Get("Content-MD5"), req.Header.Get("Content-Type"))
	for _, n := range names {
		fmt.Fprintf(&b, "%s:%s\n", n, req.Header.Get(n))
	}
	fmt.Fprintf(&b, "/%s%s", c.account, req.URL.EscapedPath())
	if comp := req.URL.Query().Get("comp"); comp != "" {
		b.WriteString("?comp=" + comp)
	}
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(b.String()))
	req.Header.Set("Authorization", "SharedKeyLite "+c.account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func (c *client) put(name string, data []byte) error {
	return expect(http.StatusCreated)(c.do("PUT", "/box/"+url.PathEscape(name), data, "x-ms-blob-type", "BlockBlob"))
}

func (c *client) delete(name string) error {
	return expect(http.StatusAccepted)(c.do("DELETE", "/box/"+url.PathEscape(name), nil))
}

// get returns nil for a blob that is not there.
func (c *client) get(name string) ([]byte, error) {
	status, body, err := c.do("GET", "/box/"+url.PathEscape(name), nil)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, nil
	case status != http.StatusOK:
		return nil, fmt.Errorf("status %d: %s", status, body)
	case body == nil:
		return []byte{}, nil
	}
	return body, nil
}

func expect(want int) func(int, []byte, error) error {
	return func(status int, body []byte, err error) error {
		if err == nil && status != want {
			err = fmt.Errorf("status %d, want %d: %s", status, want, body)
		}
		return err
	}
}
