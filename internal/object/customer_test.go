package object_test

import (
	"bytes"
	"testing"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
	"github.com/coffer-storage/coffer/internal/secret"
)

func customerKey(t testing.TB, b byte) *object.CustomerKey {
	t.Helper()
	ck, err := object.NewCustomerKey(secret.New(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return ck
}

// putCustomer stores content and metadata under ck.
func putCustomer(t testing.TB, e *objecttest.Env, name string, content []byte, ck *object.CustomerKey) {
	t.Helper()
	d, err := e.NewCustomerDEK(e.Account, ck)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := e.Write(ctx, d, extent.Single, int64(len(content)), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Discard()
	part, err := e.SealMeta(d, keys.CPK, []byte("colour=blue"))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Update(ctx, func(tx *object.Tx) error {
		if err := commit(tx, e, name, d, c); err != nil {
			return err
		}
		r, err := tx.Get(object.Blob, e.Account, blobKey(e.Account, name))
		if err != nil {
			return err
		}
		hash := ck.Hash()
		r.CPKHash = hash[:]
		r.SetPart(part)
		return tx.Put(object.Blob, blobKey(e.Account, name), r)
	}); err != nil {
		t.Fatal(err)
	}
}

func customerRow(t testing.TB, e *objecttest.Env, name string) *object.Row {
	t.Helper()
	var r *object.Row
	if err := e.View(ctx, func(tx *object.Tx) (err error) {
		r, err = tx.Get(object.Blob, e.Account, blobKey(e.Account, name))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

// A content under a customer's key opens with that key, after a restart too, and with
// nothing else; once the key is destroyed it does not open in this process either.
func TestCustomerKey(t *testing.T) {
	e := objecttest.New(t)
	content := noiseBytes(7, 100_000)
	a, b := customerKey(t, 1), customerKey(t, 2)
	putCustomer(t, e, "x", content, a)
	e.Reopen()

	r := customerRow(t, e, "x")
	if err := r.SetCustomerKey(nil); !fault.Is(err, fault.UsesCustomerSpecifiedEncryption) {
		t.Errorf("no key: %v", err)
	}
	if err := r.SetCustomerKey(b); !fault.Is(err, fault.CustomerSpecifiedEncryptionMismatch) {
		t.Errorf("another key: %v", err)
	}
	if _, err := e.Open(ctx, r, 0, r.Length()); !fault.Is(err, fault.UsesCustomerSpecifiedEncryption) {
		t.Errorf("Open without the key: %v", err)
	}
	if _, err := e.OpenMeta(ctx, r); !fault.Is(err, fault.UsesCustomerSpecifiedEncryption) {
		t.Errorf("OpenMeta without the key: %v", err)
	}
	if err := r.SetCustomerKey(a); err != nil {
		t.Fatal(err)
	}
	rd, err := e.Open(ctx, r, 0, r.Length())
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := rd.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), content) {
		t.Errorf("read %d bytes, %v", got.Len(), err)
	}
	rd.Close()
	if m, err := e.OpenMeta(ctx, r); err != nil || string(m) != "colour=blue" {
		t.Errorf("OpenMeta = %q, %v", m, err)
	}
	a.Destroy()
	if _, err := e.Open(ctx, r, 0, r.Length()); err == nil {
		t.Error("the content opens after its key was destroyed: something kept it")
	}
	put(t, e, "plain", 10, noise(1, 10))
	if err := customerRow(t, e, "plain").SetCustomerKey(b); !fault.Is(err, fault.DoesNotUseCustomerSpecifiedEncryption) {
		t.Errorf("key for a row without one: %v", err)
	}
}

// A wrap that does not open under the right key is damage, and never a wrong key.
func TestCustomerWrapDamaged(t *testing.T) {
	e := objecttest.New(t)
	a := customerKey(t, 1)
	putCustomer(t, e, "x", noiseBytes(7, 100), a)
	r := customerRow(t, e, "x")
	for _, at := range []int{0, 40, 100, 189} {
		entry := r.DEKs[0]
		entry.Wrap = bytes.Clone(entry.Wrap)
		entry.Wrap[at] ^= 1
		if _, err := e.OpenCustomerDEK(e.Account, entry, a); !fault.Is(err, fault.Corrupt) {
			t.Errorf("byte %d changed: %v, want Corrupt", at, err)
		}
	}
	if _, err := e.OpenCustomerDEK(keys.NewID(), r.DEKs[0], a); !fault.Is(err, fault.Corrupt) {
		t.Errorf("another owner: %v, want Corrupt", err)
	}
}

// Verify has no customer's key: it counts the content as locked, and finds by checksum
// what was changed.
func TestVerifyCustomerContent(t *testing.T) {
	e := objecttest.New(t)
	a := customerKey(t, 1)
	putCustomer(t, e, "x", noiseBytes(7, 200_000), a)
	rep, err := e.Verify(ctx, object.VerifyOptions{})
	if err != nil || rep.Locked != 1 || rep.Damaged != 0 {
		t.Errorf("Verify: locked %d, damaged %d, %v", rep.Locked, rep.Damaged, err)
	}
}
