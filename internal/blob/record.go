package blob

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// typeBlock is the only type of blob there is yet.
const typeBlock = 1

// record is the system part of a committed blob.
type record struct {
	etag        uint64
	modified    time.Time
	created     time.Time
	length      int64
	headers     Headers
	tier        tier
	tierChanged time.Time
	blocks      int    // of the last block list
	idLength    int    // decoded length of their ids
	scope       string // encryption scope; empty: the account's key, or a customer-provided one
}

func (rec *record) encode(r *object.Row) {
	setU64(r, tagETag, rec.etag)
	setTime(r, tagModified, rec.modified)
	setTime(r, tagCreated, rec.created)
	setU8(r, tagType, typeBlock)
	setU64(r, tagLength, uint64(rec.length))
	rec.headers.encode(r)
	setU8(r, tagTier, byte(rec.tier))
	setTime(r, tagTierChanged, rec.tierChanged)
	setU32(r, tagBlockCount, uint32(rec.blocks))
	setU8(r, tagIDLength, byte(rec.idLength))
	setString(r, tagScope, rec.scope)
}

func decodeRecord(r *object.Row) (*record, error) {
	f := fields{r: r}
	rec := &record{
		etag:        f.u64(tagETag, true),
		modified:    f.time(tagModified, true),
		created:     f.time(tagCreated, true),
		length:      int64(f.u64(tagLength, false)),
		headers:     decodeHeaders(&f),
		tier:        tier(f.u8(tagTier)),
		tierChanged: f.time(tagTierChanged, false),
		blocks:      int(f.u32(tagBlockCount)),
		idLength:    int(f.u8(tagIDLength)),
		scope:       f.string(tagScope),
	}
	if f.u8(tagType) != typeBlock || rec.tier > tierLast || rec.length != r.Length() {
		return nil, errRow
	}
	return rec, f.done()
}

func (h *Headers) encode(r *object.Row) {
	setString(r, tagCacheControl, h.CacheControl)
	setString(r, tagContentType, h.ContentType)
	setString(r, tagContentEncoding, h.ContentEncoding)
	setString(r, tagContentLanguage, h.ContentLanguage)
	setString(r, tagContentDisposition, h.ContentDisposition)
	setBytes(r, tagContentMD5, h.ContentMD5)
}

func decodeHeaders(f *fields) Headers {
	return Headers{
		CacheControl:       f.string(tagCacheControl),
		ContentType:        f.string(tagContentType),
		ContentEncoding:    f.string(tagContentEncoding),
		ContentLanguage:    f.string(tagContentLanguage),
		ContentDisposition: f.string(tagContentDisposition),
		ContentMD5:         f.sized(tagContentMD5, 16, false),
	}
}

// defaultType is the content type of a blob for which none was given.
const defaultType = "application/octet-stream"

// check holds h against the rules and fills in the default type.
func (h *Headers) check(op, what string) error {
	if h.ContentMD5 != nil && len(h.ContentMD5) != 16 {
		return fault.New(op, what, fault.InvalidMD5, nil)
	}
	for _, f := range [...]struct{ header, value string }{
		{"x-ms-blob-cache-control", h.CacheControl},
		{"x-ms-blob-content-type", h.ContentType},
		{"x-ms-blob-content-encoding", h.ContentEncoding},
		{"x-ms-blob-content-language", h.ContentLanguage},
		{"x-ms-blob-content-disposition", h.ContentDisposition},
	} {
		if !fieldValue(f.value) {
			return fault.New(op, what, fault.InvalidHeaderValue, nil,
				fault.Detail{Name: "HeaderName", Value: f.header})
		}
	}
	if h.ContentType == "" {
		h.ContentType = defaultType
	}
	return nil
}

// fieldValue reports whether s may be sent back as a header value: no control bytes.
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// tier is an access tier as a row has it; zero is the default of the account.
type tier byte

const (
	tierInferred tier = iota
	tierHot
	tierCool
	tierCold
	tierLast = tierCold
)

// defaultTier is what the account gives to blobs without a tier of their own.
const defaultTier = tierHot

var tierNames = [...]string{tierHot: "Hot", tierCool: "Cool", tierCold: "Cold"}

