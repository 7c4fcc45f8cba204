package format

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
)

// LengthName is the entry of KeyWrappingMetadata that holds the length of an object
// under a MAC, which the format itself leaves open: an object of version 2.x that is cut
// at the end of a region opens. Other readers ignore the entry.
const LengthName = "CofferLength"

// lengthVersion is the first word of the entry.
const lengthVersion = "1"

// SealLength writes the entry:
//
//	1 LENGTH MAC [CONTEXTMAC]
//
// LENGTH is decimal, the MACs are base64 of HMAC-SHA-256 under a key derived from the
// content key. The second one is there if the writer gave a context, which the entry
// does not hold: a reader has to know it.
func SealLength(cek []byte, p Protocol, plain, region int64, context []byte) string {
	s := lengthVersion + " " + strconv.FormatInt(plain, 10) + " " +
		base64.StdEncoding.EncodeToString(lengthMAC(cek, "length", p, plain, region, nil))
	if context != nil {
		s += " " + base64.StdEncoding.EncodeToString(lengthMAC(cek, "context", p, plain, region, context))
	}
	return s
}

// CheckLength checks the entry against the length that follows from the stored size.
// A nil context leaves the context alone; any other demands that it be the writer's.
func CheckLength(entry string, cek []byte, p Protocol, plain, region int64, context []byte) error {
	words := strings.Split(entry, " ")
	if len(words) < 3 || len(words) > 4 || words[0] != lengthVersion || words[1] != strconv.FormatInt(plain, 10) {
		return ErrAuth
	}
	if !sameMAC(words[2], lengthMAC(cek, "length", p, plain, region, nil)) {
		return ErrAuth
	}
	if context == nil {
		return nil
	}
	if len(words) != 4 || !sameMAC(words[3], lengthMAC(cek, "context", p, plain, region, context)) {
		return ErrAuth
	}
	return nil
}

func sameMAC(word string, want []byte) bool {
	got, err := decodeBase64(word)
	return err == nil && hmac.Equal(got, want)
}

// lengthMAC binds the length, the region length and the version to the content key. The
// purpose separates the two MACs of an entry.
func lengthMAC(cek []byte, purpose string, p Protocol, plain, region int64, context []byte) []byte {
	key, err := hkdf.Key(sha256.New, cek, nil, "coffer cse "+purpose+" "+lengthVersion, sha256.Size)
	if err != nil {
		panic("cse: " + err.Error()) // only an output that is too long fails
	}
	h := hmac.New(sha256.New, key)
	var fixed [prefixSize + 8 + 8]byte
	copy(fixed[:prefixSize], p)
	binary.BigEndian.PutUint64(fixed[prefixSize:], uint64(plain))
	binary.BigEndian.PutUint64(fixed[prefixSize+8:], uint64(region))
	h.Write(fixed[:])
	h.Write(context)
	return h.Sum(nil)
}
