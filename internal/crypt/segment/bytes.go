package segment

import (
	"hash/crc32"
	"io"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
	"github.com/coffer-storage/coffer/internal/crypt/internal/sealed"
)

// SealBytes seals a small chunk in memory and returns its CRC-32C as well.
func SealBytes(p Params, plaintext []byte) (crypt.Sealed, uint32, error) {
	n := int64(len(plaintext))
	h := Header{Version: version, Suite: suite, Lg: p.Lg, Chunk: p.Chunk}
	b := make([]byte, 0, SealedSize(n, p.Lg))
	s, commitment, err := newSealer(p, n, h.Append(b))
	if err != nil {
		return crypt.Sealed{}, 0, err
	}
	h.Commitment = commitment
	b = h.Append(b)
	record.Record(record.Chunk, plaintext)
	for i := range s.count {
		k := s.plainLen(i)
		if b, err = s.seal(b, i, plaintext[:k]); err != nil {
			return crypt.Sealed{}, 0, err
		}
		plaintext = plaintext[k:]
	}
	return sealed.Make(b), crc32.Checksum(b, castagnoli), nil
}

// OpenBytes opens a whole chunk in memory. Its length follows from its size; the caller
// compares it with the record of the chunk.
func OpenBytes(p Params, chunk []byte) ([]byte, error) {
	h, err := ParseHeader(chunk)
	if err != nil {
		return nil, err
	}
	n, err := PlainSize(int64(len(chunk)), h.Lg)
	if err != nil {
		return nil, err
	}
	s, err := openSealer(p, n, chunk)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, n)
	rest := chunk[HeaderSize:]
	for i := range s.count {
		k := s.plainLen(i) + SegOverhead
		if out, err = s.open(out, i, rest[:k]); err != nil {
			return nil, err
		}
		rest = rest[k:]
	}
	return out, nil
}

// AdoptStream passes on a chunk that was sealed elsewhere, byte for byte: when extents
// are compacted, or a backup is restored. It needs no key and checks the form only, by
// header and size; the CRC is for the caller to compare. emit is used as in NewWriter.
func AdoptStream(src io.Reader, size int64, emit func(crypt.Sealed) error) (crc uint32, err error) {
	if size < HeaderSize+SegOverhead {
		return 0, ErrFormat
	}
	buf := sealedPool.get(batch)
	defer sealedPool.put(buf)
	for done := int64(0); done < size; {
		b := (*buf)[:min(batch, size-done)]
		if _, err := io.ReadFull(src, b); err != nil {
			return 0, noEOF(err)
		}
		if done == 0 {
			if err := checkForm(b, size); err != nil {
				return 0, err
			}
		}
		crc = crc32.Update(crc, castagnoli, b)
		if err := emit(sealed.Make(b)); err != nil {
			return 0, err
		}
		done += int64(len(b))
	}
	return crc, nil
}

// Adopt is AdoptStream for a chunk in memory, such as an inline part.
func Adopt(chunk []byte) (crypt.Sealed, uint32, error) {
	if err := checkForm(chunk, int64(len(chunk))); err != nil {
		return crypt.Sealed{}, 0, err
	}
	return sealed.Make(chunk), crc32.Checksum(chunk, castagnoli), nil
}

// checkForm checks that b begins a chunk of size sealed bytes.
func checkForm(b []byte, size int64) error {
	h, err := ParseHeader(b)
	if err != nil {
		return err
	}
	_, err = PlainSize(size, h.Lg)
	return err
}

// noEOF turns the end of a source into ErrFormat.
func noEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrFormat
	}
	return err
}
