package cse

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"io"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// UploadOptions are the options of all uploads.
type UploadOptions struct {
	HTTPHeaders      *blob.HTTPHeaders  // BlobContentMD5 must be empty: the blob is ciphertext
	Metadata         map[string]*string // is not encrypted
	Tags             map[string]string
	AccessTier       *blob.AccessTier
	AccessConditions *blob.AccessConditions
	CPKInfo          *blob.CPKInfo
	CPKScopeInfo     *blob.CPKScopeInfo
	// TransactionalValidation covers the ciphertext.
	TransactionalValidation blob.TransferValidationType

	// BlockSize is about how much one request sends, in whole regions. If zero, it is
	// 4 MiB, or 8 MiB for a length of 256 MiB or more that is known in advance. What fits
	// one block is sent at once, without a block list. Blocks grow where the 50,000 of a
	// blob would not do.
	BlockSize int64
	// Concurrency is how many requests run at once; if zero 5, or 4 where BlockSize was
	// left to be 8 MiB. Each holds one block, and fewer run where blocks are large:
	// 256 MiB are held at most, or one block.
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
	return c.uploadParts(ctx, memory(data), int64(len(data)), o)
}

// UploadFile encrypts a file from its beginning, as long as it is now, and replaces the
// blob by it. What is no regular file is read as a stream.
func (c *BlobClient) UploadFile(ctx context.Context, file *os.File, o *UploadOptions) (UploadResponse, error) {
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return c.UploadStream(ctx, file, o)
	}
	if st.Size() == 0 { // some files of the system say so and are not empty
		return c.UploadStream(ctx, io.NewSectionReader(file, 0, format.MaxObject), o)
	}
	return c.uploadParts(ctx, readerAt{file}, st.Size(), o)
}

// UploadStream encrypts what it reads, to the end, and replaces the blob by it.
func (c *BlobClient) UploadStream(ctx context.Context, r io.Reader, o *UploadOptions) (UploadResponse, error) {
	u, err := c.newUpload(ctx, -1, o)
	if err != nil {
		return UploadResponse{}, err
	}
	s := &stream{upload: u, r: r}
	first, err := s.fill()
	if err != nil {
		return UploadResponse{}, err
	}
	if !s.eof {
		second, err := s.fill()
		if err != nil {
			return UploadResponse{}, err
		}
		if second.n > 0 {
			return s.blocks(ctx, first, second)
		}
	}
	return u.single(ctx, first.seal(u.regions))
}

// uploadParts encrypts size bytes that are there already. Each request fetches and seals
// its own, so that none waits for another.
func (c *BlobClient) uploadParts(ctx context.Context, src plaintext, size int64, o *UploadOptions) (UploadResponse, error) {
	u, err := c.newUpload(ctx, size, o)
	if err != nil {
		return UploadResponse{}, err
	}
	part := u.perBlock * u.regions.Length()
	u.plain, u.total = size, format.StoredSize(size, u.regions.Length())
	u.count = (size + part - 1) / part
	if u.count <= 1 {
		b, err := u.take(src, 0, size)
		if err != nil {
			return UploadResponse{}, err
		}
		return u.single(ctx, b)
	}
	err = parallel(ctx, u.workers, u.count, func(ctx context.Context, i int64) error {
		b, err := u.take(src, i, min(part, size-i*part))
		if err != nil {
			return err
		}
		return u.stage(ctx, b)
	})
	if err != nil {
		return UploadResponse{}, err
	}
	return u.commit(ctx)
}

// Large uploads, unless the caller says otherwise.
const (
	largeUpload      = 256 << 20
	largeBlock       = 8 << 20
	largeConcurrency = 4
)

// The limits of block blobs.
const (
	maxBlocks = 50000
	maxBlock  = 4000 << 20
	growEvery = 10000 // blocks after which those of a stream of unknown length double
)

func errBlocks() error {
	return &Error{Code: TooLarge, Detail: "more blocks than a blob can have"}
}

// upload is one upload: one content key.
type upload struct {
	blob     *BlobClient
	opt      UploadOptions
	data     *format.Data
	cek      []byte
	regions  *format.Regions
	perBlock int64 // regions in a block
	workers  int
	session  [16]byte // in the block ids: those of another upload do not mix in
	progress *progress

	// What is known before it is committed.
	count int64 // blocks
	plain int64
	total int64 // stored
}

