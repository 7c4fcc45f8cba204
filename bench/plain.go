package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// plain drives a static file server that takes PUT: no signatures, no blocks,
// no encryption. It shows what the machine gives a mature server in C.
type plain struct {
	c  config
	cl *http.Client
}

func (p *plain) url(name string) string {
	return strings.TrimRight(p.c.endpoint, "/") + "/" + p.c.container + "/" + name
}

func (p *plain) Setup(context.Context) error { return nil }

func (p *plain) Put(ctx context.Context, name string, body []byte) error {
	return p.send(ctx, name, bytes.NewReader(body), int64(len(body)))
}

// PutBig is one stream: plain PUT has no blocks.
func (p *plain) PutBig(ctx context.Context, name string, r io.Reader, size int64, _ int) error {
	return p.send(ctx, name, r, size)
}

func (p *plain) send(ctx context.Context, name string, r io.Reader, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.url(name), io.NopCloser(r))
	if err != nil {
		return err
	}
	req.ContentLength = size
	resp, err := p.cl.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("PUT %s: %s", name, resp.Status)
	}
	return nil
}

func (p *plain) Get(ctx context.Context, name string, off, n int64, w io.Writer) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(name), nil)
	if err != nil {
		return 0, err
	}
	if n > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	}
	resp, err := p.cl.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return 0, fmt.Errorf("GET %s: %s", name, resp.Status)
	}
	return drain(w, resp.Body)
}

func (p *plain) GetBig(ctx context.Context, name string, f *os.File, size int64, par int) error {
	return getRanges(ctx, p, name, f, size, p.c.block, par)
}

func (p *plain) List(context.Context, string) (int, error) { return 0, errSkip }
