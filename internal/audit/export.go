package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
)

// An export is the log outside of its store: lines of JSON that anybody can read, and
// that can be verified without the store. The first line says which store it is and
// which keys sign checkpoints, signed by the identity key of the store, whose pin its
// owner knows. Every other line is a record or a checkpoint.

// ErrExport says that an export is not what its store wrote.
var ErrExport = errors.New("audit: the export is not whole")

// ExportHead is the first line of an export.
type ExportHead struct {
	Format    string      `json:"format"` // ExportFormat
	Store     string      `json:"store"`
	At        time.Time   `json:"at"`
	First     uint64      `json:"first"`
	Before    string      `json:"before"` // link of the entry before the first, hex
	Keys      []ExportKey `json:"keys"`
	Identity  []byte      `json:"identity"` // public key of the store
	Signature []byte      `json:"signature,omitempty"`
}

// ExportFormat names the format.
const ExportFormat = "coffer-audit-export/1"

// ExportKey is an audit key in an export.
type ExportKey struct {
	Kref   string     `json:"kref"`
	Public []byte     `json:"public"`
	From   time.Time  `json:"from"`
	Until  *time.Time `json:"until,omitempty"`
}

type exportLine struct {
	Record     *exportRecord `json:"record,omitempty"`
	Checkpoint string        `json:"checkpoint,omitempty"` // its line
}

type exportRecord struct {
	Seq       uint64    `json:"seq"`
	Time      time.Time `json:"time"`
	Actor     string    `json:"actor"`
	Operation string    `json:"operation"`
	What      string    `json:"what,omitempty"`
	Kref      string    `json:"kref,omitempty"`
	Outcome   string    `json:"outcome"`
	RequestID string    `json:"request_id,omitempty"`
	Stored    []byte    `json:"stored"` // the bytes that the chain is made of
	Hash      string    `json:"h"`
}

func newExportRecord(r *Record, stored []byte, h Hash) *exportRecord {
	e := &exportRecord{
		Seq: r.Seq, Time: r.Time, Actor: r.Actor, Operation: r.Operation, What: r.What,
		Outcome: r.Outcome, RequestID: r.RequestID, Stored: stored, Hash: hex.EncodeToString(h[:]),
	}
	if r.Kref != ([16]byte{}) {
		e.Kref = hex.EncodeToString(r.Kref[:])
	}
	return e
}

// text is what the identity key signs: the head without its signature.
func (h ExportHead) text() ([]byte, error) {
	h.Signature = nil
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return enc.Encode("coffer/audit/export/v1", sum[:]), nil
}

// ExportOptions say who signs an export.
type ExportOptions struct {
	Store    [16]byte
	Keys     []Key
	At       time.Time
	Identity []byte // public key
	Sign     func(text []byte) ([]byte, error)
	From     uint64 // first entry; 0: all
}

// Export checks the log and writes it to w.
func Export(f Files, w io.Writer, o ExportOptions) (Report, error) {
	x := exporter{w: bufio.NewWriter(w), from: o.From}
	head := ExportHead{Format: ExportFormat, Store: hex.EncodeToString(o.Store[:]), At: o.At.UTC(), Identity: o.Identity}
	for _, k := range o.Keys {
		e := ExportKey{Kref: hex.EncodeToString(k.Kref[:]), Public: k.Public, From: k.From}
		if !k.Until.IsZero() {
			e.Until = &k.Until
		}
		head.Keys = append(head.Keys, e)
	}
	x.head = func(first uint64, before Hash) error {
		head.First, head.Before = first, hex.EncodeToString(before[:])
		text, err := head.text()
		if err != nil {
			return err
		}
		if head.Signature, err = o.Sign(text); err != nil {
			return err
		}
		return x.line(head)
	}
	c := Check{Store: o.Store, Keys: o.Keys, Visit: x.visit, Link: x.link, Signed: x.signed}
	rep, err := c.Files(f)
	if err == nil && !x.begun {
		err = errors.New("audit: there is nothing to export")
	}
	return rep, errors.Join(err, x.w.Flush())
}

type exporter struct {
	w      *bufio.Writer
	from   uint64
	head   func(uint64, Hash) error
	begun  bool
	before Hash // link of the last record that was seen
	stored []byte
	hash   Hash
	err    error
}

func (x *exporter) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = x.w.Write(append(b, '\n'))
	return err
}

func (x *exporter) link(stored []byte, h Hash) { x.stored, x.before, x.hash = stored, x.hash, h }

