package segment

import "sync"

// batch is how many sealed bytes are read or emitted at once: small segments would
// otherwise cost a system call each. A multiple of every page size.
const batch = 256 << 10

// perBatch is the number of segments that are read at once.
func perBatch(lg uint8) int64 {
	return max(1, batch/(int64(1)<<lg+SegOverhead))
}

// pool lends buffers. They are not cleared: ciphertext needs it not, and freed plaintext
// is a stated limit of the threat model.
type pool struct {
	size int
	p    sync.Pool
}

var (
	sealedPool = pool{size: batch + 64<<10 + SegOverhead} // sealed bytes: a batch and a segment
	plainPool  = pool{size: 64 << 10}                     // plaintext of a segment
	rangePool  = pool{size: 128 << 10}                    // plaintext of a range
)

// get returns an empty buffer with room for n bytes.
func (l *pool) get(n int) *[]byte {
	if n > l.size { // segments above 64 KiB, which nobody writes: no pool for them
		b := make([]byte, 0, n)
		return &b
	}
	if b, ok := l.p.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	b := make([]byte, 0, l.size)
	return &b
}

// put gives a buffer back. Nothing may use it afterwards.
func (l *pool) put(b *[]byte) {
	if cap(*b) == l.size {
		l.p.Put(b)
	}
}
