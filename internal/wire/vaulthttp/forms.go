package vaulthttp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/vault"
)

const (
	maxBody   = 128 << 10
	maxBackup = vault.MaxBackup/3*4 + 1024
)

// b64 is bytes in base64url, with or without padding.
type b64 []byte

// UnmarshalJSON reads a string.
func (b *b64) UnmarshalJSON(in []byte) error {
	var s string
	if err := json.Unmarshal(in, &s); err != nil {
		return err
	}
	out, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	*b = out
	return err
}

// MarshalJSON writes one without padding.
func (b b64) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawURLEncoding.EncodeToString(b))
}

// seconds is a time as the interface has it; a zero one is none.
type seconds int64

func since(t time.Time) *seconds {
	if t.IsZero() {
		return nil
	}
	s := seconds(t.Unix())
	return &s
}

func (s *seconds) time() time.Time {
	if s == nil || *s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(*s), 0).UTC()
}

// keyForm is a JSON web key.
type keyForm struct {
	KID string   `json:"kid,omitempty"`
	Kty string   `json:"kty,omitempty"`
	Ops []string `json:"key_ops,omitempty"`
	N   b64      `json:"n,omitempty"`
	E   b64      `json:"e,omitempty"`
	Crv string   `json:"crv,omitempty"`
	X   b64      `json:"x,omitempty"`
	Y   b64      `json:"y,omitempty"`
}

// materialForm is a JSON web key that is imported.
type materialForm struct {
	keyForm
	D  b64 `json:"d"`
	DP b64 `json:"dp"`
	DQ b64 `json:"dq"`
	QI b64 `json:"qi"`
	P  b64 `json:"p"`
	Q  b64 `json:"q"`
	K  b64 `json:"k"`
	T  b64 `json:"key_hsm"`
}

func (f *materialForm) material() *vault.Material {
	return &vault.Material{
		Type: f.Kty, Curve: f.Crv, N: f.N, E: f.E, D: f.D, P: f.P, Q: f.Q,
		DP: f.DP, DQ: f.DQ, QI: f.QI, X: f.X, Y: f.Y, K: f.K,
	}
}

// errJWK says nothing of what was read: a private key may be in it.
var errJWK = errors.New("not a JSON web key with its private part")

// ReadJWK reads a private key in the form in which ImportKey takes it, and the operations
// that it names. It does not wipe b.
func ReadJWK(b []byte) (*vault.Material, []string, error) {
	var f materialForm
	if json.Unmarshal(b, &f) != nil || f.Kty == "" || len(f.D)+len(f.K) == 0 {
		return nil, nil, errJWK
	}
	return f.material(), f.Ops, nil
}

type attributesForm struct {
	Enabled         *bool    `json:"enabled,omitempty"`
	NotBefore       *seconds `json:"nbf,omitempty"`
	Expires         *seconds `json:"exp,omitempty"`
	Created         *seconds `json:"created,omitempty"`
	Updated         *seconds `json:"updated,omitempty"`
	RecoveryLevel   string   `json:"recoveryLevel,omitempty"`
	RecoverableDays int      `json:"recoverableDays,omitempty"`
	Exportable      *bool    `json:"exportable,omitempty"`
	HSMPlatform     string   `json:"hsmPlatform,omitempty"`
}

// bundleForm is a key as answers have it.
type bundleForm struct {
	Key        *keyForm          `json:"key,omitempty"`
	KID        string            `json:"kid,omitempty"` // in lists, instead of Key
	Attributes attributesForm    `json:"attributes"`
	Tags       map[string]string `json:"tags,omitempty"`
	RecoveryID string            `json:"recoveryId,omitempty"`
	Deleted    *seconds          `json:"deletedDate,omitempty"`
	Purge      *seconds          `json:"scheduledPurgeDate,omitempty"`
}

// wishForm is a key as requests have it.
type wishForm struct {
	Kty        string          `json:"kty"`
	Size       int             `json:"key_size"`
	Exponent   int             `json:"public_exponent"`
	Ops        []string        `json:"key_ops"`
	Curve      string          `json:"crv"`
	Attributes *attributesForm `json:"attributes"`
	Tags       *tags           `json:"tags"`
	Release    json.RawMessage `json:"release_policy"`
	Key        *materialForm   `json:"key"`
	HSM        bool            `json:"Hsm"`
}

