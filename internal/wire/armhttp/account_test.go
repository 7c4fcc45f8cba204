package armhttp

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
	"github.com/coffer-storage/coffer/internal/resource"
)

const (
	v     = "?api-version=2024-01-01"
	group = "/subscriptions/SUB/resourceGroups/RG"
	acc   = group + "/providers/Microsoft.Storage/storageAccounts/acct1"
	msiAt = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/asker"
)

// step is one request and what it answers.
type step struct {
	method, target, body string
	status               int
	code                 string
	want                 map[string]any // members of the answer, by path with dots
}

func at(got map[string]any, path string) any {
	var v any = got
	for _, p := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

func do(t *testing.T, h *Handler, steps []step) {
	t.Helper()
	for _, s := range steps {
		target := s.target
		if !strings.Contains(target, "?") {
			target += v
		}
		status, got := ask(t, h, s.method, target, s.body)
		if status != s.status || codeOf(got) != s.code {
			t.Errorf("%s %s %s = %d %q, want %d %q: %v", s.method, s.target, s.body, status, codeOf(got), s.status, s.code, got)
			continue
		}
		for path, want := range s.want {
			if d := cmp.Diff(want, at(got, path)); d != "" {
				t.Errorf("%s %s: %s differs (-want +got):\n%s", s.method, s.target, path, d)
			}
		}
	}
}

// readyWorld has a resource group and a user-assigned identity.
func readyWorld(t *testing.T) (*Handler, *world) {
	t.Helper()
	h, w := newWorld(t, false)
	do(t, h, []step{
		{"PUT", group, `{"location":"westeurope","tags":{"a":"b"}}`, 201, "", map[string]any{"id": group, "properties.provisioningState": "Succeeded"}},
		{"PUT", msiAt, `{"location":"westeurope"}`, 201, "", map[string]any{"name": "asker", "properties.tenantId": identity.Tenant}},
	})
	return h, w
}

func TestAccounts(t *testing.T) {
	h, _ := readyWorld(t)
	lower := strings.ToLower(acc)
	create := `{"location":"westeurope","kind":"StorageV2","sku":{"name":"Standard_LRS"},"PROPERTIES":{"AccessTier":"cool","encryption":{"requireInfrastructureEncryption":true,"services":{"queue":{"keyType":"Account"}}}}}`
	do(t, h, []step{
		{"GET", acc, "", 404, "ResourceNotFound", nil},
		{"PUT", strings.Replace(acc, "RG", "other", 1), create, 404, "ResourceGroupNotFound", nil},
		{"PUT", strings.Replace(acc, "acct1", "Acct_1", 1), create, 400, "AccountNameInvalid", nil},
		{"PUT", acc, `{"location":"l"}`, 400, "InvalidValuesForRequestParameters", nil},
		{"PUT", acc, create, 200, "", map[string]any{
			"id": acc, "kind": "StorageV2", "sku.name": "Standard_LRS", "sku.tier": "Standard", "location": "westeurope",
			"properties.provisioningState": "Succeeded", "properties.accessTier": "Cool", "properties.statusOfPrimary": "available",
			"properties.encryption.keySource": "Microsoft.Storage", "properties.encryption.requireInfrastructureEncryption": true,
			"properties.encryption.services.queue.keyType": "Account", "properties.encryption.services.table": nil,
			"properties.primaryEndpoints.blob": "https://127.0.0.1:10000/acct1/", "properties.statusOfSecondary": nil, "identity": nil,
		}},
		{"GET", lower, "", 200, "", map[string]any{"id": acc}},     // paths know no case
		{"GET", "/" + acc, "", 200, "", map[string]any{"id": acc}}, // and no slashes that are too many
		{"PUT", acc, create, 200, "", nil},                         // and once more is the same
		{"PATCH", acc, `{"properties":{"encryption":{"requireInfrastructureEncryption":false}}}`, 409, "AccountPropertyCannotBeUpdated", nil},
		{"PATCH", acc, `{"properties":{"encryption":{"services":{"queue":{"keyType":"Service"}}}}}`, 409, "AccountPropertyCannotBeUpdated", nil},
		{"PATCH", acc, `{"properties":{"encryption":{"services":{"blob":{"enabled":false}}}}}`, 400, "InvalidValuesForRequestParameters", nil},
		{"PATCH", acc, `{"tags":{"x":"y"},"sku":{"name":"standard_ragrs"},"properties":{"allowBlobPublicAccess":false}}`, 200, "", map[string]any{
			"tags": map[string]any{"x": "y"}, "sku.name": "Standard_RAGRS", "properties.statusOfSecondary": "unavailable",
			"properties.cofferNotice": "one copy, no second region yet", "properties.allowBlobPublicAccess": false,
		}},
		{"GET", acc + v + "&$expand=geoReplicationStats", "", 200, "", map[string]any{"properties.geoReplicationStats.status": "Unavailable", "properties.geoReplicationStats.canFailover": false}},
		{"PATCH", acc, `{"sku":{"name":"Premium_LRS"}}`, 409, "AccountPropertyCannotBeUpdated", nil},
		{"PATCH", acc, `{"kind":"BlobStorage"}`, 409, "AccountPropertyCannotBeUpdated", nil},
		{"PATCH", acc, `{"properties":{"allowSharedKeyAccess":false}}`, 400, "FeatureNotSupportedForAccount", nil},
		{"PATCH", acc, `{"properties":{"networkAcls":{"defaultAction":"Deny"}}}`, 400, "FeatureNotSupportedForAccount", nil},
		{"PATCH", acc, `{"identity":{"type":"UserAssigned"}}`, 400, "MissingUserAssignedIdentity", nil},
		{"PATCH", acc, `{"identity":{"type":"UserAssigned","userAssignedIdentities":{"/subscriptions/S/none":{}}}}`, 400, "ManagedServiceIdentityNotFound", nil},
		{"PATCH", acc, `{"identity":{"type":"SystemAssigned, UserAssigned","userAssignedIdentities":{"` + strings.ToUpper(msiAt) + `":{}}}}`, 200, "", map[string]any{
			"identity.type": "SystemAssigned,UserAssigned", "identity.tenantId": identity.Tenant,
		}},
		{"PATCH", acc, `{"identity":{"type":"None"}}`, 200, "", map[string]any{"identity": nil}},
		{"POST", acc + "/regenerateKey", `{"keyName":"key3"}`, 400, "InvalidValuesForRequestParameters", nil},
		{"POST", acc + "/REGENERATEKEY", `{"keyName":"Key2"}`, 200, "", nil},
		{"POST", "/subscriptions/SUB/providers/Microsoft.Storage/checkNameAvailability", `{"name":"acct1","type":"Microsoft.Storage/storageAccounts"}`, 200, "", map[string]any{"nameAvailable": false, "reason": "AlreadyExists"}},
		{"POST", "/subscriptions/SUB/providers/Microsoft.Storage/checkNameAvailability", `{"name":"acct2","type":"Microsoft.Storage/storageAccounts"}`, 200, "", map[string]any{"nameAvailable": true}},
		{"POST", "/subscriptions/SUB/providers/Microsoft.Storage/checkNameAvailability", `{"name":"A","type":"Microsoft.Storage/storageAccounts"}`, 200, "", map[string]any{"reason": "AccountNameInvalid"}},
		{"PUT", strings.Replace(acc, "RG", "coffer", 1), create, 404, "ResourceGroupNotFound", nil},
		{"PUT", "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/coffer/providers/Microsoft.Storage/storageAccounts/acct1", create, 409, "StorageAccountAlreadyTaken", nil},
		{"DELETE", acc, "", 200, "", nil},
		{"DELETE", acc, "", 204, "", nil},
	})
}

// Policies are seen and not set here, and say why something is refused.
func TestPoliciesAreShown(t *testing.T) {
	h, w := readyWorld(t)
	yes := true
	do(t, h, []step{{"PUT", acc, `{"location":"l","sku":{"name":"Standard_LRS"},"properties":{"encryption":{"requireInfrastructureEncryption":true}}}`, 200, "", map[string]any{"properties.cofferPolicy": nil}}})
	i, err := w.Resources.Find(t.Context(), "SUB", "RG", "acct1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Resources.Change(t.Context(), i, resource.Wish{RequireDouble: &yes, ForbidCPK: &yes}); err != nil {
		t.Fatal(err)
	}
	shown := map[string]any{"properties.cofferPolicy": map[string]any{
		"requireCustomerManagedKey": false, "requireInfrastructureEncryption": true, "forbidCustomerProvidedKeys": true,
	}}
	do(t, h, []step{
		{"GET", acc, "", 200, "", shown},
		{"PATCH", acc, `{"properties":{"cofferPolicy":{"forbidCustomerProvidedKeys":false}}}`, 200, "", shown},
	})
}

func TestKindsRestrict(t *testing.T) {
	h, _ := readyWorld(t)
	for _, tt := range []struct {
		body, code string
		status     int
	}{
		{`{"kind":"BlobStorage","sku":{"name":"Standard_LRS"}}`, "InvalidValuesForRequestParameters", 400}, // no access tier
		{`{"kind":"BlobStorage","sku":{"name":"Standard_LRS"},"properties":{"accessTier":"Hot","encryption":{"requireInfrastructureEncryption":true}}}`, "FeatureNotSupportedForAccount", 400},
		{`{"kind":"BlobStorage","sku":{"name":"Standard_GZRS"},"properties":{"accessTier":"Hot"}}`, "InvalidValuesForRequestParameters", 400},
		{`{"kind":"Storage","sku":{"name":"Standard_LRS"},"properties":{"accessTier":"Hot"}}`, "FeatureNotSupportedForAccount", 400},
		{`{"kind":"Storage","sku":{"name":"Standard_LRS"},"properties":{"encryption":{"services":{"table":{"keyType":"Account"}}}}}`, "FeatureNotSupportedForAccount", 400},
		{`{"kind":"BlockBlobStorage","sku":{"name":"Standard_LRS"}}`, "InvalidValuesForRequestParameters", 400},
		{`{"kind":"FileStorage","sku":{"name":"Premium_LRS"}}`, "FeatureNotSupportedForAccount", 400},
		{`{"kind":"Other","sku":{"name":"Standard_LRS"}}`, "InvalidValuesForRequestParameters", 400},
		{`{"kind":"Storage","sku":{"name":"Standard_LRS"}}`, "", 200},
	} {
		status, got := ask(t, h, "PUT", acc+v, tt.body)
		if status != tt.status || codeOf(got) != tt.code {
			t.Errorf("PUT %s = %d %q, want %d %q", tt.body, status, codeOf(got), tt.status, tt.code)
		}
	}
	do(t, h, []step{
		{"PUT", acc + "/encryptionScopes/scope-a", "", 400, "FeatureNotSupportedForAccount", nil},
		{"PATCH", acc, `{"kind":"StorageV2"}`, 200, "", map[string]any{"kind": "StorageV2"}}, // the upgrade that there is
		{"PUT", acc + "/encryptionScopes/scope-a", "", 201, "", nil},
	})
}

// A customer-managed key on accounts and scopes: every code of the fact file.
func TestCustomerManagedKeys(t *testing.T) {
	h, w := readyWorld(t)
	ref := w.Keys.Add("v1", "k1")
	withID := `"identity":{"type":"UserAssigned","userAssignedIdentities":{"` + msiAt + `":{}}},`
	enc := func(more string) string {
		return `"encryption":{"keySource":"Microsoft.Keyvault","keyvaultproperties":{"keyname":"k1","keyvaulturi":"` + ref.URI + `/","keyversion":""}` + more + `}`
	}
	const base = `"sku":{"name":"Standard_LRS"},"location":"l",`
	use := `,"identity":{"userAssignedIdentity":"` + msiAt + `"}`
	do(t, h, []step{
		{"PUT", acc, `{` + base + `"properties":{` + enc("") + `}}`, 400, "ManagedServiceIdentityNotFound", nil},
		{"PUT", acc, `{` + base + `"identity":{"type":"SystemAssigned"},"properties":{` + enc("") + `}}`, 400, "ManagedServiceIdentityNotFound", nil},
		{"PUT", acc, `{` + base + withID + `"properties":{"encryption":{"keySource":"microsoft.keyvault","identity":{"userAssignedIdentity":"` + msiAt + `"}}}}`, 400, "MissingKeyvaultProperties", nil},
		{"PUT", acc, `{` + base + withID + `"properties":{` + enc(use) + `}}`, 200, "", map[string]any{
			"properties.encryption.keySource": "Microsoft.Keyvault", "properties.encryption.keyvaultproperties.keyversion": "",
			"properties.encryption.keyvaultproperties.keyname": "k1", "properties.encryption.identity.userAssignedIdentity": msiAt, "identity.type": "UserAssigned",
		}},
	})
	_, got := ask(t, h, "GET", acc+v, "")
	current, _ := at(got, "properties.encryption.keyvaultproperties.currentVersionedKeyIdentifier").(string)
	if !strings.HasPrefix(current, ref.URI+"/keys/k1/") {
		t.Errorf("current key %q", current)
	}
	version := current[strings.LastIndexByte(current, '/')+1:]
	scopeAt := acc + "/encryptionScopes/scope-a"
	do(t, h, []step{
		{"PATCH", acc, `{"properties":{"encryption":{"keyvaultproperties":{"keyversion":"` + version + `"}}}}`, 200, "", map[string]any{"properties.encryption.keyvaultproperties.keyversion": version}},
		{"PATCH", acc, `{"properties":{"encryption":{"keyvaultproperties":{"keyversion":""}}}}`, 200, "", map[string]any{"properties.encryption.keyvaultproperties.keyversion": ""}},
		{"PATCH", acc, `{"properties":{"encryption":{"identity":{"userAssignedIdentity":"/subscriptions/x"}}}}`, 400, "ManagedServiceIdentityNotFound", nil},
		{"PUT", scopeAt, `{"properties":{"source":"Microsoft.KeyVault","keyVaultProperties":{"keyUri":"` + ref.URI + `/keys/k1"}}}`, 201, "", map[string]any{
			"properties.source": "Microsoft.KeyVault", "properties.keyVaultProperties.keyUri": ref.URI + "/keys/k1", "properties.keyVaultProperties.currentVersionedKeyIdentifier": current,
		}},
		{"PATCH", scopeAt, `{"properties":{"source":"Microsoft.Storage"}}`, 200, "", map[string]any{"properties.source": "Microsoft.Storage"}},
		{"PATCH", scopeAt, `{"properties":{"source":"Microsoft.Keyvault","keyVaultProperties":{"keyUri":"` + current + `"}}}`, 200, "", map[string]any{"properties.keyVaultProperties.keyUri": current}},
		{"PATCH", scopeAt, `{"properties":{"keyVaultProperties":{"keyUri":"https://host/secrets/x"}}}`, 400, "InvalidValuesForRequestParameters", nil},
	})
	w.Keys.Add("v2", "k1")
	for _, tt := range []struct {
		name string
		edit func(*keystest.Key)
		code string
	}{
		{"no purge protection", func(k *keystest.Key) { k.PurgeProtection = false }, "KeyVaultPolicyError"},
		{"wrong type", func(k *keystest.Key) { k.Type = "EC" }, "KeyVaultKeyTypeNotSupported"},
		{"disabled", func(k *keystest.Key) { k.Enabled = false }, "KeyVaultKeyNotFound"},
		{"expired", func(k *keystest.Key) { k.Expires = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }, "KeyVaultKeyNotFound"},
	} {
		other := w.Keys.Add("v-"+strings.ReplaceAll(tt.name, " ", ""), "k1")
		w.Keys.Edit(other, tt.edit)
		do(t, h, []step{{"PATCH", acc, `{"properties":{"encryption":{"keyvaultproperties":{"keyvaulturi":"` + other.URI + `"}}}}`, 400, tt.code, nil}})
	}
	w.Keys.Deny(msiAt, true)
	do(t, h, []step{{"PATCH", acc, `{"properties":{"encryption":{"keyvaultproperties":{"keyvaulturi":"` + keystest.URI("v2") + `"}}}}`, 403, "KeyVaultEncryptionKeyNotFound", nil}})
	w.Keys.Deny(msiAt, false)
	do(t, h, []step{
		{"PATCH", acc, `{"properties":{"encryption":{"keyvaultproperties":{"keyvaulturi":"` + keystest.URI("v2") + `"}}}}`, 200, "", map[string]any{"properties.encryption.keyvaultproperties.keyvaulturi": keystest.URI("v2")}},
		{"PATCH", acc, `{"properties":{"encryption":{"keySource":"Microsoft.Storage"}}}`, 200, "", map[string]any{"properties.encryption.keySource": "Microsoft.Storage", "properties.encryption.keyvaultproperties": nil}},
		{"DELETE", msiAt, "", 200, "", nil},
		{"DELETE", msiAt, "", 204, "", nil},
	})
}

// Tokens: who they are for, and what roles let their bearers do.
func TestTokensAndRoles(t *testing.T) {
	h, w := readyWorld(t)
	p, _, err := w.IDs.CreatePrincipal(t.Context(), "robot")
	if err != nil {
		t.Fatal(err)
	}
	token := func(aud string) func(*http.Request) {
		raw, _, err := w.IDs.Issue(t.Context(), p.ObjectID, aud)
		if err != nil {
			t.Fatal(err)
		}
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+raw) }
	}
	for name, tt := range map[string]struct {
		change func(*http.Request)
		status int
		code   string
	}{
		"another audience": {token("https://vault.localhost"), 401, "InvalidAuthenticationToken"},
		"no token at all":  {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x.y.z") }, 401, "InvalidAuthenticationToken"},
		"another scheme":   {func(r *http.Request) { r.Header.Set("Authorization", "SharedKey a:b") }, 401, "AuthenticationFailedInvalidHeader"},
		"no role":          {token(audience), 403, "AuthorizationFailed"},
	} {
		if status, got := ask(t, h, "GET", group+v, "", tt.change); status != tt.status || codeOf(got) != tt.code {
			t.Errorf("%s: %d %q, want %d %q", name, status, codeOf(got), tt.status, tt.code)
		}
	}
	const contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	assign := group + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-3333-4444-555555555555"
	body := `{"properties":{"roleDefinitionId":"/subscriptions/SUB/providers/Microsoft.Authorization/roleDefinitions/` + contributor + `","principalId":"` + p.ObjectID + `"}}`
	do(t, h, []step{
		{"PUT", assign, strings.Replace(body, contributor, "00000000-0000-0000-0000-000000000000", 1), 400, "RoleDefinitionDoesNotExist", nil},
		{"PUT", assign, strings.Replace(body, p.ObjectID, "00000000-0000-0000-0000-000000000000", 1), 400, "PrincipalNotFound", nil},
		{"PUT", assign, body, 201, "", map[string]any{"properties.scope": group, "properties.principalId": p.ObjectID}},
		{"PUT", assign, body, 200, "", nil},
		{"PUT", strings.Replace(assign, "1111", "9999", 1), body, 409, "RoleAssignmentExists", nil},
		{"GET", assign, "", 200, "", map[string]any{"name": "11111111-2222-3333-4444-555555555555"}},
		{"GET", "/subscriptions/SUB/providers/Microsoft.Authorization/roleDefinitions" + v + "&$filter=roleName%20eq%20%27Contributor%27", "", 200, "", nil},
	})
	robot := token(audience)
	if status, got := ask(t, h, "PUT", acc+v, `{"location":"l","sku":{"name":"Standard_LRS"}}`, robot); status != 200 {
		t.Errorf("a contributor makes an account: %d %v", status, got)
	}
	// He may not give roles, nor go beyond his group, nor reach an account of no group
	// by naming his own.
	w.Account(t, "free1")
	for _, tt := range []struct{ method, target, body string }{
		{"PUT", strings.Replace(assign, "1111", "9999", 1), body},
		{"GET", strings.Replace(group, "RG", "other", 1), ""},
		{"POST", strings.Replace(acc, "acct1", "free1", 1) + "/listKeys", ""},
	} {
		if status, got := ask(t, h, tt.method, tt.target+v, tt.body, robot); status != 403 {
			t.Errorf("%s %s by a contributor of a group: %d %v", tt.method, tt.target, status, got)
		}
	}
	do(t, h, []step{{"DELETE", assign, "", 200, "", nil}, {"DELETE", assign, "", 204, "", nil}})
	if status, _ := ask(t, h, "GET", acc+v, "", robot); status != 403 {
		t.Errorf("a role that was taken away: %d", status)
	}
}