// parseTier reads x-ms-access-tier. Clients send an empty one and mean the default.
func parseTier(op, what, s string) (tier, error) {
	if s == "" {
		return tierInferred, nil
	}
	for t, n := range tierNames {
		if n != "" && strings.EqualFold(n, s) {
			return tier(t), nil
		}
	}
	if strings.EqualFold(s, "Archive") {
		return 0, fault.New(op, what, fault.UnsupportedOperation, nil, fault.Detail{Name: "Operation", Value: "archive tier"})
	}
	return 0, fault.New(op, what, fault.InvalidHeaderValue, nil,
		fault.Detail{Name: "HeaderName", Value: "x-ms-access-tier"},
		fault.Detail{Name: "HeaderValue", Value: clip(s)})
}

// blobKey is the key of a blob, and of its staging.
func blobKey(owner, container keys.ID, blob string) []byte {
	b := make([]byte, 0, 32+len(blob))
	b = append(b, owner[:]...)
	b = append(b, container[:]...)
	return append(b, blob...)
}

// found is a committed blob, or nothing: then row and rec are nil.
type found struct {
	key   []byte
	row   *object.Row
	rec   *record
	cover cover // of what the request writes; only findCovered sets it
}

func (f *found) state() state {
	if f.rec == nil {
		return state{}
	}
	return state{exists: true, etag: f.rec.etag, modified: f.rec.modified}
}

// oldETag is what the next ETag must exceed.
func (f *found) oldETag() uint64 {
	if f.rec == nil {
		return 0
	}
	return f.rec.etag
}

// find enters the container and reads the blob.
func (k *call) find(tx *object.Tx) (*found, error) {
	box, err := k.enter(tx)
	if err != nil {
		return nil, err
	}
	return k.findIn(tx, box)
}

// findCovered is find for a write of content: the container's encryption policy is
// decided before anybody learns what is there.
func (k *call) findCovered(tx *object.Tx) (*found, error) {
	box, err := k.enter(tx)
	if err != nil {
		return nil, err
	}
	c, err := k.cover(tx, box)
	if err != nil {
		return nil, err
	}
	f, err := k.findIn(tx, box)
	if err == nil {
		f.cover = c
	}
	return f, err
}

func (k *call) findIn(tx *object.Tx, box *container) (*found, error) {
	f := &found{key: blobKey(k.acct.ID, box.id, string(k.ref.Blob))}
	row, err := tx.Get(object.Blob, k.acct.ID, f.key)
	if errors.Is(err, meta.ErrNotFound) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	f.row = row
	f.rec, err = decodeRecord(row)
	return f, err
}

// overwrite refuses who may create but not write, when the blob is there.
func (k *call) overwrite(f *found) error {
	if f.rec != nil && !k.who.MayReplace(k.need) {
		return k.fault(fault.UnauthorizedBlobOverwrite)
	}
	return nil
}

// encryptionOf reports the protection of a stored row.
func encryptionOf(r *object.Row) Encryption {
	var e Encryption
	if len(r.DEKs) > 0 {
		e.Protector, e.Kref = r.DEKs[0].Protector, r.DEKs[0].Kref()
	}
	e.Scope = string(r.Get(tagScope))
	if len(r.CPKHash) > 0 {
		e.KeySHA256 = base64.StdEncoding.EncodeToString(r.CPKHash)
	}
	return e
}

// encrypted reports whether a row says that its content is: every content has a data
// key from its first row on.
func encrypted(r *object.Row) bool { return len(r.DEKs) > 0 }

// properties describes f without its metadata.
func (rec *record) properties(r *object.Row) Properties {
	p := Properties{
		Headers:         rec.headers,
		ETag:            formatETag(rec.etag),
		LastModified:    rec.modified,
		Created:         rec.created,
		Length:          rec.length,
		Type:            "BlockBlob",
		Tier:            tierNames[defaultTier],
		TierInferred:    rec.tier == tierInferred,
		TierChanged:     rec.tierChanged,
		Encryption:      encryptionOf(r),
		ServerEncrypted: encrypted(r),
		CommittedBlocks: rec.blocks,
		LeaseStatus:     "unlocked",
		LeaseState:      "available",
	}
	if rec.tier != tierInferred {
		p.Tier = tierNames[rec.tier]
	}
	return p
}

// withMetadata adds the metadata of r to p.
func (s *Service) withMetadata(ctx context.Context, p *Properties, r *object.Row) error {
	plain, err := s.store.OpenMeta(ctx, r)
	if err != nil {
		return err
	}
	p.Metadata, err = decodeMetadata(plain)
	return err
}

// written is the answer to a write that left the row r with rec.
func (rec *record) written(r *object.Row) Written {
	return Written{
		ETag:         formatETag(rec.etag),
		LastModified: rec.modified,
		Encryption:   encryptionOf(r),
		Encrypted:    encrypted(r),
	}
}
