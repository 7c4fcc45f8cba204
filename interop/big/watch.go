package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// watcher follows the memory of a server process.
type watcher struct {
	pid  int
	peak atomic.Int64 // highest resident memory sampled, KiB
	stop chan struct{}
}

// watch starts to sample; pid 0 watches nothing.
func watch(pid int) (*watcher, error) {
	w := &watcher{pid: pid, stop: make(chan struct{})}
	if pid == 0 {
		return w, nil
	}
	if _, err := w.status("VmRSS:"); err != nil {
		return nil, err
	}
	go w.loop()
	return w, nil
}

func (w *watcher) loop() {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			if n, err := w.status("VmRSS:"); err == nil && n > w.peak.Load() {
				w.peak.Store(n)
			}
		}
	}
}

// sampled is the highest sample so far, MiB.
func (w *watcher) sampled() int64 { return w.peak.Load() >> 10 }

// verdict stops the sampling, prints what was seen and fails over the bound.
// The kernel's high-water mark counts; the samples show where it came from.
func (w *watcher) verdict(upPeak, limit int64) error {
	close(w.stop)
	if w.pid == 0 {
		fmt.Println("memory of the server: not watched")
		return nil
	}
	hwm, err := w.status("VmHWM:")
	if err != nil {
		return err
	}
	mib := (hwm + 1023) >> 10
	fmt.Printf("server memory: high-water mark %d MiB (sampled: up %d, whole run %d), bound %d\n", mib, upPeak, w.sampled(), limit)
	if mib > limit {
		return fmt.Errorf("the server used %d MiB, over the bound of %d", mib, limit)
	}
	return nil
}

// status reads one KiB field of /proc/PID/status.
func (w *watcher) status(field string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", w.pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), field); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("process %d has no %s", w.pid, field)
}