// The roles that only purge vaults, and that only say who may use what is in them.
func TestNarrowVaultRoles(t *testing.T) {
	h, w := readyWorld(t)
	role := func(name string) string {
		r, ok := identity.FindRole(name)
		if !ok {
			t.Fatalf("there is no role %s", name)
		}
		status, got := ask(t, h, "GET", "/subscriptions/SUB"+rolesPath+"/roleDefinitions"+v+"&$filter=roleName%20eq%20%27"+strings.ReplaceAll(name, " ", "%20")+"%27", "")
		list, _ := got["value"].([]any)
		if status != 200 || len(list) != 1 || list[0].(map[string]any)["name"] != r.ID {
			t.Errorf("%s is listed as %d %v", name, status, got)
		}
		return r.ID
	}
	var calls []func(*http.Request)
	give := func(name string) string {
		p, _, err := w.IDs.CreatePrincipal(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.IDs.Assign(t.Context(), identity.RoleAssignment{Scope: "/subscriptions/SUB", RoleID: role(name), PrincipalID: p.ObjectID}); err != nil {
			t.Fatal(err)
		}
		raw, _, err := w.IDs.Issue(t.Context(), p.ObjectID, audience)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+raw) })
		return p.ObjectID
	}
	for _, name := range []string{
		"Key Vault Certificates Officer", "Key Vault Certificate User", "Key Vault Crypto Service Release User", "Storage Account Backup Contributor",
		"Storage File Data SMB Share Contributor", "Storage File Data SMB Share Elevated Contributor", "Storage File Data SMB Share Reader",
		"Storage File Data Privileged Contributor", "Storage File Data Privileged Reader", "Key Vault Contributor",
	} {
		give(name)
	}
	contributor := calls[len(calls)-1]
	give("Key Vault Purge Operator")
	purger := calls[len(calls)-1]
	admin := give("Key Vault Data Access Administrator")
	teller := calls[len(calls)-1]

	do(t, h, []step{
		{"PUT", boxAt, `{"location":"l","properties":{` + tenant + `,"sku":{"family":"A","name":"premium"}}}`, 200, "", nil},
		{"DELETE", boxAt, "", 200, "", nil},
	})
	deleted := kvAt + "/locations/l/deletedVaults/box1"
	assign := group + rolesPath + "/roleAssignments/11111111-2222-3333-4444-555555555555"
	other := strings.Replace(assign, "1111", "9999", 1)
	body := func(role string) string {
		return `{"properties":{"roleDefinitionId":"` + role + `","principalId":"` + admin + `"}}`
	}
	owner := strings.Replace(body(role("Owner")), admin, give("Owner"), 1)
	do(t, h, []step{{"PUT", other, owner, 201, "", nil}})
	for _, tt := range []struct {
		what           string
		who            func(*http.Request)
		method, target string
		body           string
		status         int
	}{
		{"a manager of vaults purges", contributor, "POST", deleted + "/purge", "", 403},
		{"a teller of roles purges", teller, "POST", deleted + "/purge", "", 403},
		{"a purger deletes an account", purger, "DELETE", acc, "", 403},
		{"a purger sees it", purger, "GET", deleted, "", 200},
		{"a purger purges", purger, "POST", deleted + "/purge", "", 200},
		{"it is gone", purger, "GET", deleted, "", 404},

		{"a purger tells", purger, "PUT", assign, body(role("Key Vault Reader")), 403},
		{"a teller tells", teller, "PUT", assign, body(role("Key Vault Secrets Officer")), 201},
		{"a teller takes it back", teller, "DELETE", assign, "", 200},
		{"a teller makes himself owner", teller, "PUT", assign, body(role("Owner")), 403},
		{"a teller makes himself a contributor of vaults", teller, "PUT", assign, body(role("Key Vault Contributor")), 403},
		{"a teller makes another teller", teller, "PUT", assign, body(role("Key Vault Data Access Administrator")), 403},
		{"a teller takes from an owner", teller, "DELETE", other, "", 403},
	} {
		if status, got := ask(t, h, tt.method, tt.target+v, tt.body, tt.who); status != tt.status {
			t.Errorf("%s: %d %v, want %d", tt.what, status, got, tt.status)
		}
	}
	_, got := ask(t, h, "GET", "/subscriptions/SUB"+rolesPath+"/roleDefinitions/"+role("Key Vault Data Access Administrator")+v, "")
	shown := got["properties"].(map[string]any)["permissions"].([]any)[0].(map[string]any)
	if cond, _ := shown["condition"].(string); !strings.Contains(cond, "@Request") || !strings.Contains(cond, role("Key Vault Secrets User")) || shown["conditionVersion"] != "2.0" {
		t.Errorf("its condition is shown as %v", shown)
	}
}

