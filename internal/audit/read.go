package audit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Files is where the log lies. sealedfs has such files; one frame holds one entry.
type Files interface {
	// Audits returns the numbers of the files there are, ascending.
	Audits() ([]uint64, error)
	// ReadAudit calls visit for every frame of file n in order; p is valid only
	// during the call.
	ReadAudit(n uint64, visit func(p []byte) error) error
	// CreateAudit makes file n and makes its name durable.
	CreateAudit(n uint64) (File, error)
}

// File is an audit file that is being written.
type File interface {
	Append(p []byte) error // one frame, durable after Sync
	Sync() error           // an error is final
	Size() int64
	Close() error
}

// Position is the end of the chain: the last entry and its link.
type Position struct {
	Seq  uint64
	Hash Hash
}

// Report is what Verify found.
type Report struct {
	Files      int
	First      uint64 // first entry that is there; above 1 when older files are elsewhere
	Records    uint64 // in the chain
	Superseded uint64 // written, never acknowledged, and written again after a fault
	End        Position

	Checkpoints uint64 // whose signature was checked
	Signed      uint64 // last entry that one of them covers
	Anchors     uint64 // checkpoints kept elsewhere that agree with the chain
	Older       uint64 // anchors from before the first entry: not checkable here
}

// Verify reads the whole log, checks the chain through all files and calls visit, which
// may be nil, for every record in order. An entry at the end of a file that the next
// file begins before was never acknowledged; visit does not see it.
func Verify(f Files, visit func(Record) error) (Report, error) {
	return Check{Visit: visit}.Files(f)
}

// Check is a verification of the whole log.
type Check struct {
	// Store and Keys check the signatures of checkpoints; without keys only their place
	// in the chain is checked.
	Store [16]byte
	Keys  []Key
	// Anchors are checkpoints that were kept elsewhere: the chain has to go through each.
	Anchors []Checkpoint

	Visit  func(Record) error       // nil: nobody looks
	Link   func(rec []byte, h Hash) // with every record: its stored form and link
	Signed func(Checkpoint)         // with every checkpoint

	anchors map[uint64]bool              // by entry: whether the chain has what the anchor says
	wanted  map[uint64]map[Hash]struct{} // what anchors say
	at      time.Time                    // of the last record
	signer  *signer                      // of a checkpoint after it
}

// Files checks the log in f.
func (c Check) Files(f Files) (Report, error) {
	var rep Report
	if err := c.readAnchors(); err != nil {
		return rep, err
	}
	numbers, err := f.Audits()
	if err != nil {
		return rep, err
	}
	ends, err := ends(f, numbers)
	if err != nil {
		return rep, err
	}
	links := []Hash{{}} // of the last file: links[i] is h(base+i)
	base := uint64(0)
	for i, n := range numbers {
		r := reader{number: n, check: &c, rep: &rep, limit: ends[i], keep: true}
		if err := f.ReadAudit(n, r.frame); err != nil {
			return rep, fmt.Errorf("audit file %d: %w", n, err)
		}
		if !r.begun {
			if i == len(numbers)-1 {
				rep.Files++
				break // created, and cut before its head was durable
			}
			continue
		}
		at := r.head.first - 1
		if rep.First == 0 {
			// Older files may have been moved to an archive: the chain begins here.
			base, links = at, []Hash{r.head.before}
			rep.First = r.head.first
		}
		if at < base || at-base >= uint64(len(links)) || links[at-base] != r.head.before {
			return rep, fmt.Errorf("audit file %d: %w: entry %d does not follow", n, ErrChain, r.head.first)
		}
		rep.Superseded += uint64(len(links)-1) - (at - base)
		rep.Records += uint64(len(r.links)) - 1
		rep.Records -= uint64(len(links)-1) - (at - base)
		rep.Files++
		base, links = at, r.links
	}
	rep.End = Position{Seq: base + uint64(len(links)) - 1, Hash: links[len(links)-1]}
	return rep, c.checkAnchors(&rep)
}

// ends tells for every file the entry at which the next one goes on: what is there from
// that entry on was never acknowledged.
func ends(f Files, numbers []uint64) ([]uint64, error) {
	out := make([]uint64, len(numbers))
	limit := uint64(math.MaxUint64)
	for i, n := range slices.Backward(numbers) {
		out[i] = limit
		first := uint64(0)
		err := f.ReadAudit(n, func(p []byte) error {
			h, err := decodeHead(p)
			if err != nil {
				return err
			}
			first = h.first
			return errHead
		})
		if err != nil && !errors.Is(err, errHead) {
			return nil, fmt.Errorf("audit file %d: %w", n, err)
		}
		if first > 0 {
			limit = min(limit, first)
		}
	}
	return out, nil
}

