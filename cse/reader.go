package cse

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// ReaderOptions are the options of OpenReader.
type ReaderOptions struct {
	Context []byte // as in DownloadOptions

	AccessConditions *blob.AccessConditions
	CPKInfo          *blob.CPKInfo
	CPKScopeInfo     *blob.CPKScopeInfo
}

// Reader reads a blob from anywhere: io.ReaderAt, for archives, databases and the like.
// It keeps the key, and the region read last, until it is forgotten. Reads fail with
// ConditionNotMet once the blob has been replaced. Safe for concurrent use.
type Reader struct {
	ctx context.Context
	obj *object

	mu    sync.Mutex
	last  []byte // plaintext of the piece read last, guarded by mu
	start int64  // its offset, guarded by mu
}

var _ io.ReaderAt = (*Reader)(nil)

// pieceSize is about how much a Reader fetches for a small read.
const pieceSize = 64 << 10

// OpenReader asks for the properties of the blob and unwraps its key. ctx is that of all
// reads: io.ReaderAt has none of its own.
func (c *BlobClient) OpenReader(ctx context.Context, o *ReaderOptions) (*Reader, error) {
	var opt ReaderOptions
	if o != nil {
		opt = *o
	}
	obj, err := c.find(ctx, access{opt.AccessConditions, opt.CPKInfo, opt.CPKScopeInfo}, opt.Context)
	if err != nil {
		return nil, err
	}
	return &Reader{ctx: ctx, obj: obj}, nil
}

// Size is the length of the plaintext.
func (r *Reader) Size() int64 { return r.obj.plain }

// ETag is that of the blob that is read.
func (r *Reader) ETag() *azcore.ETag { return r.obj.etag }

// ReadAt reads plaintext. It fetches whole regions; small reads that follow each other
// in one region fetch it once.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &Error{Code: InvalidRange, Detail: fmt.Sprintf("offset %d", off)}
	}
	size, read := r.obj.plain, 0
	for read < len(p) && off < size {
		n, err := r.readPiece(p[read:], off)
		read, off = read+n, off+int64(n)
		if err != nil {
			return read, err
		}
	}
	if read < len(p) {
		return read, io.EOF
	}
	return read, nil
}

// readPiece reads from one piece: whole units around the offset, or as much as is asked
// for where that is more.
func (r *Reader) readPiece(p []byte, off int64) (int, error) {
	if n := r.cached(p, off); n > 0 {
		return n, nil
	}
	unit := r.obj.unit()
	piece := max(pieceSize/unit, 1) * unit
	start := off / piece * piece
	if want := min(int64(len(p)), r.obj.plain-off); want >= piece {
		return r.direct(p[:min(want, max(defaultBlock/piece, 1)*piece)], off)
	}
	text := make([]byte, 0, min(piece, r.obj.plain-start))
	err := r.obj.read(r.ctx, start, int64(cap(text)), func(b []byte) error {
		text = append(text, b...)
		return nil
	})
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.start = text, start
	return copy(p, text[off-start:]), nil
}

// direct reads a large range without keeping it.
func (r *Reader) direct(p []byte, off int64) (int, error) {
	n := 0
	err := r.obj.read(r.ctx, off, int64(len(p)), func(b []byte) error {
		n += copy(p[n:], b)
		return nil
	})
	if err != nil {
		clear(p[:n])
		return 0, err
	}
	return n, nil
}

func (r *Reader) cached(p []byte, off int64) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := off - r.start; at >= 0 && at < int64(len(r.last)) {
		return copy(p, r.last[at:])
	}
	return 0
}
