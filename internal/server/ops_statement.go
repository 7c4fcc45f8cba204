package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/fault"
)

// StatementFormat names the form of a signed report.
const StatementFormat = "coffer-verify-report/1"

// Statement is what a store says of itself after a verification: what was looked at,
// when, by which build, and what was found.
type Statement struct {
	Format     string         `json:"format"`
	Store      string         `json:"store"`
	Begun      time.Time      `json:"begun"`
	Ended      time.Time      `json:"ended"`
	Scope      []string       `json:"scope"` // what was authenticated, and what was not
	Build      Build          `json:"build"`
	Generation uint64         `json:"key_store_generation"`
	Commit     uint64         `json:"commit"`
	Protectors []KeyProtector `json:"protectors"`
	Roots      []KeySlot      `json:"slots"`
	Audit      AuditReport    `json:"audit"`
	Result     VerifyReport   `json:"result"` // counts for each key version, findings
	Clean      bool           `json:"clean"`
}

// Build says which program made a statement.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a changed working tree
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Module   string `json:"crypto_module"`
	FIPS     bool   `json:"fips_mode"`
}

// SignedStatement is the file that a report is kept in. The signature is the identity
// key's, over the SHA-256 of the report as compact JSON.
type SignedStatement struct {
	Report    json.RawMessage `json:"report"`
	Identity  []byte          `json:"identity"`
	Signature []byte          `json:"signature"`
}

func (s *Server) build() Build {
	b := Build{
		Version: s.cfg.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Module: fips140.Version(), FIPS: fips140.Enabled(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, set := range info.Settings {
			switch set.Key {
			case "vcs.revision":
				b.Revision = set.Value
			case "vcs.modified":
				b.Modified = set.Value == "true"
			}
		}
	}
	return b
}

// opVerifyReport verifies and signs what came of it. Damage is no error: it is signed.
func (s *Server) opVerifyReport(ctx context.Context, a VerifyArgs, progress func(Progress)) (SignedStatement, error) {
	st := Statement{Format: StatementFormat, Store: hex.EncodeToString(s.storeID()), Begun: s.now().UTC(), Build: s.build()}
	var err error
	if st.Result, err = s.opVerify(ctx, a, progress); err != nil {
		return SignedStatement{}, err
	}
	if st.Audit, err = s.opAuditVerify(ctx, AuditVerifyArgs{}, progress); err != nil && !fault.Is(err, fault.Corrupt) {
		return SignedStatement{}, err
	} else if err != nil {
		st.Result.Damage = append(st.Result.Damage, Finding{"audit", err.Error()})
	}
	list, err := s.opKeysList(ctx, Nothing{}, nil)
	if err != nil {
		return SignedStatement{}, err
	}
	st.Generation, st.Protectors, st.Roots = list.Generation, list.Protectors, list.Slots
	st.Commit, st.Scope, st.Clean = s.store.Meta.Sequence(), st.scope(), st.Result.Clean()
	st.Ended = s.now().UTC()
	return s.signStatement(st)
}

func (s *Server) storeID() []byte {
	id := s.store.Ring.StoreID()
	return id[:]
}

// scope says in words what the counts cover.
func (st *Statement) scope() []string {
	r := &st.Result
	out := []string{
		fmt.Sprintf("every row, wrap and chunk of the metadata store: %d rows, %d chunks, %d bytes of content", r.Rows, r.Chunks, r.Bytes),
		fmt.Sprintf("every frame of %d files: index, audit trail, key store copies, HEAD", r.Files),
		fmt.Sprintf("audit trail: entries %d to %d, signed up to %d", st.Audit.First, st.Audit.End, st.Audit.Signed),
	}
	if r.Searched > 0 {
		out = append(out, fmt.Sprintf("search for %d strings in %d encodings in every byte of the data directory", r.Searched, len(r.Encodings)))
	}
	if r.Suspended > 0 {
		out = append(out, fmt.Sprintf("not verifiable while their key is away: %d", r.Suspended))
	}
	return out
}

func statementText(report []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, report); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b.Bytes())
	return enc.Encode("coffer/verify/report/v1", sum[:]), nil
}

func (s *Server) signStatement(st Statement) (SignedStatement, error) {
	report, err := json.Marshal(st)
	if err != nil {
		return SignedStatement{}, err
	}
	text, err := statementText(report)
	if err != nil {
		return SignedStatement{}, err
	}
	sig, err := s.store.Ring.Attest(text)
	if err != nil {
		return SignedStatement{}, err
	}
	by := s.store.Audit.Before(context.Background(), audit.Record{
		Actor: operator, Operation: auditReport, What: fmt.Sprintf("clean %t", st.Clean), Outcome: audit.OK,
	})
	return SignedStatement{Report: report, Identity: s.store.Ring.PublicIdentity(), Signature: sig}, by
}

// maxStatement bounds the file of a report.
const maxStatement = 64 << 20

// VerifyStatement checks a signed report by itself and returns it with the identity of
// the store that signed it. pin as in VerifyAuditExport.
func VerifyStatement(r io.Reader, pin string) (st Statement, identity string, err error) {
	const op = "server.verifyStatement"
	bad := func(why string) error { return fault.New(op, "", fault.Corrupt, errors.New(why)) }
	b, err := io.ReadAll(io.LimitReader(r, maxStatement))
	if err != nil {
		return st, "", err
	}
	var signed SignedStatement
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&signed); err != nil || d.More() {
		return st, "", bad("this is no signed report")
	}
	text, err := statementText(signed.Report)
	if err != nil || len(signed.Identity) != ed25519.PublicKeySize || !slot.Verify(signed.Identity, text, signed.Signature) {
		return st, "", bad("the report is not what its store signed")
	}
	if err := json.Unmarshal(signed.Report, &st); err != nil || st.Format != StatementFormat {
		return st, "", bad("the report has another form")
	}
	own := slot.Pin(signed.Identity)
	identity = hex.EncodeToString(own[:])
	return st, identity, checkPin(op, pin, identity)
}