// Tags of a user-assigned identity are kept: set with it, replaced as a whole, and listed.
func TestIdentityTags(t *testing.T) {
	h, _ := readyWorld(t)
	at := strings.Replace(msiAt, "asker", "tagged", 1)
	many := `{"location":"l","tags":{"` + strings.Repeat("k", 513) + `":""}}`
	tags := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return map[string]any{"tags": m}
	}
	do(t, h, []step{
		{"PATCH", at, `{"tags":{"a":"b"}}`, 404, "ResourceNotFound", nil},
		{"PUT", at, many, 400, "InvalidValuesForRequestParameters", nil},
		{"GET", at, "", 404, "ResourceNotFound", nil}, // nothing was made
		{"PUT", at, `{"location":"l","tags":{"team":"red","cost":"<7>"}}`, 201, "", tags("team", "red", "cost", "<7>")},
		{"GET", at, "", 200, "", tags("team", "red", "cost", "<7>")},
		{"PATCH", at, `{}`, 200, "", tags("team", "red", "cost", "<7>")},
		{"PATCH", at, many, 400, "InvalidValuesForRequestParameters", nil},
		{"PATCH", at, `{"tags":{"team":"blue"}}`, 200, "", tags("team", "blue")},
		{"GET", at, "", 200, "", tags("team", "blue")},
		{"PUT", at, `{"location":"l"}`, 200, "", tags()},
		{"PUT", at, `{"location":"l","tags":{"x":"y"}}`, 200, "", tags("x", "y")},
	})
	wantNames(t, h, "/subscriptions/SUB/resources"+v+"&$filter=tagName%20eq%20%27x%27%20and%20tagValue%20eq%20%27y%27", "tagged")
	_, got := ask(t, h, "GET", strings.TrimSuffix(at, "/tagged")+v, "")
	found := false
	for _, x := range got["value"].([]any) {
		m := x.(map[string]any)
		found = found || m["name"] == "tagged" && m["tags"].(map[string]any)["x"] == "y"
	}
	if !found {
		t.Errorf("the list does not show the tags: %v", got)
	}
}
