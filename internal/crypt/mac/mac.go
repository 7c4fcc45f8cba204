// Package mac authenticates messages of protocols that prescribe HMAC-SHA-256, such as
// the signatures of storage requests and of shared access signatures.
//
// Only the crypt packages may look into a secret.Key; callers get the tag, or an answer
// found in constant time.
package mac

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/coffer-storage/coffer/internal/secret"
)

// Size is the length of a tag in bytes.
const Size = sha256.Size

// Sum returns HMAC-SHA-256 of message under k. The protocol fixes what message is; it is
// none of our own formats, so it does not go through package enc.
func Sum(k secret.Key, message []byte) (tag [Size]byte, err error) {
	err = k.Use(func(b []byte) error {
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
