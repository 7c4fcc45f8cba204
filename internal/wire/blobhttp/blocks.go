package blobhttp

import (
	"bytes"
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/crc64nvme"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

// putBlock serves Put Block.
func (h *Handler) putBlock(w *wire.Response, r *wire.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	o := blob.BlockOptions{Length: r.ContentLength, Body: r.Content()}
	if o.ID, err = blockIDOf(r); err != nil {
		return err
	}
	if o.MD5, o.CRC64, err = transferSums(r); err != nil {
		return err
	}
	if o.LeaseID, err = leaseOf(r); err != nil {
		return err
	}
	if o.Encryption, err = encryptionOf(r, true); err != nil {
		return err
	}
	defer o.Encryption.Key.Destroy()
	res, err := h.blobs.PutBlock(r.Context(), r.Caller, ref, o)
	if err != nil {
		return err
	}
	h.protect(r, res.Encryption)
	res.ETag = "" // a staged block is no state of the blob
	a := answer(w, r)
	a.written(res)
	a.sum("Content-MD5", res.ContentMD5)
	a.sum("x-ms-content-crc64", res.ContentCRC64)
	return empty(w, http.StatusCreated)
}

// putBlockList serves Put Block List.
func (h *Handler) putBlockList(w *wire.Response, r *wire.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	o := blob.ListOptions{Tier: r.Header1("x-ms-access-tier")}
	if o.Headers, err = headersOf(r, false); err != nil {
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
	body, err := sumBody(r)
	if err != nil {
		return err
	}
	if o.Entries, err = readBlockList(body); err != nil {
		return err
	}
	if err := body.verify(); err != nil {
		return err
	}
	res, err := h.blobs.PutBlockList(r.Context(), r.Caller, ref, o)
	if err != nil {
		return err
	}
	h.protect(r, res.Encryption)
	a := answer(w, r)
	a.written(res)
	body.answer(a)
	return empty(w, http.StatusCreated)
}

// readBlockList reads the body of Put Block List. Entries keep their order, which is
// that of the content.
func readBlockList(r io.Reader) ([]blob.BlockListEntry, error) {
	d := wire.NewDecoder(r, maxBlockXML)
	if err := d.Root("BlockList"); err != nil {
		return nil, err
	}
	var entries []blob.BlockListEntry
	err := d.Children(func(element string) error {
		where, ok := places[element]
		if !ok {
			return d.Unknown(element)
		}
		id, err := d.Text()
		if err != nil {
			return err
		}
		id = strings.TrimSpace(id)
		if !isBlockID(id) {
			return fault.New("blobhttp.readBlockList", "", fault.InvalidXMLNodeValue, nil,
				fault.Detail{Name: "XmlNodeName", Value: element}, fault.Detail{Name: "XmlNodeValue", Value: id})
		}
		if len(entries) == blob.MaxBlocks {
			return fault.New("blobhttp.readBlockList", "", fault.BlockListTooLong, nil)
		}
		entries = append(entries, blob.BlockListEntry{ID: id, Where: where})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, d.End()
}

var places = map[string]blob.Where{"Committed": blob.Committed, "Uncommitted": blob.Uncommitted, "Latest": blob.Latest}

func isBlockID(id string) bool {
	const longest = 64 // bytes, decoded
	if len(id) > base64.StdEncoding.EncodedLen(longest) {
		return false
	}
	b, err := base64.StdEncoding.DecodeString(id)
	return err == nil && len(b) > 0 && len(b) <= longest
}

// summedBody reads the whole body and takes the checksum that the request gives of it.
type summedBody struct {
	io.Reader
	md5              hash.Hash // nil if the request has none
	crc              hash.Hash64
	wantMD5, wantCRC []byte
}

func sumBody(r *wire.Request) (*summedBody, error) {
	b := &summedBody{crc: crc64nvme.New()}
	var err error
	if b.wantMD5, b.wantCRC, err = transferSums(r); err != nil {
		return nil, err
	}
	sums := io.Writer(b.crc)
	if b.wantMD5 != nil {
		// MD5 finds broken transfers here and protects nothing.
		fips140.WithoutEnforcement(func() { b.md5 = md5.New() })
		sums = io.MultiWriter(b.crc, unenforced{b.md5})
	}
	b.Reader = io.TeeReader(r.Content(), sums)
	return b, nil
}

type unenforced struct{ w io.Writer }

func (u unenforced) Write(p []byte) (n int, err error) {
	fips140.WithoutEnforcement(func() { n, err = u.w.Write(p) })
	return n, err
}

func (b *summedBody) sums() (md5, crc []byte) {
	if b.md5 != nil {
		fips140.WithoutEnforcement(func() { md5 = b.md5.Sum(nil) })
	}
	return md5, binary.LittleEndian.AppendUint64(nil, b.crc.Sum64())
}

// verify reads what is left and compares.
func (b *summedBody) verify() error {
	if _, err := io.Copy(io.Discard, b); err != nil {
		return err
	}
	md5, crc := b.sums()
	bad := func(kind fault.Kind, user, server string, want, got []byte) error {
		e := base64.StdEncoding.EncodeToString
		return fault.New("blobhttp.verify", "", kind, nil, fault.Detail{Name: user, Value: e(want)}, fault.Detail{Name: server, Value: e(got)})
	}
	switch {
	case b.wantMD5 != nil && !bytes.Equal(md5, b.wantMD5):
		return bad(fault.MD5Mismatch, "UserSpecifiedMd5", "ServerCalculatedMd5", b.wantMD5, md5)
	case b.wantCRC != nil && !bytes.Equal(crc, b.wantCRC):
		return bad(fault.CRC64Mismatch, "UserSpecifiedCrc", "ServerCalculatedCrc", b.wantCRC, crc)
	}
	return nil
}

// answer sends the checksum that was asked for, and CRC-64 unasked.
func (b *summedBody) answer(a headers) {
	md5, crc := b.sums()
	if md5 != nil {
		a.sum("Content-MD5", md5)
		return
	}
	a.sum("x-ms-content-crc64", crc)
}

// getBlockList serves Get Block List.
func (h *Handler) getBlockList(w *wire.Response, r *wire.Request) error {
	ref, err := refOf(r)
	if err != nil {
		return err
	}
	which := blob.WhichCommitted
	switch v := r.Query.Get("blocklisttype"); strings.ToLower(v) {
	case "", "committed":
	case "uncommitted":
		which = blob.WhichUncommitted
	case "all":
		which = blob.WhichAll
	default:
		return wire.BadQuery("blobhttp.getBlockList", "blocklisttype", v, "")
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return err
	}
	list, err := h.blobs.GetBlockList(r.Context(), r.Caller, ref, which, cond)
	if err != nil {
		return err
	}
	a := answer(w, r)
	a.tag(list.ETag, blob.Written{LastModified: list.LastModified})
	a.number("x-ms-blob-content-length", list.Length)
	return document(w, r, func(x *wire.Writer) {
		x.Start("BlockList")
		if which != blob.WhichUncommitted {
			writeBlocks(x, "CommittedBlocks", list.Committed)
		}
		if which != blob.WhichCommitted {
			writeBlocks(x, "UncommittedBlocks", list.Uncommitted)
		}
		x.End()
	})
}

func writeBlocks(x *wire.Writer, element string, blocks []blob.BlockInfo) {
	if len(blocks) == 0 {
		x.Elem(element, "")
		return
	}
	x.Start(element)
	for _, b := range blocks {
		x.Start("Block")
		x.Elem("Name", b.ID)
		x.Elem("Size", strconv.FormatInt(b.Size, 10))
		x.End()
	}
	x.End()
}
