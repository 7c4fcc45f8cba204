package sealedfs

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs/sealedfstest"
)

var sample = Head{
	Clean: true, StoreID: [16]byte{1}, Format: 1, Seq: 1 << 33, Generation: 7, Sum: [32]byte{9},
	Entries: []Entry{{EntryWAL, 4, 9}, {EntryWAL, 1 << 40, 0}, {EntryManifest, 3, 1 << 33}, {EntryAudit, 1, 2}},
}

func TestHeadSpelling(t *testing.T) {
	got, err := ParseHead(sample.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Errorf("ParseHead (-want +got):\n%s", diff)
	}
	for n := range sample.Bytes() {
		if h, err := ParseHead(sample.Bytes()[:n]); !fault.Is(err, fault.Corrupt) || h.Seq != 0 {
			t.Errorf("ParseHead of %d bytes = %+v, %v", n, h, err)
		}
	}
	bad := map[string]func(b []byte){
		"clean 2":      func(b []byte) { b[1] = 2 },
		"format 0":     func(b []byte) { clear(b[18:22]) },
		"seq 0":        func(b []byte) { clear(b[22:30]) },
		"one entry":    func(b []byte) { b[71]-- },
		"type 0":       func(b []byte) { b[73] = 0 },
		"type 4":       func(b []byte) { b[headFixed+3*headEntry+1] = 4 },
		"foreign area": func(b []byte) { b[72] = 2 },
		"not sorted":   func(b []byte) { b[80] = 0xff; b[74] = 0xff },
		"doubled":      func(b []byte) { copy(b[headFixed+headEntry:], b[headFixed:headFixed+headEntry]) },
	}
	for what, change := range bad {
		b := sample.Bytes()
		change(b)
		if _, err := ParseHead(b); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ParseHead([]byte{2}); !fault.Is(err, fault.NewerFormat) {
		t.Errorf("version 2: %v", err)
	}
}

func FuzzHead(f *testing.F) {
	f.Add(sample.Bytes())
	f.Add((&Head{Format: 1, Seq: 1}).Bytes())
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHead(b)
		if err != nil {
			if !cmp.Equal(h, Head{}) {
				t.Errorf("a refused HEAD is not zero: %+v", h)
			}
			return
		}
		if !bytes.Equal(h.Bytes(), b) {
			t.Errorf("%x has another spelling: %x", b, h.Bytes())
		}
	})
}

// headOf returns what the newest HEAD on disk says.
func headOf(t *testing.T, f *FS) Head {
	t.Helper()
	h, err := f.readHeads(Expect{Uninitialized: true})
	must(t, err)
	return h
}

func syncDir(t *testing.T, f *FS, dir string) {
	t.Helper()
	d, err := f.OpenDir(dir)
	must(t, err)
	must(t, d.Sync())
	must(t, d.Close())
}

