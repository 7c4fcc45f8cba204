package blob_test

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/secret"
)

// customer makes a customer-provided key of 32 equal bytes.
func customer(t testing.TB, b byte) blob.EncryptionOptions {
	t.Helper()
	k, err := blob.NewCustomerKey(secret.New(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return blob.EncryptionOptions{Key: k}
}

// An account that forbids customer-provided keys refuses writes under them. What is
// there already stays readable: nobody is locked out of his data by a setting.
func TestForbidCustomerKeys(t *testing.T) {
	w := newWorld(t)
	enc := customer(t, 1)
	if _, err := w.tryPut("a", "content", blob.PutOptions{Encryption: enc}); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	if info, err := w.Accounts.Set(w.ctx, acct, account.Change{ForbidCustomerKeys: &yes}); err != nil || !info.ForbidCustomerKeys {
		t.Fatalf("Set = %+v, %v", info, err)
	}
	_, err := w.tryPut("b", "content", blob.PutOptions{Encryption: enc})
	w.want("put", err, fault.CustomerKeyNotPermitted)
	_, err = w.Blobs.PutBlock(w.ctx, w.who, ref("b"), blob.BlockOptions{ID: id(1), Length: 1, Body: bytes.NewReader([]byte("x")), Encryption: enc})
	w.want("block", err, fault.CustomerKeyNotPermitted)
	_, err = w.Blobs.PutBlockList(w.ctx, w.who, ref("b"), blob.ListOptions{Encryption: enc})
	w.want("block list", err, fault.CustomerKeyNotPermitted)
	_, err = w.Blobs.SetMetadata(w.ctx, w.who, ref("a"), nil, blob.Conditions{}, enc)
	w.want("metadata", err, fault.CustomerKeyNotPermitted)
	d, err := w.Blobs.Open(w.ctx, w.who, ref("a"), blob.ReadOptions{Encryption: enc})
	w.want("read", err, success)
	d.Close()
	if _, err := w.Accounts.Set(w.ctx, acct, account.Change{ForbidCustomerKeys: &no}); err != nil {
		t.Fatal(err)
	}
	_, err = w.tryPut("b", "content", blob.PutOptions{Encryption: enc})
	w.want("put when allowed again", err, success)
}

// A key comes over TLS only, whoever calls the service.
func TestCustomerKeyNeedsTLS(t *testing.T) {
	w := newWorld(t)
	plain := *w.who
	plain.Secure = false
	_, err := w.as(&plain).tryPut("a", "x", blob.PutOptions{Encryption: customer(t, 1)})
	w.want("put", err, fault.InvalidHeaderValue)
}

// Many overwrites under a key that the blobs were not under raise one alarm; writing
// new blobs, and the owner's further writes under the same key, raise none.
func TestRekeyAlarm(t *testing.T) {
	w := newWorld(t)
	var got []blob.Alarm
	w.Blobs = blob.New(w.Objects, w.Accounts, w.Scopes, blob.Options{Now: w.Clock.Now, OnAlarm: func(a blob.Alarm) { got = append(got, a) }})
	enc, other := customer(t, 1), customer(t, 2)
	put := func(n int, e blob.EncryptionOptions) {
		if _, err := w.tryPut("b"+strconv.Itoa(n), "x", blob.PutOptions{Encryption: e}); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 2 { // new, then again under the same key
		for i := range 120 {
			put(i, enc)
		}
		if len(got) != 0 {
			t.Fatalf("round %d: alarm %+v", round, got)
		}
	}
	for i := range 99 {
		put(i, other)
	}
	if len(got) != 0 {
		t.Fatalf("alarm too early: %+v", got)
	}
	for i := 99; i < 120; i++ {
		put(i, other)
	}
	if len(got) != 1 || got[0].Account != acct || got[0].Count != 100 {
		t.Fatalf("alarms %+v, want one of 100", got)
	}
	w.Clock.Add(11 * time.Minute)
	for i := range 99 { // slow enough
		put(i, enc)
	}
	if len(got) != 1 {
		t.Errorf("alarm for few overwrites: %+v", got[1:])
	}
}
