package vfsframe

import (
	"errors"
	"testing"
)

// TestFrameLimit: a key seals fewer than 2^32 frames. The counters are put near the end;
// the last frame that is allowed is written, the one after it is not, and nothing follows.
func TestFrameLimit(t *testing.T) {
	c, _, err := Create(testKey(), [16]byte{9}, tableID)
	if err != nil {
		t.Fatal(err)
	}
	emitted := 0
	w := c.NewTableWriter(func(b []byte) error { emitted += len(b); return nil })
	w.index = maxFrames - 2
	if _, err := w.Write(make([]byte, FrameSize+1)); err != nil || emitted != sealedFrame {
		t.Fatalf("frame 2^32 - 1: %v, %d bytes", err, emitted)
	}
	for range 2 {
		if _, err := w.Write(make([]byte, 2*FrameSize)); !errors.Is(err, ErrLimit) {
			t.Errorf("frame 2^32: Write = %v, want ErrLimit", err)
		}
	}
	if err := w.Close(); !errors.Is(err, ErrLimit) || emitted != sealedFrame {
		t.Errorf("Close = %v, %d bytes, want ErrLimit and no more bytes", err, emitted)
	}

	c, _, err = Create(testKey(), [16]byte{9}, ID{Kind: Log, Area: LSM, Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	a := c.NewAppender()
	a.seq = maxFrames - 2
	if _, err := a.Seal(nil, []byte{1}); err != nil {
		t.Errorf("frame 2^32 - 1 of a log: %v", err)
	}
	if b, err := a.Seal(nil, []byte{1}); !errors.Is(err, ErrLimit) || b != nil {
		t.Errorf("frame 2^32 of a log: %d bytes, %v, want ErrLimit", len(b), err)
	}
	if b, err := a.End(nil); !errors.Is(err, ErrLimit) || b != nil {
		t.Errorf("end frame 2^32: %d bytes, %v, want ErrLimit", len(b), err)
	}
}
