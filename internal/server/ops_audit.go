package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

// AuditListArgs choose records of the audit trail. Empty fields choose all.
type AuditListArgs struct {
	From      uint64    `json:"from,omitempty"` // first entry
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	Operation string    `json:"operation,omitempty"` // or its beginning
	What      string    `json:"what,omitempty"`      // a part of it
	Actor     string    `json:"actor,omitempty"`
	Outcome   string    `json:"outcome,omitempty"`
	Refused   bool      `json:"refused,omitempty"` // only what did not go well
	Last      int       `json:"last,omitempty"`    // of what is chosen, the last ones; 0: all
}

// AuditRecord is one record of the trail.
type AuditRecord struct {
	Seq       uint64    `json:"seq"`
	Time      time.Time `json:"time"`
	Actor     string    `json:"actor"`
	Operation string    `json:"operation"`
	What      string    `json:"what,omitempty"`
	Key       string    `json:"key,omitempty"` // version: its ref
	Outcome   string    `json:"outcome"`
	RequestID string    `json:"request_id,omitempty"`
}

// maxListed bounds one answer.
const maxListed = 100_000

func (a *AuditListArgs) wants(r *audit.Record) bool {
	refused := r.Outcome != audit.OK && r.Outcome != audit.Begin
	return r.Seq >= a.From &&
		(a.Since.IsZero() || !r.Time.Before(a.Since)) && (a.Until.IsZero() || r.Time.Before(a.Until)) &&
		strings.HasPrefix(r.Operation, a.Operation) && strings.Contains(r.What, a.What) &&
		(a.Actor == "" || r.Actor == a.Actor) && (a.Outcome == "" || r.Outcome == a.Outcome) && (refused || !a.Refused)
}

func (s *Server) opAuditList(ctx context.Context, a AuditListArgs, _ func(Progress)) ([]AuditRecord, error) {
	out := []AuditRecord{}
	keep := maxListed
	if a.Last > 0 {
		keep = min(a.Last, keep)
	}
	_, err := audit.Verify(s.store.AuditFiles(), func(r audit.Record) error {
		if !a.wants(&r) {
			return ctx.Err()
		}
		if len(out) >= 2*keep { // the last ones are wanted: drop the others now and then
			out = slices.Delete(out, 0, len(out)-keep)
		}
		out = append(out, auditRecord(r))
		return nil
	})
	return out[max(0, len(out)-keep):], trailFault("server.auditList", err)
}

func auditRecord(r audit.Record) AuditRecord {
	out := AuditRecord{
		Seq: r.Seq, Time: r.Time, Actor: r.Actor, Operation: r.Operation, What: r.What, Outcome: r.Outcome, RequestID: r.RequestID,
	}
	if r.Kref != ([16]byte{}) {
		out.Key = keys.ID(r.Kref).String()
	}
	return out
}

// trailFault says that the trail is damaged, or something else is wrong.
func trailFault(op string, err error) error {
	for _, bad := range []error{audit.ErrChain, audit.ErrForm, audit.ErrSignature, audit.ErrAnchor} {
		if errors.Is(err, bad) {
			return withHint(fault.New(op, "", fault.Corrupt, err),
				"keep a copy of audit/ and of the anchor for an investigation; coffer verify tells what else is damaged")
		}
	}
	return err
}

// AuditVerifyArgs name what the trail is compared with.
type AuditVerifyArgs struct {
	Anchor string `json:"anchor,omitempty"` // absolute path; "" is the one the server has
}

// AuditReport says what a verification of the trail found.
type AuditReport struct {
	Files       int        `json:"files"`
	First       uint64     `json:"first"`
	Records     uint64     `json:"records"`
	End         uint64     `json:"end"`
	Hash        string     `json:"hash"` // link of the last entry
	Checkpoints uint64     `json:"checkpoints"`
	Signed      uint64     `json:"signed"` // last entry that a signature covers
	Anchor      string     `json:"anchor,omitempty"`
	Anchored    uint64     `json:"anchored,omitempty"` // checkpoints of the anchor that agree
	Keys        []AuditKey `json:"keys"`
	Lost        uint64     `json:"lost,omitempty"` // records, since the start
}

// AuditKey is a key that signs checkpoints.
type AuditKey struct {
	Ref    string     `json:"ref"`
	Public string     `json:"public"` // Ed25519, hex
	From   time.Time  `json:"from"`
	Until  *time.Time `json:"until,omitempty"`
}

