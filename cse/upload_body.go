package cse

import (
	"bytes"
	"errors"
	"sync"
)

// blockBody is sealed bytes on their way. A service may answer before it has read all,
// and the transport then goes on reading while the request has long returned. After stop
// it gets nothing, so that the memory can take the plaintext of the next block.
type blockBody struct {
	mu      sync.Mutex
	r       *bytes.Reader // guarded by mu
	stopped bool          // guarded by mu
}

var errStopped = errors.New("cse: the request has been answered")

func newBlockBody(sealed []byte) *blockBody {
	return &blockBody{r: bytes.NewReader(sealed)}
}

func (b *blockBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return 0, errStopped
	}
	return b.r.Read(p)
}

func (b *blockBody) Seek(off int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return 0, errStopped
	}
	return b.r.Seek(off, whence)
}

// Close does nothing: a retry reads again.
func (b *blockBody) Close() error { return nil }

// stop waits for a Read that runs, and lets none follow.
func (b *blockBody) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
}
