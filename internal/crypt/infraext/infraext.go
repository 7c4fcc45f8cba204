// Package infraext puts the second (infrastructure) layer around extents: CFX1. What it
// seals are sealed chunks already; its key comes from another root than theirs, and its
// algorithm is another one.
//
//	header (4,096): "CFX1" || version || suite || zero (2) || IDK kref (16) ||
//	                file id (16) || salt (32) || commitment (32) || zeros
//	body:           sectors of 4,096 bytes of chunks, each sealed by itself
//
// A chunk starts on a sector and is padded with zeros to a full one. By suite a sector
// takes
//
//	1  4,096 bytes: AES-256-XTS, the number of the sector is the tweak
//	2  4,160 bytes: iv (16) || ciphertext (4,112) || tag (32), A256CBC-HS512 with the
//	   number of the sector in the AAD
//
// Every sector is written once, so no tweak meets two plaintexts; that is the driver's
// promise. Suite 1 has no integrity of its own: a changed sector opens to noise, which
// the layer inside refuses. The layout is fixed by spec/infrastructure.md; vectors are
// in spec/testkit/cfx1.
package infraext

import (
	"bytes"
	"crypto/fips140"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/cbchs"
	"github.com/coffer-storage/coffer/internal/crypt/xts"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	HeaderSize = 4096
	SectorSize = xts.SectorSize
	// MaxBody is the most that an extent holds, in bytes of chunks.
	MaxBody = 1 << 30

	version  = 1
	unitSize = cbchs.Overhead + SectorSize + cbchs.BlockSize
	boundEnd = 72 // of the header, in the derivation
	dataEnd  = 104
)

// Suite says how sectors are sealed.
type Suite uint8

const (
	XTS Suite = 1 // AES-256-XTS
	CBC Suite = 2 // A256CBC-HS512: FIPS builds write it, every build opens it
)

func (s Suite) String() string {
	switch s {
	case XTS:
		return "AES-256-XTS"
	case CBC:
		return "A256CBC-HS512"
	default:
		return fmt.Sprintf("suite %d", uint8(s))
	}
}

// DefaultSuite is what this process writes: XTS is not in Go's FIPS module.
func DefaultSuite() Suite {
	if fips140.Enabled() {
		return CBC
	}
	return XTS
}

var (
	ErrFormat = errors.New("infraext: wrong form")
	ErrOpen   = errors.New("infraext: does not authenticate")
	// ErrXTS refuses suite 1 in a FIPS process that was not told to open it.
	ErrXTS = errors.New("infraext: the extent is sealed by AES-256-XTS, which a FIPS build opens only with --allow-xts")
)

// Header is the first sector of an extent.
type Header struct {
	Suite      Suite
	Kref       [16]byte // of the IDK
	File       [16]byte
	Salt       [32]byte
	Commitment [32]byte
}

// ParseHeader reads the first HeaderSize bytes of an extent. Whether they are genuine is
// found out by Open.
func ParseHeader(b []byte) (Header, error) {
	if len(b) != HeaderSize || string(b[:5]) != "CFX1\x01" || b[6] != 0 || b[7] != 0 {
		return Header{}, ErrFormat
	}
	h := Header{
		Suite: Suite(b[5]), Kref: [16]byte(b[8:]), File: [16]byte(b[24:]), Salt: [32]byte(b[40:]), Commitment: [32]byte(b[72:]),
	}
	if h.Suite != XTS && h.Suite != CBC || len(bytes.Trim(b[dataEnd:], "\x00")) > 0 {
		return Header{}, ErrFormat
	}
	return h, nil
}

// Bytes returns the header as it is stored.
func (h *Header) Bytes() []byte {
	b := make([]byte, 0, HeaderSize)
	b = append(b, "CFX1"...)
	b = append(b, version, byte(h.Suite), 0, 0)
	b = append(b, h.Kref[:]...)
	b = append(b, h.File[:]...)
	b = append(b, h.Salt[:]...)
	b = append(b, h.Commitment[:]...)
	return b[:HeaderSize]
}

// Extent seals and opens the sectors of one extent. It is safe in parallel.
type Extent struct {
	h   Header
	idk secret.Key
	xts *xts.Cipher   // suite 1
	cbc *cbchs.Cipher // suite 2
}

// Create begins an extent under the infrastructure key that kref names. It returns the
// header, which must be stored first.
func Create(idk secret.Key, kref, file [16]byte, suite Suite) (*Extent, []byte, error) {
	if suite != XTS && suite != CBC {
		return nil, nil, ErrFormat
	}
	h := Header{Suite: suite, Kref: kref, File: file}
	for {
		rand.Read(h.Salt[:])
		x, commitment, err := derive(idk, h)
		if errors.Is(err, xts.ErrKey) {
			continue // the design: another salt
		}
		if err != nil {
			return nil, nil, err
		}
		x.h.Commitment = commitment
		return x, x.h.Bytes(), nil
	}
}

// Open reads the header of the extent file. It asks key for the infrastructure key that
// the header names; no other one is tried. allowXTS matters in FIPS processes only.
func Open(header []byte, file [16]byte, allowXTS bool, key func(kref [16]byte) (secret.Key, error)) (*Extent, error) {
	h, err := ParseHeader(header)
	switch {
	case err != nil:
		return nil, err
	case h.File != file:
		return nil, ErrOpen
	case h.Suite == XTS && fips140.Enabled() && !allowXTS:
		return nil, ErrXTS
	}
	idk, err := key(h.Kref)
	if err != nil {
		return nil, err
	}
	x, want, err := derive(idk, h)
	if err != nil && !errors.Is(err, xts.ErrKey) {
		return nil, err
	}
	if err != nil || subtle.ConstantTimeCompare(h.Commitment[:], want[:]) != 1 {
		return nil, ErrOpen
	}
	return x, nil
}

// derive makes the keys of an extent and the commitment that belongs to them.
func derive(idk secret.Key, h Header) (x *Extent, commitment [32]byte, err error) {
	label := "coffer/infra/xts/v1"
	if h.Suite == CBC {
		label = "coffer/infra/ext/v1"
	}
	info := enc.Encode(label, h.Bytes()[:boundEnd])
	x = &Extent{h: h, idk: idk}
	err = idk.Use(func(ikm []byte) error {
		k := enc.Derive(ikm, h.Salt[:], info, 96)
		defer clear(k)
		commitment = [32]byte(k[64:])
		if h.Suite == CBC {
			x.cbc = cbchs.New([cbchs.KeySize]byte(k[:64]))
			return nil
		}
		var err error
		x.xts, err = xts.New((*[xts.KeySize]byte)(k[:64]))
		return err
	})
	if err != nil {
		return nil, [32]byte{}, err
	}
	return x, commitment, nil
}

// Header describes the extent.
func (x *Extent) Header() Header { return x.h }
