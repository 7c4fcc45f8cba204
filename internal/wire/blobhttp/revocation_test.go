package blobhttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
	"github.com/coffer-storage/coffer/internal/scope"
)

// revocation is a way in which a customer takes his key away.
type revocation struct {
	name string
	set  func(v *keystest.Vault, ref keys.VaultRef, away bool)
	code string
	wait time.Duration // until nobody may use it any more
}

const (
	codeKey   = "KeyVaultEncryptionKeyNotFound"
	codeVault = "KeyVaultVaultNotFound"
	codeToken = "KeyVaultAccessTokenCannotBeAcquired"
)

var revocations = []revocation{
	{"disabled", func(v *keystest.Vault, r keys.VaultRef, away bool) {
		v.Edit(r, func(k *keystest.Key) { k.Enabled = !away })
	}, codeKey, keys.DefaultKeyCache + 15*time.Second},
	{"deleted", func(v *keystest.Vault, r keys.VaultRef, away bool) {
		v.Edit(r, func(k *keystest.Key) { k.Deleted = away })
	}, codeKey, keys.DefaultKeyCache + 15*time.Second},
	{"permission removed", func(v *keystest.Vault, r keys.VaultRef, away bool) { v.Deny(r.Identity, away) },
		codeKey, keys.DefaultKeyCache + 15*time.Second},
	{"identity removed", func(v *keystest.Vault, r keys.VaultRef, away bool) { v.NoToken(r.Identity, away) },
		codeToken, keys.DefaultKeyCache + 15*time.Second},
	{"vault deleted", mood(keystest.Gone), codeVault, keys.DefaultKeyCache + 15*time.Second},
	{"vault unreachable", mood(keystest.Unreachable), codeVault, keys.DefaultKeyStale},
	{"vault hangs", mood(keystest.Hanging), codeVault, keys.DefaultKeyStale},
}

func mood(m keystest.Mood) func(*keystest.Vault, keys.VaultRef, bool) {
	return func(v *keystest.Vault, r keys.VaultRef, away bool) {
		now := m
		if !away {
			now = keystest.Well
		}
		v.SetMood(r.URI, now)
	}
}

// operation of the revocation matrix: a request and its answer when the key is there.
type revocable struct {
	name, method, target, body string
	ok                         int
	refused                    bool // while the key is away
	headers                    []string
}

var blockID = base64.StdEncoding.EncodeToString([]byte("block-1"))

var listOfOne = "<BlockList><Latest>" + blockID + "</Latest></BlockList>"

const noBlocks = "<BlockList></BlockList>"

