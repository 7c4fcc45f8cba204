package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var errDisk = errors.New("disk is full")

// fakeFiles keeps frames in memory and fails the k-th write when it is told to.
type fakeFiles struct {
	mu     sync.Mutex
	m      map[uint64]*fakeFile
	writes int
	failAt int // 0: never; negative: every one
}

type fakeFile struct {
	fs     *fakeFiles
	frames [][]byte
	synced int
	size   int64
	bad    bool
}

func (f *fakeFiles) fault() error {
	f.writes++
	if f.failAt < 0 || f.failAt == f.writes {
		return errDisk
	}
	return nil
}

func (f *fakeFiles) set(failAt int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failAt, f.writes = failAt, 0
}

func (f *fakeFiles) Audits() ([]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []uint64
	for n := range f.m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

func (f *fakeFiles) ReadAudit(n uint64, visit func([]byte) error) error {
	f.mu.Lock()
	frames := f.m[n].frames
	f.mu.Unlock()
	for _, p := range frames {
		if err := visit(p); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeFiles) CreateAudit(n uint64) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fault(); err != nil {
		return nil, err
	}
	if f.m == nil {
		f.m = map[uint64]*fakeFile{}
	}
	if f.m[n] != nil {
		return nil, fmt.Errorf("file %d exists", n)
	}
	f.m[n] = &fakeFile{fs: f}
	return f.m[n], nil
}

func (f *fakeFile) do(work func()) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.bad {
		return errors.New("file is poisoned")
	}
	if err := f.fs.fault(); err != nil {
		f.bad = true
		return err
	}
	work()
	return nil
}

func (f *fakeFile) Append(p []byte) error {
	return f.do(func() { f.frames = append(f.frames, slices.Clone(p)); f.size += int64(len(p)) })
}
func (f *fakeFile) Sync() error { return f.do(func() { f.synced = len(f.frames) }) }
func (f *fakeFile) Size() int64 { f.fs.mu.Lock(); defer f.fs.mu.Unlock(); return f.size }
func (f *fakeFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.bad {
		f.synced = len(f.frames)
	}
	return nil
}

// cut drops what was not synced.
func (f *fakeFiles) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.m {
		x.frames = x.frames[:x.synced]
	}
}

