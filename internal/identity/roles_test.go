package identity_test

import (
	"regexp"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

func TestRolesTable(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for _, r := range identity.Roles() {
		if !uuid.MatchString(r.ID) || r.Name == "" || r.Description == "" || len(r.Actions)+len(r.DataActions) == 0 {
			t.Errorf("role %+v is not complete", r)
		}
		if seen[r.ID] || seen[r.Name] {
			t.Errorf("role %s is there twice", r.Name)
		}
		seen[r.ID], seen[r.Name] = true, true
		for _, id := range r.Assigns {
			if other, ok := identity.FindRole(id); !ok || other.HSM || other.ID != id {
				t.Errorf("role %s assigns %s, which is none", r.Name, id)
			}
		}
		for _, name := range []string{r.ID, r.Name, "/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/" + r.ID} {
			if got, ok := identity.FindRole(name); !ok || got.ID != r.ID {
				t.Errorf("FindRole(%q) = %v, %v", name, got.Name, ok)
			}
		}
	}
}

func TestAllowed(t *testing.T) {
	const (
		group   = "/subscriptions/s/resourceGroups/g"
		account = group + "/providers/Microsoft.Storage/storageAccounts/acct"
		box     = account + "/blobServices/default/containers/box"
		vault   = group + "/providers/Microsoft.KeyVault/vaults/v"
		read    = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
		write   = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
		tags    = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/write"
		list    = "Microsoft.Storage/storageAccounts/blobServices/containers/read"
		wrap    = "Microsoft.KeyVault/vaults/keys/wrap/action"
		rights  = "Microsoft.Authorization/roleAssignments/write"
		hsmWrap = "Microsoft.KeyVault/managedHsm/keys/wrap/action"
	)
	w := newWorld(t, nil)
	ctx := t.Context()
	p, _ := w.principal(t, "p")
	tests := []struct {
		role, at string
		action   string
		data     bool
		scope    string
		want     bool
	}{
		{role: "Storage Blob Data Reader", at: box, action: read, data: true, scope: box, want: true},
		{role: "Storage Blob Data Reader", at: account, action: read, data: true, scope: box, want: true},
		{role: "Storage Blob Data Reader", at: "/subscriptions/S/resourcegroups/G", action: read, data: true, scope: box, want: true},
		{role: "Storage Blob Data Reader", at: "/", action: read, data: true, scope: box, want: true},
		{role: "Storage Blob Data Reader", at: box, action: "microsoft.storage/STORAGEACCOUNTS/blobservices/containers/blobs/READ", data: true, scope: box, want: true},
		{role: "Storage Blob Data Reader", at: box, action: read, data: true, scope: box + "2"},
		{role: "Storage Blob Data Reader", at: box, action: read, data: true, scope: account},
		{role: "Storage Blob Data Reader", at: box, action: read, scope: box},
		{role: "Storage Blob Data Reader", at: box, action: write, data: true, scope: box},
		{role: "Storage Blob Data Reader", at: account, action: list, scope: account, want: true},
		{role: "Storage Blob Data Contributor", at: account, action: write, data: true, scope: box, want: true},
		{role: "Storage Blob Data Contributor", at: account, action: tags, data: true, scope: box},
		{role: "Storage Blob Data Owner", at: account, action: tags, data: true, scope: box, want: true},
		{role: "Owner", at: group, action: read, data: true, scope: box},
		{role: "Owner", at: group, action: rights, scope: account, want: true},
		{role: "Contributor", at: group, action: rights, scope: account},
		{role: "Contributor", at: group, action: list, scope: account, want: true},
		{role: "Reader", at: group, action: list, scope: account, want: true},
		{role: "Reader", at: group, action: "Microsoft.Storage/storageAccounts/write", scope: account},
		{role: "Key Vault Crypto Service Encryption User", at: vault, action: wrap, data: true, scope: vault + "/keys/k", want: true},
		{role: "Key Vault Crypto Service Encryption User", at: vault, action: "Microsoft.KeyVault/vaults/keys/decrypt/action", data: true, scope: vault},
		{role: "Managed HSM Crypto Service Encryption User", at: "/hsm/h/keys/k", action: hsmWrap, data: true, scope: "/hsm/h/keys/k", want: true},
		{role: "Managed HSM Crypto Service Encryption User", at: "/hsm/h/keys/k", action: hsmWrap, data: true, scope: "/hsm/h/keys/k2"},
		{role: "Managed HSM Crypto Service Encryption User", at: "/hsm/h", action: hsmWrap, data: true, scope: "/hsm/h2/keys/k"},
		{role: "Key Vault Administrator", at: "/", action: hsmWrap, data: true, scope: "/hsm/h/keys/k"},
	}
	for _, tt := range tests {
		a, err := w.Assign(ctx, identity.RoleAssignment{Scope: tt.at, RoleID: tt.role, PrincipalID: p.ObjectID})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Allowed(ctx, p.ObjectID, tt.action, tt.data, tt.scope); got != tt.want {
			t.Errorf("%s on %s: Allowed(%s, %v, %s) = %v, want %v", tt.role, tt.at, tt.action, tt.data, tt.scope, got, tt.want)
		}
		if w.Allowed(ctx, identity.Tenant, tt.action, tt.data, tt.scope) {
			t.Errorf("%s on %s: somebody else may %s", tt.role, tt.at, tt.action)
		}
		if err := w.Unassign(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
		if w.Allowed(ctx, p.ObjectID, tt.action, tt.data, tt.scope) {
			t.Errorf("%s on %s: allowed after Unassign", tt.role, tt.at)
		}
	}
}

func TestAssign(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	p, _ := w.principal(t, "p")
	good := identity.RoleAssignment{Scope: "/subscriptions/s/", RoleID: "Reader", PrincipalID: p.ObjectID}
	a, err := w.Assign(ctx, good)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := w.Assign(ctx, good); !fault.Is(err, fault.Exists) || again != a {
		t.Errorf("same again = %v, %v, want Exists with the first", again, err)
	}
	for name, spoil := range map[string]func(*identity.RoleAssignment){
		"role":       func(a *identity.RoleAssignment) { a.RoleID = "Emperor" },
		"principal":  func(a *identity.RoleAssignment) { a.PrincipalID = "p" },
		"scope":      func(a *identity.RoleAssignment) { a.Scope = "subscriptions/s" },
		"slashes":    func(a *identity.RoleAssignment) { a.Scope = "//subscriptions/s" },
		"name":       func(a *identity.RoleAssignment) { a.ID = "x" },
		"HSM role":   func(a *identity.RoleAssignment) { a.RoleID = "Managed HSM Crypto User" },
		"local path": func(a *identity.RoleAssignment) { a.Scope = "/hsm/h" },
	} {
		bad := good
		spoil(&bad)
		if _, err := w.Assign(ctx, bad); !fault.Is(err, fault.InvalidInput) && !fault.Is(err, fault.ResourceNotFound) {
			t.Errorf("wrong %s: Assign = %v, want a refusal", name, err)
		}
	}
	w.open(t)
	for f, want := range map[identity.Filter]int{
		{}: 1, {Scope: "/Subscriptions/S"}: 1, {Scope: "/subscriptions"}: 0, {Above: "/subscriptions/s/x"}: 1, {Above: "/subscriptions"}: 0,
		{Below: "/"}: 1, {Below: "/subscriptions/s/x"}: 0, {PrincipalID: p.ObjectID}: 1, {PrincipalID: identity.Tenant}: 0,
	} {
		if got, err := w.Assignments(ctx, f); err != nil || len(got) != want {
			t.Errorf("Assignments(%+v) = %v, %v, want %d", f, got, err, want)
		}
	}
	if err := w.DeletePrincipal(ctx, p.ObjectID); err != nil {
		t.Fatal(err)
	}
	w.open(t)
	if got, err := w.Assignments(ctx, identity.Filter{}); err != nil || len(got) != 0 {
		t.Errorf("after the principal is gone: %v, %v, want no assignments", got, err)
	}
	if err := w.Unassign(ctx, a.ID); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("Unassign again = %v, want ResourceNotFound", err)
	}
}
