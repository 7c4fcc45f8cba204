package cse_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

// A reader of version 1.0 is an oracle if one failure can be told from another. Whatever
// of an object is changed, what fails fails in the same words and after the same steps.
// It cannot be hidden that something failed: see the manual.
func TestV1FailuresAreOne(t *testing.T) {
	const cases = 10000
	rng := newRand(t)
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	text := csetest.Pattern(75)
	c := blobClient(t, s, "c/b", cse.Options{Key: key, AllowV1Read: true})
	var mu sync.Mutex
	var steps []string
	cse.CountSteps(c, func(step string) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, step)
	})
	outcomes, opened := map[string]int{}, 0
	kinds := map[string]map[string]int{}
	took := map[string][]time.Duration{}
	for i := range cases {
		b := v1Blob(t, key, text)
		kind := changes[i%len(changes)].name
		changes[i%len(changes)].change(rng, &b)
		s.Put("c/b", b)
		steps = nil
		buf := make([]byte, 256)
		start := time.Now()
		n, err := c.DownloadBuffer(t.Context(), buf, nil)
		elapsed := time.Since(start)
		if err == nil {
			opened++ // about one padding in 256 is right by chance; text is not authenticated
			if changes[i%len(changes)].never {
				t.Errorf("%s: it opens", kind)
			}
			continue
		}
		if n != 0 || !bytes.Equal(buf, make([]byte, len(buf))) {
			t.Fatal("a read that failed handed out bytes")
		}
		outcome := fmt.Sprintf("%T %q %s", err, err, strings.Join(steps, " "))
		outcomes[outcome]++
		if kinds[kind] == nil {
			kinds[kind] = map[string]int{}
		}
		kinds[kind][outcome]++
		took[kind] = append(took[kind], elapsed)
	}
	t.Logf("%d changed objects: %d fail, %d open", cases, cases-opened, opened)
	if len(outcomes) != 1 {
		t.Errorf("failures can be told apart: %v", kinds)
	}
	for o := range outcomes {
		if want := `*cse.Error "cse: authentication failed" unwrap decrypt unpad decide`; o != want {
			t.Errorf("failures are %s, want %s", o, want)
		}
	}
	for _, c := range changes {
		if len(kinds[c.name]) == 0 {
			t.Errorf("%s: no case failed", c.name)
		}
	}
	if long() { // for people to look at; it gates nothing
		for _, c := range changes {
			d := took[c.name]
			sum := time.Duration(0)
			for _, x := range d {
				sum += x
			}
			t.Logf("%-24s %5d failures, %v on average", c.name, len(d), sum/time.Duration(len(d)))
		}
	}
}

// changes are what an attacker can do to an object whose key id stays.
var changes = []struct {
	name   string
	never  bool // opens, not by chance either: what changed is the key, or the shape
	change func(rng *rand.Rand, b *csetest.Blob)
}{
	{"last block", false, func(rng *rand.Rand, b *csetest.Blob) { flip(rng, b.Body[len(b.Body)-16:]) }},
	{"block before the last", false, func(rng *rand.Rand, b *csetest.Blob) { flip(rng, b.Body[len(b.Body)-32:len(b.Body)-16]) }},
	{"cut at a block", false, func(rng *rand.Rand, b *csetest.Blob) { b.Body = b.Body[:16*rng.IntN(len(b.Body)/16)] }},
	{"cut inside a block", true, func(rng *rand.Rand, b *csetest.Blob) { b.Body = b.Body[:len(b.Body)-1-rng.IntN(15)] }},
	{"a block more", false, func(rng *rand.Rand, b *csetest.Blob) { b.Body = append(b.Body, random(rng, 16)...) }},
	{"other text", false, func(rng *rand.Rand, b *csetest.Blob) { b.Body = random(rng, 16*(1+rng.IntN(8))) }},
	{"wrapped key", true, func(rng *rand.Rand, b *csetest.Blob) { editData(b, wrappedOf(b), random64(rng, 40)) }},
	{"wrapped key of 2.0", true, func(rng *rand.Rand, b *csetest.Blob) { editData(b, wrappedOf(b), wrapped40) }},
	{"wrapped key too short", true, func(rng *rand.Rand, b *csetest.Blob) { editData(b, wrappedOf(b), random64(rng, 3*(1+rng.IntN(9)))) }},
	{"algorithm", true, func(rng *rand.Rand, b *csetest.Blob) { editData(b, "A256KW", "A128KW") }},
	{"nothing is left", true, func(rng *rand.Rand, b *csetest.Blob) { b.Body = nil }},
}

// wrapped40 wraps a key with a version field under key1.
var wrapped40 = func() string {
	k, err := cse.NewAESKey("key1", bytes.Repeat([]byte("ke"), 16))
	if err != nil {
		panic(err)
	}
	w, err := k.WrapKey(context.Background(), cse.A256KW, append([]byte("2.0\x00\x00\x00\x00\x00"), bytes.Repeat([]byte{7}, 32)...))
	if err != nil {
		panic(err)
	}
	return encode64(w)
}()
