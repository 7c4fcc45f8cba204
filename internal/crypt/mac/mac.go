// Package mac authenticates messages of protocols that prescribe HMAC-SHA-256, such as
// the signatures of storage requests and of shared access signatures.
//
// Only the crypt packages may look into a secret.Key; callers get the tag, or an answer
// found in constant time.
package mac

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/coffer-storage/coffer/internal/secret"
)

// minStrict is the least length of a key in strict FIPS mode: 112 bits.
const minStrict = 14

var errShort = errors.New("mac: key is shorter than 112 bits, which strict FIPS mode forbids")

// Size is the length of a tag in bytes.
const Size = sha256.Size

// Sum returns HMAC-SHA-256 of message under k. The protocol fixes what message is; it is
// none of our own formats, so it does not go through package enc.
// Keys shorter than strict FIPS mode allows are an error there.
func Sum(k secret.Key, message []byte) (tag [Size]byte, err error) {
	err = k.Use(func(b []byte) error {
		if len(b) < minStrict && fips140.Enforced() {
			return errShort // the standard library would panic
		}
		h := hmac.New(sha256.New, b)
		h.Write(message)
		h.Sum(tag[:0])
		return nil
	})
	return tag, err
}

// Verify reports whether tag is the one of message under any of keys. It always tries
// all keys, and compares in constant time. Keys that are destroyed or zero never match.
func Verify(keys []secret.Key, message, tag []byte) bool {
	found := 0
	for _, k := range keys {
		want, err := Sum(k, message)
		if err != nil {
			continue
		}
		found |= subtle.ConstantTimeCompare(want[:], tag)
	}
	return found == 1
}
