package cse

import (
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// Client makes BlobClients that share options.
type Client struct {
	client *azblob.Client
	opt    Options
}

// NewClient encrypts and decrypts over an azblob client, with its credential, its retry
// policy and its transport.
func NewClient(client *azblob.Client, opt *Options) (*Client, error) {
	if client == nil {
		return nil, &Error{Code: InvalidOption, Detail: "no client"}
	}
	o, err := opt.check()
	if err != nil {
		return nil, err
	}
	return &Client{client: client, opt: o}, nil
}

// NewBlobClient returns a client for one blob. It sends nothing.
func (c *Client) NewBlobClient(containerName, blobName string) *BlobClient {
	blob := c.client.ServiceClient().NewContainerClient(containerName).NewBlockBlobClient(blobName)
	return &BlobClient{blob: blob, opt: c.opt}
}

// BlobClient encrypts and decrypts one blob.
type BlobClient struct {
	blob *blockblob.Client
	opt  Options
}

// NewBlobClient encrypts and decrypts over a block blob client. To read a page blob of
// version 1.0, take the block blob client of its URL.
func NewBlobClient(client *blockblob.Client, opt *Options) (*BlobClient, error) {
	if client == nil {
		return nil, &Error{Code: InvalidOption, Detail: "no client"}
	}
	o, err := opt.check()
	if err != nil {
		return nil, err
	}
	return &BlobClient{blob: client, opt: o}, nil
}

// Client returns the client underneath. It sees ciphertext, and its metadata calls can
// lose the key of the blob.
func (c *BlobClient) Client() *blockblob.Client { return c.blob }

// WithSnapshot returns a client for a snapshot of the blob.
func (c *BlobClient) WithSnapshot(snapshot string) (*BlobClient, error) {
	b, err := c.blob.WithSnapshot(snapshot)
	if err != nil {
		return nil, err
	}
	return &BlobClient{blob: b, opt: c.opt}, nil
}

// WithVersionID returns a client for a version of the blob.
func (c *BlobClient) WithVersionID(id string) (*BlobClient, error) {
	b, err := c.blob.WithVersionID(id)
	if err != nil {
		return nil, err
	}
	return &BlobClient{blob: b, opt: c.opt}, nil
}

// Properties describe a blob as its reader sees it.
type Properties struct {
	// Encrypted is false for a blob without encryption metadata; the fields of keys
	// and versions are then empty.
	Encrypted    bool
	Version      Version
	KeyID        string
	Algorithm    string // of the wrap
	RegionLength int64  // 2.x
	Library      string // what the writer called itself; anyone can write that
	// Length is the plaintext length; -1 if it takes a key to know, as for version 1.0.
	Length int64
	// LengthAuthenticated says that the blob claims its length to be authenticated. That
	// is checked when the blob is read.
	LengthAuthenticated bool
	StoredLength        int64
	// Metadata is the caller's metadata, without that of the encryption.
	Metadata map[string]*string
	// Response is all that the service said. Its lengths are those of the ciphertext.
	Response blob.GetPropertiesResponse
}

// GetProperties returns what can be known of a blob without its key.
func (c *BlobClient) GetProperties(ctx context.Context, o *blob.GetPropertiesOptions) (Properties, error) {
	r, err := c.blob.GetProperties(ctx, o)
	if err != nil {
		return Properties{}, err
	}
	p := Properties{Response: r, StoredLength: deref(r.ContentLength), Length: -1}
	text, rest := splitMetadata(r.Metadata)
	p.Metadata = rest
	if text == nil {
		p.Length = p.StoredLength
		return p, nil
	}
	return p, p.describe(*text)
}

// splitMetadata takes the encryption metadata out of a blob's, whatever the case of its
// name. An empty value is there, and unreadable.
func splitMetadata(all map[string]*string) (text *string, rest map[string]*string) {
	rest = make(map[string]*string, len(all))
	for k, v := range all {
		if strings.EqualFold(k, MetadataName) {
			text = to.Ptr(deref(v))
			continue
		}
		rest[k] = v
	}
	return text, rest
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// SetMetadata replaces the caller's metadata of a blob and keeps that of the encryption:
// the plain client's call would drop the key, and with it the data. It fails with
// ConditionNotMet if the blob changed meanwhile, and o may ask for more.
func (c *BlobClient) SetMetadata(ctx context.Context, metadata map[string]*string, o *blob.SetMetadataOptions) (blob.SetMetadataResponse, error) {
	return c.replaceMetadata(ctx, o, func(text *string) (map[string]*string, error) {
		_, merged := splitMetadata(metadata)
		if text != nil {
			merged[MetadataName] = text
		}
		return merged, nil
	})
}

// DropEncryptionData removes the encryption metadata of a blob and keeps the rest. What
// remains is ciphertext that nobody can decrypt, unless the metadata was kept elsewhere.
func (c *BlobClient) DropEncryptionData(ctx context.Context, o *blob.SetMetadataOptions) (blob.SetMetadataResponse, error) {
	p, err := c.blob.GetProperties(ctx, propertiesOptions(o))
	if err != nil {
		return blob.SetMetadataResponse{}, err
	}
	_, rest := splitMetadata(p.Metadata)
	return c.blob.SetMetadata(ctx, rest, withETag(o, p.ETag))
}

func (c *BlobClient) replaceMetadata(ctx context.Context, o *blob.SetMetadataOptions,
	change func(text *string) (map[string]*string, error),
) (blob.SetMetadataResponse, error) {
	p, err := c.blob.GetProperties(ctx, propertiesOptions(o))
	if err != nil {
		return blob.SetMetadataResponse{}, err
	}
	text, _ := splitMetadata(p.Metadata)
	merged, err := change(text)
	if err != nil {
		return blob.SetMetadataResponse{}, err
	}
	return c.blob.SetMetadata(ctx, merged, withETag(o, p.ETag))
}

// propertiesOptions asks for the properties under the conditions of the change.
func propertiesOptions(o *blob.SetMetadataOptions) *blob.GetPropertiesOptions {
	if o == nil {
		return nil
	}
	return &blob.GetPropertiesOptions{AccessConditions: o.AccessConditions, CPKInfo: o.CPKInfo}
}

// withETag adds the condition that the blob is still the one that was read.
func withETag(o *blob.SetMetadataOptions, etag *azcore.ETag) *blob.SetMetadataOptions {
	var c blob.SetMetadataOptions
	if o != nil {
		c = *o
	}
	c.AccessConditions = ifMatch(c.AccessConditions, etag)
	return &c
}

// ifMatch returns the conditions with If-Match.
func ifMatch(a *blob.AccessConditions, etag *azcore.ETag) *blob.AccessConditions {
	var c blob.AccessConditions
	if a != nil {
		c = *a
	}
	var m blob.ModifiedAccessConditions
	if c.ModifiedAccessConditions != nil {
		m = *c.ModifiedAccessConditions
	}
	m.IfMatch = etag
	c.ModifiedAccessConditions = &m
	return &c
}
