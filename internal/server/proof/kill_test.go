package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running `coffer serve`.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan error
	client *client
}

// build compiles the program once.
func build(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "coffer")
	cmd := exec.Command("go", "build", "-o", bin, "github.com/coffer-storage/coffer/cmd/coffer")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return bin
}

// start runs the program on dir and waits until it listens.
func start(bin, dir string) (*process, error) {
	ready := filepath.Join(dir, "ready.json")
	os.Remove(ready)
	p := &process{done: make(chan error, 1)}
	p.cmd = exec.Command(bin, "serve", "--data", filepath.Join(dir, "data"), "--unseal-key", filepath.Join(dir, "unseal.key"),
		"--blob-port", "0", "--management-port", "0", "--ready-file", ready)
	p.cmd.Stderr, p.cmd.Stdout = &p.stderr, io.Discard
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.cmd.Wait() }()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case err := <-p.done:
			return nil, fmt.Errorf("the server ended: %v\n%s", err, p.stderr.Bytes())
		case <-deadline:
			p.kill()
			return nil, fmt.Errorf("not ready after a minute\n%s", p.stderr.Bytes())
		case <-time.After(5 * time.Millisecond):
		}
		b, err := os.ReadFile(ready)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var r struct{ Blob, Account, Key string }
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err == nil {
			p.client, err = newClient(r.Blob, r.Account, r.Key)
		}
		if err != nil {
			p.kill()
		}
		return p, err
	}
}

// kill ends the process at once.
func (p *process) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// register is what one writer knows of its own blobs.
type register struct {
	blobs map[string]value // acknowledged; nil data: deleted
	key   string           // under way
	next  value
}

// TestAckedSurvivesKill kills the server with SIGKILL under load again and again; what
// was acknowledged before is there after each restart, and what was deleted is not.
func TestAckedSurvivesKill(t *testing.T) {
	t.Parallel()
	kills := sized(5, 50, 500)
	bin, dir := build(t), t.TempDir()
	rng := rand.New(rand.NewPCG(newSeed(t), 3))
	writers := make([]*register, 6)
	for i := range writers {
		writers[i] = &register{blobs: map[string]value{}}
	}
	total := 0
	for k := range kills {
		p, err := start(bin, dir)
		if err != nil {
			t.Fatalf("start %d: %v", k, err)
		}
		if k == 0 {
			if err := expect(201)(p.client.do("PUT", "/box?restype=container", nil)); err != nil {
				p.kill()
				t.Fatal(err)
			}
		}
		for i, w := range writers {
			if err := w.check(p.client); err != nil {
				t.Errorf("after kill %d: writer %d: %v", k, i, err)
			}
		}
		if t.Failed() {
			p.kill()
			t.Fatalf("the server said:\n%s", p.stderr.Bytes())
		}
		var wg sync.WaitGroup
		counts := make([]int, len(writers))
		for i, w := range writers {
			seed := rng.Uint64()
			wg.Go(func() { counts[i] = w.load(p.client, i, rand.New(rand.NewPCG(seed, uint64(k)))) })
		}
		time.Sleep(time.Duration(50+rng.IntN(400)) * time.Millisecond)
		p.kill()
		wg.Wait()
		for _, n := range counts {
			total += n
		}
	}
	t.Logf("%d kills, %d acknowledged operations", kills, total)
	if total < kills*5 {
		t.Errorf("only %d operations: there was no load", total)
	}
}

// load writes until the server is gone.
func (w *register) load(c *client, id int, rng *rand.Rand) (acked int) {
	for i := 0; ; i++ {
		key := fmt.Sprintf("w%d-%d", id, rng.IntN(15))
		v := value{data: content(fmt.Sprint(id, i, rng.Uint64()), []int{100, 5_000, 40_000, 300_000, 1_500_000}[rng.IntN(5)])}
		del := rng.IntN(4) == 0 && w.blobs[key].data != nil
		if del {
			v = value{}
		}
		w.key, w.next = key, v
		var err error
		if del {
			err = c.delete(key)
		} else {
			err = c.put(key, v.data)
		}
		if err != nil {
			return acked
		}
		w.blobs[key], w.key = v, ""
		acked++
	}
}

// check compares what is there with what was acknowledged, and settles what was under
// way when the server died.
func (w *register) check(c *client) error {
	keys := map[string]bool{}
	for k := range w.blobs {
		keys[k] = true
	}
	if w.key != "" {
		keys[w.key] = true
	}
	for k := range keys {
		data, err := c.get(k)
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		got := value{data: data}
		if k == w.key && got.equal(w.next) {
			w.blobs[k] = w.next
		}
		if want := w.blobs[k]; !got.equal(want) {
			return fmt.Errorf("%s = %v, want %v", k, got, want)
		}
	}
	w.key = ""
	return nil
}
