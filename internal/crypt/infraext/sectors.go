package infraext

import (
	"crypto/rand"
	"errors"
	"slices"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/secret"
)

// errRange says that a caller went behind MaxBody: a bug.
var errRange = errors.New("infraext: sector behind the end of an extent")

// Sectors is the number of sectors that a chunk of n bytes takes.
func Sectors(n int64) int64 { return (n + SectorSize - 1) / SectorSize }

// Padded is n with the padding of its last sector.
func Padded(n int64) int64 { return Sectors(n) * SectorSize }

// Size is what n sectors take in the file.
func (s Suite) Size(n int64) int64 {
	if s == CBC {
		return n * unitSize
	}
	return n * SectorSize
}

// Offset is where sector n begins in the file.
func (s Suite) Offset(n int64) int64 { return HeaderSize + s.Size(n) }

// alive fails when the key was destroyed that the extent's are derived from.
func alive(k secret.Key) error { return k.Use(func([]byte) error { return nil }) }

// Seal appends chunk, with zeros up to a full sector, as sectors from number n on. dst's
// free capacity may not hold chunk.
func (x *Extent) Seal(dst []byte, n int64, chunk []byte) ([]byte, error) {
	count := Sectors(int64(len(chunk)))
	if err := x.check(n, count); err != nil {
		return nil, err
	}
	if x.cbc != nil {
		return x.sealUnits(dst, n, chunk), nil
	}
	start := len(dst)
	dst = slices.Grow(dst, int(count)*SectorSize)[:start+int(count)*SectorSize]
	whole := len(chunk) / SectorSize * SectorSize
	out := dst[start:]
	x.xts.Encrypt(out[:whole], chunk[:whole], uint64(n))
	if rest := out[whole:]; len(rest) > 0 {
		clear(rest[copy(rest, chunk[whole:]):])
		x.xts.Encrypt(rest, rest, uint64(n)+uint64(whole/SectorSize))
	}
	return dst, nil
}

func (x *Extent) sealUnits(dst []byte, n int64, chunk []byte) []byte {
	var last [SectorSize]byte
	for ; len(chunk) > 0; n++ {
		unit := chunk[:min(SectorSize, len(chunk))]
		chunk = chunk[len(unit):]
		if len(unit) < SectorSize {
			copy(last[:], unit)
			unit = last[:]
		}
		var iv [16]byte
		rand.Read(iv[:])
		dst = x.cbc.Seal(dst, iv, unitAAD(n), unit)
	}
	return dst
}

// Open appends what whole sealed sectors hold, padding included; the first has number n.
// A suite 2 sector that does not authenticate is ErrOpen; suite 1 cannot tell. dst may
// be sealed[:0].
func (x *Extent) Open(dst []byte, n int64, sealed []byte) ([]byte, error) {
	size := x.h.Suite.Size(1)
	if int64(len(sealed))%size != 0 {
		return nil, ErrFormat
	}
	if err := x.check(n, int64(len(sealed))/size); err != nil {
		return nil, err
	}
	if x.cbc != nil {
		return x.openUnits(dst, n, sealed)
	}
	start := len(dst)
	dst = slices.Grow(dst, len(sealed))[:start+len(sealed)] // the same place when it is sealed[:0]
	x.xts.Decrypt(dst[start:], sealed, uint64(n))
	return dst, nil
}

func (x *Extent) openUnits(dst []byte, n int64, sealed []byte) ([]byte, error) {
	for ; len(sealed) > 0; n++ {
		plain, ok := x.cbc.Open(unitAAD(n), sealed[:unitSize])
		if !ok {
			return nil, ErrOpen
		}
		dst = append(dst, plain...)
		sealed = sealed[unitSize:]
	}
	return dst, nil
}

func (x *Extent) check(n, count int64) error {
	if n < 0 || n+count > MaxBody/SectorSize {
		return errRange
	}
	return alive(x.idk)
}

// unitAAD binds a unit to its place.
func unitAAD(n int64) []byte { return enc.Encode("coffer/infra/unit/v1", enc.Uint(uint64(n))) }
