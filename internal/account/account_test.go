package account_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/secret"
)

func TestCreate(t *testing.T) {
	s := blobtest.New(t)
	ctx := context.Background()
	given := bytes.Repeat([]byte{7}, 64)
	info, err := s.Accounts.Create(ctx, "acct1", [2][]byte{given, nil})
	if err != nil {
		t.Fatal(err)
	}
	if info.Protector != (keys.Protector{Kind: keys.ProtectAccount, ID: info.ID}) {
		t.Errorf("protector = %v, want the account's own", info.Protector)
	}
	got, err := s.Accounts.Get(ctx, "acct1")
	if err != nil || cmp.Diff(info, got) != "" {
		t.Errorf("Get = %v, %v, want %v", got, err, info)
	}
	pair, err := s.Accounts.Keys(ctx, "acct1")
	if err != nil {
		t.Fatal(err)
	}
	if pair[0] != base64.StdEncoding.EncodeToString(given) {
		t.Errorf("first key is not the one that was given")
	}
	if b, err := base64.StdEncoding.DecodeString(pair[1]); err != nil || len(b) != 64 || bytes.Equal(b, given) {
		t.Errorf("second key = %d bytes, %v, want 64 random ones", len(b), err)
	}
	if _, err := s.Accounts.Create(ctx, "acct1", [2][]byte{}); !fault.Is(err, fault.Exists) {
		t.Errorf("second Create = %v, want Exists", err)
	}
	for _, bad := range []name.Account{"", "ab", "Upper", "a-b"} {
		if _, err := s.Accounts.Create(ctx, bad, [2][]byte{}); !fault.Is(err, fault.InvalidResourceName) {
			t.Errorf("Create(%q) = %v, want InvalidResourceName", bad, err)
		}
	}
	for _, bad := range [][]byte{{}, make([]byte, 300)} {
		if _, err := s.Accounts.Create(ctx, "acct2", [2][]byte{bad, nil}); !fault.Is(err, fault.InvalidInput) {
			t.Errorf("Create with a key of %d bytes = %v, want InvalidInput", len(bad), err)
		}
	}
}

func TestEnsureDefault(t *testing.T) {
	s := blobtest.New(t)
	ctx := context.Background()
	first, err := s.Accounts.EnsureDefault(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if first.Name != "devstoreaccount1" || !first.Default {
		t.Errorf("EnsureDefault = %+v", first)
	}
	again, err := s.Accounts.EnsureDefault(ctx)
	if err != nil || again.ID != first.ID {
		t.Errorf("second EnsureDefault = %+v, %v, want the same account", again, err)
	}
	pair, err := s.Accounts.Keys(ctx, account.DefaultName)
	if err != nil || pair[0] != account.DefaultKey {
		t.Errorf("Keys = %q, %v, want the published one", pair[0], err)
	}
	if pair[1] == account.DefaultKey {
		t.Error("the second key is the published one too")
	}
}

// signs reports what HMAC would: whether k is the key with this base64 form.
func signs(t *testing.T, k secret.Key, want string) bool {
	t.Helper()
	same := false
	err := k.Use(func(b []byte) error {
		same = base64.StdEncoding.EncodeToString(b) == want
		return nil
	})
	return err == nil && same
}

func TestRegenerate(t *testing.T) {
	s := blobtest.New(t)
	ctx := context.Background()
	s.Account(t, "acct1")
	before, err := s.Accounts.Keys(ctx, "acct1")
	if err != nil {
		t.Fatal(err)
	}
	held, err := s.Accounts.SigningKeys(ctx, "acct1") // fills the cache
	if err != nil || !signs(t, held[0], before[0]) || !signs(t, held[1], before[1]) {
		t.Fatalf("SigningKeys are not Keys: %v", err)
	}
	if err := s.Accounts.Regenerate(ctx, "acct1", 2); err != nil {
		t.Fatal(err)
	}
	after, err := s.Accounts.Keys(ctx, "acct1")
	if err != nil || after[0] != before[0] || after[1] == before[1] {
		t.Errorf("Regenerate(2) changed the wrong key: %v", err)
	}
	if !signs(t, held[0], before[0]) {
		t.Error("the other key was taken from requests that are using it")
	}
	now, err := s.Accounts.SigningKeys(ctx, "acct1")
	if err != nil || !signs(t, now[0], after[0]) || !signs(t, now[1], after[1]) {
		t.Errorf("SigningKeys after Regenerate are stale: %v", err)
	}
	if signs(t, held[1], before[1]) {
		t.Error("the old key still signs")
	}
	for _, which := range []int{0, 3} {
		if err := s.Accounts.Regenerate(ctx, "acct1", which); !fault.Is(err, fault.InvalidInput) {
			t.Errorf("Regenerate(%d) = %v, want InvalidInput", which, err)
		}
	}
	if err := s.Accounts.Regenerate(ctx, "nobody", 1); !fault.Is(err, fault.AccountNotFound) {
		t.Errorf("Regenerate of no account = %v, want AccountNotFound", err)
	}
}

func TestList(t *testing.T) {
	s := blobtest.New(t)
	ctx := context.Background()
	var want []string
	for _, n := range []name.Account{"bbb", "aaa", "ccc1"} {
		s.Account(t, n)
	}
	list, err := s.Accounts.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		want = append(want, string(i.Name))
	}
	if d := cmp.Diff([]string{"aaa", "bbb", "ccc1"}, want); d != "" {
		t.Errorf("List (-want +got):\n%s", d)
	}
}

