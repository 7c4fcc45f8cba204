package cse

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// Version is a version of the encryption format.
type Version string

// The versions. Nothing writes version 1.0: see AllowV1Read.
const (
	V1  Version = Version(format.V1)
	V2  Version = Version(format.V2)  // the default; all SDKs of July 2022 or later read it
	V21 Version = Version(format.V21) // a region length of one's own; fewer SDKs read it
)

// DefaultRegionLength is the region length of version 2.0, and the default of 2.1.
const DefaultRegionLength = format.DefaultRegion

// MetadataName is the metadata name under which a blob says how it was encrypted.
const MetadataName = "encryptiondata"

// Options are how a client encrypts and decrypts. The zero value decrypts nothing and
// encrypts nothing: it has no key.
type Options struct {
	// Key encrypts, and decrypts the objects that name its id.
	Key Key
	// Resolver finds the keys of objects that name other ids.
	Resolver KeyResolver
	// WrapAlgorithm is the algorithm that content keys are wrapped by. Keys that are a
	// DefaultAlgorithmer do not need it.
	WrapAlgorithm string

	// Version is the version to write: V2 (default) or V21.
	Version Version
	// RegionLength is how much plaintext is authenticated at once: 16 bytes to 1 GiB,
	// for V21 only. The smallest range costs one region; each region costs 28 bytes.
	RegionLength int64
	// OmitLength leaves out the entry that authenticates the length of an object.
	OmitLength bool

	// AllowV1Read lets objects of version 1.0 be read. They are not authenticated:
	// whoever can write them can read them, given time, and change them unseen.
	AllowV1Read bool
	// AllowPlaintextRead lets objects without encryption metadata be read. Whoever can
	// write an object can make it one.
	AllowPlaintextRead bool
	// AllowMisorderedRegions reads objects of version 2.x whose regions are not in the
	// order they were written in. For recovery only.
	AllowMisorderedRegions bool
	// RequireLength refuses objects whose length is not authenticated: those of other
	// writers. Without it, a length that is authenticated is checked all the same.
	RequireLength bool
	// MaxRegionLength bounds the region length of objects that are read, which is
	// memory; 64 MiB if zero, at most 1 GiB.
	MaxRegionLength int64

	// countStep is told of each step of reading an object of version 1.0.
	countStep func(step string)
}

const defaultMaxRegion = 64 << 20

// check completes the options and finds what is wrong with them.
func (o *Options) check() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Version == "" {
		c.Version = V2
	}
	if c.RegionLength == 0 {
		c.RegionLength = DefaultRegionLength
	}
	if c.MaxRegionLength == 0 {
		c.MaxRegionLength = max(defaultMaxRegion, c.RegionLength)
	}
	if c.countStep == nil {
		c.countStep = func(string) {}
	}
	if c.WrapAlgorithm == "" {
		if d, ok := c.Key.(DefaultAlgorithmer); ok {
			c.WrapAlgorithm = d.DefaultAlgorithm()
		}
	}
	return c, c.problem()
}

func (o *Options) problem() error {
	invalid := func(s string) error { return &Error{Code: InvalidOption, Detail: s} }
	switch {
	case o.Version == V1:
		return invalid("version 1.0 is read, never written")
	case o.Version != V2 && o.Version != V21:
		return invalid("the version to write is 2.0 or 2.1")
	case o.RegionLength < format.MinRegion || o.RegionLength > format.MaxRegion:
		return invalid("a region has 16 bytes to 1 GiB")
	case o.Version == V2 && o.RegionLength != DefaultRegionLength:
		return invalid("version 2.0 has regions of 4 MiB; 2.1 has a choice")
	case o.MaxRegionLength < 1 || o.MaxRegionLength > format.MaxRegion:
		return invalid("the largest region to read has 1 byte to 1 GiB")
	case o.Key != nil && o.WrapAlgorithm == "":
		return invalid("the key names no wrap algorithm, and neither do the options")
	case o.WrapAlgorithm == RSA15:
		return invalid("RSA1_5 is read, never written")
	}
	return nil
}

