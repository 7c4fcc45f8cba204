package blobhttp

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/wire"
)

// head sets headers of an answer, in the spelling of the service.
type headers struct {
	h http.Header
	v wire.Version
}

func answer(w http.ResponseWriter, r *wire.Request) headers { return headers{w.Header(), r.Version} }

func (a headers) set(name, value string) { wire.SetHeader(a.h, name, value) }

// opt sets a header that has a value.
func (a headers) opt(name, value string) {
	if value != "" {
		a.set(name, value)
	}
}

func (a headers) sum(name string, b []byte) {
	if b != nil {
		a.set(name, encode64(b))
	}
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func (a headers) flag(name string, v bool) { a.set(name, strconv.FormatBool(v)) }

func (a headers) number(name string, n int64) { a.set(name, strconv.FormatInt(n, 10)) }

// metadata sends names back in the spelling in which they came.
func (a headers) metadata(m blob.Metadata) {
	for _, p := range m {
		a.set("x-ms-meta-"+p.Name, p.Value)
	}
}

// encryption names what protects the record, if it is not the account's key.
func (a headers) encryption(e blob.Encryption) {
	if a.v < wire.EncryptionVersion {
		return
	}
	a.opt("x-ms-encryption-key-sha256", e.KeySHA256)
	a.opt("x-ms-encryption-scope", e.Scope)
}

// tag sets what identifies the state of a resource.
func (a headers) tag(etag string, w blob.Written) {
	if etag == "" {
		return
	}
	a.set("ETag", etag)
	a.set("Last-Modified", wire.Time(w.LastModified))
}

// written sets what a write of content answers.
func (a headers) written(w blob.Written) {
	a.tag(w.ETag, w)
	a.opt("x-ms-version-id", w.VersionID)
	a.flag("x-ms-request-server-encrypted", w.Encrypted)
	a.encryption(w.Encryption)
}

// empty ends an answer that has no body.
func empty(w *wire.Response, status int) error {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
	return nil
}

// document answers with XML. It is streamed: a page of a list may be large.
func document(w *wire.Response, r *wire.Request, write func(*wire.Writer)) error {
	wire.SetHeader(w.Header(), "Content-Type", "application/xml")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	x := wire.NewWriter(w)
	write(x)
	return x.Flush()
}

// protect notes for the log which key protects what the request was about.
func (h *Handler) protect(r *wire.Request, e blob.Encryption) {
	if e.KeySHA256 != "" {
		r.Key = wire.Key{Name: "cpk"}
	}
	if e.Kref.IsZero() {
		return
	}
	r.Key = wire.Key{Name: fmt.Sprintf("%d:%s", e.Protector.Kind, e.Protector.ID), Ref: e.Kref.String()}
	if h.o.KeyVersion != nil {
		r.Key.Version = h.o.KeyVersion(e.Protector, e.Kref)
	}
}