func TestDelete(t *testing.T) {
	s := blobtest.New(t)
	ctx := context.Background()
	s.Account(t, "acct1")
	own := blobtest.Owner("acct1")
	if _, err := s.Blobs.CreateContainer(ctx, own, "acct1", "box", blob.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Accounts.Delete(ctx, "acct1", false); !fault.Is(err, fault.NotAllowed) {
		t.Errorf("Delete of a full account = %v, want NotAllowed", err)
	}
	if err := s.Accounts.Delete(ctx, "acct1", true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accounts.Get(ctx, "acct1"); !fault.Is(err, fault.AccountNotFound) {
		t.Errorf("Get after Delete = %v, want AccountNotFound", err)
	}
	if err := s.Accounts.Delete(ctx, "acct1", true); !fault.Is(err, fault.AccountNotFound) {
		t.Errorf("second Delete = %v, want AccountNotFound", err)
	}
	fresh := s.Account(t, "acct1")
	page, err := s.Blobs.ListContainers(ctx, own, "acct1", blob.ListContainersOptions{})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("containers of the new account = %v, %v, want none", page.Items, err)
	}
	if fresh.ID == (keys.ID{}) {
		t.Error("new account has no id")
	}
	if err := s.Accounts.Delete(ctx, "acct1", false); err != nil {
		t.Errorf("Delete of an empty account = %v", err)
	}
}

// TestCacheAges shows the one way in which the cache may be behind: another server's
// change is seen after a minute.
func TestCacheAges(t *testing.T) {
	s := blobtest.New(t)
	ctx := context.Background()
	if _, err := s.Accounts.Get(ctx, "acct1"); !fault.Is(err, fault.AccountNotFound) {
		t.Fatal(err)
	}
	other := account.New(s.Objects, s.Ring, account.Options{Now: s.Clock.Now})
	defer other.Close()
	if _, err := other.Create(ctx, "acct1", [2][]byte{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accounts.Get(ctx, "acct1"); !fault.Is(err, fault.AccountNotFound) {
		t.Errorf("Get within the minute = %v, want the cached AccountNotFound", err)
	}
	s.Clock.Add(time.Minute)
	if _, err := s.Accounts.SigningKeys(ctx, "acct1"); err != nil {
		t.Errorf("SigningKeys after a minute = %v", err)
	}
	if err := other.Regenerate(ctx, "acct1", 1); err != nil {
		t.Fatal(err)
	}
	s.Clock.Add(time.Minute)
	pair, err := other.Keys(ctx, "acct1")
	if err != nil {
		t.Fatal(err)
	}
	if k, err := s.Accounts.SigningKeys(ctx, "acct1"); err != nil || !signs(t, k[0], pair[0]) || !signs(t, k[1], pair[1]) {
		t.Errorf("keys a minute after another server's Regenerate are stale: %v", err)
	}
}

// TestManyUnknownNames shows that asking for names that do not exist neither grows the
// cache for ever nor costs an account its keys.
func TestManyUnknownNames(t *testing.T) {
	s := blobtest.New(t)
	ctx := context.Background()
	s.Account(t, "acct1")
	held, err := s.Accounts.SigningKeys(ctx, "acct1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		if _, err := s.Accounts.Get(ctx, name.Account("u"+strconv.Itoa(i)+"x")); !fault.Is(err, fault.AccountNotFound) {
			t.Fatal(err)
		}
	}
	if err := held[0].Use(func([]byte) error { return nil }); err != nil {
		t.Errorf("the key was destroyed: %v", err)
	}
}

func TestParallel(t *testing.T) {
	s := blobtest.New(t)
	ctx := context.Background()
	var wg sync.WaitGroup
	made := make(chan account.Info, 8)
	for range 8 {
		wg.Go(func() {
			if info, err := s.Accounts.Create(ctx, "acct1", [2][]byte{}); err == nil {
				made <- info
			} else if !fault.Is(err, fault.Exists) {
				t.Error(err)
			}
			for range 20 {
				if _, err := s.Accounts.SigningKeys(ctx, "acct1"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(made) != 1 {
		t.Errorf("%d of 8 Creates won, want 1", len(made))
	}
}
