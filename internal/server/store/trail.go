package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
)

// auditFiles gives the trail its files: sealed like everything else.
type auditFiles struct{ *sealedfs.FS }

func (a auditFiles) CreateAudit(n uint64) (audit.File, error) {
	f, err := a.FS.CreateAudit(n)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// AuditFiles gives the trail to who reads it.
func (s *Store) AuditFiles() audit.Files { return auditFiles{s.Meta.FS()} }

// openAudit opens the trail, after it was compared with its anchor.
func (s *Store) openAudit(o *Options) error {
	commits := settled{now: o.Now, last: s.Meta.Sequence(), floor: s.Meta.Sequence()}
	ao := audit.Options{Now: o.Now, Sign: func(p audit.Position) (audit.Checkpoint, error) {
		return s.Ring.SignCheckpoint(p, commits.next(s.Meta.Sequence()))
	}}
	if o.AuditAnchor != "" {
		a, err := s.openAnchor(o)
		if err != nil {
			return err
		}
		s.later(a.f.Close) // after the trail, which ends with a checkpoint
		ao.Anchor = a.add
	}
	var err error
	if s.Audit, err = audit.Open(s.AuditFiles(), ao); err != nil {
		return err
	}
	s.Ring.SetAudit(s.Audit)
	s.later(s.Audit.Close)
	return nil
}

// settled tells a commit number that is durable for certain: the last one may not have
// been synced yet, and a checkpoint that names it would refuse the store after a power
// cut. One that was the last settleTime ago was.
type settled struct {
	now         func() time.Time
	last, floor uint64
	at          time.Time
}

const settleTime = 10 * time.Second

func (c *settled) next(seq uint64) uint64 {
	if now := c.now(); now.Sub(c.at) >= settleTime {
		c.floor, c.last, c.at = c.last, seq, now
	}
	return c.floor
}

// anchor is a file in another place to which checkpoints are appended.
type anchor struct{ f *os.File }

func (a *anchor) add(c audit.Checkpoint) error {
	if _, err := a.f.WriteString(c.Line() + "\n"); err != nil {
		return err
	}
	return a.f.Sync()
}

// openAnchor compares the store with its anchor and opens that for appending. A store
// that is older, or another one, is refused.
func (s *Store) openAnchor(o *Options) (*anchor, error) {
	const op = "store.Open"
	b, err := os.ReadFile(o.AuditAnchor)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fault.New(op, o.AuditAnchor, fault.InvalidInput, err)
	}
	list, err := audit.ReadAnchor(bytes.NewReader(b))
	if err != nil {
		return nil, fault.New(op, o.AuditAnchor, fault.InvalidInput, fmt.Errorf("the anchor of the audit trail: %w", err))
	}
	last, err := audit.Newest(s.Ring.StoreID(), s.Ring.AuditKeys(), list)
	if err != nil {
		return nil, fault.New(op, o.AuditAnchor, fault.KeyStore, fmt.Errorf("the anchor of the audit trail: %w", err))
	}
	err = audit.Reaches(s.AuditFiles(), last)
	if at := s.Meta.Sequence(); err == nil && at < last.Commit {
		err = fmt.Errorf("%w: commit %d is anchored, and the store is at %d", audit.ErrAnchor, last.Commit, at)
	}
	if err != nil && !(o.AcceptRollback && errors.Is(err, audit.ErrAnchor)) {
		return nil, fault.New(op, o.AuditAnchor, fault.Rollback, err)
	}
	f, err := os.OpenFile(o.AuditAnchor, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fault.New(op, o.AuditAnchor, fault.InvalidInput, err)
	}
	if whole := bytes.LastIndexByte(b, '\n') + 1; whole < len(b) { // a crash cut the last line
		if err := f.Truncate(int64(whole)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return &anchor{f}, nil
}