// tags are names and values; null is an empty value.
type tags map[string]string

// newKey is the wish for a new version.
func (f *wishForm) newKey() (vault.NewKey, error) {
	k := vault.NewKey{Type: f.Kty, Bits: f.Size, Curve: f.Curve, Exponent: f.Exponent, Ops: f.Ops}
	if len(f.Release) > 0 && string(f.Release) != "null" {
		return k, badBody("release_policy: keys are never released from this vault.")
	}
	if f.Tags != nil {
		k.Tags = *f.Tags
	}
	if a := f.Attributes; a != nil {
		k.Enabled, k.NotBefore, k.Expires = a.Enabled, a.NotBefore.time(), a.Expires.time()
		k.Exportable = a.Exportable != nil && *a.Exportable
	}
	return k, nil
}

// change is the wish for another state of a version. What the body does not name stays.
func (f *wishForm) change() vault.KeyChange {
	var c vault.KeyChange
	if f.Ops != nil {
		c.Ops = &f.Ops
	}
	if f.Tags != nil {
		m := map[string]string(*f.Tags)
		c.Tags = &m
	}
	if a := f.Attributes; a != nil {
		c.Enabled = a.Enabled
		if a.NotBefore != nil {
			t := a.NotBefore.time()
			c.NotBefore = &t
		}
		if a.Expires != nil {
			t := a.Expires.time()
			c.Expires = &t
		}
	}
	return c
}

// operationForm is what a key is asked to do, in all its calls.
type operationForm struct {
	Algorithm string `json:"alg"`
	Value     b64    `json:"value"`
	Digest    b64    `json:"digest"`
	IV        b64    `json:"iv"`
	AAD       b64    `json:"aad"`
	Tag       b64    `json:"tag"`
}

type resultForm struct {
	KID   string `json:"kid"`
	Value b64    `json:"value"`
	IV    b64    `json:"iv,omitempty"`
	AAD   b64    `json:"aad,omitempty"`
	Tag   b64    `json:"tag,omitempty"`
}

type pageForm struct {
	Value    []bundleForm `json:"value"`
	NextLink *string      `json:"nextLink"`
}

// readBody decodes a body; an empty one is refused, as Key Vault does.
func readBody(r *request, most int64, into any) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	defer clear(b) // an imported key may be in it
	switch {
	case err != nil:
		return fault.New("vaulthttp.readBody", "", fault.Canceled, err)
	case int64(len(b)) > most:
		return wireError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request body is too large.", ""}
	case len(b) == 0:
		return badBody("Request body not specified")
	}
	if err := json.Unmarshal(b, into); err != nil {
		return badBody("The request body is not valid JSON, or a value in it has a wrong form.")
	}
	return nil
}

// show is a key as clients see it.
func (r *request) show(k vault.Key) bundleForm {
	id := r.base() + "/keys/" + k.Name() + "/" + k.Version
	no := false
	enabled := k.Enabled
	f := bundleForm{
		Key: &keyForm{KID: id, Kty: k.Type, Ops: k.Ops, N: k.N, E: k.E, Crv: k.Curve, X: k.X, Y: k.Y},
		Attributes: attributesForm{
			Enabled: &enabled, NotBefore: since(k.NotBefore), Expires: since(k.Expires), Created: since(k.Created), Updated: since(k.Updated),
			RecoveryLevel: k.RecoveryLevel, RecoverableDays: k.RecoverableDays, Exportable: &no, HSMPlatform: "software",
		},
		Tags: k.Tags,
	}
	if k.Deletion != nil {
		f.RecoveryID = r.base() + "/deletedkeys/" + k.Name()
		f.Deleted, f.Purge = since(k.Deletion.Deleted), since(k.Deletion.Purge)
	}
	return f
}

// item is a key in a list: the id of the key, or of the version.
func (r *request) item(k vault.Key, versions bool) bundleForm {
	f := r.show(k)
	f.Key, f.KID = nil, r.base()+"/keys/"+k.Name()
	if versions {
		f.KID += "/" + k.Version
	}
	return f
}
