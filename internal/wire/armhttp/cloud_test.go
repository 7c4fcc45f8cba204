package armhttp

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/identity"
)

// A client that is told the address only learns the rest, before it has a token, and
// from anywhere.
func TestMetadata(t *testing.T) {
	h, _ := newWorld(t, false)
	h.o.Suffixes = func() Suffixes {
		return Suffixes{"core.localhost:10000", "vault.localhost:10003", "managedhsm.localhost:10003"}
	}
	remote := func(r *http.Request) { r.RemoteAddr, r.Host = "192.0.2.1:5", "coffer.example:10006" }
	want := map[string]any{
		"name": "Coffer", "resourceManager": "https://coffer.example:10006/",
		"authentication": map[string]any{
			"loginEndpoint": "https://coffer.example:10006", "audiences": []any{audience}, "tenant": identity.Tenant, "identityProvider": "AAD",
		},
		"suffixes": map[string]any{"storage": "core.localhost:10000", "keyVaultDns": "vault.localhost:10003", "mhsmDns": "managedhsm.localhost:10003"},
	}
	status, got := ask(t, h, "GET", "/metadata/endpoints?api-version=2022-09-01", "", remote)
	if d := cmp.Diff(want, got); status != 200 || d != "" {
		t.Errorf("metadata = %d (-want +got):\n%s", status, d)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "https://coffer.example:10006/metadata/endpoints?api-version=2019-05-01", nil)
	h.ServeHTTP(w, r)
	if b := w.Body.String(); w.Code != 200 || !strings.HasPrefix(b, `[{"name":"Coffer"`) {
		t.Errorf("an older version = %d %s, want a list", w.Code, b)
	}
	do(t, h, []step{
		{"GET", "/metadata/endpoints?x=1", "", 400, "MissingApiVersionParameter", nil},
		{"PUT", "/metadata/endpoints", "{}", 405, "MethodNotAllowed", nil},
	})
}

// Who logs in sees the subscriptions in which he has a role, at whatever, and no others.
func TestListSubscriptions(t *testing.T) {
	h, w := readyWorld(t)
	p, _, err := w.IDs.CreatePrincipal(t.Context(), "robot")
	if err != nil {
		t.Fatal(err)
	}
	raw, _, err := w.IDs.Issue(t.Context(), p.ObjectID, audience)
	if err != nil {
		t.Fatal(err)
	}
	robot := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+raw) }
	list := func(change ...func(*http.Request)) (ids []string) {
		status, got := ask(t, h, "GET", "/subscriptions"+v, "", change...)
		if status != 200 {
			t.Fatalf("subscriptions = %d %v", status, got)
		}
		for _, s := range got["value"].([]any) {
			ids = append(ids, s.(map[string]any)["subscriptionId"].(string))
		}
		return ids
	}
	if d := cmp.Diff([]string{account.DefaultSubscription}, list()); d != "" {
		t.Errorf("the operator's (-want +got):\n%s", d)
	}
	if got := list(robot); got != nil {
		t.Errorf("without a role: %v", got)
	}
	reader, _ := identity.FindRole("Storage Blob Data Reader")
	for _, scope := range []string{group, strings.ToLower(acc), "/subscriptions/OTHER"} {
		if _, err := w.IDs.Assign(t.Context(), identity.RoleAssignment{Scope: scope, RoleID: reader.ID, PrincipalID: p.ObjectID}); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"OTHER", "SUB"}, list(robot), cmp.Transformer("upper", strings.ToUpper)); d != "" {
		t.Errorf("with roles (-want +got):\n%s", d)
	}
	if status, got := ask(t, h, "GET", "/tenants"+v, "", robot); status != 200 {
		t.Errorf("tenants = %d %v", status, got)
	}
	remote := func(r *http.Request) { r.RemoteAddr = "192.0.2.1:5" }
	if status, _ := ask(t, h, "GET", "/subscriptions"+v, "", remote); status != 401 {
		t.Errorf("nobody, from elsewhere: %d, want 401", status)
	}
}

