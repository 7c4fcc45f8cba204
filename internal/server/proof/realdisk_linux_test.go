package proof

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestPausesUnderLoad stops the server with SIGSTOP and lets it go on, again and again,
// under load, and kills it in the end: no request fails for a pause, nothing is lost.
func TestPausesUnderLoad(t *testing.T) {
	t.Parallel()
	pauses := sized(2, 10, 200)
	bin, dir := build(t), t.TempDir()
	rng := rand.New(rand.NewPCG(newSeed(t), 4))
	p, err := start(bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := expect(201)(p.client.do("PUT", "/box?restype=container", nil)); err != nil {
		p.kill()
		t.Fatal(err)
	}
	writers := make([]*register, 4)
	counts := make([]int, len(writers))
	ended := make(chan int, len(writers))
	var wg sync.WaitGroup
	for i := range writers {
		writers[i] = &register{blobs: map[string]value{}}
		r := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		wg.Go(func() { counts[i] = writers[i].load(p.client, i, r); ended <- i })
	}
	for i := range pauses {
		time.Sleep(time.Duration(20+rng.IntN(100)) * time.Millisecond)
		p.cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(20+rng.IntN(200)) * time.Millisecond)
		p.cmd.Process.Signal(syscall.SIGCONT)
		// One request after every pause, so that each of them meets a server at work.
		name := fmt.Sprintf("/box/pause-%d", i)
		if err := expect(201)(p.client.do("PUT", name, []byte(name), "x-ms-blob-type", "BlockBlob")); err != nil {
			t.Errorf("after pause %d: %v", i, err)
		}
	}
	select {
	case i := <-ended:
		t.Errorf("writer %d met an error: a pause is none", i)
	default:
	}
	p.kill()
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	if p, err = start(bin, dir); err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	for i, w := range writers {
		if err := w.check(p.client); err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	t.Logf("%d pauses, %d acknowledged operations", pauses, total)
	if total == 0 {
		t.Error("there was no load")
	}
}

// TestFullDisk runs the server on a small tmpfs and fills it: writes are refused with
// 507, reads and deletes go on, and when there is room again writes do, too. A kill at the
// end loses nothing.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=192m"); err != nil {
		t.Skipf("a tmpfs of a fixed size needs the right to mount: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	bin := build(t)
	p, err := start(bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { p.kill() }()
	if err := expect(201)(p.client.do("PUT", "/box?restype=container", nil)); err != nil {
		t.Fatal(err)
	}
	acked := map[string][]byte{}
	write := func(i, size int) (int, error) {
		name := fmt.Sprintf("b%d", i)
		data := content(name, size)
		status, _, err := p.client.do("PUT", "/box/"+name, data, "x-ms-blob-type", "BlockBlob")
		if err == nil && status == 201 {
			acked[name] = data
		}
		return status, err
	}
	for i := range 20 {
		if status, err := write(i, 1_000_000); err != nil || status != 201 {
			t.Fatalf("write %d = %d, %v", i, status, err)
		}
	}
	filler := filepath.Join(dir, "filler")
	refusedAt := func(left int64, first int) {
		t.Helper()
		fill(t, dir, filler, left)
		// Content and index each watch the disk: big writes and small ones.
		n := first
		for _, size := range []int{200_000, 100} {
			for deadline := time.Now().Add(20 * time.Second); ; n++ {
				status, err := write(n, size)
				if err == nil && status == 507 {
					break
				}
				if err != nil || status != 201 || time.Now().After(deadline) {
					t.Fatalf("%d bytes left: write of %d = %d, %v; want 507 soon", left, size, status, err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	served := func(when string) {
		t.Helper()
		for name, want := range acked {
			if got, err := p.client.get(name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s = %s, %v", when, name, describe(got), err)
			}
		}
	}
	remove := func(when string, n int) {
		t.Helper()
		for name := range acked {
			if n--; n < 0 {
				return
			}
			if err := p.client.delete(name); err != nil {
				t.Errorf("%s: delete: %v", when, err)
				continue
			}
			delete(acked, name)
		}
	}
	refusedAt(40<<20, 100)
	served("nearly full")
	remove("nearly full", 3)
	refusedAt(0, 300)
	served("full")
	remove("full", 3)
	served("full, after deletes")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for n := 500; ; n++ {
		status, err := write(n, 200_000)
		if err == nil && status == 201 {
			break
		}
		if err != nil || status != 507 || time.Now().After(deadline) {
			t.Fatalf("with room again: write = %d, %v", status, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.kill()
	if p, err = start(bin, dir); err != nil {
		t.Fatal(err)
	}
	served("after the kill")
	t.Logf("%d blobs outlived the full disk", len(acked))
}

// fill makes a file so large that left bytes of the disk are free, or as large as it gets.
func fill(t testing.TB, dir, path string, left int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); ; {
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			t.Fatal(err)
		}
		more := min(int64(s.Bavail)*s.Bsize-left, int64(len(block)))
		if more <= 0 {
			return
		}
		if _, err := f.Write(block[:more]); err != nil {
			return
		}
	}
}
