package cse

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// maxMessage is what the service takes as the text of a message.
const maxMessage = 64 << 10

// EncryptMessage returns the text of a queue message that holds text encrypted, by
// version 2.0 whatever the options say: no SDK reads another from a queue.
func EncryptMessage(ctx context.Context, text string, opt *Options) (string, error) {
	o, err := opt.check()
	if err != nil {
		return "", err
	}
	return o.encryptMessage(ctx, text)
}

func (o *Options) encryptMessage(ctx context.Context, text string) (string, error) {
	d, cek, err := o.newData(ctx, format.V2)
	if err != nil {
		return "", err
	}
	d.RegionLength = DefaultRegionLength
	if len(text) > maxMessage {
		return "", &Error{Code: TooLarge, Detail: fmt.Sprintf("a message of %d bytes", len(text))}
	}
	regions, err := format.NewRegions(cek, d.RegionLength)
	if err != nil {
		return "", fromFormat(err)
	}
	sealed := make([]byte, format.Overhead+len(text))
	regions.Seal(sealed, []byte(text), 0)
	out := format.Envelope{Contents: sealed, Data: d}.Text()
	if len(out) > maxMessage {
		return "", &Error{Code: TooLarge, Detail: fmt.Sprintf("a message of %d bytes, encrypted %d", len(text), len(out))}
	}
	return out, nil
}

// DecryptMessage returns what is encrypted in the text of a queue message: of version
// 2.0, or of 1.0 if that is allowed. Messages are whole regions; nothing can be cut off,
// so RequireLength does not concern them.
func DecryptMessage(ctx context.Context, text string, opt *Options) (string, error) {
	o, err := opt.check()
	if err != nil {
		return "", err
	}
	return o.decryptMessage(ctx, text)
}

func (o *Options) decryptMessage(ctx context.Context, text string) (string, error) {
	e, ok, err := format.ParseEnvelope(text)
	if !ok {
		if o.AllowPlaintextRead {
			return text, nil
		}
		return "", &Error{Code: NotEncrypted}
	}
	if err != nil {
		return "", fromFormat(err)
	}
	if err := o.allow(e.Data); err != nil {
		return "", err
	}
	cek, bad, err := o.openKey(ctx, e.Data)
	if err != nil {
		return "", err
	}
	if e.Data.Protocol == format.V1 {
		plain, err := decryptV1(cek, e.Data.IV, e.Contents)
		if bad || err != nil {
			return "", errAuth()
		}
		return string(plain), nil
	}
	regions, err := format.NewRegions(cek, e.Data.RegionLength)
	if err != nil {
		return "", fromFormat(err)
	}
	// No order to check: there is one region, and Python writes random nonces here.
	plain, err := regions.Open(nil, e.Contents, 0, nil)
	return string(plain), fromFormat(err)
}

// decryptV1 decrypts a whole small text of version 1.0, in place.
func decryptV1(cek, iv, stored []byte) ([]byte, error) {
	cbc, err := format.NewCBC(cek, iv)
	if err != nil {
		return nil, fromFormat(err)
	}
	whole := len(stored) > 0 && len(stored)%format.BlockSize == 0
	last := make([]byte, format.BlockSize)
	plain := cbc.Decrypt(stored, false)
	if whole {
		last = plain[len(plain)-format.BlockSize:]
	}
	n, padded := format.Padding(last)
	if !whole || !padded {
		return nil, errAuth()
	}
	return plain[:len(plain)-n], nil
}

// Encoding is what a message is made into before it is encrypted. The SDKs do not write
// down which it was: reader and writer have to agree.
type Encoding string

// The encodings.
const (
	NoEncoding     Encoding = ""       // the text itself, as .NET has it, and Python unless told otherwise
	Base64Encoding Encoding = "base64" // Python's base64 policies
)

// QueueClient encrypts what is put into a queue, and decrypts what is taken out of it.
type QueueClient struct {
	queue    *azqueue.QueueClient
	opt      Options
	encoding Encoding
}

// QueueOptions are the options of NewQueueClient.
type QueueOptions struct {
	Options
	Encoding Encoding
}

