package proof

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/secret"
)

// subject is one sealed thing and the way in which the store opens it. open returns what
// it would give out, also when it fails half way.
type subject struct {
	name   string
	good   []byte
	plain  []byte
	header int // bytes before the first unit
	fields int // how many of them are not zeros that fill; 0: all
	unit   int // size of what could be moved about; 0 is a thing of one piece
	open   func(b []byte) ([]byte, error)
	// other is a second thing of the kind under the same key, to be mixed with good.
	other []byte
	slow  bool // opening costs a signature
}

var errLength = errors.New("not of the recorded length")

// subjects makes one of every format. size scales them, for the long run.
func subjects(t testing.TB, size int) []subject {
	t.Helper()
	list := []subject{chunkSubject(t, size, false), chunkSubject(t, size, true), tableSubject(t, size), logSubject(t, size)}
	list = append(list, smallSubjects(t)...)
	list = append(list, doubleSubjects(t, sized(1, 3, 4))...)
	return append(list, keyStoreSubject(t), headSubject(t))
}

// chunkSubject is a CFC1 of several segments, opened whole or as a stream. The length is
// known from the row, as in the store.
func chunkSubject(t testing.TB, size int, stream bool) subject {
	p := segment.Params{DEK: secret.Random(32), DEKID: [16]byte{1}, Owner: [16]byte{2}, Chunk: [16]byte{3}, Lg: segment.MinLg}
	seal := func(seed string) ([]byte, []byte) {
		plain := content(seed, size*1024+100)
		s, _, err := segment.SealBytes(p, plain)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(s.Bytes()), plain
	}
	s := subject{name: "CFC1", header: segment.HeaderSize, unit: 1<<segment.MinLg + segment.SegOverhead}
	s.good, s.plain = seal("a")
	q := p
	p.Chunk[0]++
	s.other, _ = seal("b")
	s.open = func(b []byte) ([]byte, error) {
		if len(b) != len(s.good) {
			return nil, errLength
		}
		return segment.OpenBytes(q, b)
	}
	if stream {
		s.name = "CFC1, streamed"
		s.open = func(b []byte) ([]byte, error) {
			r, err := segment.NewReader(q, int64(len(s.plain)), bytes.NewReader(b))
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			err = r.WriteRange(&out, 0, int64(len(s.plain)))
			if err == nil && len(b) != len(s.good) {
				err = errLength // the store compares the sizes before
			}
			return out.Bytes(), err
		}
	}
	return s
}

// tableSubject is a CFV1 of class 1.
func tableSubject(t testing.TB, size int) subject {
	k := secret.Random(32)
	seal := func(number uint64, seed string) (b, plain []byte) {
		c, header, err := vfsframe.Create(k, [16]byte{9}, vfsframe.ID{Kind: vfsframe.Table, Area: vfsframe.LSM, Number: number})
		if err != nil {
			t.Fatal(err)
		}
		b = header
		w := c.NewTableWriter(func(p []byte) error { b = append(b, p...); return nil })
		plain = content(seed, size*2048+700)
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b, plain
	}
	s := subject{name: "CFV1 table", header: vfsframe.HeaderSize, unit: vfsframe.FrameSize + 28}
	s.good, s.plain = seal(7, "a")
	s.other, _ = seal(8, "b")
	s.open = func(b []byte) ([]byte, error) {
		c, err := vfsframe.Open(b[:min(len(b), vfsframe.HeaderSize)], vfsframe.ID{Kind: vfsframe.Table, Area: vfsframe.LSM, Number: 7}, only(k))
		if err != nil {
			return nil, err
		}
		r, err := c.NewTableReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return nil, err
		}
		var out []byte
		for off := int64(0); off < r.Size(); off += vfsframe.FrameSize {
			frame := make([]byte, min(vfsframe.FrameSize, r.Size()-off))
			if _, err := r.ReadAt(frame, off); err != nil {
				return out, err
			}
			out = append(out, frame...)
		}
		return out, nil
	}
	return s
}

// only is a ring with one VFSK.
func only(k secret.Key) func([16]byte) (secret.Key, error) {
	return func(kref [16]byte) (secret.Key, error) {
		if kref != [16]byte{9} {
			return secret.Key{}, errors.New("no such key")
		}
		return k, nil
	}
}

