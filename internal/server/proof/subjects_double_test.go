package proof

import (
	"bytes"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/secret"
)

// This file has the things of two layers, and of keys that customers bring.

// extentSubject is a chunk in an extent of two layers, opened as the store does: the
// sectors, then the chunk in them. Suite 1 has no integrity of its own: what is changed
// in a sector is refused by the chunk. The chunk fills its sectors, for what is behind
// it, nobody reads.
func extentSubject(t testing.TB, suite infraext.Suite, sectors int) subject {
	idk, kref, file := secret.Random(32), [16]byte{7}, [16]byte{8}
	x, header, err := infraext.Create(idk, kref, file, suite)
	if err != nil {
		t.Fatal(err)
	}
	p := segment.Params{DEK: secret.Random(32), DEKID: [16]byte{1}, Owner: [16]byte{2}, Chunk: [16]byte{3}, Lg: segment.MinLg}
	sealed := sectors*infraext.SectorSize - segment.HeaderSize
	perSegment := 1<<segment.MinLg + segment.SegOverhead
	length := sealed - (sealed+perSegment-1)/perSegment*segment.SegOverhead
	seal := func(p segment.Params, first int, seed string) ([]byte, []byte) {
		plain := content(seed, length)
		chunk, _, err := segment.SealBytes(p, plain)
		if err != nil {
			t.Fatal(err)
		}
		b, err := x.Seal(bytes.Clone(header), int64(first), chunk.Bytes())
		if err != nil || int64(len(b)) != suite.Offset(int64(sectors)) {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		return b, plain
	}
	s := subject{name: "CFX1 " + suite.String(), header: infraext.HeaderSize, fields: 104, unit: int(suite.Size(1))}
	s.good, s.plain = seal(p, 0, "a")
	next := p
	next.Chunk[0]++
	s.other, _ = seal(next, sectors, "b")
	s.open = func(b []byte) ([]byte, error) {
		if len(b) != len(s.good) {
			return nil, errLength
		}
		x, err := infraext.Open(b[:infraext.HeaderSize], file, true, func(k [16]byte) (secret.Key, error) {
			if k != kref {
				return secret.Key{}, infraext.ErrOpen
			}
			return idk, nil
		})
		if err != nil {
			return nil, err
		}
		chunk, err := x.Open(nil, 0, b[infraext.HeaderSize:])
		if err != nil {
			return nil, err
		}
		return segment.OpenBytes(p, chunk)
	}
	return s
}

// doubleSubjects are values of two layers, and a data key under a customer's key.
func doubleSubjects(t testing.TB, sectors int) []subject {
	t.Helper()
	list := []subject{extentSubject(t, infraext.XTS, sectors), extentSubject(t, infraext.CBC, sectors)}
	sysk, idk, ref, infra, aad := secret.Random(32), secret.Random(32), [16]byte{5}, [16]byte{6}, []byte("aad")
	plain := content("value", 150)
	seal := func(aad []byte) []byte {
		inner, err := envelope.SealValue(sysk, ref, nil, aad, plain)
		if err != nil {
			t.Fatal(err)
		}
		b, err := envelope.SealInfra(idk, infra, nil, aad, inner)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	customer, dek := secret.Random(32), secret.New(content("dek", 32))
	owner, id := [16]byte{1}, [16]byte{2}
	wrap := func(id [16]byte) []byte {
		w, err := keywrap.WrapCustomer(customer, owner, id, aad, dek)
		if err != nil {
			t.Fatal(err)
		}
		return w[:]
	}
	return append(list,
		subject{name: "VALUE-1 in INFRA-1", good: seal(aad), other: seal([]byte("other")), plain: plain, header: 49,
			open: func(b []byte) ([]byte, error) {
				inner, err := envelope.OpenInfra(idk, infra, nil, aad, b)
				if err != nil {
					return nil, err
				}
				return envelope.OpenValue(sysk, ref, nil, aad, inner)
			}},
		subject{name: "customer's wrap", good: wrap(id), other: wrap([16]byte{3}), plain: content("dek", 32), header: 64 + 66,
			open: func(b []byte) ([]byte, error) {
				k, err := keywrap.UnwrapCustomer(customer, owner, id, aad, b)
				if err != nil {
					return nil, err
				}
				defer k.Destroy()
				return bytesOf(k)
			}},
	)
}

// bytesOf copies a key, for the comparison with what it should be.
func bytesOf(k secret.Key) (out []byte, err error) {
	err = k.Use(func(b []byte) error { out = bytes.Clone(b); return nil })
	return out, err
}
