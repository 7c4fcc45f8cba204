package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrAnchor says that the log is older than a checkpoint that was kept elsewhere, or
// another one.
var ErrAnchor = errors.New("audit: the log does not agree with its anchor")

// ReadAnchor reads an anchor: one checkpoint a line, oldest first. A last line without
// its end is what a crash left, and is no checkpoint.
func ReadAnchor(r io.Reader) ([]Checkpoint, error) {
	var out []Checkpoint
	b := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := b.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			continue
		}
		c, err := ParseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, c)
	}
}

// Newest checks the signatures of an anchor and returns its last checkpoint, which says
// how far log and metadata have to reach. No checkpoint: the zero one.
func Newest(store [16]byte, keys []Key, anchors []Checkpoint) (Checkpoint, error) {
	var last Checkpoint
	for _, c := range anchors {
		if _, err := c.signed(store, keys); err != nil {
			return Checkpoint{}, err
		}
		last = c
	}
	return last, nil
}

// Reaches checks that the log has the entry that c speaks of. It reads one file.
func Reaches(f Files, c Checkpoint) error {
	if c.Seq == 0 {
		return nil
	}
	numbers, err := f.Audits()
	if err != nil {
		return err
	}
	limits, err := ends(f, numbers)
	if err != nil {
		return err
	}
	for i := len(numbers) - 1; i >= 0; i-- {
		r := reader{number: numbers[i], keep: true}
		if err := f.ReadAudit(numbers[i], r.frame); err != nil {
			return fmt.Errorf("audit file %d: %w", numbers[i], err)
		}
		if !r.begun || c.Seq < r.head.first-1 {
			continue
		}
		n := c.Seq - (r.head.first - 1)
		if c.Seq >= limits[i] || n >= uint64(len(r.links)) {
			return fmt.Errorf("%w: it ends before entry %d", ErrAnchor, c.Seq)
		}
		if r.links[n] != c.Hash {
			return fmt.Errorf("%w: entry %d is another one", ErrAnchor, c.Seq)
		}
		return nil
	}
	if len(numbers) > 0 {
		return nil // the entry is in a file that was moved to an archive
	}
	return fmt.Errorf("%w: it ends before entry %d", ErrAnchor, c.Seq)
}

// readAnchors checks the signatures of the anchors and notes what they say.
func (c *Check) readAnchors() error {
	c.anchors, c.wanted = map[uint64]bool{}, map[uint64]map[Hash]struct{}{}
	for _, a := range c.Anchors {
		if len(c.Keys) > 0 {
			if _, err := a.signed(c.Store, c.Keys); err != nil {
				return fmt.Errorf("anchor: %w", err)
			}
		}
		if c.wanted[a.Seq] == nil {
			c.wanted[a.Seq] = map[Hash]struct{}{}
		}
		c.wanted[a.Seq][a.Hash] = struct{}{}
	}
	return nil
}

// meet notes whether an entry is what the anchors say.
func (c *Check) meet(seq uint64, h Hash) {
	if want := c.wanted[seq]; want != nil {
		_, ok := want[h]
		c.anchors[seq] = ok && len(want) == 1
	}
}

// checkAnchors says whether the chain went through every anchor.
func (c *Check) checkAnchors(rep *Report) error {
	for seq := range c.wanted {
		ok, met := c.anchors[seq]
		switch {
		case met && ok:
			rep.Anchors++
		case seq < rep.First:
			rep.Older++
		case !met:
			return fmt.Errorf("%w: it ends before entry %d", ErrAnchor, seq)
		default:
			return fmt.Errorf("%w: entry %d is another one", ErrAnchor, seq)
		}
	}
	return nil
}
