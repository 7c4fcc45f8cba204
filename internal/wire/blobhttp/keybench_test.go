//go:build unix

package blobhttp

import (
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/scope"
)

// BenchmarkOwnKeys compares content under the account's key, a scope with the service's
// key, a scope with a customer's key that is cached, and a
// customer-provided key: put and get of one blob over TLS.
func BenchmarkOwnKeys(b *testing.B) {
	c := client{newSecureRig(b)}
	c.scope("scope-a", scope.Options{})
	c.state("scope-a", keys.Enabled)
	c.scope("scope-b", scope.Options{})
	_, ref := c.customers()
	managed, err := c.store.Scopes.Find(b.Context(), c.owner(), "scope-b")
	if err != nil {
		b.Fatal(err)
	}
	c.putUnder(managed.Protector(), ref)
	c.want(201, "PUT", "/box?restype=container", nil)
	for _, size := range []int{4 << 10, 1 << 20} {
		content := randomBytes(size)
		for _, kind := range []struct {
			name string
			put  []string
			get  []string
		}{
			{name: "account"},
			{name: "scope", put: asked("scope-a")},
			{name: "cmk", put: asked("scope-b")},
			{name: "cpk", put: keyA.headers(), get: keyA.headers()},
		} {
			b.Run(kind.name+"/"+sizeName(size), func(b *testing.B) {
				b.SetBytes(2 * int64(size))
				put := append([]string{"x-ms-blob-type", "BlockBlob"}, kind.put...)
				target := "/box/" + kind.name + sizeName(size)
				began := cpuTime(b)
				for b.Loop() {
					resp := c.do("PUT", target, content, put...)
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 201 {
						b.Fatal(resp.Status)
					}
					resp = c.do("GET", target, nil, kind.get...)
					n, err := io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if err != nil || n != int64(size) {
						b.Fatal(n, err)
					}
				}
				// Client and server together; unlike the wall clock it does not mind neighbours.
				b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func sizeName(n int) string {
	if n >= 1<<20 {
		return "1MiB"
	}
	return "4KiB"
}
