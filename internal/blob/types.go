package blob

import (
	"io"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
)

// Ref names one blob, or a container when Blob is empty.
type Ref struct {
	Account   name.Account
	Container name.Container
	Blob      name.Blob
}

func (r Ref) String() string {
	s := string(r.Account) + "/" + string(r.Container)
	if r.Blob != "" {
		s += "/" + string(r.Blob)
	}
	return s
}

// Conditions are the conditional headers of a request. Zero values are absent.
type Conditions struct {
	IfMatch, IfNoneMatch               string // an ETag with or without quotes, or "*"
	IfModifiedSince, IfUnmodifiedSince time.Time
	IfTags                             string // refused until tags are served
	LeaseID                            string
}

// Headers are the content headers that a blob carries (x-ms-blob-*).
type Headers struct {
	CacheControl, ContentType, ContentEncoding, ContentLanguage, ContentDisposition string
	ContentMD5                                                                      []byte // 16 bytes or none
}

// Metadata is user metadata in the order in which it came. Names are unique without
// regard to case and keep their spelling.
type Metadata []MetaPair

// MetaPair is one name and value of user metadata.
type MetaPair struct{ Name, Value string }

// Encryption says how a stored record is protected, for response headers and lists.
// The zero value is the account key.
type Encryption struct {
	Scope     string // encryption scope
	KeySHA256 string // base64 of the hash of a customer-provided key

	// Which key version wraps the content's first data key: for logs, never for the wire.
	Protector keys.Protector
	Kref      keys.ID
}

// EncryptionOptions are what a request asks of encryption. The zero value leaves it to
// the SAS, the container and the account.
type EncryptionOptions struct {
	Scope string       // x-ms-encryption-scope
	Key   *CustomerKey // x-ms-encryption-key, once all of the triple was checked
}

// Written is what a write answers.
type Written struct {
	ETag         string // quoted
	LastModified time.Time
	ContentMD5   []byte // Put Blob: of the content; Put Block: when the request carried one
	ContentCRC64 []byte // when no MD5 was asked for
	Encryption   Encryption
	VersionID    string // empty until versions are served
	Encrypted    bool   // x-ms-request-server-encrypted
}

// Properties describe a blob as it is stored.
type Properties struct {
	Headers
	ETag                  string // quoted
	LastModified, Created time.Time
	Length                int64
	Type                  string // BlockBlob
	Metadata              Metadata
	MetadataEncrypted     bool // there is metadata, but not for this caller's eyes
	Tier                  string
	TierInferred          bool
	TierChanged           time.Time // zero when the tier was never set
	Encryption            Encryption
	ServerEncrypted       bool
	CommittedBlocks       int // blocks of the last block list; 0 after Put Blob
	LeaseStatus           string
	LeaseState            string
	Uncommitted           bool // only staged blocks: in lists with IncludeUncommitted
}

// PutOptions are the arguments of PutBlob.
type PutOptions struct {
	Headers      Headers // ContentMD5 is checked against the content, then stored
	Metadata     Metadata
	Conditions   Conditions
	Length       int64
	Body         io.Reader
	ContentMD5   []byte // of the request body; 16 bytes or nil
	ContentCRC64 []byte // of the request body; 8 bytes or nil
	Tier         string // Hot, Cool, Cold; empty is the account's default
	Encryption   EncryptionOptions
}

// BlockOptions are the arguments of PutBlock.
type BlockOptions struct {
	ID         string // base64, as sent
	Length     int64
	Body       io.Reader
	MD5        []byte
	CRC64      []byte
	LeaseID    string
	Encryption EncryptionOptions
}

// Where says which list of a blob an entry of a block list names.
type Where uint8

const (
	Latest      Where = iota // staged if there is such a block, else committed
	Committed                // in the present block list
	Uncommitted              // staged
)

// BlockListEntry is one entry of a block list.
type BlockListEntry struct {
	ID    string
	Where Where
}

// ListOptions are the arguments of PutBlockList.
type ListOptions struct {
	Entries    []BlockListEntry
	Headers    Headers // ContentMD5 is stored without a check
	Metadata   Metadata
	Conditions Conditions
	Tier       string
	Encryption EncryptionOptions
}

// Which selects the lists that GetBlockList answers.
type Which uint8

const (
	WhichCommitted Which = iota // the service's default
	WhichUncommitted
	WhichAll
)

// BlockInfo is one block of a list.
type BlockInfo struct {
	ID   string
	Size int64
}

// BlockList is what GetBlockList answers. ETag is empty when nothing is committed.
type BlockList struct {
	Committed, Uncommitted []BlockInfo
	ETag                   string
	LastModified           time.Time
	Length                 int64
}

// Range is a byte range of a read. N < 0 reads to the end.
type Range struct{ Off, N int64 }

// ReadOptions are the arguments of Open.
type ReadOptions struct {
	Range                *Range
	Conditions           Conditions
	RangeMD5, RangeCRC64 bool // hash of the range, at most 4 MiB of it
	Encryption           EncryptionOptions
}

// DeleteOptions are the arguments of Delete.
type DeleteOptions struct {
	Conditions Conditions
	Snapshots  string // "", "include" or "only"
}
