package blob

import (
	"crypto/fips140"
	"crypto/md5"
	"crypto/rand"
	"sync"
	"testing"

	"github.com/minio/crc64nvme"
	md5simd "github.com/minio/md5-simd"
)

// OpenMD5s is the number of streams whose MD5 was begun and neither taken nor given up.
func OpenMD5s() int {
	s := theLanes()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams
}

// More streams than there are lanes, of lengths about the edges of blocks, written in odd
// pieces and some of them given up, all at once: the sums are those of crypto/md5, and
// every lane comes back.
func TestLanes(t *testing.T) {
	content := make([]byte, 8*laneBlock)
	rand.Read(content)
	var lengths []int
	for _, edge := range []int{0, 64, 128, laneBlock, 2 * laneBlock, 7 * laneBlock} {
		for _, d := range []int{-65, -64, -9, -8, -1, 0, 1, 55, 56, 63} {
			lengths = append(lengths, max(0, edge+d))
		}
	}
	s := &lanes{server: md5simd.NewServer()}
	defer s.server.Close()
	var opened, all sync.WaitGroup
	opened.Add(2 * len(lengths))
	for i, n := range append(lengths, lengths...) {
		all.Go(func() {
			h, done := s.open()
			sums := &digest{md5: h, done: done, crc: crc64nvme.New()}
			defer sums.close()
			opened.Done()
			opened.Wait()
			p, piece := content[i:i+n], 1+i*397
			if i%5 == 0 { // given up with something in every buffer
				sums.add(content[:laneBlock+100])
				return
			}
			for len(p) > 0 {
				k := min(piece, len(p))
				sums.add(p[:k])
				p = p[k:]
			}
			var want [md5.Size]byte
			fips140.WithoutEnforcement(func() { want = md5.Sum(content[i : i+n]) })
			if got := sums.sumMD5(); string(got) != string(want[:]) {
				t.Errorf("%d bytes in pieces of %d = %x, want %x", n, piece, got, want)
			}
		})
	}
	all.Wait()
	if s.streams != 0 || s.made != maxLanes || len(s.free) != maxLanes {
		t.Errorf("%d streams open, %d of %d lanes free, want 0 and %d of all", s.streams, len(s.free), s.made, maxLanes)
	}
}

// A lane that a content gave up begins anew with the next.
func TestLaneAgain(t *testing.T) {
	s := &lanes{server: md5simd.NewServer(), streams: busyFrom}
	defer s.server.Close()
	begin := func() *digest {
		h, done := s.open()
		if _, ok := h.(*lane); !ok {
			t.Fatalf("%T, want a lane", h)
		}
		return &digest{md5: h, done: done, crc: crc64nvme.New()}
	}
	for i := range 100 {
		d := begin()
		d.add([]byte("some"))
		if i%2 == 0 {
			d.add(make([]byte, i*laneBlock/10))
		}
		d.close()
	}
	d := begin()
	d.add([]byte("abc"))
	if got := string(d.sumMD5()); got != "\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72" {
		t.Errorf("MD5 of abc after others = %x", got)
	}
	if s.made != 1 {
		t.Errorf("%d lanes made for one stream at a time", s.made)
	}
}

// A few streams, and short ones, stay with crypto/md5.
func TestFewStreamsTakeNoLane(t *testing.T) {
	s := &lanes{server: md5simd.NewServer()}
	defer s.server.Close()
	for i := 1; i <= 2*busyFrom; i++ {
		h, done := s.open()
		defer done()
		if _, ok := h.(*lane); ok != (i >= busyFrom) {
			t.Errorf("stream %d is a %T", i, h)
		}
	}
	for range 2 * busyFrom {
		h, done := openMD5(laneFrom - 1)
		defer done()
		if _, ok := h.(*lane); ok {
			t.Error("a short content took a lane")
		}
	}
	if n := OpenMD5s(); n != 0 {
		t.Errorf("short contents count: %d streams open", n)
	}
}