// operations are all that there are on blobs under p, "" or a scope's header, in an
// order in which each finds what it needs; those of the specification's list are refused.
func operations(put ...string) []revocable {
	put = append([]string{"x-ms-blob-type", "BlockBlob"}, put...)
	scoped := put[2:]
	meta := func(h ...string) []string { return append([]string{"x-ms-meta-who", "me"}, h...) }
	return []revocable{
		{"Get Blob", "GET", "/box/kept", "", 200, true, nil},
		{"Get Blob, range", "GET", "/box/kept", "", 206, true, []string{"x-ms-range", "bytes=1-2"}},
		{"Get Blob, empty", "GET", "/box/empty", "", 200, true, nil},
		{"Get Blob Properties", "HEAD", "/box/kept", "", 200, true, nil},
		{"Get Blob Metadata", "GET", "/box/kept?comp=metadata", "", 200, true, nil},
		{"Get Blob Metadata, HEAD", "HEAD", "/box/bare?comp=metadata", "", 200, true, nil},
		{"List Blobs with metadata", "GET", "/box?restype=container&comp=list&include=metadata", "", 200, true, nil},
		{"Put Blob, new", "PUT", "/box/new", "content", 201, true, put},
		{"Put Blob, over", "PUT", "/box/over", "content", 201, true, put},
		{"Put Blob, empty", "PUT", "/box/over", "", 201, true, put},
		{"Put Block", "PUT", "/box/blocks?comp=block&blockid=" + blockID, "content", 201, true, scoped},
		{"Put Block, first of a blob", "PUT", "/box/first?comp=block&blockid=" + blockID, "content", 201, true, scoped},
		{"Set Blob Metadata", "PUT", "/box/over?comp=metadata", "", 200, true, meta(scoped...)},
		{"Set Blob Metadata, none", "PUT", "/box/over?comp=metadata", "", 200, true, scoped},
		{"Put Block List with metadata", "PUT", "/box/listed?comp=blocklist", listOfOne, 201, true, meta(scoped...)},
		{"Put Block List that needs a key", "PUT", "/box/none?comp=blocklist", noBlocks, 201, true, scoped},

		{"Put Block List", "PUT", "/box/listed?comp=blocklist", listOfOne, 201, false, scoped},
		{"Get Block List", "GET", "/box/listed?comp=blocklist&blocklisttype=all", "", 200, false, nil},
		{"Set Blob Properties", "PUT", "/box/kept?comp=properties", "", 200, false, []string{"x-ms-blob-content-type", "text/plain"}},
		{"Delete Blob", "DELETE", "/box/gone", "", 202, false, nil},
		{"List Blobs", "GET", "/box?restype=container&comp=list", "", 200, false, nil},
		{"List Blobs, uncommitted", "GET", "/box?restype=container&comp=list&include=uncommittedblobs", "", 200, false, nil},
		{"List Blobs with metadata, none there", "GET", "/box?restype=container&comp=list&include=metadata&prefix=bare", "", 200, false, nil},
		{"List Containers", "GET", "/?comp=list", "", 200, false, nil},
		{"Create Container", "PUT", "/more?restype=container", "", 201, false, []string{"x-ms-meta-a", "b"}},
		{"Get Container Properties", "GET", "/box?restype=container", "", 200, false, nil},
		{"Get Container Metadata", "GET", "/more?restype=container&comp=metadata", "", 200, false, nil},
		{"Set Container Metadata", "PUT", "/more?restype=container&comp=metadata", "", 200, false, []string{"x-ms-meta-a", "c"}},
		{"Get Container ACL", "GET", "/more?restype=container&comp=acl", "", 200, false, nil},
		{"Set Container ACL", "PUT", "/more?restype=container&comp=acl", "", 200, false, nil},
		{"Delete Container", "DELETE", "/more?restype=container", "", 202, false, nil},
		{"Get Blob Service Properties", "GET", "/?restype=service&comp=properties", "", 200, false, nil},
		{"Get Account Information", "GET", "/?restype=account&comp=properties", "", 200, false, nil},
	}
}

// prepare makes what the operations work on.
func (c client) prepare(under ...string) {
	c.Helper()
	put := append([]string{"x-ms-blob-type", "BlockBlob"}, under...)
	for _, n := range []string{"kept", "over", "gone"} {
		c.want(201, "PUT", "/box/"+n, []byte("some content"), append([]string{"x-ms-meta-a", "b"}, put...)...)
	}
	c.want(201, "PUT", "/box/empty", nil, put...)
	c.want(201, "PUT", "/box/bare", []byte("x"), put...)
	for _, n := range []string{"blocks", "listed"} {
		c.want(201, "PUT", "/box/"+n+"?comp=block&blockid="+blockID, []byte("some content"), under...)
	}
	for _, n := range []string{"new", "first", "none"} {
		resp := c.do("DELETE", "/box/"+n, nil)
		resp.Body.Close()
	}
	resp := c.do("DELETE", "/more?restype=container", nil)
	resp.Body.Close()
}

// run asks for every operation and compares status and code.
func (c client) run(what string, ops []revocable, away bool, code string) (cells int) {
	c.Helper()
	for _, op := range ops {
		var body []byte
		if op.body != "" || op.method == "PUT" {
			body = []byte(op.body)
		}
		resp := c.do(op.method, op.target, body, op.headers...)
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			c.Errorf("%s, %s: %v", what, op.name, err)
		}
		cells++
		if away && op.refused {
			if got := resp.Header.Get("x-ms-error-code"); resp.StatusCode != 403 || got != code {
				c.Errorf("%s, %s: %d %s, want 403 %s\n%s", what, op.name, resp.StatusCode, got, code, b)
			} else if op.method != http.MethodHead && !bytes.Contains(b, []byte("<Code>"+code+"</Code>")) {
				c.Errorf("%s, %s: the body has not the code:\n%s", what, op.name, b)
			}
			continue
		}
		if resp.StatusCode != op.ok {
			c.Errorf("%s, %s: %d %s, want %d\n%s", what, op.name, resp.StatusCode, resp.Header.Get("x-ms-error-code"), op.ok, b)
		}
	}
	return cells
}

