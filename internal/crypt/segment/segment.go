// Package segment encrypts a chunk in fixed segments that can be read from the middle.
package segment

import (
	"errors"
	"io"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	HeaderSize  = 64
	SegOverhead = 28
	MaxPlain    = 64 << 20
)

var (
	ErrOpen   = errors.New("segment: does not open")
	ErrFormat = errors.New("segment: wrong form")
)

type Params struct {
	DEK                 secret.Key
	DEKID, Owner, Chunk [16]byte
	Lg                  uint8
}

type Header struct {
	Version, Suite, Lg uint8
	Chunk              [16]byte
	Commitment         [32]byte
}

type Writer struct{}

func SealedSize(n int64, lg uint8) int64              { panic("soon") }
func PlainSize(sealed int64, lg uint8) (int64, error) { panic("soon") }
func ParseHeader(b []byte) (Header, error)            { panic("soon") }
func NewWriter(p Params, n int64, emit func(crypt.Sealed) error) (*Writer, error) {
	panic("soon")
}
func (*Writer) Write(p []byte) (int, error)         { panic("soon") }
func (*Writer) ReadFrom(r io.Reader) (int64, error) { panic("soon") }
func (*Writer) Close() error                        { panic("soon") }
func (*Writer) CRC32C() uint32                      { panic("soon") }
func SealBytes(p Params, plaintext []byte) (sealed crypt.Sealed, crc uint32, err error) {
	panic("soon")
}

type Reader struct{}

func NewReader(p Params, n int64, src io.ReaderAt) (*Reader, error) { panic("soon") }
func (*Reader) WriteRange(w io.Writer, off, n int64) error          { panic("soon") }
func OpenBytes(p Params, sealed []byte) ([]byte, error)             { panic("soon") }
func AdoptStream(src io.Reader, size int64, emit func(crypt.Sealed) error) (crc uint32, err error) {
	panic("soon")
}