func (s *Server) opAuditVerify(_ context.Context, a AuditVerifyArgs, _ func(Progress)) (AuditReport, error) {
	const op = "server.auditVerify"
	c := s.auditCheck()
	out := AuditReport{Anchor: a.Anchor, Keys: s.auditKeys()}
	if out.Anchor == "" {
		out.Anchor = s.cfg.AuditAnchor
	}
	if out.Anchor != "" {
		b, err := os.ReadFile(out.Anchor)
		if err != nil {
			return out, withHint(fault.New(op, out.Anchor, fault.InvalidInput, err), "name the file that serve has as --audit-anchor")
		}
		if c.Anchors, err = audit.ReadAnchor(bytes.NewReader(b)); err != nil {
			return out, fault.New(op, out.Anchor, fault.InvalidInput, err)
		}
	}
	rep, err := c.Files(s.store.AuditFiles())
	if err != nil {
		return out, trailFault(op, err)
	}
	out.Files, out.First, out.Records = rep.Files, rep.First, rep.Records
	out.End, out.Hash = rep.End.Seq, hex.EncodeToString(rep.End.Hash[:])
	out.Checkpoints, out.Signed, out.Anchored = rep.Checkpoints, rep.Signed, rep.Anchors
	out.Lost = s.store.Audit.State().Lost
	return out, nil
}

// auditCheck is a verification with the keys of this store.
func (s *Server) auditCheck() audit.Check {
	return audit.Check{Store: s.store.Ring.StoreID(), Keys: s.store.Ring.AuditKeys()}
}

func (s *Server) auditKeys() []AuditKey {
	var out []AuditKey
	for _, k := range s.store.Ring.AuditKeys() {
		e := AuditKey{Ref: keys.ID(k.Kref).String(), Public: hex.EncodeToString(k.Public), From: k.From}
		if !k.Until.IsZero() {
			e.Until = &k.Until
		}
		out = append(out, e)
	}
	return out
}

// AuditExportArgs say where the trail is written to.
type AuditExportArgs struct {
	File string `json:"file"` // absolute, not there yet
	From uint64 `json:"from,omitempty"`
}

// AuditExport describes an export.
type AuditExport struct {
	File        string    `json:"file,omitempty"`
	Store       string    `json:"store"`
	At          time.Time `json:"at"`
	First       uint64    `json:"first"`
	Last        uint64    `json:"last"`
	Records     uint64    `json:"records"`
	Checkpoints uint64    `json:"checkpoints"`
	Signed      uint64    `json:"signed"`
	Identity    string    `json:"identity"` // pin of the key that signed it
}

func (s *Server) opAuditExport(_ context.Context, a AuditExportArgs, _ func(Progress)) (AuditExport, error) {
	const op = "server.auditExport"
	f, err := os.OpenFile(a.File, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return AuditExport{}, withHint(fault.New(op, a.File, fault.InvalidInput, err), "name a file that is not there yet, in a directory that the server may write")
	}
	_, err = audit.Export(s.store.AuditFiles(), f, audit.ExportOptions{
		Store: s.store.Ring.StoreID(), Keys: s.store.Ring.AuditKeys(), At: s.now(), From: a.From,
		Identity: s.store.Ring.PublicIdentity(), Sign: s.store.Ring.Attest,
	})
	if err == nil {
		err = f.Sync()
	}
	var out AuditExport
	if err == nil {
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			out, err = VerifyAuditExport(f, "") // what was written reads back
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(a.File)
		return AuditExport{}, trailFault(op, err)
	}
	out.File = a.File
	return out, nil
}

// VerifyAuditExport verifies an export by itself. pin is the identity of the store that
// it should be from, as coffer keys list shows it; "" accepts any, and the caller shows
// whose it is.
func VerifyAuditExport(r io.Reader, pin string) (AuditExport, error) {
	const op = "server.verifyAuditExport"
	rep, err := audit.VerifyExport(r, nil)
	if err != nil {
		return AuditExport{}, withHint(fault.New(op, "", fault.Corrupt, err), "export the trail again, and compare")
	}
	out := AuditExport{
		Store: rep.Head.Store, At: rep.Head.At, First: rep.Head.First, Last: rep.Last, Records: rep.Records,
		Checkpoints: rep.Checkpoints, Signed: rep.Signed, Identity: hex.EncodeToString(rep.Pin[:]),
	}
	return out, checkPin(op, pin, out.Identity)
}

func checkPin(op, want, got string) error {
	if want == "" || strings.EqualFold(want, got) {
		return nil
	}
	return withHint(fault.New(op, "", fault.NotAllowed, fmt.Errorf("%w: identity %s", errForeign, got)),
		"coffer keys list shows the identity of a store")
}