// logSubject is a CFV1 of class 2 that was closed in order. What HEAD says of such a file
// is that it reads to its last frame.
func logSubject(t testing.TB, size int) subject {
	k := secret.Random(32)
	const record = 200
	seal := func(number uint64, seed string) (b, plain []byte) {
		c, b, err := vfsframe.Create(k, [16]byte{9}, vfsframe.ID{Kind: vfsframe.Log, Area: vfsframe.LSM, Number: number})
		if err != nil {
			t.Fatal(err)
		}
		a := c.NewAppender()
		plain = content(seed, record*size*4)
		for r := range slices.Chunk(plain, record) {
			if b, err = a.Seal(b, r); err != nil {
				t.Fatal(err)
			}
			a.NoteSynced(a.Seq())
		}
		if b, err = a.End(b); err != nil {
			t.Fatal(err)
		}
		return b, plain
	}
	s := subject{name: "CFV1 log", header: vfsframe.HeaderSize, unit: record + vfsframe.AppendOverhead}
	s.good, s.plain = seal(7, "a")
	s.other, _ = seal(8, "b")
	last := uint64(size*4 + 1)
	s.open = func(b []byte) ([]byte, error) {
		c, err := vfsframe.Open(b[:min(len(b), vfsframe.HeaderSize)], vfsframe.ID{Kind: vfsframe.Log, Area: vfsframe.LSM, Number: 7}, only(k))
		if err != nil {
			return nil, err
		}
		var out []byte
		sc := c.NewScanner(bytes.NewReader(b), int64(len(b)))
		for {
			p, err := sc.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return out, err
			}
			out = append(out, p...)
		}
		if tail := sc.Tail(); tail.Seq != last {
			return out, errLength
		}
		return out, nil
	}
	return s
}

// smallSubjects are the sealed things of one piece.
func smallSubjects(t testing.TB) []subject {
	t.Helper()
	k, ref, aad, plain := secret.Random(32), [16]byte{5}, []byte("aad"), content("value", 150)
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	inner := must(envelope.SealValue(k, ref, nil, aad, plain))
	dek := secret.New(content("dek", 32))
	wrap, err := keywrap.Wrap(k, ref, aad, dek)
	if err != nil {
		t.Fatal(err)
	}
	return []subject{
		{name: "VALUE-1", good: inner, plain: plain, header: 33,
			other: must(envelope.SealValue(k, ref, nil, []byte("other"), plain)),
			open:  func(b []byte) ([]byte, error) { return envelope.OpenValue(k, ref, nil, aad, b) }},
		{name: "INFRA-1", good: must(envelope.SealInfra(k, ref, nil, aad, inner)), plain: inner, header: 49,
			other: must(envelope.SealInfra(k, ref, nil, []byte("other"), inner)),
			open:  func(b []byte) ([]byte, error) { return envelope.OpenInfra(k, ref, nil, aad, b) }},
		{name: "SEAL-1", good: must(keywrap.Seal(k, ref, aad, plain)), plain: plain, header: 66,
			other: must(keywrap.Seal(k, ref, []byte("other"), plain)),
			open:  func(b []byte) ([]byte, error) { return keywrap.Open(k, ref, aad, b) }},
		{name: "WRAP-1", good: wrap[:], plain: content("dek", 32), header: 66,
			open: func(b []byte) ([]byte, error) {
				got, err := keywrap.Unwrap(k, ref, aad, b)
				if err != nil {
					return nil, err
				}
				defer got.Destroy()
				return bytesOf(got)
			}},
	}
}

// ring makes a key store with one owner.
func ring(t testing.TB) (*keys.Ring, keys.Options) {
	t.Helper()
	sec := newSecrets()
	o := keys.Options{Store: new(keys.Memory), Service: sec.service, Infra: sec.infra}
	r, err := keys.Create(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if err := r.Initialize(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.AddOwner(ctx, keys.ID{1}); err != nil {
		t.Fatal(err)
	}
	return r, o
}

// keyStoreSubject is a CFKS; opening it is what a start does.
func keyStoreSubject(t testing.TB) subject {
	r, o := ring(t)
	return subject{name: "key store", good: r.Snapshot(), header: 200, slow: true,
		open: func(b []byte) ([]byte, error) {
			o := o
			o.Store = keys.NewMemory(b)
			r, err := keys.Open(ctx, o)
			if err != nil {
				return nil, err
			}
			r.Close()
			return nil, nil
		}}
}

// headSubject is a HEAD file as a small sealed file.
func headSubject(t testing.TB) subject {
	r, _ := ring(t)
	gen, sum := r.Generation()
	h := sealedfs.Head{StoreID: r.StoreID(), Format: 1, Seq: 1, Generation: gen, Sum: sum}
	seal := func(name string) []byte {
		b, err := sealedfs.SealFile(r, name, h.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return subject{name: "small file", good: seal("HEAD"), plain: h.Bytes(), other: seal("tls/ca.key"), header: 66,
		open: func(b []byte) ([]byte, error) { return sealedfs.OpenFile(r, "HEAD", b) }}
}