// TestHeadLists walks through the life of logs and MANIFESTs and looks at HEAD after
// each step.
func TestHeadLists(t *testing.T) {
	f, lower := newFS(t)
	expect := func(what string, want ...Entry) {
		t.Helper()
		if diff := cmp.Diff(want, headOf(t, f).Entries); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	manifest, err := f.Create("d/lsm/MANIFEST-000001", "")
	must(t, err)
	_, err = manifest.Write([]byte("edit"))
	must(t, err)
	must(t, manifest.Sync())
	if _, err := lower.Stat("d/HEAD.A"); err == nil {
		t.Error("HEAD before a marker or a log is durable")
	}
	m, err := f.Create("d/lsm/marker.manifest.000001.MANIFEST-000001", "")
	must(t, err)
	must(t, m.Close())
	syncDir(t, f, "d/lsm")
	expect("marker", Entry{EntryManifest, 1, 1})

	log1, err := f.Create("d/lsm/000002.log", "")
	must(t, err)
	expect("a log whose name is not durable yet", Entry{EntryManifest, 1, 1})
	must(t, f.AfterSwap())
	expect("the same after a swap", Entry{EntryManifest, 1, 1})
	syncDir(t, f, "d/lsm")
	expect("log", Entry{EntryWAL, 2, 0}, Entry{EntryManifest, 1, 1})

	_, err = log1.Write([]byte("a"))
	must(t, err)
	must(t, log1.Sync())
	_, err = log1.Write([]byte("b"))
	must(t, err)
	must(t, f.AfterSwap())
	expect("synced frames only", Entry{EntryWAL, 2, 1}, Entry{EntryManifest, 1, 1})
	must(t, log1.Close())

	_, err = f.Create("d/lsm/000003.log", "")
	must(t, err)
	syncDir(t, f, "d/lsm")
	expect("two logs, the older with its end frame", Entry{EntryWAL, 2, 3}, Entry{EntryWAL, 3, 0}, Entry{EntryManifest, 1, 1})

	_, err = f.Create("d/lsm/MANIFEST-000004", "")
	must(t, err)
	syncDir(t, f, "d/lsm")
	expect("a MANIFEST that no marker names", Entry{EntryWAL, 2, 3}, Entry{EntryWAL, 3, 0}, Entry{EntryManifest, 1, 1})
	m, err = f.Create("d/lsm/marker.manifest.000002.MANIFEST-000004", "")
	must(t, err)
	must(t, m.Close())
	syncDir(t, f, "d/lsm")
	expect("the next marker", Entry{EntryWAL, 2, 3}, Entry{EntryWAL, 3, 0}, Entry{EntryManifest, 4, 0})
	if err := f.Remove("d/lsm/MANIFEST-000004"); err == nil {
		t.Error("the MANIFEST in force can be removed")
	}
	must(t, f.Remove("d/lsm/MANIFEST-000001"))
	must(t, f.Remove("d/lsm/000002.log"))
	expect("a log is removed", Entry{EntryWAL, 3, 0}, Entry{EntryManifest, 4, 0})

	must(t, f.MkdirAll("d/checkpoint", 0o700))
	_, err = f.Create("d/checkpoint/000009.log", "")
	must(t, err)
	syncDir(t, f, "d/checkpoint")
	must(t, f.AfterSwap())
	expect("checkpoints do not count", Entry{EntryWAL, 3, 0}, Entry{EntryManifest, 4, 0})
	a, b := headOf(t, f).Seq, f.head.seq
	if a != b {
		t.Errorf("HEAD has number %d, %d was written", a, b)
	}
	must(t, f.Stopped())
	if h := headOf(t, f); !h.Clean || h.Seq != a+1 {
		t.Errorf("HEAD after a stop: %+v", h)
	}
	if err := f.AfterSwap(); !errors.Is(err, errHeadClosed) {
		t.Errorf("AfterSwap after a stop = %v", err)
	}
}

// TestHeadBeforeRemoval: at no moment is a log gone that HEAD lists.
func TestHeadBeforeRemoval(t *testing.T) {
	f, lower := newFS(t)
	w, err := f.Create("d/lsm/000001.log", "")
	must(t, err)
	syncDir(t, f, "d/lsm")
	must(t, w.Close())
	must(t, f.Remove("d/lsm/000001.log"))
	cut := lower.CrashClone(vfs.CrashCloneCfg{})
	g := New(cut, "d", sealedfstest.New(1), Options{})
	if _, err := g.Check(Expect{Uninitialized: true}); err != nil {
		t.Errorf("Check = %v", err)
	}
}

// TestFailuresWhileOpening come back as errors; afterwards they end the process.
func TestFailuresWhileOpening(t *testing.T) {
	lower := &failing{FS: vfs.NewCrashableMem()}
	must(t, lower.MkdirAll("d", 0o700))
	told := make(chan error, 1)
	f := New(lower, "d", sealedfstest.New(1), Options{Fatal: func(err error) { told <- err }})
	must(t, f.BeginStore())
	lower.writes = 1
	if _, err := f.Create("d/lsm/000001.log", ""); !errors.Is(err, errDisk) {
		t.Errorf("Create = %v", err)
	}
	select {
	case err := <-told:
		t.Errorf("Fatal(%v) while opening", err)
	default:
	}
	if _, err := f.Create("d/lsm/000002.sst", ""); !errors.Is(err, errFailed) {
		t.Errorf("Create after a failure = %v", err)
	}

	f = New(lower, "d", sealedfstest.New(1), Options{Fatal: func(err error) { told <- err }})
	must(t, f.Started())
	lower.writes = 1
	go func() { _, _ = f.Create("d/lsm/000003.log", "") }()
	if err := <-told; !errors.Is(err, errDisk) {
		t.Errorf("Fatal(%v)", err)
	}
}
