package blobhttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/wire"
)

// putBlob serves Put Blob for block blobs.
func (h *Handler) putBlob(w *wire.Response, r *wire.Request) error {
	if v := r.Header1("x-ms-blob-type"); !strings.EqualFold(v, "BlockBlob") {
		return wire.BadHeader("blobhttp.putBlob", "x-ms-blob-type", v)
	}
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	o := blob.PutOptions{Length: r.ContentLength, Body: r.Content(), Tier: r.Header1("x-ms-access-tier")}
	if o.ContentMD5, o.ContentCRC64, err = transferSums(r); err != nil {
		return err
	}
	if o.Headers, err = headersOf(r, true); err != nil {
		return err
	}
	if o.Metadata, err = metadataOf(r); err != nil {
		return err
	}
	if o.Conditions, err = conditionsOf(r); err != nil {
		return err
	}
	if o.Encryption, err = encryptionOf(r, true); err != nil {
		return err
	}
	defer o.Encryption.Key.Destroy()
	res, err := h.blobs.PutBlob(r.Context(), r.Caller, ref, o)
	if err != nil {
		return err
	}
	h.protect(r, res.Encryption)
	a := answer(w, r)
	a.written(res)
	a.sum("Content-MD5", res.ContentMD5)
	a.sum("x-ms-content-crc64", res.ContentCRC64)
	return empty(w, http.StatusCreated)
}

// getBlob serves Get Blob.
func (h *Handler) getBlob(w *wire.Response, r *wire.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	o := blob.ReadOptions{}
	if o.Range, err = rangeOf(r); err != nil {
		return err
	}
	if o.RangeMD5, err = boolOf(r, "x-ms-range-get-content-md5"); err != nil {
		return err
	}
	if o.RangeCRC64, err = boolOf(r, "x-ms-range-get-content-crc64"); err != nil {
		return err
	}
	if o.Conditions, err = conditionsOf(r); err != nil {
		return err
	}
	if o.Encryption, err = encryptionOf(r, false); err != nil {
		return err
	}
	defer o.Encryption.Key.Destroy()
	d, err := h.blobs.Open(r.Context(), r.Caller, ref, o)
	if err != nil {
		if out, ok := errors.AsType[blob.OutOfRange](err); ok { // by it clients tell an empty blob
			answer(w, r).set("Content-Range", fmt.Sprintf("bytes */%d", out.Length))
		}
		return err
	}
	defer d.Close()
	h.protect(r, d.Encryption)
	a := answer(w, r)
	a.blob(d.Properties, r)
	a.number("Content-Length", d.N)
	status := http.StatusOK
	if o.Range != nil {
		status = http.StatusPartialContent
		a.set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", d.Off, d.Off+d.N-1, d.Length))
		// Content-MD5 would be that of the part; the whole one goes by another name.
		a.sum("Content-MD5", d.RangeMD5)
		a.sum("x-ms-content-crc64", d.RangeCRC64)
		a.sum("x-ms-blob-content-md5", d.ContentMD5)
	} else {
		a.sum("Content-MD5", d.ContentMD5)
	}
	return stream(w, status, d.N, d.WriteTo)
}

