package cse

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// UploadOptions are the options of all uploads.
type UploadOptions struct {
	HTTPHeaders      *blob.HTTPHeaders // BlobContentMD5 must be empty: the blob is ciphertext
	Metadata         map[string]*string
	Tags             map[string]string
	AccessTier       *blob.AccessTier
	AccessConditions *blob.AccessConditions
	CPKInfo          *blob.CPKInfo
	CPKScopeInfo     *blob.CPKScopeInfo
	// TransactionalValidation covers the ciphertext.
	TransactionalValidation blob.TransferValidationType

	// BlockSize is about how much one request sends, in whole regions; 4 MiB if zero.
	// What fits one block is sent at once, without a block list. It grows where the
	// 50,000 blocks of a blob would not do.
	BlockSize int64
	// Concurrency is how many requests run at once; 5 if zero. Each holds one block, and
	// fewer run where blocks are large: 256 MiB are held at most, or one block.
	Concurrency int
	// Progress is told how many bytes of plaintext the service has taken in all. Calls
	// do not overlap.
	Progress func(bytes int64)
	// Context is bound to the blob and not stored with it: a name, a path, a tenant.
	// Readers that give a context must give this one, or the blob does not open.
	Context []byte
}

// UploadResponse is the result of an upload.
type UploadResponse struct {
	ETag         *azcore.ETag
	LastModified *time.Time
	VersionID    *string
	RequestID    *string
	Length       int64 // of the plaintext
	StoredLength int64 // of the blob
}

// UploadBuffer encrypts data and replaces the blob by it.
func (c *BlobClient) UploadBuffer(ctx context.Context, data []byte, o *UploadOptions) (UploadResponse, error) {
	return c.upload(ctx, bytes.NewReader(data), int64(len(data)), o)
}

// UploadFile encrypts a file, from its beginning to its end, and replaces the blob by it.
func (c *BlobClient) UploadFile(ctx context.Context, file *os.File, o *UploadOptions) (UploadResponse, error) {
	size := int64(-1)
	if st, err := file.Stat(); err == nil && st.Mode().IsRegular() {
		size = st.Size()
		return c.upload(ctx, io.NewSectionReader(file, 0, format.MaxObject), size, o)
	}
	return c.upload(ctx, file, size, o)
}

// UploadStream encrypts what it reads, to the end, and replaces the blob by it.
func (c *BlobClient) UploadStream(ctx context.Context, r io.Reader, o *UploadOptions) (UploadResponse, error) {
	return c.upload(ctx, r, -1, o)
}

// The limits of block blobs.
const (
	maxBlocks = 50000
	maxBlock  = 4000 << 20
	growEvery = 10000 // blocks after which those of a stream of unknown length double
)

// upload encrypts to the end of r. size is only a hint, to choose the blocks by.
func (c *BlobClient) upload(ctx context.Context, r io.Reader, size int64, o *UploadOptions) (UploadResponse, error) {
	u, err := c.newUpload(ctx, r, size, o)
	if err != nil {
		return UploadResponse{}, err
	}
	first, err := u.fill()
	if err != nil {
		return UploadResponse{}, err
	}
	if !u.eof {
		second, err := u.fill()
		if err != nil {
			return UploadResponse{}, err
		}
		if second.n > 0 {
			return u.blocks(ctx, first, second)
		}
	}
	return u.single(ctx, first)
}

// upload is one upload: one content key.
type upload struct {
	blob    *BlobClient
	opt     UploadOptions
	r       io.Reader
	data    *format.Data
	cek     []byte
	regions *format.Regions

	hint     int64 // length that the source claims, or -1
	perBlock int64 // regions in a block
	grows    bool
	workers  int

	// What fill has read so far; one goroutine.
	eof   bool
	index uint64 // of the next region
	count int64  // blocks
	plain int64
	total int64 // stored

	session  [16]byte // in the block ids: those of another upload do not mix in
	progress *progress
}

