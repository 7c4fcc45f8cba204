package blob_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
)

func (w *world) info() account.Info {
	w.Helper()
	info, err := w.Accounts.Get(w.ctx, acct)
	if err != nil {
		w.Fatal(err)
	}
	return info
}

func (w *world) makeScope(n string) keys.Protector {
	w.Helper()
	i, err := w.Scopes.Create(w.ctx, w.info().ID, name.Scope(n), scope.Options{})
	if err != nil {
		w.Fatal(err)
	}
	return i.Protector()
}

// usedBy is what the keys of p protect, as the operator is told.
func (w *world) usedBy(p keys.Protector) []string {
	w.Helper()
	list := []string{}
	if err := w.Blobs.Uses(w.ctx, w.info(), func(e object.DEKEntry) bool { return e.Protector == p }, func(u blob.Used) error {
		list = append(list, fmt.Sprintf("%s staged=%t %d", u.Name, u.Staged, u.Length))
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// Uses tells exactly what a key protects: blobs and staged blocks, by every writer.
func TestUses(t *testing.T) {
	w := newWorld(t)
	p := w.makeScope("scope-a")
	in := blob.EncryptionOptions{Scope: "scope-a"}
	for _, n := range []string{"a", "b"} {
		if _, err := w.tryPut(n, "content", blob.PutOptions{Encryption: in}); err != nil {
			t.Fatal(err)
		}
	}
	w.put("plain", "content")
	if _, err := w.tryPut("keyed", "content", blob.PutOptions{Encryption: customer(t, 1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Blobs.PutBlock(w.ctx, w.who, ref("s"), blob.BlockOptions{ID: id(1), Length: 3, Body: strings.NewReader("abc"), Encryption: in}); err != nil {
		t.Fatal(err)
	}
	want := []string{"box/a staged=false 7", "box/b staged=false 7", "box/s staged=true 0"}
	if got := w.usedBy(p); !slices.Equal(got, want) {
		t.Errorf("scope: %v, want %v", got, want)
	}
	if got := w.usedBy(w.info().Protector); !slices.Equal(got, []string{"box/plain staged=false 7"}) {
		t.Errorf("account: %v", got)
	}
	if got := w.usedBy(keys.CPK); !slices.Equal(got, []string{"box/keyed staged=false 7"}) {
		t.Errorf("customer-provided keys: %v", got)
	}
	if _, err := w.tryPut("a", "plain now", blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := w.usedBy(p); len(got) != 2 {
		t.Errorf("after an overwrite: %v", got)
	}
}

// A scope that was shredded is gone for ever; its blobs can be listed and deleted, and
// those beside it do not notice.
func TestShredScope(t *testing.T) {
	w := newWorld(t)
	p := w.makeScope("scope-a")
	content := strings.Repeat("secret words ", 200_000)
	if _, err := w.tryPut("a", content, blob.PutOptions{Encryption: blob.EncryptionOptions{Scope: "scope-a"}}); err != nil {
		t.Fatal(err)
	}
	w.put("plain", content)
	if err := w.Ring.ShredProtector(w.ctx, p, "me"); err != nil {
		t.Fatal(err)
	}
	w.Objects.DropKeys(p)
	if err := w.Objects.MirrorProtector(w.ctx, p); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.tryGet("a", nil)
	w.want("read", err, fault.KeyGone)
	if err == nil || !strings.Contains(err.Error(), "destroyed") {
		t.Errorf("read: %v does not say that the key was destroyed", err)
	}
	_, err = w.tryPut("b", "x", blob.PutOptions{Encryption: blob.EncryptionOptions{Scope: "scope-a"}})
	w.want("write", err, fault.KeyGone)
	if w.get("plain") != content {
		t.Error("another blob is damaged")
	}
	rep, err := w.Objects.Verify(w.ctx, object.VerifyOptions{})
	if err != nil || rep.Damaged != 0 || rep.Locked != 1 {
		t.Errorf("Verify: damaged %d, locked %d, %v", rep.Damaged, rep.Locked, err)
	}
	w.want("delete", w.Blobs.Delete(w.ctx, w.who, ref("a"), blob.DeleteOptions{}), success)
	w.want("delete", w.Blobs.Delete(w.ctx, w.who, ref("plain"), blob.DeleteOptions{}), success)
	w.wantNoContent()
}

// An account that was shredded: at no point is anything reported as damaged, whether or
// not the run that did it came to the end, and the space comes back.
func TestShredAccount(t *testing.T) {
	for _, cut := range []bool{false, true} {
		w := newWorld(t)
		other := w.Account(t, "other")
		p := w.makeScope("scope-a")
		content := strings.Repeat("secret words ", 200_000)
		w.put("a", content)
		w.put("small", "x")
		w.stage("staged", id(1), content)
		if _, err := w.tryPut("scoped", content, blob.PutOptions{Encryption: blob.EncryptionOptions{Scope: "scope-a"}}); err != nil {
			t.Fatal(err)
		}
		info := w.info()
		if err := w.Ring.Shred(w.ctx, info.ID, "me"); err != nil {
			t.Fatal(err)
		}
		w.Objects.DropKeys(info.Protector)
		if err := w.Objects.Mirror(w.ctx); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.tryGet("a", nil); err == nil {
			t.Error("read after shredding")
		}
		if _, _, err := w.Ring.KEK(context.Background(), p); err == nil {
			t.Error("the scope of a shredded account opens")
		}
		if !cut {
			if err := w.Blobs.ForgetAccount(w.ctx, info); err != nil {
				t.Fatal(err)
			}
			verifyClean(t, w, "before collection")
		}
		w.wantNoContent() // collects: it also finishes what was cut off
		verifyClean(t, w, "at the end")
		if _, err := w.Accounts.Get(w.ctx, acct); !fault.Is(err, fault.AccountNotFound) {
			t.Errorf("the account is still there: %v", err)
		}
		if _, err := w.Accounts.Get(context.Background(), other.Name); err != nil {
			t.Errorf("another account: %v", err)
		}
		tomb := 0
		for _, c := range w.Ring.Chains() {
			if c.Owner != info.ID {
				continue
			}
			for _, v := range c.Versions {
				if v.State != keys.Destroyed || v.DestroyedBy != "me" || v.Destroyed.IsZero() {
					t.Errorf("no tombstone: %+v", v)
				}
				tomb++
			}
		}
		if tomb != 3 { // SYSK, KEK, KEK of the scope
			t.Errorf("%d tombstones, want 3", tomb)
		}
	}
}

func verifyClean(t *testing.T, w *world, when string) {
	t.Helper()
	var b bytes.Buffer
	rep, err := w.Objects.Verify(w.ctx, object.VerifyOptions{Damage: func(d object.Damage) { fmt.Fprintln(&b, d) }})
	if err != nil || rep.Damaged != 0 {
		t.Errorf("%s: Verify: damaged %d, %v\n%s", when, rep.Damaged, err, &b)
	}
}