// Lists over all types, cut down as clients do it.
func TestListResources(t *testing.T) {
	h, _ := readyWorld(t)
	const other = "/subscriptions/SUB/resourceGroups/other"
	vault := `{"location":"l","tags":{"Team":"red"},"properties":{"tenantId":"` + identity.Tenant + `","sku":{"family":"A","name":"standard"}}}`
	hsm := `{"location":"l","sku":{"family":"B","name":"Standard_B1"},"properties":{"tenantId":"` + identity.Tenant + `","softDeleteRetentionInDays":"7","initialAdminObjectIds":["` + identity.Tenant + `"]}}`
	do(t, h, []step{
		{"PUT", other, `{"location":"l"}`, 201, "", nil},
		{"PUT", acc, `{"location":"l","kind":"StorageV2","sku":{"name":"Standard_LRS"},"tags":{"team":"blue"}}`, 200, "", nil},
		{"PUT", group + "/providers/Microsoft.KeyVault/vaults/red1", vault, 200, "", nil},
		{"PUT", other + "/providers/Microsoft.KeyVault/vaults/red2", vault, 200, "", nil},
		{"PUT", group + "/providers/Microsoft.KeyVault/managedHSMs/hsm1", hsm, 200, "", map[string]any{"properties.softDeleteRetentionInDays": 7.0}},
	})
	for _, tt := range []struct{ at, filter, want string }{
		{"/subscriptions/SUB", "", "hsm1 red1 asker acct1 red2"},
		{"/subscriptions/sub", "", "hsm1 red1 asker acct1 red2"},
		{"/subscriptions/NONE", "", ""},
		{group, "", "hsm1 red1 asker acct1"},
		{other, "", "red2"},
		{"/subscriptions/SUB", "resourceType eq 'microsoft.keyvault/VAULTS'", "red1 red2"},
		{"/subscriptions/SUB", "resourceType eq 'Microsoft.KeyVault/vaults' and name eq 'Red2'", "red2"},
		{"/subscriptions/SUB", "resourceGroup eq 'Other'", "red2"},
		{"/subscriptions/SUB", "location eq 'nowhere'", ""},
		{"/subscriptions/SUB", "tagName eq 'TEAM'", "red1 acct1 red2"},
		{"/subscriptions/SUB", "tagName eq 'team' and tagValue eq 'blue'", "acct1"},
		{"/subscriptions/SUB", "tagValue eq 'blue'", "InvalidValuesForRequestParameters"},
		{"/subscriptions/SUB", "name ne 'red1'", "InvalidValuesForRequestParameters"},
		{"/subscriptions/SUB/resourceGroups/none", "", "ResourceGroupNotFound"},
	} {
		r := strings.NewReplacer(" ", "%20", "'", "%27")
		_, got := ask(t, h, "GET", tt.at+"/resources"+v+"&$filter="+r.Replace(tt.filter), "")
		names := []string{codeOf(got)}
		if list, ok := got["value"].([]any); ok {
			names = nil
			for _, x := range list {
				names = append(names, x.(map[string]any)["name"].(string))
			}
		}
		if s := strings.Join(names, " "); s != tt.want {
			t.Errorf("%s filter %q = %q, want %q", tt.at, tt.filter, s, tt.want)
		}
	}
	// A purge of a Managed HSM is answered as begun; where it points to, it is over.
	at := group + "/providers/Microsoft.KeyVault/managedHSMs/hsm1"
	do(t, h, []step{{"DELETE", at, "", 200, "", nil}})
	w := httptest.NewRecorder()
	req := httptest.NewRequest("POST", "http://127.0.0.1:10006/subscriptions/SUB/providers/Microsoft.KeyVault/locations/l/deletedManagedHSMs/hsm1/purge"+v, nil)
	req.RemoteAddr = "127.0.0.1:4000"
	h.ServeHTTP(w, req)
	where, ok := strings.CutPrefix(w.Header().Get("Location"), "http://127.0.0.1:10006")
	if w.Code != 202 || !ok {
		t.Fatalf("purge = %d to %q", w.Code, where)
	}
	if status, _ := ask(t, h, "GET", where, ""); status != 200 {
		t.Errorf("GET %s = %d, want 200", where, status)
	}
}
