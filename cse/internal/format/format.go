// Package format holds the bytes of Azure Storage client-side encryption, versions
// 1.0, 2.0 and 2.1: the text that describes how an object was encrypted, the regions
// of 2.x, the CBC body of 1.0, and the arithmetic of ranges. It knows no network, no
// clock and no keys but the content key it is handed.
//
// A body of version 2.x is
//
//	region 0 || region 1 || ... || region n-1
//
// and a region is nonce (12), ciphertext, tag (16). All regions but the last hold
// exactly the region length of plaintext; no region follows a full last one, so an
// empty object is an empty body.
//
// A body of version 1.0 is one AES-256-CBC run with PKCS#7 padding.
//
// The formats are described in spec/client-side-encryption.md; vectors made by the
// real SDKs are in spec/testkit/cse.
package format

import "errors"

// Protocol is the version in EncryptionAgent.Protocol.
type Protocol string

// The three versions there are.
const (
	V1  Protocol = "1.0"
	V2  Protocol = "2.0"
	V21 Protocol = "2.1"
)

// Sizes that every version shares.
const (
	KeySize   = 32 // content key
	NonceSize = 12
	TagSize   = 16
	BlockSize = 16 // AES block, and the IV of 1.0
	Overhead  = NonceSize + TagSize

	prefixSize = 8 // version field in front of the content key of 2.x
)

// Region lengths.
const (
	DefaultRegion = 4 << 20
	MinRegion     = 16
	MaxRegion     = 1 << 30
)

// MaxObject bounds every length in this package, so that sums cannot overflow.
const MaxObject = 1 << 60

// Errors of this package. ErrAuth is the only one that depends on secrets, and says
// nothing about them.
var (
	ErrAuth     = errors.New("authentication failed")
	ErrMetadata = errors.New("bad encryption metadata")
	ErrProtocol = errors.New("unknown encryption protocol")
	ErrRange    = errors.New("range outside of the object")
)

// WrapSize is the number of bytes that the key-encryption key is given, and returns.
func (p Protocol) WrapSize() int {
	if p == V1 {
		return KeySize
	}
	return prefixSize + KeySize
}

// Bind puts the version field of 2.x in front of a content key: what is wrapped.
// Version 1.0 wraps the content key alone.
func Bind(p Protocol, cek []byte) []byte {
	if p == V1 {
		return append([]byte(nil), cek...)
	}
	b := make([]byte, prefixSize, prefixSize+KeySize)
	copy(b, p)
	return append(b, cek...)
}

// Unbind checks what was unwrapped and returns the content key in it. All eight bytes
// of the version field are checked: a key of one version is no key of another.
func Unbind(p Protocol, bound []byte) ([]byte, error) {
	if len(bound) != p.WrapSize() {
		return nil, ErrAuth
	}
	if p == V1 {
		return bound, nil
	}
	want := make([]byte, prefixSize)
	copy(want, p)
	if !equal(bound[:prefixSize], want) {
		return nil, ErrAuth
	}
	return bound[prefixSize:], nil
}