func openLog(t *testing.T, f Files, o Options) *Log {
	t.Helper()
	l, err := Open(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLogChains(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	f := &fakeFiles{}
	o := Options{Now: func() time.Time { return now }, MaxFile: 300}
	rec := Record{Actor: "operator", Operation: "keys.rotate", What: "chain", Kref: [16]byte{1}, Outcome: OK, RequestID: "r"}
	for range 2 { // a second start goes on
		l := openLog(t, f, o)
		for range 5 {
			if err := l.Before(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}
		l.After(rec)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Before(t.Context(), rec); !errors.Is(err, ErrClosed) {
			t.Errorf("Before after Close = %v, want ErrClosed", err)
		}
	}
	var got []Record
	rep, err := Verify(f, func(r Record) error { got = append(got, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if rep.Records != 12 || rep.End.Seq != 12 || rep.First != 1 || rep.Superseded != 0 || rep.Files < 4 {
		t.Errorf("Verify = %+v", rep)
	}
	for i, r := range got {
		want := rec
		want.Seq, want.Time = uint64(i)+1, now
		if d := cmp.Diff(want, r); d != "" {
			t.Errorf("record %d: %s", i, d)
		}
	}
}

func TestLogMarksWhatACrashCutOff(t *testing.T) {
	f := &fakeFiles{}
	l := openLog(t, f, Options{})
	done := Record{Operation: "keys.rotate", What: "a", Outcome: Begin}
	if err := l.Before(t.Context(), done); err != nil {
		t.Fatal(err)
	}
	done.Outcome = OK
	l.After(done)
	if err := l.Before(t.Context(), Record{Operation: "keys.destroy", What: "b", Outcome: Begin}); err != nil {
		t.Fatal(err)
	}
	f.cut() // and never closed

	next := openLog(t, f, Options{})
	_ = next.Close()
	var last Record
	if _, err := Verify(f, func(r Record) error { last = r; return nil }); err != nil {
		t.Fatal(err)
	}
	if last.Operation != "keys.destroy" || last.Outcome != Interrupted || last.Seq != 4 {
		t.Errorf("last record %+v, want keys.destroy interrupted", last)
	}
}

// Fail each write in turn: a record that was acknowledged is there, a failed Before says
// so, and the chain holds.
func TestLogFaults(t *testing.T) {
	for k := 1; k <= 14; k++ {
		f := &fakeFiles{failAt: k}
		l := openLog(t, f, Options{MaxFile: 200})
		acked := map[string]bool{}
		failed := 0
		for i := range 4 {
			what := fmt.Sprint(i)
			if err := l.Before(t.Context(), Record{Operation: "x", What: what, Outcome: OK}); err != nil {
				failed++
				continue
			}
			acked[what] = true
		}
		_ = l.Close()
		f.cut()
		seen := map[string]bool{}
		if _, err := Verify(f, func(r Record) error { seen[r.What] = true; return nil }); err != nil {
			t.Fatalf("fault %d: %v", k, err)
		}
		for what := range acked {
			if !seen[what] {
				t.Errorf("fault %d: acknowledged record %s is missing", k, what)
			}
		}
		if failed > 1 {
			t.Errorf("fault %d: %d calls failed, want one at most", k, failed)
		}
	}
}

func TestLogKeepsAfterRecordsOverAFullDisk(t *testing.T) {
	f := &fakeFiles{}
	l := openLog(t, f, Options{})
	f.set(-1)
	if err := l.Before(t.Context(), Record{Operation: "grant", Outcome: Begin}); !errors.Is(err, errDisk) {
		t.Fatalf("Before on a full disk = %v, want %v", err, errDisk)
	}
	for range maxQueue + 7 {
		l.After(Record{Operation: "suspend", Outcome: OK})
	}
	if got := l.State(); got.Err == nil {
		t.Errorf("State after a failure = %+v", got)
	}
	f.set(0)
	if err := l.Before(t.Context(), Record{Operation: "grant", Outcome: Begin}); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	counts := map[string]int{}
	var lost string
	_, err := Verify(f, func(r Record) error {
		counts[r.Operation]++
		if r.Operation == "audit.lost" {
			lost = r.What
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if counts["suspend"] < maxQueue-1 || counts["audit.lost"] != 1 || lost == "" {
		t.Errorf("records %v, lost %q", counts, lost)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	build := func() *fakeFiles {
		f := &fakeFiles{}
		l := openLog(t, f, Options{MaxFile: 250})
		for range 12 {
			_ = l.Before(context.Background(), Record{Operation: "x", Outcome: OK})
		}
		_ = l.Close()
		return f
	}
	if _, err := Verify(build(), nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		spoil func(*fakeFiles)
		want  error
	}{
		{"entry dropped", func(f *fakeFiles) { x := f.m[1]; x.frames = append(x.frames[:1:1], x.frames[2:]...) }, ErrChain},
		{"entries swapped", func(f *fakeFiles) { x := f.m[1].frames; x[1], x[2] = x[2], x[1] }, ErrChain},
		{"last entry of a file dropped", func(f *fakeFiles) { x := f.m[1]; x.frames = x.frames[:len(x.frames)-1] }, ErrChain},
		{"file dropped", func(f *fakeFiles) { delete(f.m, 2) }, ErrChain},
		{"files swapped", func(f *fakeFiles) { f.m[1], f.m[2] = f.m[2], f.m[1] }, ErrChain},
		{"head dropped", func(f *fakeFiles) { f.m[1].frames = f.m[1].frames[1:] }, ErrForm},
		{"entry cut", func(f *fakeFiles) { f.m[1].frames[1] = f.m[1].frames[1][:20] }, ErrForm},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := build()
			tt.spoil(f)
			if _, err := Verify(f, nil); !errors.Is(err, tt.want) {
				t.Errorf("Verify = %v, want %v", err, tt.want)
			}
		})
	}
	f := build()
	for i := range f.m[1].frames[1] {
		f.m[1].frames[1][i] ^= 0x40
		if _, err := Verify(f, nil); err == nil {
			t.Errorf("Verify accepts a flipped byte %d", i)
		}
		f.m[1].frames[1][i] ^= 0x40
	}
	delete(f.m, 1) // archived
	if rep, err := Verify(f, nil); err != nil || rep.First <= 1 {
		t.Errorf("Verify without the first file = %+v, %v", rep, err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	r := Record{Seq: 1, Time: time.Unix(0, 5), Actor: "a", Operation: "b", What: "c", Kref: [16]byte{9}, Outcome: OK, RequestID: "d"}
	f.Add(r.encode())
	f.Add((&Record{Seq: 2}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			if r != (Record{}) {
				t.Error("a failure returned a record")
			}
			return
		}
		if d := cmp.Diff(b, r.encode()); d != "" {
			t.Error(d)
		}
	})
}
