package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/wire/auth"
	"github.com/coffer-storage/coffer/internal/wire/auth/authtest"
)

// asked sends a GET of a blob and returns its status, its error code and its id. token "" is
// the account's shared key.
func (r *running) asked(a name.Account, path, token string) (status int, code, id string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, secure(r.st.Blob)+"/"+string(a)+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("x-ms-version", "2025-01-05")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	} else {
		ks, err := r.store.Accounts.SigningKeys(r.t.Context(), a)
		if err != nil {
			r.t.Fatal(err)
		}
		err = ks[0].Use(func(k []byte) error {
			authtest.Credential{Account: string(a), Key: k}.Sign(req, req.URL.EscapedPath(), time.Now())
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	resp, err := r.trusting().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("x-ms-error-code"), resp.Header.Get("x-ms-request-id")
}

// mark puts a record into the trail, behind all that happened, and returns its number.
func (r *running) mark() uint64 {
	r.t.Helper()
	if err := r.store.Audit.Before(r.t.Context(), audit.Record{Actor: "test", Operation: "test.mark", Outcome: audit.OK}); err != nil {
		r.t.Fatal(err)
	}
	all, err := r.opAuditList(r.t.Context(), AuditListArgs{Operation: "test.mark", Last: 1}, nil)
	if err != nil || len(all) != 1 {
		r.t.Fatalf("%d marks, %v", len(all), err)
	}
	return all[0].Seq
}

// wantUses compares what was done with a protector's keys since a mark, by whom and for
// which request.
func (r *running) wantUses(what string, since uint64, protector, actor, id string, want ...string) {
	r.t.Helper()
	r.mark()
	all, err := r.opAuditList(r.t.Context(), AuditListArgs{From: since, Operation: "keys.", What: protector}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	var got []string
	for _, rec := range all {
		got = append(got, rec.Operation+":"+rec.Outcome)
		if rec.Actor != actor || rec.RequestID != id || id == "" {
			r.t.Errorf("%s: %s is an act of %q, request %q; want %q, %q", what, rec.Operation, rec.Actor, rec.RequestID, actor, id)
		}
	}
	if g, w := strings.Join(got, " "), strings.Join(want, " "); g != w {
		r.t.Errorf("%s: %s, want %s", what, g, w)
	}
}

// The trail names the request on data for which a key was opened or a vault was asked.
func TestTrailNamesRequestsOnData(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.container("box")
	r.put("/box/b", []byte("text"))
	r.stop()

	// After a restart the first read opens the account's key, and the second does not.
	r = p.serve(t)
	own, err := r.accountOf(t.Context(), r.st.Account)
	if err != nil {
		t.Fatal(err)
	}
	at := r.mark()
	status, _, id := r.asked(own.Name, "/box/b", "")
	if status != http.StatusOK {
		t.Fatalf("read after a restart: %d", status)
	}
	if status, _, _ := r.asked(own.Name, "/box/b", ""); status != http.StatusOK {
		t.Fatalf("read again: %d", status)
	}
	r.wantUses("after a restart", at, own.Protector.String(), "account devstoreaccount1", id, "keys.kek.open:ok")

	// A customer's key: the vault is asked for a principal, and for an account.
	c := r.customer("acme")
	ctx := t.Context()
	if _, err := c.store.Blobs.CreateContainer(ctx, c.who, "acme", "box", blob.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Ring.SetVaultKey(ctx, c.protector(), c.ref(), false); err != nil {
		t.Fatal(err)
	}
	if err := c.put("b", "text"); err != nil {
		t.Fatal(err)
	}
	reader, _, err := r.store.Identity.CreatePrincipal(ctx, "reader")
	if err != nil {
		t.Fatal(err)
	}
	r.assign("Storage Blob Data Reader", c.account.ResourceID(), reader.ObjectID)
	token, _, err := r.store.Identity.Issue(ctx, reader.ObjectID, auth.StorageAudience)
	if err != nil {
		t.Fatal(err)
	}
	revoke := func() uint64 {
		t.Helper()
		if err := r.store.Ring.RevokeNow(ctx, c.protector()); err != nil {
			t.Fatal(err)
		}
		return r.mark()
	}
	for _, way := range []struct{ name, token, actor string }{
		{"by token", token, "principal " + reader.ObjectID},
		{"by shared key", "", "account acme"},
	} {
		at := revoke()
		status, code, id := r.asked("acme", "/box/b", way.token)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", way.name, status, code)
		}
		r.wantUses(way.name, at, c.protector().String(), way.actor, id, "keys.customer.unwrap:ok", "keys.kek.open:ok")
	}

	// The customer takes his key away: the trail has the request that was refused first.
	if err := c.enable(false); err != nil {
		t.Fatal(err)
	}
	at = revoke()
	status, code, id := r.asked("acme", "/box/b", token)
	if status != http.StatusForbidden || code != "KeyVaultEncryptionKeyNotFound" {
		t.Fatalf("revoked: %d %s", status, code)
	}
	if status, _, _ := r.asked("acme", "/box/b", ""); status != http.StatusForbidden {
		t.Errorf("revoked, the next one: %d", status)
	}
	r.wantUses("revoked", at, c.protector().String(), "principal "+reader.ObjectID, id, "keys.customer.unwrap:refused: key", "keys.customer.suspend:key")

	// The identity's token is for the server, whoever made it ask.
	all, err := r.opAuditList(ctx, AuditListArgs{Operation: "identity.token", What: "principal " + c.id.ObjectID}, nil)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d tokens of the account's identity, %v", len(all), err)
	}
	for _, rec := range all {
		if rec.Actor != "server" {
			t.Errorf("a token of the account's identity for %q", rec.Actor)
		}
	}
}

// A token that is refused is refused to somebody unknown, in one request, at each endpoint.
func TestTrailNamesRefusedTokens(t *testing.T) {
	r := newPlace(t).serve(t)
	for _, url := range []string{
		secure(r.st.Blob) + "/devstoreaccount1/box/b",
		secure(r.st.Management) + "/subscriptions?api-version=2020-01-01",
		r.vaultURL() + "/keys?api-version=7.4",
	} {
		at := r.mark()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer not-a-token")
		req.Header.Set("x-ms-version", "2025-01-05")
		resp, err := r.trusting().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		id := resp.Header.Get("x-ms-request-id")
		r.mark()
		all, err := r.opAuditList(t.Context(), AuditListArgs{From: at, Operation: "identity.verify"}, nil)
		if resp.StatusCode != http.StatusUnauthorized || err != nil || len(all) != 1 || all[0].Actor != "anonymous" || all[0].RequestID != id || id == "" {
			t.Errorf("%s: %d, %+v, %v; want one record of anonymous, request %q", url, resp.StatusCode, all, err, id)
		}
	}
}