// customers gives a rig a vault and returns a key in it.
func (c client) customers() (*keystest.Vault, keys.VaultRef) {
	c.Helper()
	v := new(keystest.Vault)
	if err := c.store.Ring.SetVault(v, keys.CustomerOptions{Deadline: 50 * time.Millisecond}); err != nil {
		c.Fatal(err)
	}
	ref := v.Add("a", "k")
	ref.Identity = "/subscriptions/s/identities/me"
	return v, ref
}

func (c client) putUnder(p keys.Protector, ref keys.VaultRef) {
	c.Helper()
	if err := c.store.Ring.SetVaultKey(context.Background(), p, ref, false); err != nil {
		c.Fatal(err)
	}
}

// The matrix: every operation that there is, with the service's key, with a customer's
// key that is there, that is taken away in each way, and that is there again; single and
// double, for an account and for a scope. What is beside it goes on.
func TestRevocationMatrix(t *testing.T) {
	cells := 0
	for i, v := range variants {
		for _, where := range []string{"account", "scope"} {
			if testing.Short() && i > 0 {
				continue
			}
			w := newWireRig(t, v)
			w.want(201, "PUT", "/box?restype=container", nil)
			w.want(201, "PUT", "/beside?restype=container", nil)
			vault, ref := w.customers()
			p, under := keys.AccountProtector(w.owner()), []string(nil)
			if where == "scope" {
				under = asked("scope-a")
				found, err := w.store.Scopes.Find(context.Background(), w.owner(), "scope-a")
				if err != nil {
					t.Fatal(err)
				}
				p = found.Protector()
			}
			ops := operations(under...)
			if where == "account" {
				// The other way round too: what is not under the key that goes away.
				w.scope("scope-c", scope.Options{})
			}
			w.prepare(under...)
			cells += w.run(v.name+", service's key", ops, false, "")
			w.putUnder(p, ref)
			w.prepare(under...)
			cells += w.run(v.name+", "+where+", live", ops, false, "")
			for _, rev := range revocations {
				what := fmt.Sprintf("%s, %s, %s", v.name, where, rev.name)
				w.prepare(under...)
				w.neighbours(what, where)
				rev.set(vault, ref, true)
				w.store.Clock.Add(rev.wait)
				cells += w.run(what, ops, true, rev.code)
				w.neighbours(what, where)
				rev.set(vault, ref, false)
				w.store.Clock.Add(11 * time.Second)
				w.prepare(under...)
				cells += w.run(what+", back", ops, false, "")
			}
		}
	}
	t.Logf("%d cells", cells)
}

// neighbours puts and reads what a suspension must not touch.
func (w *wireRig) neighbours(what, where string) {
	w.Helper()
	for name, h := range map[string][]string{"cpk": keyA.headers(), "scope": asked("scope-b"), "account": nil} {
		if name == where || where == "account" && name == "account" {
			continue
		}
		target := "/beside/" + name
		put := append([]string{"x-ms-blob-type", "BlockBlob", "x-ms-meta-a", "b"}, h...)
		get := h
		if name == "scope" {
			get = nil
		}
		for _, step := range []struct {
			method, target string
			body           []byte
			status         int
			headers        []string
		}{
			{"PUT", target, []byte("neighbour"), 201, put},
			{"GET", target, nil, 200, get},
			{"HEAD", target, nil, 200, get},
			{"PUT", target + "?comp=metadata", nil, 200, append([]string{"x-ms-meta-b", "c"}, h...)},
		} {
			if resp := w.do(step.method, step.target, step.body, step.headers...); resp.StatusCode != step.status {
				w.Errorf("%s: %s of a blob under %s beside it: %d %s", what, step.method, name, resp.StatusCode, resp.Header.Get("x-ms-error-code"))
			}
		}
	}
}

