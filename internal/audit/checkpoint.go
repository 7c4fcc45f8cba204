package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
)

// Checkpoint is a signed word about where the chain stood. It names nothing but
// numbers, so that it may lie where anybody reads it.
type Checkpoint struct {
	Store      [16]byte
	Seq        uint64 // last entry
	Hash       Hash   // its link
	Generation uint64 // of the key store
	Commit     uint64 // of the metadata: that many commits were durable
	Kref       [16]byte
	Signature  [64]byte
}

const (
	checkMagic = "CFAP"
	checkSize  = 4 + 1 + 16 + 8 + hashSize + 8 + 8 + 16 + 64
)

// ErrSignature says that a checkpoint is not signed by an audit key of its time.
var ErrSignature = errors.New("audit: a checkpoint has no right signature")

// Text is what is signed.
func (c *Checkpoint) Text() []byte {
	return enc.Encode("coffer/audit/cp/v1", c.Store[:], enc.Uint(c.Seq), c.Hash[:],
		enc.Uint(c.Generation), enc.Uint(c.Commit), c.Kref[:])
}

func (c *Checkpoint) encode() []byte {
	b := make([]byte, 0, checkSize)
	b = append(b, checkMagic...)
	b = append(b, version)
	b = append(b, c.Store[:]...)
	b = binary.BigEndian.AppendUint64(b, c.Seq)
	b = append(b, c.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, c.Generation)
	b = binary.BigEndian.AppendUint64(b, c.Commit)
	b = append(b, c.Kref[:]...)
	return append(b, c.Signature[:]...)
}

func isCheckpoint(b []byte) bool { return bytes.HasPrefix(b, []byte(checkMagic)) }

func decodeCheckpoint(b []byte) (Checkpoint, error) {
	if len(b) != checkSize || !isCheckpoint(b) || b[4] != version {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint", ErrForm)
	}
	var c Checkpoint
	b = b[5:]
	b = b[copy(c.Store[:], b):]
	c.Seq, b = binary.BigEndian.Uint64(b), b[8:]
	b = b[copy(c.Hash[:], b):]
	c.Generation, b = binary.BigEndian.Uint64(b), b[8:]
	c.Commit, b = binary.BigEndian.Uint64(b), b[8:]
	b = b[copy(c.Kref[:], b):]
	copy(c.Signature[:], b)
	if c.Seq == 0 {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint", ErrForm)
	}
	return c, nil
}

// Line is the form of a checkpoint in an anchor: number, space, base64.
func (c *Checkpoint) Line() string {
	return strconv.FormatUint(c.Seq, 10) + " " + base64.StdEncoding.EncodeToString(c.encode())
}

// ParseLine reads what Line wrote.
func ParseLine(s string) (Checkpoint, error) {
	seq, text, ok := strings.Cut(s, " ")
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil {
		return Checkpoint{}, fmt.Errorf("%w: line of an anchor", ErrForm)
	}
	c, err := decodeCheckpoint(b)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Line() != s || strconv.FormatUint(c.Seq, 10) != seq {
		return Checkpoint{}, fmt.Errorf("%w: line of an anchor", ErrForm)
	}
	return c, nil
}

// Key is a public audit key and when it signed.
type Key struct {
	Kref        [16]byte
	Public      []byte
	From, Until time.Time // zero Until: still
}

// dateSlack is how far clocks of records and of keys may be apart: a record carries the
// time at which its act began.
const dateSlack = 10 * time.Minute

// signed checks the signature of c and returns the key.
func (c *Checkpoint) signed(store [16]byte, keys []Key) (Key, error) {
	if c.Store != store {
		return Key{}, fmt.Errorf("%w: entry %d: it is another store's", ErrSignature, c.Seq)
	}
	for _, k := range keys {
		if k.Kref == c.Kref && slot.Verify(k.Public, c.Text(), c.Signature[:]) {
			return k, nil
		}
	}
	return Key{}, fmt.Errorf("%w: entry %d", ErrSignature, c.Seq)
}

// dated checks that k may have signed after a record of time at and, if after is not
// zero, before one of that time.
func (k Key) dated(seq uint64, at, after time.Time) error {
	late := !k.Until.IsZero() && at.After(k.Until.Add(dateSlack))
	early := !after.IsZero() && after.Before(k.From.Add(-dateSlack))
	if late || early {
		return fmt.Errorf("%w: entry %d: the key was not in use then", ErrSignature, seq)
	}
	return nil
}
