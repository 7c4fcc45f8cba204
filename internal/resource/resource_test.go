package resource

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
	"github.com/coffer-storage/coffer/internal/object"
)

const (
	sub   = "Sub-1"
	asker = "/subscriptions/Sub-1/resourceGroups/Red/providers/Microsoft.ManagedIdentity/userAssignedIdentities/asker"
)

type world struct {
	*Service
	store *blobtest.Store
	ids   *identity.Service
	vault *keystest.Vault
}

// newWorld has a group Red and a user-assigned identity in it.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{store: blobtest.New(t), vault: new(keystest.Vault)}
	if err := w.store.Ring.SetVault(w.vault, keys.CustomerOptions{}); err != nil {
		t.Fatal(err)
	}
	w.ids = identity.New(w.store.Objects, identity.Options{Now: w.store.Clock.Now})
	if err := w.ids.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.ids.Close)
	w.Service = New(Options{
		Store: w.store.Objects, Accounts: w.store.Accounts, Scopes: w.store.Scopes, Ring: w.store.Ring, Identities: w.ids, Now: w.store.Clock.Now,
	})
	if _, _, err := w.PutGroup(t.Context(), Group{Subscription: sub, Name: "Red", Location: "here"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ids.CreateIdentity(t.Context(), identity.UserAssigned, asker, "asker"); err != nil {
		t.Fatal(err)
	}
	return w
}

// make makes or changes an account of group Red.
func (w *world) make(t *testing.T, n string, wish Wish) account.Info {
	t.Helper()
	i, _, err := w.Create(t.Context(), sub, "red", n, wish)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// problem is why something was refused; 0 is no refusal.
func problem(err error) Problem {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem
	}
	return 0
}

func names(list []account.Info) (out []string) {
	for _, i := range list {
		out = append(out, string(i.Name))
	}
	return out
}

func TestGroups(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	many := map[string]string{}
	for i := range maxTags + 1 {
		many[fmt.Sprint(i)] = ""
	}
	for _, tt := range []struct {
		name string
		g    Group
		want Problem
	}{
		{"a name that ends in a dot", Group{Subscription: sub, Name: "a.", Location: "l"}, BadValue},
		{"no name", Group{Subscription: sub, Location: "l"}, BadValue},
		{"a name with a slash", Group{Subscription: sub, Name: "a/b", Location: "l"}, BadValue},
		{"a name of 91", Group{Subscription: sub, Name: strings.Repeat("a", 91), Location: "l"}, BadValue},
		{"a subscription with a zero byte", Group{Subscription: "a\x00b", Name: "a", Location: "l"}, BadValue},
		{"no location", Group{Subscription: sub, Name: "a"}, BadValue},
		{"51 tags", Group{Subscription: sub, Name: "a", Location: "l", Tags: many}, BadValue},
		{"a long tag", Group{Subscription: sub, Name: "a", Location: "l", Tags: map[string]string{"k": strings.Repeat("v", maxText)}}, BadValue},
		{"another location", Group{Subscription: sub, Name: "RED", Location: "there"}, ReadOnly},
	} {
		if _, _, err := w.PutGroup(ctx, tt.g); problem(err) != tt.want {
			t.Errorf("%s: %v, want problem %d", tt.name, err, tt.want)
		}
	}
	// The spelling of the first stays, tags are replaced, and the name has no case.
	made, created, err := w.PutGroup(ctx, Group{Subscription: "SUB-1", Name: "rED", Location: "HERE", Tags: map[string]string{"b": "2", "a": ""}})
	if err != nil || created || made.Name != "Red" || made.Location != "here" {
		t.Errorf("the same group again = %+v, new %v, %v", made, created, err)
	}
	got, err := w.Group(ctx, sub, "red")
	if err != nil || !maps.Equal(got.Tags, map[string]string{"b": "2", "a": ""}) || !got.Created.Equal(w.store.Clock.Now()) {
		t.Errorf("Group = %+v, %v", got, err)
	}
	for _, n := range []string{"ä-Größe", "(x)", "zz"} {
		if _, created, err := w.PutGroup(ctx, Group{Subscription: sub, Name: n, Location: "l"}); err != nil || !created {
			t.Errorf("group %s: new %v, %v", n, created, err)
		}
	}
	list, err := w.Groups(ctx, sub)
	var all []string
	for _, g := range list {
		all = append(all, g.Name)
	}
	if d := cmp.Diff([]string{"(x)", "Red", "zz", "ä-Größe"}, all); err != nil || d != "" {
		t.Errorf("groups: %v (-want +got):\n%s", err, d)
	}
	if list, err := w.Groups(ctx, "Sub"); err != nil || len(list) != 0 { // a beginning of another's name
		t.Errorf("groups of another subscription: %v, %v", list, err)
	}
	if _, err := w.Group(ctx, sub, "none"); problem(err) != NoGroup {
		t.Errorf("no group: %v", err)
	}
	if list, err := w.Groups(ctx, account.DefaultSubscription); err != nil || len(list) != 1 || list[0].Name != account.DefaultGroup {
		t.Errorf("groups of the default subscription: %v, %v", list, err)
	}
	w.make(t, "acct1", Wish{})
	if err := w.RemoveGroup(ctx, sub, "RED"); problem(err) != GroupNotEmpty {
		t.Errorf("removing a group with an account: %v", err)
	}
	if err := w.RemoveGroup(ctx, sub, "ZZ"); err != nil {
		t.Error(err)
	}
	if err := w.RemoveGroup(ctx, sub, "zz"); problem(err) != NoGroup {
		t.Errorf("removing it again: %v", err)
	}
}

// A row of a group that is cut anywhere, or runs on, is an error and no group.
func TestGroupRowsOfWrongForm(t *testing.T) {
	w := newWorld(t)
	whole := func() *object.Row {
		return w.groupRow(Group{Subscription: sub, Name: "g", Location: "l", Tags: map[string]string{"key": "value"}})
	}
	if g, err := decodeGroup(sub, whole()); err != nil || g.Name != "g" || g.Tags["key"] != "value" {
		t.Fatalf("whole = %+v, %v", g, err)
	}
	tag := whole().All(tagTag)[0]
	for n := range len(tag) {
		r := whole()
		r.Set(tagTag, tag[:n])
		if _, err := decodeGroup(sub, r); !errors.Is(err, errRow) {
			t.Errorf("tag of %d of %d bytes: %v", n, len(tag), err)
		}
	}
	for _, edit := range []func(*object.Row){
		func(r *object.Row) { r.Set(tagTag, append(slices.Clone(tag), 0)) },
		func(r *object.Row) { r.Set(tagCreated, []byte{1, 2}) },
		func(r *object.Row) { r.Set(tagName, nil) },
	} {
		r := whole()
		edit(r)
		if _, err := decodeGroup(sub, r); !errors.Is(err, errRow) {
			t.Errorf("a damaged row was read: %v", err)
		}
	}
}

// Accounts are one name space over all groups; who looks in the wrong one finds nothing.
func TestAccountsAndGroups(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if _, _, err := w.PutGroup(ctx, Group{Subscription: sub, Name: "blue", Location: "l"}); err != nil {
		t.Fatal(err)
	}
	i, created, err := w.Create(ctx, "SUB-1", "rEd", "acct1", Wish{Tags: map[string]string{"a": "b"}})
	if err != nil || !created || i.Stated().Kind != "StorageV2" || i.Stated().SKU != "Standard_LRS" && i.Stated().SKU != account.DefaultSKU {
		t.Fatalf("Create = %+v, new %v, %v", i, created, err)
	}
	if _, created, err := w.Create(ctx, sub, "red", "acct1", Wish{}); err != nil || created {
		t.Errorf("the same again: new %v, %v", created, err)
	}
	for _, tt := range []struct {
		group, name string
		want        Problem
		kind        fault.Kind
	}{
		{"blue", "acct1", NameTaken, 0},
		{"none", "acct2", NoGroup, 0},
		{"red", "Acct1", 0, fault.InvalidResourceName},
		{"red", "ab", 0, fault.InvalidResourceName},
	} {
		_, _, err := w.Create(ctx, sub, tt.group, tt.name, Wish{})
		if problem(err) != tt.want || tt.kind != 0 && !fault.Is(err, tt.kind) || err == nil {
			t.Errorf("Create %s in %s = %v, want problem %d, kind %v", tt.name, tt.group, err, tt.want, tt.kind)
		}
	}
	w.store.Account(t, "free1") // by the command line, in no group
	for _, tt := range []struct {
		sub, group, name string
		want             Problem
	}{
		{sub, "red", "acct1", 0},
		{"SUB-1", "RED", "acct1", 0},
		{sub, "", "acct1", 0},
		{sub, "blue", "acct1", NoAccount},
		{"other", "red", "acct1", NoAccount},
		{sub, "red", "none1", NoAccount},
		{sub, "red", "_", NoAccount},
		{sub, "blue", "free1", 0}, // found anywhere; roles count at the id that it has
	} {
		if _, err := w.Find(ctx, tt.sub, tt.group, tt.name); problem(err) != tt.want || err != nil && tt.want == 0 {
			t.Errorf("Find %s in %s/%s = %v, want problem %d", tt.name, tt.sub, tt.group, err, tt.want)
		}
	}
	for _, tt := range []struct {
		sub, group string
		want       []string
	}{
		{sub, "red", []string{"acct1"}},
		{sub, "blue", nil},
		{sub, "", []string{"acct1"}},
		{account.DefaultSubscription, account.DefaultGroup, []string{"free1"}},
	} {
		list, err := w.List(ctx, tt.sub, tt.group)
		if d := cmp.Diff(tt.want, names(list)); err != nil || d != "" {
			t.Errorf("List %s/%s: %v (-want +got):\n%s", tt.sub, tt.group, err, d)
		}
	}
}

// What kinds of accounts may be, and what may never change: the whole table.
func TestWishes(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	double := func(b bool) *EncryptionWish { return &EncryptionWish{Double: &b} }
	queue := func(s string) *EncryptionWish { return &EncryptionWish{QueueKey: &s} }
	p := func(s string) *string { return &s }
	yes := true
	n := 0
	for _, tt := range []struct {
		name string
		wish Wish
		want Problem
	}{
		{"another kind", Wish{Kind: p("Cold")}, BadValue},
		{"files", Wish{Kind: p("filestorage")}, NotServed},
		{"a SKU of another kind", Wish{Kind: p("BlockBlobStorage"), SKU: p("Standard_LRS")}, BadValue},
		{"any case", Wish{Kind: p("blockBLOBstorage"), SKU: p("premium_zrs")}, 0},
		{"no access tier", Wish{Kind: p("BlobStorage"), SKU: p("Standard_LRS")}, BadValue},
		{"one that is none", Wish{AccessTier: p("Warm")}, BadValue},
		{"one where there is none", Wish{Kind: p("Storage"), AccessTier: p("Hot")}, NotForKind},
		{"what such an account has anyway", Wish{Kind: p("BlockBlobStorage"), AccessTier: p("Premium")}, 0},
		{"double, not of this kind", Wish{Kind: p("Storage"), Encryption: double(true)}, NotForKind},
		{"double", Wish{Encryption: double(true)}, 0},
		{"keys of queues, not of this kind", Wish{Kind: p("BlockBlobStorage"), Encryption: queue("Account")}, NotForKind},
		{"keys of queues", Wish{Encryption: queue("ACCOUNT")}, 0},
		{"keys of queues that are none", Wish{Encryption: queue("Mine")}, BadValue},
		{"to require a key without one", Wish{RequireCustomerKey: &yes}, NeedsCustomerKey},
		{"to require double without it", Wish{RequireDouble: &yes}, NeedsDouble},
		{"to require double with it", Wish{RequireDouble: &yes, Encryption: double(true)}, 0},
		{"an identity that is not there", Wish{Identity: &IdentityWish{User: []string{"/subscriptions/x"}, Typed: true}}, IdentityGone},
		{"none of those that the type promises", Wish{Identity: &IdentityWish{Typed: true}}, NoUserIdentity},
		{"two identities", Wish{Identity: &IdentityWish{User: []string{asker, asker + "2"}, Typed: true}}, BadValue},
	} {
		n++
		i, created, err := w.Create(ctx, sub, "red", fmt.Sprintf("new%d", n), tt.wish)
		if problem(err) != tt.want || (err == nil) != (tt.want == 0) {
			t.Errorf("new, %s: %v, want problem %d", tt.name, err, tt.want)
		}
		if created != (err == nil) {
			t.Errorf("new, %s: new %v, %v", tt.name, created, err)
		}
		if err != nil {
			if _, err := w.Find(ctx, sub, "red", fmt.Sprintf("new%d", n)); problem(err) != NoAccount {
				t.Errorf("new, %s: refused, and an account is there: %+v, %v", tt.name, i, err)
			}
		}
	}
	plain := w.make(t, "plain", Wish{Location: p("here")})
	block := w.make(t, "block", Wish{Kind: p("BlockBlobStorage")})
	for _, tt := range []struct {
		name string
		i    account.Info
		wish Wish
		want Problem
	}{
		{"nothing", plain, Wish{}, 0},
		{"the same", plain, Wish{Location: p("HERE"), Kind: p("storagev2"), Encryption: double(false)}, 0},
		{"location", plain, Wish{Location: p("there")}, ReadOnly},
		{"kind", plain, Wish{Kind: p("BlobStorage")}, ReadOnly},
		{"no upgrade from there", block, Wish{Kind: p("StorageV2")}, ReadOnly},
		{"to premium", plain, Wish{SKU: p("Premium_LRS")}, ReadOnly},
		{"SKU", plain, Wish{SKU: p("standard_ragrs")}, 0},
		{"double", plain, Wish{Encryption: double(true)}, ReadOnly},
		{"keys of queues", plain, Wish{Encryption: queue("Account")}, ReadOnly},
		{"a key without vault", plain, Wish{Encryption: &EncryptionWish{Vault: &VaultWish{Key: p("k")}}}, NoVaultFields},
		{"a key without identity", plain, Wish{Encryption: &EncryptionWish{Vault: &VaultWish{Key: p("k"), URI: p(keystest.URI("v"))}}}, NoKeyIdentity},
		{"an identity that it does not have", plain, Wish{Encryption: &EncryptionWish{KeyIdentity: p(asker)}}, NoKeyIdentity},
		{"a federated application alone", plain, Wish{Encryption: &EncryptionWish{FederatedClientID: p("x")}}, NoKeyIdentity},
		{"to require double later", plain, Wish{RequireDouble: &yes}, NeedsDouble},
		{"public access and keys on the request", plain, Wish{AllowPublic: new(bool), ForbidCPK: &yes}, 0},
	} {
		if _, err := w.Change(ctx, tt.i, tt.wish); problem(err) != tt.want || (err == nil) != (tt.want == 0) {
			t.Errorf("change, %s: %v, want problem %d", tt.name, err, tt.want)
		}
	}
	got, err := w.Find(ctx, sub, "red", "plain")
	if err != nil || got.Stated().SKU != "Standard_RAGRS" || got.AllowPublic || !got.ForbidCustomerKeys {
		t.Errorf("after all that = %+v, %v", got, err)
	}
	if !Geo(got.Stated().SKU) || Geo("Standard_ZRS") || !Geo("standard_ragzrs") {
		t.Error("Geo does not know which names promise a second region")
	}
}

// Two who read an account and each change something else of it: both count, whoever is
// second. Whoever comes after it was deleted and made anew changes nothing of the new one.
func TestChangesDoNotUndoEachOther(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	old := w.make(t, "acct1", Wish{})
	sku := "Standard_GRS"
	if _, err := w.Change(ctx, old, Wish{SKU: &sku}); err != nil {
		t.Fatal(err)
	}
	got, err := w.Change(ctx, old, Wish{Tags: map[string]string{"a": "b"}})
	if err != nil || got.Resource.SKU != sku || got.Resource.Tags["a"] != "b" {
		t.Errorf("after both = %+v, %v", got.Resource, err)
	}
	if err := w.Delete(ctx, got, false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Change(ctx, old, Wish{SKU: &sku}); problem(err) != NoAccount {
		t.Errorf("a change of what is gone: %v", err)
	}
	w.make(t, "acct1", Wish{})
	if _, err := w.Change(ctx, old, Wish{SKU: &sku}); problem(err) != NoAccount {
		t.Errorf("a change of what is another now: %v", err)
	}
}

// under says which key an account is to be under.
func under(ref keys.VaultRef, id string) *EncryptionWish {
	s := CustomerManaged
	return &EncryptionWish{Source: &s, Vault: &VaultWish{URI: &ref.URI, Key: &ref.Key}, KeyIdentity: &id}
}

// A policy that requires customers' keys stands in the way of every way back.
func TestRequireCustomerKey(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ref := w.vault.Add("v1", "k1")
	i := w.make(t, "acct1", Wish{Identity: &IdentityWish{User: []string{strings.ToUpper(asker)}, Typed: true}, Encryption: under(ref, asker)})
	if k, ok := w.Key(i); !ok || !k.Follow || k.Ref.Identity != asker {
		t.Fatalf("the key = %+v, %v", k, ok)
	}
	service, on, off := ServiceManaged, keys.Enabled, keys.Disabled
	if _, _, err := w.CreateScope(ctx, i, "plain", ScopeWish{}); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	i, err := w.Change(ctx, i, Wish{RequireCustomerKey: &yes})
	if problem(err) != NeedsCustomerKey {
		t.Fatalf("with a scope under the service's key: %v", err)
	}
	if _, err := w.ChangeScope(ctx, i, "plain", ScopeWish{State: &off}); err != nil {
		t.Fatal(err)
	}
	if i, err = w.Change(ctx, i, Wish{RequireCustomerKey: &yes}); err != nil {
		t.Fatal(err)
	}
	uri := ref.URI + "/keys/" + ref.Key
	if _, created, err := w.CreateScope(ctx, i, "own", ScopeWish{KeyURI: &uri}); err != nil || !created {
		t.Fatalf("a scope with a key: new %v, %v", created, err)
	}
	refusals := map[string]func() error{
		"back to the service's key": func() error {
			_, err := w.Change(ctx, i, Wish{Encryption: &EncryptionWish{Source: &service}})
			return err
		},
		"a scope without a key":             func() error { _, _, err := w.CreateScope(ctx, i, "second", ScopeWish{}); return err },
		"a scope back to the service's key": func() error { _, err := w.ChangeScope(ctx, i, "own", ScopeWish{Source: &service}); return err },
		"enabling one without a key":        func() error { _, err := w.ChangeScope(ctx, i, "plain", ScopeWish{State: &on}); return err },
	}
	for name, f := range refusals {
		if err := f(); problem(err) != NeedsCustomerKey {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	if i, err = w.Change(ctx, i, Wish{RequireCustomerKey: &no}); err != nil {
		t.Fatal(err)
	}
	for name, f := range refusals {
		if err := f(); err != nil {
			t.Errorf("%s without the policy: %v", name, err)
		}
	}
	if err := w.RevokeNow(ctx, i); problem(err) != NeedsCustomerKey {
		t.Errorf("RevokeNow without a customer's key: %v", err)
	}
}

// Scopes have no identity of their own: the account's new one asks for their keys.
func TestScopesFollowTheIdentity(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ref := w.vault.Add("v1", "k1")
	i := w.make(t, "acct1", Wish{Identity: &IdentityWish{User: []string{asker}, Typed: true}, Encryption: under(ref, asker)})
	uri := ref.URI + "/keys/" + ref.Key
	if _, _, err := w.CreateScope(ctx, i, "own", ScopeWish{KeyURI: &uri}); err != nil {
		t.Fatal(err)
	}
	i, err := w.Change(ctx, i, Wish{
		Identity: &IdentityWish{System: true, User: []string{asker}, Typed: true}, Encryption: &EncryptionWish{KeyIdentity: new(string)},
	})
	if err != nil {
		t.Fatal(err)
	}
	sc, err := w.store.Scopes.Get(ctx, i.ID, "own")
	if err != nil {
		t.Fatal(err)
	}
	own, _ := w.ScopeKey(sc)
	all, _ := w.Key(i)
	if own.Ref.Identity != "" || all.Ref.Identity != "" || !own.Follow {
		t.Errorf("the identities that ask: scope %q, account %q, want the system's; follows %v", own.Ref.Identity, all.Ref.Identity, own.Follow)
	}
	if err := w.RevokeNow(ctx, i); err != nil {
		t.Errorf("RevokeNow: %v", err)
	}
}

// Who has a role on an account, and the account's own identity, are nobody at the next
// account of that name.
func TestNothingIsInherited(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	i := w.make(t, "acct1", Wish{Identity: &IdentityWish{System: true}})
	before, ok := w.SystemIdentity(ctx, i)
	if !ok {
		t.Fatal("the account has no identity")
	}
	p, _, err := w.ids.CreatePrincipal(ctx, "robot")
	if err != nil {
		t.Fatal(err)
	}
	role, _ := identity.FindRole("Storage Blob Data Reader")
	assign := identity.RoleAssignment{Scope: i.ResourceID() + "/blobServices/default/containers/box", RoleID: role.ID, PrincipalID: p.ObjectID}
	if _, err := w.ids.Assign(ctx, assign); err != nil {
		t.Fatal(err)
	}
	const read = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
	if !w.ids.Allowed(ctx, p.ObjectID, read, true, assign.Scope) {
		t.Fatal("the role does not count")
	}
	if err := w.Delete(ctx, i, false); err != nil {
		t.Fatal(err)
	}
	i = w.make(t, "acct1", Wish{Identity: &IdentityWish{System: true}})
	if w.ids.Allowed(ctx, p.ObjectID, read, true, assign.Scope) {
		t.Error("a role on the account that was counts at the new one")
	}
	after, ok := w.SystemIdentity(ctx, i)
	if !ok || after.ObjectID == before.ObjectID {
		t.Errorf("the new account's identity is %v, %v; the old one's was %v", after.ObjectID, ok, before.ObjectID)
	}
	// Taken away, it is gone.
	if i, err = w.Change(ctx, i, Wish{Identity: &IdentityWish{}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.SystemIdentity(ctx, i); ok {
		t.Error("an identity that was taken away is still the account's")
	}
	if _, err := w.ids.Principal(ctx, after.ObjectID); !fault.Is(err, fault.PrincipalNotFound) {
		t.Errorf("and is still there: %v", err)
	}
}