// CMK x CPK: what a customer-provided key answers does not depend on the customer-managed
// one of the account.
func TestManagedAndProvided(t *testing.T) {
	for _, v := range variants[:2] {
		w := newWireRig(t, v)
		w.want(201, "PUT", "/box?restype=container", nil)
		vault, ref := w.customers()
		w.want(201, "PUT", "/box/own", []byte("under my key"), append([]string{"x-ms-blob-type", "BlockBlob"}, keyA.headers()...)...)
		state := func(what string) {
			t.Helper()
			for _, cell := range []struct {
				name, method, target string
				body                 []byte
				headers              []string
				want                 string
			}{
				{"get, right", "GET", "/box/own", nil, keyA.headers(), "200 "},
				{"get, wrong", "GET", "/box/own", nil, keyB.headers(), "409 BlobCustomerSpecifiedEncryptionMismatch"},
				{"get, none", "GET", "/box/own", nil, nil, "409 BlobUsesCustomerSpecifiedEncryption"},
				{"put, right", "PUT", "/box/own", []byte("under my key"), append([]string{"x-ms-blob-type", "BlockBlob"}, keyA.headers()...), "201 "},
				{"metadata, right", "PUT", "/box/own?comp=metadata", nil, append([]string{"x-ms-meta-a", "b"}, keyA.headers()...), "200 "},
				{"metadata, wrong", "PUT", "/box/own?comp=metadata", nil, append([]string{"x-ms-meta-a", "b"}, keyB.headers()...), "409 BlobCustomerSpecifiedEncryptionMismatch"},
				{"metadata, none", "PUT", "/box/own?comp=metadata", nil, []string{"x-ms-meta-a", "b"}, "409 BlobUsesCustomerSpecifiedEncryption"},
			} {
				resp := w.do(cell.method, cell.target, cell.body, cell.headers...)
				resp.Body.Close()
				if got := fmt.Sprintf("%d %s", resp.StatusCode, resp.Header.Get("x-ms-error-code")); got != cell.want {
					t.Errorf("%s, %s, %s = %s, want %s", v.name, what, cell.name, got, cell.want)
				}
			}
		}
		state("service's key")
		w.putUnder(keys.AccountProtector(w.owner()), ref)
		state("live")
		vault.Edit(ref, func(k *keystest.Key) { k.Enabled = false })
		w.store.Clock.Add(2 * time.Minute)
		state("revoked")
		w.want(403, "PUT", "/box/account", []byte("x"), "x-ms-blob-type", "BlockBlob")
	}
}

// A download that is on its way is cut off, and never ends as if it were whole.
func TestRunningDownloadIsCutOff(t *testing.T) {
	c := client{newRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil)
	vault, ref := c.customers()
	p := keys.AccountProtector(c.owner())
	c.putUnder(p, ref)
	content := randomBytes(64 << 20)
	c.want(201, "PUT", "/box/long", content, "x-ms-blob-type", "BlockBlob")
	for name, revoke := range map[string]func(){
		"disabled": func() {
			vault.Edit(ref, func(k *keystest.Key) { k.Enabled = false })
			c.store.Clock.Add(2 * time.Minute)
		},
		"revoke now": func() {
			vault.Edit(ref, func(k *keystest.Key) { k.Enabled = false })
			_ = c.store.Objects.RevokeNow(t.Context(), p)
		},
	} {
		resp := c.want(200, "GET", "/box/long", nil)
		head := make([]byte, 1<<20)
		if _, err := io.ReadFull(resp.Body, head); err != nil || !bytes.Equal(head, content[:len(head)]) {
			t.Fatalf("%s: the beginning: %v", name, err)
		}
		revoke()
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err == nil || n >= int64(len(content)-len(head)) {
			t.Errorf("%s: %d bytes more, error %v: want an answer that breaks off", name, n, err)
		}
		if !strings.Contains(fmt.Sprint(err), "EOF") && err == nil {
			t.Errorf("%s: %v", name, err)
		}
		vault.Edit(ref, func(k *keystest.Key) { k.Enabled = true })
		c.store.Clock.Add(11 * time.Second)
		resp = c.want(200, "GET", "/box/long", nil)
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: not the same content afterwards (%v)", name, err)
		}
	}
}

// A page of a list, and reads of all that is on it, ask a vault twice at most.
func TestOnePageAsksTwice(t *testing.T) {
	c := client{newRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil)
	vault, ref := c.customers()
	c.putUnder(keys.AccountProtector(c.owner()), ref)
	for i := range 100 {
		c.want(201, "PUT", fmt.Sprintf("/box/b%03d", i), []byte("x"), "x-ms-blob-type", "BlockBlob", "x-ms-meta-a", "b")
	}
	c.store.Clock.Add(10 * time.Minute)
	before := vault.Calls("")
	c.want(200, "GET", "/box?restype=container&comp=list&include=metadata", nil)
	for i := range 100 {
		c.want(200, "GET", fmt.Sprintf("/box/b%03d", i), nil)
	}
	if n := vault.Calls("") - before; n < 1 || n > 2 {
		t.Errorf("%d calls to the vault", n)
	}
}
