package blobhttp

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/wire"
)

// Headers of customer-provided keys and encryption scopes.
const (
	headerKey       = "x-ms-encryption-key"
	headerKeyHash   = "x-ms-encryption-key-sha256"
	headerAlgorithm = "x-ms-encryption-algorithm"
	headerScope     = "x-ms-encryption-scope"
	headerSourceKey = "x-ms-source-encryption-key"

	algorithm = "AES256"
	keySize   = 32
)

// withholdKeys takes key bytes out of the header map, first of all.
func withholdKeys(r *wire.Request) {
	r.Withhold(headerKey)
	r.Withhold(headerSourceKey)
}

// refusePlain refuses keys that came over plain HTTP, where anybody can have read them.
func (h *Handler) refusePlain(r *wire.Request) error {
	if h.auth.Secure(r.Request) || !r.WithheldAny() && !r.Has(headerKeyHash) && !r.Has(headerAlgorithm) {
		return nil
	}
	name := headerKey
	if len(r.Withheld(headerKey)) == 0 && len(r.Withheld(headerSourceKey)) > 0 {
		name = headerSourceKey
	}
	reason := "A customer-provided key may be sent over HTTPS only: use https://" + r.Host + "."
	if r.WithheldAny() {
		reason += " The key of this request has crossed the network in the clear: do not use it any more."
	}
	return fault.New("blobhttp.refusePlain", "", fault.InvalidHeaderValue, nil,
		fault.Detail{Name: "HeaderName", Value: name}, fault.Detail{Name: "Reason", Value: reason})
}

// encryptionOf reads what a request asks of encryption. A key in it is the caller's to
// destroy. A write needs all three headers of a key; a read the key, and what else is
// there is checked.
func encryptionOf(r *wire.Request, write bool) (blob.EncryptionOptions, error) {
	o := blob.EncryptionOptions{Scope: r.Header1(headerScope)}
	if r.Has(headerScope) && o.Scope == "" {
		return o, wire.BadHeader("blobhttp.encryptionOf", headerScope, "")
	}
	var err error
	o.Key, err = customerKeyOf(r, write)
	return o, err
}

func customerKeyOf(r *wire.Request, write bool) (*blob.CustomerKey, error) {
	const op = "blobhttp.customerKeyOf"
	given := r.Withheld(headerKey)
	defer r.Forget()
	hash, hasHash := r.Header1(headerKeyHash), r.Has(headerKeyHash)
	alg, hasAlg := r.Header1(headerAlgorithm), r.Has(headerAlgorithm)
	switch {
	case len(given) == 0 && !hasHash && !hasAlg:
		return nil, nil
	case len(given) == 0:
		return nil, wire.MissingHeader(op, headerKey)
	case write && !hasHash:
		return nil, wire.MissingHeader(op, headerKeyHash)
	case write && !hasAlg:
		return nil, wire.MissingHeader(op, headerAlgorithm)
	case hasAlg && (alg != algorithm || len(r.Header.Values(headerAlgorithm)) > 1):
		return nil, wire.BadHeader(op, headerAlgorithm, alg)
	case len(given) > 1:
		return nil, badKey(op, headerKey)
	}
	key, err := decodeKey(strings.TrimSpace(given[0]))
	if err != nil {
		return nil, badKey(op, headerKey)
	}
	ck, err := blob.NewCustomerKey(key)
	if err != nil {
		key.Destroy()
		return nil, err
	}
	if hasHash {
		want := ck.Hash()
		got, err := base64.StdEncoding.DecodeString(hash)
		if err != nil || len(r.Header.Values(headerKeyHash)) > 1 || subtle.ConstantTimeCompare(got, want[:]) != 1 {
			ck.Destroy()
			return nil, badKey(op, headerKeyHash)
		}
	}
	return ck, nil
}

// badKey names a header and never its value.
func badKey(op, header string) error {
	return fault.New(op, "", fault.InvalidHeaderValue, nil, fault.Detail{Name: "HeaderName", Value: header})
}

var errKey = errors.New("blobhttp: not a key of 32 bytes in base64")

// decodeKey decodes base64 of 32 bytes straight into protected memory.
func decodeKey(text string) (secret.Key, error) {
	if len(text) != base64.StdEncoding.EncodedLen(keySize) || text[len(text)-1] != '=' || text[len(text)-2] == '=' {
		return secret.Key{}, errKey
	}
	b := []byte(text)
	defer clear(b)
	return secret.Fill(keySize, func(into []byte) error {
		n, err := base64.StdEncoding.Strict().Decode(into, b)
		if err != nil || n != keySize {
			return errKey
		}
		return nil
	})
}
