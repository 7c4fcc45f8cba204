package account_test

import (
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/fault"
)

func TestAccountsAsResources(t *testing.T) {
	s := blobtest.New(t).Accounts
	made, err := s.CreateAs(t.Context(), account.Spec{Name: "acct1", ForbidPublic: true, Resource: account.Resource{Subscription: "s", Group: "g", Kind: "BlobStorage"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acct1"; made.ResourceID() != want || made.AllowPublic {
		t.Errorf("made %q, public %t", made.ResourceID(), made.AllowPublic)
	}
	got, err := s.Update(t.Context(), "acct1", func(i *account.Info) error { i.Resource.RequireCustomerKey, i.Double = true, true; return nil })
	if err != nil || !got.Resource.RequireCustomerKey || got.Double {
		t.Errorf("Update = %+v, %v: what is for life does not change", got, err)
	}
	_, err = s.Update(t.Context(), "acct1", func(i *account.Info) error { i.Resource.Group = strings.Repeat("g", 4<<10); return nil })
	if !fault.Is(err, fault.InvalidInput) {
		t.Errorf("a group without end: %v", err)
	}
	plain, err := s.CreateAs(t.Context(), account.Spec{Name: "acct2"})
	if err != nil || !plain.Resource.Free() || !strings.Contains(plain.ResourceID(), "/resourceGroups/coffer/") || !plain.Resource.Within(account.DefaultSubscription, "COFFER") {
		t.Errorf("without a word: %+v, %v", plain, err)
	}
}