func (c *BlobClient) newUpload(ctx context.Context, r io.Reader, size int64, o *UploadOptions) (*upload, error) {
	u := &upload{blob: c, r: r, hint: size}
	if o != nil {
		u.opt = *o
	}
	if h := u.opt.HTTPHeaders; h != nil && len(h.BlobContentMD5) > 0 {
		return nil, &Error{Code: InvalidOption, Detail: "BlobContentMD5 would be that of the plaintext"}
	}
	p := format.Protocol(c.opt.Version)
	var err error
	if u.data, u.cek, err = c.opt.newData(ctx, p); err != nil {
		return nil, err
	}
	u.data.Mode = true
	if u.regions, err = format.NewRegions(u.cek, u.data.RegionLength); err != nil {
		return nil, fromFormat(err)
	}
	part, workers := parts(u.regions.Length(), u.opt.BlockSize, u.opt.Concurrency)
	u.perBlock, u.workers = part/u.regions.Length(), workers
	u.chooseBlocks(size)
	rand.Read(u.session[:])
	u.progress = newProgress(u.opt.Progress)
	return u, nil
}

// chooseBlocks makes blocks large enough for the length, or lets them grow.
func (u *upload) chooseBlocks(size int64) {
	if size < 0 {
		u.grows = true
		return
	}
	regions := (size + u.regions.Length() - 1) / u.regions.Length()
	// Half of the blocks there are: the hint may be wrong.
	u.perBlock = max(u.perBlock, (regions+maxBlocks/2-1)/(maxBlocks/2))
	_, u.workers = parts(u.regions.Length(), u.perBlock*u.regions.Length(), u.workers)
}

// chunk is a block that was read, its plaintext in the places where Seal wants it.
type chunk struct {
	buf   []byte
	n     int // stored bytes
	plain int64
	first uint64
	block int64
}

// fill reads the next block. An empty one is the end.
func (u *upload) fill() (chunk, error) {
	sealed, perBlock := u.regions.Sealed(), u.perBlock
	if u.grows {
		perBlock <<= u.count / growEvery
	}
	perBlock = min(perBlock, max(maxBlock/sealed, 1))
	b := chunk{buf: u.buffer(perBlock * sealed), first: u.index, block: u.count}
	for range perBlock {
		n, err := u.readRegion(&b, perBlock*sealed)
		if n > 0 {
			b.n += n + format.Overhead
			b.plain += int64(n)
			u.index++
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			u.eof = true
			break
		}
		if err != nil {
			return chunk{}, err
		}
	}
	if b.n > 0 {
		if u.count++; u.count > maxBlocks {
			return chunk{}, &Error{Code: TooLarge, Detail: "more blocks than a blob can have"}
		}
	}
	u.plain += b.plain
	u.total += int64(b.n)
	return b, nil
}

// readRegion reads the plaintext of one region into its place. The buffer of a small
// source is small; it grows to full if the source is longer than it said.
func (u *upload) readRegion(b *chunk, full int64) (int, error) {
	at, length := b.n+format.NonceSize, int(u.regions.Length())
	room := min(length, len(b.buf)-format.TagSize-at)
	n := 0
	if room > 0 {
		var err error
		n, err = io.ReadFull(u.r, b.buf[at:at+room])
		if err != nil || room == length {
			return n, err
		}
	}
	b.buf = append(make([]byte, 0, full), b.buf...)[:full]
	more, err := io.ReadFull(u.r, b.buf[at+n:at+length])
	if errors.Is(err, io.EOF) && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n + more, err
}

// buffer returns the buffer of a block; that of a small source is small.
func (u *upload) buffer(size int64) []byte {
	if u.hint >= 0 && u.count == 0 { // room for one byte more than it said, to see the end
		size = min(size, format.StoredSize(u.hint+1, u.regions.Length()))
	}
	return getBuffer(size)
}

// seal encrypts a block in place, once: a retry sends the same bytes.
func (u *upload) seal(b chunk) []byte {
	stored, index := b.buf[:b.n], b.first
	for len(stored) > 0 {
		n := min(int64(len(stored)), u.regions.Sealed())
		u.regions.Seal(stored[:n:n], index)
		stored, index = stored[n:], index+1
	}
	return b.buf[:b.n]
}

