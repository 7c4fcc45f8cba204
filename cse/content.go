package cse

import (
	"context"
	"crypto/rand"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// content is how the body of one object opens. One content serves one logical download,
// shared by its parallel parts, and no two: key and order of regions are its own.
type content struct {
	opt     *Options
	data    *format.Data // nil: plaintext
	cek     []byte
	bad     bool // 1.0: the key did not unwrap, the content key is random
	regions *format.Regions
	cbc     *format.CBC
	order   *format.Order
	page    bool // 1.0 pads no page blobs
	stored  int64
	plain   int64 // -1: 1.0, not known before its last block is
	bound   bool  // the length is authenticated
}

// source is what is known of an object before its body is read.
type source struct {
	text    *string // of the metadata; nil: there is none
	stored  int64
	page    bool
	context []byte
}

// open unwraps the content key of an object, and checks its length.
func (o *Options) open(ctx context.Context, s source) (*content, error) {
	c := &content{opt: o, stored: s.stored, page: s.page}
	if s.text == nil {
		if !o.AllowPlaintextRead || o.RequireLength || s.context != nil {
			return nil, &Error{Code: NotEncrypted}
		}
		c.plain = s.stored
		return c, nil
	}
	d, err := o.parse(*s.text)
	if err != nil {
		return nil, err
	}
	c.data = d
	if d.Protocol == format.V1 && s.context != nil {
		return nil, &Error{Code: V1NotAllowed, Detail: "it carries no context"}
	}
	o.step(d, "unwrap")
	if c.cek, c.bad, err = o.openKey(ctx, d); err != nil {
		return nil, err
	}
	if d.Protocol == format.V1 {
		return c, c.openV1()
	}
	return c, c.openV2(s.context)
}

func (o *Options) step(d *format.Data, name string) {
	if d != nil && d.Protocol == format.V1 {
		o.countStep(name)
	}
}

func (c *content) openV1() (err error) {
	c.cbc, err = format.NewCBC(c.cek, c.data.IV)
	c.plain = -1
	return fromFormat(err)
}

func (c *content) openV2(context []byte) (err error) {
	if c.page {
		return &Error{Code: Unsupported, Detail: "a page blob of version 2.x"}
	}
	d := c.data
	if c.regions, err = format.NewRegions(c.cek, d.RegionLength); err != nil {
		return fromFormat(err)
	}
	if c.plain, err = format.PlainSize(c.stored, d.RegionLength); err != nil {
		return fromFormat(err)
	}
	c.order = c.opt.order()
	entry, ok := d.Wrapping[format.LengthName]
	if !ok {
		if c.opt.RequireLength || context != nil {
			return errAuth()
		}
		return nil
	}
	c.bound = true
	return fromFormat(format.CheckLength(entry, c.cek, d.Protocol, c.plain, d.RegionLength, context))
}

// tail plans the read that tells the length of an object of version 1.0: its last block,
// and the one before as the IV. Zero if it is not needed.
func (c *content) tail() (off, n int64) {
	if c.plain >= 0 || c.stored == 0 {
		return 0, 0
	}
	start := max(c.stored-c.stored%format.BlockSize-2*format.BlockSize, 0)
	return start, c.stored - start
}

// setTail takes what tail planned, and checks the padding. Every failure of an object of
// version 1.0 ends here, after the same steps.
func (c *content) setTail(stored []byte) error {
	ok := int64(len(stored)) == c.stored-c.tailStart() && c.stored%format.BlockSize == 0
	last := make([]byte, format.BlockSize)
	rand.Read(last)
	c.opt.step(c.data, "decrypt")
	ivFirst := len(stored) >= 2*format.BlockSize
	if plain := c.cbc.Decrypt(append([]byte(nil), stored...), ivFirst); len(plain) >= format.BlockSize {
		copy(last, plain[len(plain)-format.BlockSize:])
	} else if !c.page {
		ok = false
	}
	c.opt.step(c.data, "unpad")
	n, padded := format.Padding(last)
	if c.page {
		n, padded = 0, true
	}
	c.opt.step(c.data, "decide")
	if !ok || !padded || c.bad {
		return errAuth()
	}
	c.plain = c.stored - int64(n)
	return nil
}

func (c *content) tailStart() int64 {
	start, _ := c.tail()
	return start
}

// unit is the length that parts of the plaintext are best cut by.
func (c *content) unit() int64 {
	switch {
	case c.regions != nil:
		return c.regions.Length()
	case c.cbc != nil:
		return format.BlockSize
	}
	return 1
}

// plan says what to fetch for a range of plaintext.
func (c *content) plan(off, n int64) (p format.Plan, err error) {
	switch {
	case c.regions != nil:
		p, err = format.PlanRegions(off, n, c.stored, c.regions.Length())
	case c.cbc != nil:
		p, err = format.PlanCBC(off, n, c.stored, c.plain)
	default:
		p, err = format.PlanPlain(off, n, c.stored)
	}
	return p, fromFormat(err)
}

// decrypt opens what was fetched for a plan, and hands the plaintext of the range to
// emit in pieces. It decrypts in place. emit sees nothing whose tag was not checked.
func (c *content) decrypt(stored []byte, p format.Plan, emit func([]byte) error) error {
	if int64(len(stored)) != p.Len {
		return errAuth()
	}
	if c.regions == nil {
		if c.cbc != nil {
			stored = c.cbc.Decrypt(stored, p.IV)
		}
		if int64(len(stored)) < p.Skip+p.N {
			return errAuth()
		}
		return emit(stored[p.Skip : p.Skip+p.N])
	}
	skip, left, index := p.Skip, p.N, p.First
	for len(stored) > 0 {
		sealed := stored[:min(int64(len(stored)), c.regions.Sealed())]
		stored = stored[len(sealed):]
		if len(sealed) < format.Overhead {
			return errAuth()
		}
		text, err := c.regions.Open(sealed[format.NonceSize:format.NonceSize], sealed, index, c.order)
		if err != nil {
			return fromFormat(err)
		}
		text = text[min(skip, int64(len(text))):]
		text = text[:min(left, int64(len(text)))]
		skip, left, index = 0, left-int64(len(text)), index+1
		if err := emit(text); err != nil {
			return err
		}
	}
	if left != 0 {
		return errAuth()
	}
	return nil
}