// newData makes the content key of a new object, and the text that goes with it.
func (o *Options) newData(ctx context.Context, p format.Protocol) (*format.Data, []byte, error) {
	if o.Key == nil {
		return nil, nil, &Error{Code: InvalidOption, Detail: "encrypting needs Options.Key"}
	}
	cek := make([]byte, format.KeySize)
	rand.Read(cek)
	d := &format.Data{
		Protocol:     p,
		RegionLength: o.RegionLength,
		Wrapping:     map[string]string{"EncryptionLibrary": library},
	}
	if err := wrapInto(ctx, d, o.Key, o.WrapAlgorithm, format.Bind(p, cek)); err != nil {
		return nil, nil, err
	}
	return d, cek, nil
}

// wrapInto wraps bound bytes by a key, and notes how in d.
func wrapInto(ctx context.Context, d *format.Data, key Key, algorithm string, bound []byte) error {
	wrapped, err := key.WrapKey(ctx, algorithm, bound)
	if err != nil {
		return fmt.Errorf("cse: wrap by key %q: %w", key.KeyID(), err)
	}
	d.KeyID, d.Algorithm, d.EncryptedKey = key.KeyID(), algorithm, wrapped
	return nil
}

// parse reads the text of an object and checks it against what was allowed.
func (o *Options) parse(text string) (*format.Data, error) {
	d, err := format.Parse(text)
	if err != nil {
		return nil, fromFormat(err)
	}
	return d, o.allow(d)
}

func (o *Options) allow(d *format.Data) error {
	if d.Protocol == format.V1 {
		if !o.AllowV1Read || o.RequireLength {
			return &Error{Code: V1NotAllowed}
		}
		return nil
	}
	if d.RegionLength > o.MaxRegionLength {
		return &Error{Code: RegionTooLarge, Detail: fmt.Sprintf("%d bytes, at most %d are allowed", d.RegionLength, o.MaxRegionLength)}
	}
	return nil
}

// findKey returns the key that an object names: the local one on equal id, else what
// the resolver finds, which must state that id.
func (o *Options) findKey(ctx context.Context, id string) (Key, error) {
	if o.Key != nil && o.Key.KeyID() == id {
		return o.Key, nil
	}
	if o.Resolver == nil {
		return nil, &Error{Code: KeyNotFound, Detail: fmt.Sprintf("%q", id)}
	}
	k, err := o.Resolver.ResolveKey(ctx, id)
	if err != nil {
		if HasCode(err, KeyNotFound) {
			return nil, err
		}
		return nil, &Error{Code: KeyUnavailable, Detail: fmt.Sprintf("%q", id), Err: err}
	}
	if k == nil || k.KeyID() != id {
		return nil, &Error{Code: KeyNotFound, Detail: fmt.Sprintf("the resolver has another key for %q", id)}
	}
	return k, nil
}

// unwrapBound returns what was wrapped, version field included.
func unwrapBound(ctx context.Context, key Key, d *format.Data) ([]byte, error) {
	var bound []byte
	var err error
	if r, ok := key.(ImplicitRejecter); ok {
		bound, err = r.UnwrapKeySize(ctx, d.Algorithm, d.EncryptedKey, d.Protocol.WrapSize())
	} else {
		bound, err = key.UnwrapKey(ctx, d.Algorithm, d.EncryptedKey)
	}
	if err != nil {
		return nil, fromUnwrap(err)
	}
	return bound, nil
}

// openKey returns the content key of an object. For version 1.0, a key that does not
// unwrap gives a random content key, and bad is true: the steps that follow do not show
// it, and the caller is told in the end.
func (o *Options) openKey(ctx context.Context, d *format.Data) (cek []byte, bad bool, err error) {
	key, err := o.findKey(ctx, d.KeyID)
	if err != nil {
		return nil, false, err
	}
	bound, err := unwrapBound(ctx, key, d)
	if err == nil {
		cek, err = format.Unbind(d.Protocol, bound)
		err = fromFormat(err)
	}
	if d.Protocol == format.V1 && HasCode(err, AuthenticationFailed) {
		cek = make([]byte, format.KeySize)
		rand.Read(cek)
		return cek, true, nil
	}
	return cek, false, err
}

// order is the check of the order of regions, or none.
func (o *Options) order() *format.Order {
	if o.AllowMisorderedRegions {
		return nil
	}
	return format.NewOrder()
}