// NewQueueClient encrypts and decrypts over a queue client.
func NewQueueClient(queue *azqueue.QueueClient, opt *QueueOptions) (*QueueClient, error) {
	if queue == nil {
		return nil, &Error{Code: InvalidOption, Detail: "no client"}
	}
	var q QueueOptions
	if opt != nil {
		q = *opt
	}
	if q.Encoding != NoEncoding && q.Encoding != Base64Encoding {
		return nil, &Error{Code: InvalidOption, Detail: fmt.Sprintf("encoding %q", q.Encoding)}
	}
	o, err := q.Options.check()
	if err != nil {
		return nil, err
	}
	return &QueueClient{queue: queue, opt: o, encoding: q.Encoding}, nil
}

// Client returns the client underneath, for what needs no key.
func (c *QueueClient) Client() *azqueue.QueueClient { return c.queue }

// EnqueueMessage encrypts a message and puts it into the queue.
func (c *QueueClient) EnqueueMessage(ctx context.Context, content string, o *azqueue.EnqueueMessageOptions) (azqueue.EnqueueMessagesResponse, error) {
	text, err := c.opt.encryptMessage(ctx, c.encode(content))
	if err != nil {
		return azqueue.EnqueueMessagesResponse{}, err
	}
	return c.queue.EnqueueMessage(ctx, text, o)
}

// UpdateMessage replaces a message by another, under a new content key.
func (c *QueueClient) UpdateMessage(ctx context.Context, messageID, popReceipt, content string, o *azqueue.UpdateMessageOptions) (azqueue.UpdateMessageResponse, error) {
	text, err := c.opt.encryptMessage(ctx, c.encode(content))
	if err != nil {
		return azqueue.UpdateMessageResponse{}, err
	}
	return c.queue.UpdateMessage(ctx, messageID, popReceipt, text, o)
}

// Message is a message that was taken out of a queue, or looked at.
type Message struct {
	ID           string
	PopReceipt   string // empty after a peek
	Text         string // empty if Err is not nil
	Err          error  // why this one message does not open; the others do
	DequeueCount int64
	InsertedOn   time.Time
	ExpiresOn    time.Time
	NextVisible  time.Time // zero after a peek
}

// DequeueMessages takes messages out of the queue. One that does not open has an error
// of its own: it does not hold up the others.
func (c *QueueClient) DequeueMessages(ctx context.Context, o *azqueue.DequeueMessagesOptions) ([]Message, error) {
	r, err := c.queue.DequeueMessages(ctx, o)
	if err != nil {
		return nil, err
	}
	all := make([]Message, 0, len(r.Messages))
	for _, m := range r.Messages {
		d := Message{
			ID: deref(m.MessageID), PopReceipt: deref(m.PopReceipt), DequeueCount: deref(m.DequeueCount),
			InsertedOn: deref(m.InsertionTime), ExpiresOn: deref(m.ExpirationTime), NextVisible: deref(m.TimeNextVisible),
		}
		d.Text, d.Err = c.open(ctx, deref(m.MessageText))
		all = append(all, d)
	}
	return all, nil
}

// PeekMessages looks at messages and leaves them in the queue. Errors are as those of
// DequeueMessages.
func (c *QueueClient) PeekMessages(ctx context.Context, o *azqueue.PeekMessagesOptions) ([]Message, error) {
	r, err := c.queue.PeekMessages(ctx, o)
	if err != nil {
		return nil, err
	}
	all := make([]Message, 0, len(r.Messages))
	for _, m := range r.Messages {
		d := Message{
			ID: deref(m.MessageID), DequeueCount: deref(m.DequeueCount),
			InsertedOn: deref(m.InsertionTime), ExpiresOn: deref(m.ExpirationTime),
		}
		d.Text, d.Err = c.open(ctx, deref(m.MessageText))
		all = append(all, d)
	}
	return all, nil
}

func (c *QueueClient) encode(s string) string {
	if c.encoding == Base64Encoding {
		return base64.StdEncoding.EncodeToString([]byte(s))
	}
	return s
}

func (c *QueueClient) open(ctx context.Context, text string) (string, error) {
	s, err := c.opt.decryptMessage(ctx, text)
	if err != nil || c.encoding == NoEncoding {
		return s, err
	}
	plain, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", &Error{Code: BadMetadata, Detail: "the message is not base64"}
	}
	return string(plain), nil
}