// errHead ends the reading of a file after its head.
var errHead = errors.New("audit: the head was read")

// reader checks the frames of one file.
type reader struct {
	number uint64
	check  *Check
	rep    *Report
	limit  uint64 // entries from here on are superseded
	visit  func(Record) error
	keep   bool // all links, not only the last
	begun  bool
	head   head
	next   uint64 // number of the next entry
	last   Hash   // link of the entry before it
	links  []Hash // with keep: h(first-1), h(first), ..
}

// signer is a key whose dates are compared with the next record.
type signer struct {
	key Key
	seq uint64
}

func (r *reader) add(h Hash) {
	r.last = h
	if r.keep {
		r.links = append(r.links, h)
	}
}

func (r *reader) frame(p []byte) error {
	if !r.begun {
		h, err := decodeHead(p)
		if err != nil {
			return err
		}
		if h.file != r.number {
			return fmt.Errorf("%w: file %d is named %d", ErrChain, h.file, r.number)
		}
		r.begun, r.head, r.next = true, h, h.first
		r.add(h.before)
		return nil
	}
	if isCheckpoint(p) {
		return r.checkpoint(p)
	}
	if len(p) < hashSize {
		return ErrForm
	}
	body, want := p[:len(p)-hashSize], Hash(p[len(p)-hashSize:])
	rec, err := decodeRecord(body)
	if err != nil {
		return err
	}
	got := link(r.last, body)
	if rec.Seq != r.next || got != want {
		return fmt.Errorf("%w: at entry %d", ErrChain, r.next)
	}
	r.next++
	r.add(got)
	if r.check != nil {
		if err := r.checked(rec, body, got); err != nil {
			return err
		}
	}
	if r.visit != nil {
		return r.visit(rec)
	}
	return nil
}

// checked does what a Check wants with a record.
func (r *reader) checked(rec Record, body []byte, h Hash) error {
	if s := r.check.signer; s != nil {
		if err := s.key.dated(s.seq, time.Time{}, rec.Time); err != nil {
			return err
		}
		r.check.signer = nil
	}
	r.check.at = rec.Time
	if rec.Seq >= r.limit {
		return nil
	}
	r.check.meet(rec.Seq, h)
	if r.check.Link != nil {
		r.check.Link(body, h)
	}
	if r.check.Visit != nil {
		return r.check.Visit(rec)
	}
	return nil
}

// checkpoint checks one that is in the log: it speaks of the entry before it.
func (r *reader) checkpoint(p []byte) error {
	c, err := decodeCheckpoint(p)
	if err != nil {
		return err
	}
	if c.Seq != r.next-1 || c.Hash != r.last {
		return fmt.Errorf("%w: the checkpoint of entry %d does not follow", ErrChain, c.Seq)
	}
	if r.check == nil {
		return nil
	}
	if len(r.check.Keys) > 0 {
		k, err := c.signed(r.check.Store, r.check.Keys)
		if err == nil && !r.check.at.IsZero() {
			err = k.dated(c.Seq, r.check.at, time.Time{})
		}
		if err != nil {
			return err
		}
		r.check.signer = &signer{k, c.Seq}
		r.rep.Checkpoints++
		r.rep.Signed = max(r.rep.Signed, c.Seq)
	}
	if r.check.Signed != nil {
		r.check.Signed(c)
	}
	return nil
}

// end returns where the chain goes on: after the newest file that has a head. Only that
// file is read whole; Verify reads the rest.
func end(f Files, numbers []uint64) (Position, []Record, error) {
	for i := len(numbers) - 1; i >= 0; i-- {
		var open openActs
		r := reader{number: numbers[i], visit: open.see}
		if err := f.ReadAudit(numbers[i], r.frame); err != nil {
			return Position{}, nil, fmt.Errorf("audit file %d: %w", numbers[i], err)
		}
		if r.begun {
			return Position{Seq: r.next - 1, Hash: r.last}, open.begun, nil
		}
	}
	return Position{}, nil, nil
}

// openActs are the acts that have begun and not ended, in order.
type openActs struct{ begun []Record }

func (o *openActs) see(r Record) error {
	if r.Outcome == Begin {
		o.begun = append(o.begun, r)
		return nil
	}
	for i, b := range o.begun {
		if b.Operation == r.Operation && b.What == r.What && b.Actor == r.Actor && b.RequestID == r.RequestID {
			o.begun = append(o.begun[:i], o.begun[i+1:]...)
			break
		}
	}
	return nil
}
