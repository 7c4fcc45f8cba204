package vfsframe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
)

var logID = ID{Kind: Log, Area: LSM, Number: 7, Store: testStore}

// script writes a class 2 file: "w" a frame, "s" a sync, "e" the end. It returns the
// file, the offsets of the frames and their contents.
func script(t testing.TB, id ID, ops string) (file []byte, at []int, plain [][]byte) {
	t.Helper()
	c, file, err := Create(testKey(), [16]byte{9}, id)
	if err != nil {
		t.Fatal(err)
	}
	a := c.NewAppender()
	for i, op := range ops {
		switch op {
		case 'w':
			p := pattern(10 + 37*i%300)
			p[0] = byte(i)
			at = append(at, len(file))
			plain = append(plain, p)
			file, err = a.Seal(file, p)
		case 's':
			a.NoteSynced(a.Seq())
		case 'e':
			at = append(at, len(file))
			file, err = a.End(file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return file, at, plain
}

func scan(b []byte, id ID) (frames [][]byte, tail Tail, err error) {
	if len(b) < HeaderSize {
		return nil, Tail{}, ErrFormat
	}
	c, err := Open(b[:HeaderSize], id, keyOf(testKey()))
	if err != nil {
		return nil, Tail{}, err
	}
	s := c.NewScanner(bytes.NewReader(b), int64(len(b)))
	for {
		p, err := s.Next()
		if err == io.EOF {
			return frames, s.Tail(), nil
		}
		if err != nil {
			return nil, Tail{}, err
		}
		frames = append(frames, bytes.Clone(p))
	}
}

func equal(a, b [][]byte) bool {
	return len(a) == len(b) && bytes.Equal(bytes.Join(a, nil), bytes.Join(b, nil))
}

func TestAppend(t *testing.T) {
	for _, tt := range []struct {
		ops  string
		want Tail
	}{
		{"", Tail{}},
		{"e", Tail{Seq: 1, Ended: true}},
		{"w", Tail{Seq: 1}},
		{"wswww", Tail{Seq: 4, Synced: 1}},
		{"wwswse", Tail{Seq: 4, Synced: 3, Ended: true}},
	} {
		file, _, plain := script(t, logID, tt.ops)
		tt.want.Size = int64(len(file))
		frames, tail, err := scan(file, logID)
		if err != nil || !equal(frames, plain) || tail != tt.want {
			t.Errorf("%q: %d frames, %+v, %v, want %+v", tt.ops, len(frames), tail, err, tt.want)
		}
	}
}

func TestAppendSplits(t *testing.T) {
	c, file, err := Create(testKey(), [16]byte{9}, logID)
	if err != nil {
		t.Fatal(err)
	}
	big := pattern(2*MaxAppend + 5)
	a := c.NewAppender()
	if file, err = a.Seal(file, big); err != nil || a.Seq() != 3 {
		t.Fatalf("Seal: %v, seq %d", err, a.Seq())
	}
	frames, _, err := scan(file, logID)
	if err != nil || !bytes.Equal(bytes.Join(frames, nil), big) {
		t.Errorf("scan: %v", err)
	}
	if _, err := a.End(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Seal(nil, big); !errors.Is(err, ErrFormat) {
		t.Errorf("Seal after End = %v", err)
	}
	a = c.NewAppender()
	a.seq = maxFrames - 1
	if _, err := a.Seal(nil, big); !errors.Is(err, ErrLimit) {
		t.Errorf("Seal of frame 2^32 = %v", err)
	}
}

// TestTailRule: frame k is broken; what stands behind it decides.
func TestTailRule(t *testing.T) {
	for _, tt := range []struct {
		ops    string
		broken int   // index of the frame that is broken
		want   error // nil: EOF before it
	}{
		{"www", 2, nil},  // the last frame, never synced
		{"www", 0, nil},  // unsynced frames may persist out of order
		{"wwsw", 2, nil}, // the frame after the sync
		{"wwsw", 1, ErrTail},
		{"wwsw", 0, ErrTail},
		{"wws", 1, nil}, // nothing behind says so: HEAD must
		{"wswwsw", 1, ErrTail},
		{"wwse", 1, ErrTail}, // the end frame says that all was durable
		{"wwse", 2, nil},     // only the end frame itself
		{"wwe", 1, nil},      // an end without a sync
	} {
		for name, damage := range map[string]func(b []byte, from, to int) []byte{
			"flipped": func(b []byte, from, to int) []byte { b[to-1] ^= 1; return b },
			"marker":  func(b []byte, from, to int) []byte { b[from] ^= 1; return b },
			"length":  func(b []byte, from, to int) []byte { b[from+8] ^= 0x80; return b },
			"longer":  func(b []byte, from, to int) []byte { b[from+11] ^= 0x40; return b },
			"zeros":   func(b []byte, from, to int) []byte { clear(b[from:to]); return b },
			"gone":    func(b []byte, from, to int) []byte { return append(b[:from:from], b[to:]...) },
			"holed":   func(b []byte, from, to int) []byte { return append(b[:from+5:from+5], b[to:]...) },
		} {
			file, at, plain := script(t, logID, tt.ops)
			to := len(file)
			if tt.broken+1 < len(at) {
				to = at[tt.broken+1]
			}
			frames, tail, err := scan(damage(file, at[tt.broken], to), logID)
			if !errors.Is(err, tt.want) {
				t.Errorf("%q, frame %d %s: %v, want %v", tt.ops, tt.broken, name, err, tt.want)
			}
			if err == nil && (!equal(frames, plain[:tt.broken]) || tail.Seq != uint64(tt.broken)) {
				t.Errorf("%q, frame %d %s: %d frames, %+v", tt.ops, tt.broken, name, len(frames), tail)
			}
		}
	}
}

func TestNothingFollowsTheEnd(t *testing.T) {
	file, _, _ := script(t, logID, "wse")
	for _, more := range [][]byte{{0}, file[HeaderSize:]} {
		if _, _, err := scan(append(bytes.Clone(file), more...), logID); !errors.Is(err, ErrTail) {
			t.Errorf("%d bytes after the end: %v, want ErrTail", len(more), err)
		}
	}
}

// TestAppendTamper: every byte changed in turn, at every length: never other bytes,
// and never fewer than a later frame says were durable.
func TestAppendTamper(t *testing.T) {
	file, at, plain := script(t, logID, "wswwswswse")
	for i := range file {
		b := bytes.Clone(file)
		b[i] ^= 1 << (i % 8)
		frames, _, err := scan(b, logID)
		if err != nil {
			continue
		}
		// Only the end frame may vanish: nothing follows that vouches for it.
		if i < at[len(at)-1] || !equal(frames, plain) {
			t.Errorf("byte %d changed: %d frames of %d, no error", i, len(frames), len(plain))
		}
	}
	for n := range file {
		frames, _, err := scan(file[:n], logID)
		if err == nil && (n < HeaderSize || !equal(frames, plain[:len(frames)])) {
			t.Errorf("cut at %d: wrong bytes", n)
		}
	}
	for _, id := range []ID{
		{Log, LSM, 8, testStore}, {Log, Audit, 7, testStore}, {Table, LSM, 7, testStore}, {Log, LSM, 7, [16]byte{}},
	} {
		if _, _, err := scan(file, id); err == nil {
			t.Errorf("opens as %+v", id)
		}
	}
	if _, _, err := scan(file, ID{Other, LSM, 7, testStore}); err != nil {
		t.Errorf("the extension is not bound: %v", err)
	}
}

func TestScannerMemory(t *testing.T) {
	// A tail of frame heads that claim to be long does not make the scanner keep more
	// than one frame.
	file, at, _ := script(t, logID, "ww")
	head := bytes.Clone(file[at[1]:][:frameHead])
	binary.BigEndian.PutUint32(head[8:], MaxAppend)
	binary.BigEndian.PutUint64(head[12:], 99)
	binary.BigEndian.PutUint64(head[20:], 98)
	file = append(file[:at[1]], bytes.Repeat(head, 100)...)
	file = append(file, make([]byte, 2*MaxAppend)...)
	c, err := Open(file[:HeaderSize], logID, keyOf(testKey()))
	if err != nil {
		t.Fatal(err)
	}
	s := c.NewScanner(bytes.NewReader(file), int64(len(file)))
	for err == nil {
		_, err = s.Next()
	}
	if err != io.EOF || s.Tail().Seq != 1 {
		t.Errorf("%v, %+v", err, s.Tail())
	}
	if n := cap(s.w.buf) + cap(s.plain); n > 4*MaxAppend {
		t.Errorf("scanner holds %d bytes", n)
	}
}

func FuzzScan(f *testing.F) {
	good, at, plain := script(f, logID, "wswwswwe")
	f.Add(good, 0)
	f.Add(good[:at[2]+3], 5)
	f.Add(append(bytes.Clone(good[:at[3]]), good[at[4]:]...), 40)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		// Whatever follows the genuine header: what comes out went in.
		file := append(bytes.Clone(good[:HeaderSize]), b[min(len(b), max(0, cut)):]...)
		frames, tail, err := scan(file, logID)
		if err != nil {
			return
		}
		for i, p := range frames {
			if i >= len(plain) || !bytes.Equal(p, plain[i]) {
				t.Fatalf("frame %d is %x", i, p)
			}
		}
		if tail.Size+tail.Lost != int64(len(file)) {
			t.Errorf("tail %+v of %d bytes", tail, len(file))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{512, 4096, 32 << 10} {
		b.Run(fmt.Sprintf("seal/%d", n), func(b *testing.B) {
			c, _, err := Create(testKey(), [16]byte{}, logID)
			if err != nil {
				b.Fatal(err)
			}
			a, p := c.NewAppender(), pattern(n)
			var buf []byte
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = a.Seal(buf[:0], p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
