package audit

import (
	"fmt"
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
}

// Verify reads the whole log, checks the chain through all files and calls visit, which
// may be nil, for every record in order. An entry at the end of a file that the next
// file begins before was never acknowledged; visit has seen it, once more with its
// successor's number.
func Verify(f Files, visit func(Record) error) (Report, error) {
	var rep Report
	numbers, err := f.Audits()
	if err != nil {
		return rep, err
	}
	links := []Hash{{}} // of the last file: links[i] is h(base+i)
	base := uint64(0)
	for i, n := range numbers {
		r := reader{number: n, visit: visit, keep: true}
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
	return rep, nil
}

// reader checks the frames of one file.
type reader struct {
	number uint64
	visit  func(Record) error
	keep   bool // all links, not only the last
	begun  bool
	head   head
	next   uint64 // number of the next entry
	last   Hash   // link of the entry before it
	links  []Hash // with keep: h(first-1), h(first), ..
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
	if r.visit != nil {
		return r.visit(rec)
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
