package blobhttp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// K1 and K4 for customers' keys: while eight clients put, read and describe, the key of
// the account goes from the service to vaults and back, gets new versions, is rotated and
// validated anew. Nothing fails, and nothing of the content is written again.
func TestSwitchingUnderLoad(t *testing.T) {
	rounds := 10 // of ten changes each
	if testing.Short() {
		rounds = 1
	}
	if os.Getenv("COFFER_LONG") != "" {
		rounds = 50
	}
	c := client{newRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil)
	vault, _ := c.customers()
	p := keys.AccountProtector(c.owner())
	c.want(201, "PUT", "/box/before", []byte("before"), "x-ms-blob-type", "BlockBlob", "x-ms-meta-a", "b")

	stop := make(chan struct{})
	var done, failed, put atomic.Int64
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			content := randomBytes(3000 * (n + 1))
			target := fmt.Sprintf("/box/client-%d", n)
			for {
				select {
				case <-stop:
					return
				default:
				}
				ok := c.succeeds(201, "PUT", target, content, nil, "x-ms-blob-type", "BlockBlob", "x-ms-meta-n", fmt.Sprint(n)) &&
					c.succeeds(200, "GET", target, nil, content) &&
					c.succeeds(200, "PUT", target+"?comp=metadata", nil, nil, "x-ms-meta-m", "x") &&
					c.succeeds(200, "GET", "/box/before", nil, []byte("before"))
				put.Add(int64(len(content)))
				done.Add(4)
				if !ok {
					failed.Add(1)
				}
			}
		})
	}
	sealed := c.store.Objects.Stats().SealedBytes
	began := put.Load()
	changes := 0
	change := func(what string, err error) {
		t.Helper()
		if changes++; err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	ctx := context.Background()
	ring, store := c.store.Ring, c.store.Objects
	rotate := func() error {
		info, _ := ring.Protector(p)
		if _, err := ring.Rotate(ctx, info.Chain); err != nil {
			return err
		}
		if err := store.MirrorProtector(ctx, p); err != nil {
			return err
		}
		_, err := store.Sweep(ctx, p, object.SweepOptions{Rate: 1 << 20})
		return err
	}
	for range rounds {
		a, z := vault.Add("a", "k"), vault.Add("z", "k")
		change("service to a", ring.SetVaultKey(ctx, p, a, false))
		change("rotate", rotate())
		change("a to z", ring.SetVaultKey(ctx, p, z, true))
		vault.Add("z", "k")
		change("new version", ring.CheckVersions(ctx))
		change("revoke", store.RevokeNow(ctx, p))
		change("root", ring.RotateRoot(ctx, keys.SRK))
		change("z to a", ring.SetVaultKey(ctx, p, a, false))
		change("to the service", ring.SetServiceKey(ctx, p))
		change("rotate", rotate())
		change("trim", ring.TrimPrevious(ctx))
	}
	close(stop)
	wg.Wait()
	t.Logf("%d changes, %d operations", changes, done.Load())
	if n := failed.Load(); n > 0 {
		t.Errorf("%d rounds of operations failed", n)
	}
	// What was sealed is what clients sent: nothing was written again. A body that was
	// under way at either end counts once more or less.
	extra := c.store.Objects.Stats().SealedBytes - sealed - (put.Load() - began)
	if most := int64(8 * 24_000); extra > most || extra < -most {
		t.Errorf("%d bytes were sealed that no client sent", extra)
	}
	c.want(200, "GET", "/box/before", nil)
}

// succeeds sends a request and compares status and, if given, content.
func (c client) succeeds(status int, method, target string, body, want []byte, headers ...string) bool {
	resp := c.do(method, target, body, headers...)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || want != nil && !bytes.Equal(got, want) {
		c.Errorf("%s %s: %s %s, %v\n%.200s", method, target, resp.Status, resp.Header.Get("x-ms-error-code"), err, got)
		return false
	}
	return true
}
