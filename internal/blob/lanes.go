package blob

import (
	"hash"
	"sync"

	md5simd "github.com/minio/md5-simd"
	"golang.org/x/sys/cpu"
)

const (
	// laneFrom is the length of a content from which a lane is worth its hand-over.
	laneFrom = 256 << 10
	// busyFrom is the number of contents in flight from which lanes are used: fewer cost
	// more CPU in handing over than they save.
	busyFrom = 3
	// maxLanes bounds the memory, 32 KiB for each, and the work of a round.
	maxLanes = 64
	// laneBlock is what a lane takes in one round.
	laneBlock = 32 << 10
)

// lanes takes the MD5 of several contents side by side, in the lanes of vector registers:
// a step of MD5 waits for the one before it, so that one content leaves a core idle most
// of the time.
type lanes struct {
	server md5simd.Server

	mu      sync.Mutex
	streams int     // that are open
	made    int     // lanes
	free    []*lane // the last used at the end
}

// theLanes are those of the process. Their goroutine starts with the first large content
// and stays.
var theLanes = sync.OnceValue(func() *lanes { return &lanes{server: md5simd.NewServer()} })

// openMD5 begins the MD5 of length bytes. done has to be called once, whether or not the
// sum was taken; the hash is not used after it.
func openMD5(length int64) (h hash.Hash, done func()) {
	if length < laneFrom || !cpu.X86.HasAVX2 {
		return newMD5(), func() {}
	}
	return theLanes().open()
}

func (s *lanes) open() (h hash.Hash, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams++
	l := s.take()
	if l == nil {
		return newMD5(), func() { s.close(nil) }
	}
	return l, func() { s.close(l) }
}

// take gives a lane, or nil when crypto/md5 is to be preferred.
func (s *lanes) take() (l *lane) {
	switch n := len(s.free); {
	case s.streams < busyFrom:
	case n > 0:
		l, s.free = s.free[n-1], s.free[:n-1]
	case s.made < maxLanes:
		s.made++
		l = &lane{Hasher: s.server.NewHash()}
	}
	return l
}

// close keeps the lane for the next content: v1.1.2 of the library forgets no hash that
// was closed, and becomes slower with each.
func (s *lanes) close(l *lane) {
	if l != nil {
		l.Reset()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
	if l != nil {
		s.free = append(s.free, l)
	}
}

// lane hands over whole blocks, whatever pieces come from a socket. Blocks that are not
// whole would each take the room of one, and the library's writers of them wait for each
// other for ever when there are as many as it has room for.
type lane struct {
	md5simd.Hasher
	buf [laneBlock]byte
	n   int // in buf
}

func (l *lane) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		k := copy(l.buf[l.n:], p)
		l.n, p = l.n+k, p[k:]
		if l.n == len(l.buf) {
			l.flush()
		}
	}
	return total, nil
}

func (l *lane) flush() {
	l.Hasher.Write(l.buf[:l.n]) // fails only after Close
	l.n = 0
}

// Sum ends the content: nothing may be written after it.
func (l *lane) Sum(b []byte) []byte {
	l.flush()
	return l.Hasher.Sum(b)
}

func (l *lane) Reset() {
	l.n = 0
	l.Hasher.Reset()
}