func (x *exporter) visit(r Record) error {
	if x.err != nil || r.Seq < x.from {
		return x.err
	}
	if !x.begun {
		before := x.before
		if r.Seq == 1 {
			before = Hash{}
		}
		x.begun = true
		if err := x.head(r.Seq, before); err != nil {
			return err
		}
	}
	return x.line(exportLine{Record: newExportRecord(&r, x.stored, x.hash)})
}

func (x *exporter) signed(c Checkpoint) {
	if x.begun && x.err == nil {
		x.err = x.line(exportLine{Checkpoint: c.Line()})
	}
}

// maxLine bounds a line of an export that is read.
const maxLine = 64 << 10

// ExportReport says what an export holds.
type ExportReport struct {
	Head        ExportHead
	Pin         [32]byte // of the identity key that signed it: compare with the store's
	Records     uint64
	Checkpoints uint64
	Last        uint64 // entry
	Signed      uint64 // last entry that a checkpoint covers
}

// VerifyExport checks an export by itself. visit may be nil.
func VerifyExport(r io.Reader, visit func(Record) error) (ExportReport, error) {
	var rep ExportReport
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	if !sc.Scan() {
		return rep, errors.Join(fmt.Errorf("%w: it is empty", ErrExport), sc.Err())
	}
	v := importer{rep: &rep, visit: visit}
	if err := v.begin(sc.Bytes()); err != nil {
		return rep, err
	}
	for sc.Scan() {
		if err := v.line(sc.Bytes()); err != nil {
			return rep, err
		}
	}
	return rep, sc.Err()
}

type importer struct {
	rep    *ExportReport
	visit  func(Record) error
	store  [16]byte
	keys   []Key
	last   Hash
	at     time.Time
	signer *signer
}

func (v *importer) begin(b []byte) error {
	h := &v.rep.Head
	if err := strict(b, h); err != nil || h.Format != ExportFormat || h.First == 0 {
		return fmt.Errorf("%w: the first line", ErrExport)
	}
	text, err := h.text()
	if err != nil {
		return err
	}
	if len(h.Identity) != 32 || !slot.Verify(h.Identity, text, h.Signature) {
		return fmt.Errorf("%w: the first line is not signed by its store", ErrExport)
	}
	v.rep.Pin = slot.Pin(h.Identity)
	if !unhex(v.store[:], h.Store) || !unhex(v.last[:], h.Before) {
		return fmt.Errorf("%w: the first line", ErrExport)
	}
	for _, k := range h.Keys {
		key := Key{Public: k.Public, From: k.From}
		if k.Until != nil {
			key.Until = *k.Until
		}
		if !unhex(key.Kref[:], k.Kref) || len(k.Public) != 32 {
			return fmt.Errorf("%w: a key", ErrExport)
		}
		v.keys = append(v.keys, key)
	}
	v.rep.Last = h.First - 1
	return nil
}

func (v *importer) line(b []byte) error {
	var l exportLine
	if err := strict(b, &l); err != nil {
		return fmt.Errorf("%w: after entry %d", ErrExport, v.rep.Last)
	}
	if l.Record == nil {
		return v.checkpoint(l.Checkpoint)
	}
	rec, err := decodeRecord(l.Record.Stored)
	if err != nil {
		return err
	}
	h := link(v.last, l.Record.Stored)
	want, _ := json.Marshal(newExportRecord(&rec, l.Record.Stored, h))
	got, _ := json.Marshal(l.Record)
	if rec.Seq != v.rep.Last+1 || !bytes.Equal(want, got) {
		return fmt.Errorf("%w: in the export, at entry %d", ErrChain, v.rep.Last+1)
	}
	if s := v.signer; s != nil {
		if err := s.key.dated(s.seq, time.Time{}, rec.Time); err != nil {
			return err
		}
	}
	v.signer, v.last, v.at = nil, h, rec.Time
	v.rep.Last, v.rep.Records = rec.Seq, v.rep.Records+1
	if v.visit != nil {
		return v.visit(rec)
	}
	return nil
}

func (v *importer) checkpoint(line string) error {
	c, err := ParseLine(line)
	if err != nil {
		return err
	}
	if c.Seq != v.rep.Last || c.Hash != v.last {
		return fmt.Errorf("%w: in the export, checkpoint of entry %d", ErrChain, c.Seq)
	}
	k, err := c.signed(v.store, v.keys)
	if err == nil {
		err = k.dated(c.Seq, v.at, time.Time{})
	}
	if err != nil {
		return err
	}
	v.signer = &signer{k, c.Seq}
	v.rep.Checkpoints, v.rep.Signed = v.rep.Checkpoints+1, c.Seq
	return nil
}

// strict decodes exactly one value of JSON without members that are not known.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return ErrExport
	}
	return nil
}

func unhex(into []byte, s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && copy(into, b) == len(into) && len(b) == len(into)
}
