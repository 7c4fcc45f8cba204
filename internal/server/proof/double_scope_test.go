package proof

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
)

// TestDoubleScopeRowStripped (C5): in an account of one layer, who has the keys of both
// roots for once takes the second layer off a row of a scope that has two, and may also
// write into it that it has one. It is refused for ever after: the key store says what
// the scope has.
func TestDoubleScopeRowStripped(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, vfs.NewMem(), newSecrets())
	defer st.Close()
	info, err := st.Accounts.Get(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Scopes.Create(ctx, info.ID, "scope-twice", scope.Options{Double: true}); err != nil {
		t.Fatal(err)
	}
	if err := putUnder(st, "b", content("b", 300), blob.EncryptionOptions{Scope: "scope-twice"}); err != nil {
		t.Fatal(err)
	}
	var key, row []byte
	err = st.Meta.View(ctx, func(r meta.Reader) error {
		return r.Scan(append([]byte{object.Blob.Prefix}, info.ID[:]...), []byte{object.Blob.Prefix + 1}, false, func(k, v []byte) (bool, error) {
			key, row = bytes.Clone(k), bytes.Clone(v)
			return false, nil
		})
	})
	if err != nil || key == nil {
		t.Fatalf("no row, %v", err)
	}
	sys, rest, err := envelope.SplitRow(row)
	if err != nil {
		t.Fatal(err)
	}
	store := st.Ring.StoreID()
	aad := enc.Encode("coffer/row/v1", store[:], []byte(object.Blob.Name), key[1:])
	infra, err := envelope.InfraKeyref(sys)
	if err != nil {
		t.Fatalf("the row has one layer: %v", err)
	}
	idk, err := st.Ring.OpenInfra(infra)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := envelope.OpenInfra(idk, infra, nil, aad, sys)
	if err != nil {
		t.Fatal(err)
	}
	kref, sysk, err := st.Ring.System(info.ID)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := envelope.OpenValue(sysk, kref, nil, aad, inner)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := envelope.DecodeFields(plain)
	if err != nil || fields[0].Tag != 1 || !bytes.Equal(fields[0].Value, []byte{byte(extent.Double)}) {
		t.Fatalf("the row does not begin with its class: %v, %v", fields, err)
	}
	fields[0].Value = []byte{byte(extent.Single)}
	lower, err := envelope.SealValue(sysk, kref, nil, aad, envelope.EncodeFields(fields))
	if err != nil {
		t.Fatal(err)
	}
	for what, sys := range map[string][]byte{"one layer": inner, "one layer and its class": lower} {
		b := binary.BigEndian.AppendUint32([]byte{row[0]}, uint32(len(sys)))
		b = append(append(b, sys...), rest...)
		err := st.Meta.Update(ctx, func(tx meta.Tx) error {
			tx.Put(key, crypttest.Sealed(b))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := get(st, "b")
		if !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), "layers") {
			t.Errorf("a row with %s: %s, %v; want Corrupt", what, describe(got), err)
		}
	}
	err = st.Meta.Update(ctx, func(tx meta.Tx) error {
		tx.Put(key, crypttest.Sealed(row))
		return nil
	})
	if err == nil {
		err = holds(st, "b", content("b", 300))
	}
	if err != nil {
		t.Errorf("put back: %v", err)
	}
}