// metadata is the caller's, with ours in place of any older.
func (u *upload) metadata() map[string]*string {
	_, m := splitMetadata(u.opt.Metadata)
	d := u.data
	if !u.blob.opt.OmitLength {
		d.Wrapping[format.LengthName] = format.SealLength(u.cek, d.Protocol, u.plain, d.RegionLength, u.opt.Context)
	}
	m[MetadataName] = to.Ptr(d.Text())
	return m
}

// single sends the whole blob in one request.
func (u *upload) single(ctx context.Context, b chunk) (UploadResponse, error) {
	body := streaming.NopCloser(bytes.NewReader(u.seal(b)))
	r, err := u.blob.blob.Upload(ctx, body, &blockblob.UploadOptions{
		Tags:                    u.opt.Tags,
		Metadata:                u.metadata(),
		Tier:                    u.opt.AccessTier,
		TransactionalValidation: u.opt.TransactionalValidation,
		HTTPHeaders:             u.opt.HTTPHeaders,
		CPKInfo:                 u.opt.CPKInfo,
		CPKScopeInfo:            u.opt.CPKScopeInfo,
		AccessConditions:        u.opt.AccessConditions,
	})
	if err != nil {
		return UploadResponse{}, err
	}
	u.progress.add(b.plain)
	putBuffer(b.buf)
	return u.response(r.ETag, r.LastModified, r.VersionID, r.RequestID), nil
}

func (u *upload) response(etag *azcore.ETag, modified *time.Time, version, request *string) UploadResponse {
	return UploadResponse{
		ETag: etag, LastModified: modified, VersionID: version, RequestID: request,
		Length: u.plain, StoredLength: u.total,
	}
}

// blocks sends blocks in parallel, and makes the blob of them.
func (u *upload) blocks(ctx context.Context, first, second chunk) (UploadResponse, error) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan chunk)
	var all sync.WaitGroup
	for range u.workers {
		all.Go(func() {
			for b := range queue {
				if work.Err() != nil {
					continue
				}
				if err := u.stage(work, b); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := u.feed(work, queue, first, second)
	close(queue)
	all.Wait()
	if err == nil {
		err = context.Cause(work)
	}
	if err != nil {
		return UploadResponse{}, err
	}
	return u.commit(ctx)
}

// feed reads the source to its end.
func (u *upload) feed(ctx context.Context, queue chan<- chunk, next ...chunk) error {
	for {
		for _, b := range next {
			if b.n == 0 {
				continue
			}
			select {
			case queue <- b:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if u.eof {
			return nil
		}
		b, err := u.fill()
		if err != nil {
			return err
		}
		next = []chunk{b}
	}
}

func (u *upload) stage(ctx context.Context, b chunk) error {
	opt := &blockblob.StageBlockOptions{
		CPKInfo:                 u.opt.CPKInfo,
		CPKScopeInfo:            u.opt.CPKScopeInfo,
		TransactionalValidation: u.opt.TransactionalValidation,
	}
	if a := u.opt.AccessConditions; a != nil {
		opt.LeaseAccessConditions = a.LeaseAccessConditions
	}
	body := streaming.NopCloser(bytes.NewReader(u.seal(b)))
	if _, err := u.blob.blob.StageBlock(ctx, u.blockID(b.block), body, opt); err != nil {
		return err
	}
	u.progress.add(b.plain)
	putBuffer(b.buf)
	return nil
}

func (u *upload) blockID(block int64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(u.session[:len(u.session):len(u.session)], uint32(block)))
}

func (u *upload) commit(ctx context.Context) (UploadResponse, error) {
	ids := make([]string, u.count)
	for i := range ids {
		ids[i] = u.blockID(int64(i))
	}
	r, err := u.blob.blob.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{
		Tags:             u.opt.Tags,
		Metadata:         u.metadata(),
		Tier:             u.opt.AccessTier,
		HTTPHeaders:      u.opt.HTTPHeaders,
		CPKInfo:          u.opt.CPKInfo,
		CPKScopeInfo:     u.opt.CPKScopeInfo,
		AccessConditions: u.opt.AccessConditions,
	})
	if err != nil {
		return UploadResponse{}, err
	}
	return u.response(r.ETag, r.LastModified, r.VersionID, r.RequestID), nil
}