// newUpload takes the length of the source, or -1.
func (c *BlobClient) newUpload(ctx context.Context, size int64, o *UploadOptions) (*upload, error) {
	u := &upload{blob: c}
	if o != nil {
		u.opt = *o
	}
	if h := u.opt.HTTPHeaders; h != nil && len(h.BlobContentMD5) > 0 {
		return nil, &Error{Code: InvalidOption, Detail: "BlobContentMD5 would be that of the plaintext"}
	}
	var err error
	if u.data, u.cek, err = c.opt.newData(ctx, format.Protocol(c.opt.Version)); err != nil {
		return nil, err
	}
	u.data.Mode = true
	if u.regions, err = format.NewRegions(u.cek, u.data.RegionLength); err != nil {
		return nil, fromFormat(err)
	}
	u.chooseBlocks(size)
	if size > maxBlocks*u.perBlock*u.regions.Length() {
		return nil, errBlocks()
	}
	rand.Read(u.session[:])
	u.progress = newProgress(u.opt.Progress)
	return u, nil
}

// chooseBlocks makes blocks large enough for the length. The service makes each block
// durable, so that fewer and larger ones are quicker where there are many.
func (u *upload) chooseBlocks(size int64) {
	length, sealed := u.regions.Length(), u.regions.Sealed()
	block, concurrency := u.opt.BlockSize, u.opt.Concurrency
	if block <= 0 && size >= largeUpload {
		block = largeBlock
		if concurrency <= 0 {
			concurrency = largeConcurrency
		}
	}
	part, _ := parts(length, block, concurrency)
	regions := (max(size, 0) + length - 1) / length
	u.perBlock = max(part/length, (regions+maxBlocks-1)/maxBlocks)
	u.perBlock = min(u.perBlock, max(maxBlock/sealed, 1))
	_, u.workers = parts(length, u.perBlock*length, concurrency)
}

// readAtOnce is how much of a source is read by one call where regions are small.
const readAtOnce = 256 << 10

// take seals the plaintext of one block, once: a retry sends the same bytes.
func (u *upload) take(src plaintext, block, n int64) (sealedBlock, error) {
	length := u.regions.Length()
	stored := format.StoredSize(n, length)
	run := max(readAtOnce/length, 1) * length // read together
	var scratch int64
	if run > length {
		scratch = min(run, n)
	}
	buf := getBuffer(stored + scratch)
	rest, off, end := buf[:stored], block*u.perBlock*length, block*u.perBlock*length+n
	for off < end {
		room := buf[stored:]
		if scratch == 0 { // one region, which is read into its place
			room = rest[format.NonceSize:]
		}
		text, err := src.region(off, room[:min(run, end-off)])
		if err != nil {
			return sealedBlock{}, err
		}
		for len(text) > 0 {
			part := min(int64(len(text)), length)
			u.regions.Seal(rest[:part+format.Overhead], text[:part], uint64(off/length))
			rest, text, off = rest[part+format.Overhead:], text[part:], off+part
		}
	}
	return sealedBlock{bytes: buf[:stored], plain: n, block: block}, nil
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

// sealedBlock is ready to be sent.
type sealedBlock struct {
	bytes []byte
	plain int64
	block int64
}

// single sends the whole blob in one request.
func (u *upload) single(ctx context.Context, b sealedBlock) (UploadResponse, error) {
	body := newBlockBody(b.bytes)
	defer body.stop()
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
	u.sent(body, b)
	return u.response(r.ETag, r.LastModified, r.VersionID, r.RequestID), nil
}

// sent gives the buffer of a block back.
func (u *upload) sent(body *blockBody, b sealedBlock) {
	body.stop()
	putBuffer(b.bytes)
	u.progress.add(b.plain)
}

func (u *upload) response(etag *azcore.ETag, modified *time.Time, version, request *string) UploadResponse {
	return UploadResponse{
		ETag: etag, LastModified: modified, VersionID: version, RequestID: request,
		Length: u.plain, StoredLength: u.total,
	}
}

func (u *upload) stage(ctx context.Context, b sealedBlock) error {
	opt := &blockblob.StageBlockOptions{
		CPKInfo:                 u.opt.CPKInfo,
		CPKScopeInfo:            u.opt.CPKScopeInfo,
		TransactionalValidation: u.opt.TransactionalValidation,
	}
	if a := u.opt.AccessConditions; a != nil {
		opt.LeaseAccessConditions = a.LeaseAccessConditions
	}
	body := newBlockBody(b.bytes)
	defer body.stop()
	if _, err := u.blob.blob.StageBlock(ctx, u.blockID(b.block), body, opt); err != nil {
		return err
	}
	u.sent(body, b)
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
