package keylock

import (
	"sync"
	"testing"
)

func TestLocks(t *testing.T) {
	var l Locks[string]
	var wg sync.WaitGroup
	counts := map[string]*int{"a": new(int), "b": new(int)}
	for k, n := range counts {
		for range 100 {
			wg.Go(func() {
				defer l.Lock(k)()
				*n++
			})
		}
	}
	held := l.Lock("c") // a third one hangs, and nobody waits for it
	wg.Wait()
	held()
	if *counts["a"] != 100 || *counts["b"] != 100 || len(l.m) != 0 {
		t.Errorf("counts %d and %d, %d locks left", *counts["a"], *counts["b"], len(l.m))
	}
}
