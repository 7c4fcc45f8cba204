package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// contents copies the bytes of k.
func contents(t testing.TB, k Key) []byte {
	t.Helper()
	var out []byte
	if err := k.Use(func(b []byte) error { out = bytes.Clone(b); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestKey(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 33, 64, 100, 4096, 4097, 10000} {
		src := bytes.Repeat([]byte{0xA5}, n)
		k := New(src)
		if !bytes.Equal(src, make([]byte, n)) {
			t.Errorf("New(%d bytes) left its argument", n)
		}
		if got := contents(t, k); !bytes.Equal(got, bytes.Repeat([]byte{0xA5}, n)) {
			t.Errorf("key of %d bytes holds %x", n, got)
		}
		k.Destroy()
		k.Destroy()
		if err := k.Use(func([]byte) error { t.Error("Use called f after Destroy"); return nil }); !errors.Is(err, ErrDestroyed) {
			t.Errorf("Use after Destroy = %v, want ErrDestroyed", err)
		}
	}
	var zero Key
	zero.Destroy()
	if err := zero.Use(func([]byte) error { return nil }); !zero.IsZero() || !errors.Is(err, ErrDestroyed) {
		t.Errorf("zero Key: IsZero %v, Use %v", zero.IsZero(), err)
	}
}

func TestRandomAndFill(t *testing.T) {
	a, b := Random(32), Random(32)
	if bytes.Equal(contents(t, a), contents(t, b)) {
		t.Error("two random keys are equal")
	}
	k, err := Fill(3, func(b []byte) error { copy(b, "abc"); return nil })
	if err != nil || string(contents(t, k)) != "abc" {
		t.Errorf("Fill = %v, %v", k, err)
	}
	boom := errors.New("boom")
	if k, err := Fill(3, func([]byte) error { return boom }); err != boom || !k.IsZero() {
		t.Errorf("Fill with an error = %v, %v", k, err)
	}
}

func TestKeyIsHidden(t *testing.T) {
	k := New([]byte("plaintext of the key"))
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "k", k, "in", struct{ K Key }{k})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "k", k, "in", struct{ K Key }{k})
	js, err := json.Marshal(map[string]any{"k": k})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %q %x %d", k, k, k, k, k, k, k),
		fmt.Sprintf("%+v %#v", struct{ K Key }{k}, &struct{ K Key }{k}), log.String(), string(js),
	} {
		for _, leak := range []string{"plaintext", fmt.Sprintf("%x", "plaintext"), "112 108 97"} {
			if strings.Contains(s, leak) {
				t.Errorf("key shows in %q", s)
			}
		}
	}
}

// TestArenaModel compares a random history with a map and sees that no two keys share
// memory, that new cells are zero, and that slabs go away.
func TestArenaModel(t *testing.T) {
	var a arena
	rng := rand.New(rand.NewPCG(1, 2))
	type held struct {
		c    cell
		n    int
		fill byte
	}
	var live []held
	for i := range 5000 {
		if len(live) > 0 && rng.IntN(5) < 2 {
			j := rng.IntN(len(live))
			h := live[j]
			if got := h.c.bytes(h.n); !bytes.Equal(got, bytes.Repeat([]byte{h.fill}, h.n)) {
				t.Fatalf("step %d: cell of %d bytes was overwritten", i, h.n)
			}
			h.c.release()
			live = append(live[:j], live[j+1:]...)
			continue
		}
		n := 1 + rng.IntN(1<<rng.IntN(14))
		c := a.alloc(n)
		if got := c.bytes(n); !bytes.Equal(got, make([]byte, n)) {
			t.Fatalf("step %d: new cell is not zero", i)
		}
		h := held{c, n, byte(1 + rng.IntN(255))}
		for k := range c.bytes(n) {
			c.bytes(n)[k] = h.fill
		}
		live = append(live, h)
	}
	if got := a.status(); got.Keys != len(live) || got.Mapped < got.Bytes {
		t.Errorf("status = %+v with %d keys", got, len(live))
	}
	for _, h := range live {
		h.c.release()
	}
	if got := a.status(); got.Keys != 0 || got.Bytes != 0 || len(a.all) > classes {
		t.Errorf("status after release of all = %+v, %d slabs", got, len(a.all))
	}
}

func TestManyKeysShareSlabs(t *testing.T) {
	var a arena
	for range 10000 {
		a.alloc(32)
	}
	if got, most := a.status().Mapped, 10000*32+2*slabSize; got > most {
		t.Errorf("10,000 keys take %d bytes, want at most %d", got, most)
	}
}

func TestDroppedKeysAreWiped(t *testing.T) {
	before := Status().Keys
	for range 100 {
		Random(32)
	}
	for range 100 {
		runtime.GC()
		time.Sleep(time.Millisecond)
		if Status().Keys <= before {
			return
		}
	}
	t.Errorf("%d keys live, want %d: unreachable keys were kept", Status().Keys, before)
}

func TestParallel(t *testing.T) {
	var wg sync.WaitGroup
	shared := New([]byte("shared"))
	for range 8 {
		wg.Go(func() {
			for range 300 {
				k := Random(32)
				err := shared.Use(func(b []byte) error {
					if string(b) != "shared" {
						return errors.New("Use saw other bytes than those of the key")
					}
					return nil
				})
				if err != nil && !errors.Is(err, ErrDestroyed) {
					t.Error(err)
				}
				k.Destroy()
			}
		})
	}
	shared.Destroy()
	wg.Wait()
}

func BenchmarkRandom(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		k := Random(32)
		k.Destroy()
	}
}

func BenchmarkUse(b *testing.B) {
	k := Random(32)
	for b.Loop() {
		k.Use(func([]byte) error { return nil })
	}
}
