package object_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

var ctx = context.Background()

// noise is a reader of n reproducible bytes.
func noise(seed uint64, n int64) io.Reader {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	return io.LimitReader(rand.NewChaCha8(key), n)
}

func noiseBytes(seed uint64, n int64) []byte {
	b, _ := io.ReadAll(noise(seed, n))
	return b
}

func blobKey(owner keys.ID, name string) []byte { return append(owner[:], name...) }

// put stores one content under a new data key.
func put(t testing.TB, e *objecttest.Env, name string, n int64, src io.Reader) {
	t.Helper()
	d, err := e.NewDEK(e.Account, e.Protector())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := e.Write(ctx, d, extent.Single, n, src)
	if err != nil {
		t.Fatalf("Write(%d) error = %v", n, err)
	}
	defer c.Discard()
	err = e.Update(ctx, func(tx *object.Tx) error { return commit(tx, e, name, d, c) })
	if err != nil {
		t.Fatalf("commit of %d bytes: %v", n, err)
	}
}

// commit makes c the content of the row, and drops what it had.
func commit(tx *object.Tx, e *objecttest.Env, name string, d *object.DEK, c *object.Content) error {
	key := blobKey(e.Account, name)
	if old, err := tx.Get(object.Blob, e.Account, key); err == nil {
		if err := tx.Release(old, nil); err != nil {
			return err
		}
	}
	w, err := tx.Wrap(d)
	if err != nil {
		return err
	}
	refs, err := tx.Attach(c)
	if err != nil {
		return err
	}
	r := &object.Row{Owner: e.Account, DEKs: []object.DEKEntry{w}}
	if len(refs) > 0 {
		if err := tx.SetPieces(r, []object.Piece{{Refs: refs}}); err != nil {
			return err
		}
	}
	r.Set(40, []byte(name))
	return tx.Put(object.Blob, key, r)
}

func open(e *objecttest.Env, name string, off, n int64) (*object.Reader, error) {
	var rd *object.Reader
	err := e.View(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Blob, e.Account, blobKey(e.Account, name))
		if err != nil {
			return err
		}
		if n < 0 {
			n = r.Length() - off
		}
		rd, err = e.Open(ctx, r, off, n)
		return err
	})
	return rd, err
}

func read(e *objecttest.Env, name string, off, n int64) ([]byte, error) {
	rd, err := open(e, name, off, n)
	if err != nil {
		return nil, err
	}
	defer rd.Close()
	var b bytes.Buffer
	_, err = rd.WriteTo(&b)
	return b.Bytes(), err
}

func TestRoundTrip(t *testing.T) {
	e := objecttest.New(t, func(o *object.Options) { o.VerifyOneIn = 2 })
	const k = 1 << 10
	sizes := []int64{0, 1, 32*k - 1, 32 * k, 32*k + 1, 64*k - 1, 64 * k, 64*k + 1, k*k - 1, k * k, k*k + 1, 3*k*k + 17}
	for i, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			name := fmt.Sprint("b", n)
			put(t, e, name, n, noise(uint64(i), n))
			want := noiseBytes(uint64(i), n)
			got, err := read(e, name, 0, -1)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("read of %d bytes = %d bytes, %v", n, len(got), err)
			}
			for range 8 {
				off := rand.Int64N(n + 1)
				m := rand.Int64N(n - off + 1)
				got, err := read(e, name, off, m)
				if err != nil || !bytes.Equal(got, want[off:off+m]) {
					t.Errorf("read(%d, %d) of %d bytes is wrong: %v", off, m, n, err)
				}
			}
			if _, err := read(e, name, n, 1); !fault.Is(err, fault.InvalidRange) {
				t.Errorf("read behind the end: error = %v, want InvalidRange", err)
			}
		})
	}
	if e.Stats().Verified == 0 {
		t.Error("no chunk was read back after writing")
	}
}

func TestSeveralChunks(t *testing.T) {
	if testing.Short() {
		t.Skip("64 MiB")
	}
	e := objecttest.New(t)
	const n = 64<<20 + 1
	put(t, e, "big", n, noise(7, n))
	rd, err := open(e, "big", 0, n)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	got, want := sha256.New(), sha256.New()
	io.Copy(want, noise(7, n))
	if m, err := rd.WriteTo(got); err != nil || m != n {
		t.Fatalf("WriteTo = %d, %v", m, err)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Error("content differs")
	}
	b, err := read(e, "big", 64<<20-10, 11)
	if err != nil || !bytes.Equal(b, noiseBytes(7, n)[64<<20-10:]) {
		t.Errorf("range over the border of two chunks is wrong: %v", err)
	}
}

func TestWriteShort(t *testing.T) {
	e := objecttest.New(t)
	d, _ := e.NewDEK(e.Account, e.Protector())
	defer d.Close()
	for _, n := range []int64{1, 100, 100_000, 2 << 20} {
		_, err := e.Write(ctx, d, extent.Single, n, noise(1, n-1))
		if !fault.Is(err, fault.ContentLengthMismatch) {
			t.Errorf("Write of %d bytes with one missing: error = %v, want ContentLengthMismatch", n, err)
		}
	}
}
