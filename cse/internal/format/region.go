package format

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"math"
	"sync"
)

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// Regions seals and opens the regions of one object. Safe for concurrent use.
type Regions struct {
	aead   cipher.AEAD
	length int64 // plaintext of a full region
}

// NewRegions takes the content key of one object; a key is never used for two.
func NewRegions(cek []byte, length int64) (*Regions, error) {
	if len(cek) != KeySize || length < 1 || length > MaxRegion {
		return nil, ErrAuth
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, ErrAuth
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, ErrAuth
	}
	return &Regions{aead: aead, length: length}, nil
}

// Length is the plaintext length of a full region.
func (r *Regions) Length() int64 { return r.length }

// Sealed is the stored length of a full region.
func (r *Regions) Sealed() int64 { return r.length + Overhead }

// Seal encrypts text as the region of that index. dst is the whole stored region; text
// lies in its place there, dst[NonceSize:], or somewhere else altogether. A caller seals
// an index once.
func (r *Regions) Seal(dst, text []byte, index uint64) {
	writeNonce(dst, index)
	r.aead.Seal(dst[NonceSize:NonceSize], dst[:NonceSize], text, nil)
}

// writeNonce counts as .NET does: readers without an order check take it, readers that
// know all styles take it, and so does a reader that knows only its own, .NET's.
func writeNonce(dst []byte, index uint64) {
	clear(dst[:4])
	binary.LittleEndian.PutUint64(dst[4:NonceSize], index+1)
}

// Open decrypts the stored region of that index and appends the plaintext to dst, which
// may be sealed[NonceSize:NonceSize] to decrypt in place. order is what the other
// regions of the object have shown; nil skips the check of the order. On failure dst's
// memory holds no plaintext.
func (r *Regions) Open(dst, sealed []byte, index uint64, order *Order) ([]byte, error) {
	if len(sealed) < Overhead || int64(len(sealed)) > r.Sealed() {
		return nil, ErrAuth
	}
	nonce, text := sealed[:NonceSize], sealed[NonceSize:]
	if order != nil && !order.admit(index, nonce) {
		return nil, ErrAuth
	}
	out, err := r.aead.Open(dst, nonce, text, nil)
	if err != nil {
		return nil, ErrAuth
	}
	return out, nil
}

// style is a way of writers to make a nonce from the index of a region.
type style uint8

const (
	pythonStyle  style = 1 << iota // 12-byte big-endian
	javaStyle                      // 8-byte big-endian, 4 zero bytes
	dotnetStyle                    // 4 zero bytes, index+1 as 8-byte little-endian
	oldJavaStyle                   // java, cut to a signed 32-bit number first

	allStyles = pythonStyle | javaStyle | dotnetStyle | oldJavaStyle
)

// Order is what the regions seen so far say about the writer of an object. Tags do not
// bind the place of a region, so its nonce has to: at every region, only styles stay
// whose nonce for that index is the one read. One Order serves a whole logical
// download, shared by its parallel parts: a decision for each part would let a swap
// through, since the styles share values. Safe for concurrent use; only shrinks.
type Order struct {
	mu   sync.Mutex
	left style // guarded by mu
}

// NewOrder starts with all styles.
func NewOrder() *Order { return &Order{left: allStyles} }

// admit reports whether some style explains this and all earlier regions.
func (o *Order) admit(index uint64, nonce []byte) bool {
	fits := stylesOf(index, nonce)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left &= fits
	return o.left != 0
}

// stylesOf returns the styles whose nonce for index is nonce.
func stylesOf(index uint64, nonce []byte) style {
	var fits style
	var want [NonceSize]byte
	binary.BigEndian.PutUint64(want[4:], index)
	if equal(nonce, want[:]) {
		fits |= pythonStyle
	}
	want = [NonceSize]byte{}
	binary.BigEndian.PutUint64(want[:], index)
	if equal(nonce, want[:]) {
		fits |= javaStyle
	}
	want = [NonceSize]byte{}
	writeNonce(want[:], index)
	if equal(nonce, want[:]) {
		fits |= dotnetStyle
	}
	if index <= math.MaxUint32 { // beyond, old Java repeats nonces: nothing can be told
		want = [NonceSize]byte{}
		binary.BigEndian.PutUint64(want[:], uint64(int64(int32(uint32(index)))))
		if equal(nonce, want[:]) {
			fits |= oldJavaStyle
		}
	}
	return fits
}
