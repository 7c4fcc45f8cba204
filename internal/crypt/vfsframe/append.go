package vfsframe

import (
	"encoding/binary"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
)

const (
	// MaxAppend is the most plaintext of one class 2 frame; longer writes are split.
	MaxAppend = 1 << 20
	// frameHead is M, len, seq, syncedSeq: clear, and the AAD.
	frameHead = 8 + 4 + 8 + 8
	// AppendOverhead is what a class 2 frame adds to its plaintext.
	AppendOverhead = frameHead + gcmOverhead
	// maxFrames bounds the use of one key.
	maxFrames = 1 << 32
)

// Appender seals the frames of a class 2 file in their order. It is not safe in
// parallel.
type Appender struct {
	codec  *Codec
	seq    uint64 // of the last frame
	synced uint64 // highest seq that a completed sync covers
	ended  bool
}

// NewAppender begins a new file. A class 2 file is never appended to again after it
// was closed: its key would see a second history.
func (c *Codec) NewAppender() *Appender { return &Appender{codec: c} }

// Seq is the number of the last frame.
func (a *Appender) Seq() uint64 { return a.seq }

// Synced is the highest frame that was noted as durable.
func (a *Appender) Synced() uint64 { return a.synced }

// NoteSynced says that every frame up to seq is durable.
func (a *Appender) NoteSynced(seq uint64) { a.synced = max(a.synced, min(seq, a.seq)) }

// Seal appends p, which is not empty, to dst as one frame or several.
func (a *Appender) Seal(dst, p []byte) ([]byte, error) {
	for len(p) > 0 {
		n := min(len(p), MaxAppend)
		var err error
		if dst, err = a.frame(dst, p[:n]); err != nil {
			return nil, err
		}
		p = p[n:]
	}
	return dst, nil
}

// End appends the frame without content after which none may follow.
func (a *Appender) End(dst []byte) ([]byte, error) {
	dst, err := a.frame(dst, nil)
	a.ended = true
	return dst, err
}

func (a *Appender) frame(dst, p []byte) ([]byte, error) {
	if a.ended {
		return nil, ErrFormat
	}
	if a.seq+1 >= maxFrames {
		return nil, ErrLimit
	}
	a.seq++
	record.Record(a.codec.kind.record(), p)
	at := len(dst)
	dst = append(dst, a.codec.marker[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
	dst = binary.BigEndian.AppendUint64(dst, a.seq)
	dst = binary.BigEndian.AppendUint64(dst, a.synced)
	return a.codec.aead.Seal(dst, nil, p, aad2(dst[at:at+frameHead])), nil
}

func aad2(head []byte) []byte { return enc.Encode("coffer/vfs/append/v1", head) }

// head is the clear part of a frame.
type head struct {
	len    int
	seq    uint64
	synced uint64
}

// parseHead reads frameHead bytes; ok is false for what no Appender of this file wrote.
func (c *Codec) parseHead(b []byte) (h head, ok bool) {
	n := binary.BigEndian.Uint32(b[8:])
	h = head{int(n), binary.BigEndian.Uint64(b[12:]), binary.BigEndian.Uint64(b[20:])}
	ok = [8]byte(b[:8]) == c.marker && n <= MaxAppend && h.seq < maxFrames && h.synced < h.seq
	return h, ok
}