// getBlobProperties serves Get Blob Properties.
func (h *Handler) getBlobProperties(w *wire.Response, r *wire.Request) error {
	p, err := h.properties(r)
	if err != nil {
		return err
	}
	a := answer(w, r)
	a.blob(p, r)
	a.sum("Content-MD5", p.ContentMD5)
	a.number("Content-Length", p.Length)
	a.opt("x-ms-access-tier", p.Tier)
	if p.TierInferred {
		a.flag("x-ms-access-tier-inferred", true)
	}
	if !p.TierChanged.IsZero() {
		a.set("x-ms-access-tier-change-time", wire.Time(p.TierChanged))
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *Handler) properties(r *wire.Request) (blob.Properties, error) {
	ref, err := refOf(r)
	if err != nil {
		return blob.Properties{}, err
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return blob.Properties{}, err
	}
	enc, err := encryptionOf(r, false)
	if err != nil {
		return blob.Properties{}, err
	}
	defer enc.Key.Destroy()
	p, err := h.blobs.GetProperties(r.Context(), r.Caller, ref, cond, enc)
	h.protect(r, p.Encryption)
	return p, err
}

// blob sets what Get Blob and Get Blob Properties say of a blob.
func (a headers) blob(p blob.Properties, r *wire.Request) {
	a.tag(p.ETag, blob.Written{LastModified: p.LastModified})
	a.set("x-ms-creation-time", wire.Time(p.Created))
	a.set("x-ms-blob-type", p.Type)
	a.set("x-ms-lease-status", p.LeaseStatus)
	a.set("x-ms-lease-state", p.LeaseState)
	a.flag("x-ms-server-encrypted", p.ServerEncrypted)
	a.encryption(p.Encryption)
	a.set("Accept-Ranges", "bytes")
	a.opt("Content-Type", p.ContentType)
	a.opt("Content-Encoding", p.ContentEncoding)
	a.opt("Content-Language", p.ContentLanguage)
	a.opt("Content-Disposition", p.ContentDisposition)
	a.opt("Cache-Control", p.CacheControl)
	a.metadata(p.Metadata)
	if s := r.Caller.SAS; s != nil {
		a.override(s)
	}
}

// override gives the answer the headers that the signer of a service SAS has chosen.
func (a headers) override(s *access.SAS) {
	a.opt("Cache-Control", s.CacheControl)
	a.opt("Content-Disposition", s.ContentDisposition)
	a.opt("Content-Encoding", s.ContentEncoding)
	a.opt("Content-Language", s.ContentLanguage)
	a.opt("Content-Type", s.ContentType)
}

// getBlobMetadata serves Get Blob Metadata.
func (h *Handler) getBlobMetadata(w *wire.Response, r *wire.Request) error {
	p, err := h.properties(r)
	if err != nil {
		return err
	}
	a := answer(w, r)
	a.tag(p.ETag, blob.Written{LastModified: p.LastModified})
	a.metadata(p.Metadata)
	return empty(w, http.StatusOK)
}

// setBlobMetadata serves Set Blob Metadata.
func (h *Handler) setBlobMetadata(w *wire.Response, r *wire.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	m, err := metadataOf(r)
	if err != nil {
		return err
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return err
	}
	enc, err := encryptionOf(r, true)
	if err != nil {
		return err
	}
	defer enc.Key.Destroy()
	res, err := h.blobs.SetMetadata(r.Context(), r.Caller, ref, m, cond, enc)
	if err != nil {
		return err
	}
	h.protect(r, res.Encryption)
	answer(w, r).written(res)
	return empty(w, http.StatusOK)
}

// setBlobProperties serves Set Blob Properties: what is not given is cleared.
func (h *Handler) setBlobProperties(w *wire.Response, r *wire.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	hs, err := headersOf(r, false)
	if err != nil {
		return err
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return err
	}
	res, err := h.blobs.SetHTTPHeaders(r.Context(), r.Caller, ref, hs, cond)
	if err != nil {
		return err
	}
	h.protect(r, res.Encryption)
	answer(w, r).tag(res.ETag, res)
	return empty(w, http.StatusOK)
}

// deleteBlob serves Delete Blob.
func (h *Handler) deleteBlob(w *wire.Response, r *wire.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return err
	}
	o := blob.DeleteOptions{Conditions: cond, Snapshots: strings.ToLower(r.Header1("x-ms-delete-snapshots"))}
	if err := h.blobs.Delete(r.Context(), r.Caller, ref, o); err != nil {
		return err
	}
	if r.Version >= "2017-07-29" { // since there is soft delete, the service says that this was none
		answer(w, r).flag("x-ms-delete-type-permanent", true)
	}
	return empty(w, http.StatusAccepted)
}

var errShort = errors.New("blobhttp: content ended early")

// stream writes n bytes of content. The status goes out with the first of them, so that
// what fails before becomes an ordinary error; what fails after cuts the answer off.
func stream(w *wire.Response, status int, n int64, writeTo func(io.Writer) (int64, error)) error {
	if n == 0 {
		w.WriteHeader(status)
		return nil
	}
	got, err := writeTo(&lateHeader{w: w, status: status})
	if err == nil && got != n {
		err = errShort
	}
	return err
}

// lateHeader writes the status before the first byte.
type lateHeader struct {
	w      *wire.Response
	status int
}

func (l *lateHeader) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !l.w.Started() {
		l.w.WriteHeader(l.status)
	}
	return l.w.Write(p)
}
