package object_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// receiver takes what a read writes. It tells the length of the first write and waits
// before it takes it.
type receiver struct {
	bytes.Buffer
	first chan int
	take  chan error // what the first write returns
}

func (r *receiver) Write(b []byte) (int, error) {
	if r.first != nil {
		r.first <- len(b)
		r.first = nil
		if err := <-r.take; err != nil {
			return 0, err
		}
	}
	return r.Buffer.Write(b)
}

// TestLongReadsShareProcessors reads one content from several receivers at once: reading
// ahead is for as many as there are processors for, and a read that ends, in whichever
// way, makes room for the next. All get the same bytes.
func TestLongReadsShareProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	const n = 1 << 20
	e := objecttest.New(t)
	put(t, e, "x", n, noise(1, n))
	want := noiseBytes(1, n)

	type read struct {
		to    *receiver
		ahead bool
		done  chan error
	}
	begin := func() *read {
		t.Helper()
		rd, err := open(e, "x", 0, n)
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan int)
		r := &read{to: &receiver{first: first, take: make(chan error)}, done: make(chan error, 1)}
		go func() {
			defer rd.Close()
			_, err := rd.WriteTo(r.to)
			r.done <- err
		}()
		select {
		case k := <-first:
			r.ahead = k == object.AheadBuffer
		case err := <-r.done:
			t.Fatalf("read ended before its first write: %v", err)
		}
		return r
	}
	end := func(r *read, fail error) {
		t.Helper()
		r.to.take <- fail
		if err := <-r.done; !errors.Is(err, fail) {
			t.Fatalf("WriteTo = %v, want %v", err, fail)
		}
		if fail == nil && !bytes.Equal(r.to.Bytes(), want) {
			t.Fatal("other bytes than were written")
		}
	}

	var reads []*read
	for i, ahead := range []bool{true, true, false, false} {
		r := begin()
		if r.ahead != ahead {
			t.Errorf("read %d of 4 on 4 processors reads ahead: %v", i+1, r.ahead)
		}
		reads = append(reads, r)
	}
	end(reads[3], nil)
	end(reads[2], io.ErrClosedPipe)
	end(reads[1], io.ErrClosedPipe)
	end(reads[0], nil)
	last := begin()
	if !last.ahead {
		t.Error("a read after all others ended does not read ahead")
	}
	end(last, nil)
}
