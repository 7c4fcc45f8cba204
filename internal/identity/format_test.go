package identity

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/mac"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/secret"
)

var at = time.Date(2026, 11, 25, 12, 0, 0, 5, time.UTC)

func TestUUID(t *testing.T) {
	const good = "0123ABCD-4567-4ABC-8def-0123456789ab"
	if u, ok := parseUUID(good); !ok || u.String() != "0123abcd-4567-4abc-8def-0123456789ab" || canonical(good) != u.String() {
		t.Errorf("parseUUID(%q) = %v, %v", good, u, ok)
	}
	for _, bad := range []string{"", good[1:], good + "0", "0123abcd4567-4abc-8def-0123456789ab-", "0123abcd-4567-4abc-8def-0123456789ag", "01-3abcd-4567-4abc-8def-0123456789a"} {
		if u, ok := parseUUID(bad); ok {
			t.Errorf("parseUUID(%q) = %v, want a refusal", bad, u)
		}
	}
	if u := newUUID(); u[6]>>4 != 4 || u[8]>>6 != 2 {
		t.Errorf("newUUID() = %v, want version 4", u)
	}
}

// TestSecretsVector pins the plaintext of the META part of a principal; spec/identity.md.
func TestSecretsVector(t *testing.T) {
	list := []secretHash{{id: uuid{1}, created: time.Unix(0, 2).UTC(), expires: time.Unix(0, 1<<32+3).UTC(), hash: [32]byte{4}}}
	const want = "0101" + "01000000000000000000000000000000" + "0000000000000002" + "0000000100000003" + "0400000000000000000000000000000000000000000000000000000000000000"
	if got := hex.EncodeToString(encodeSecrets(list)); got != want {
		t.Errorf("encodeSecrets = %s, want %s", got, want)
	}
}

// FuzzSecrets shows that what decodes has one spelling.
func FuzzSecrets(f *testing.F) {
	hash, _ := newSecret(at, time.Time{})
	f.Add(encodeSecrets(nil))
	f.Add(encodeSecrets([]secretHash{hash, {id: uuid{9}}}))
	f.Add([]byte{1, 255})
	f.Add([]byte{2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeSecrets(b)
		if err != nil {
			if list != nil {
				t.Error("a refusal returns secrets")
			}
			return
		}
		if !bytes.Equal(encodeSecrets(list), b) {
			t.Errorf("decodeSecrets(%x) encodes to %x", b, encodeSecrets(list))
		}
	})
}

// TestRowsStrict: rows have the fields of their table, with their sizes, and no others.
func TestRowsStrict(t *testing.T) {
	id := newUUID()
	principal := func() *object.Row {
		r := &object.Row{}
		r.Set(tagCreated, stamp(at))
		(&record{Principal: Principal{ClientID: Tenant, TenantID: Tenant, Kind: UserAssigned, Name: "n", ResourceID: "/r", Machine: true, Tags: `{"a":"1","b":""}`}, Certs: [][]byte{{1}, {2}}}).encode(r)
		return r
	}
	got, err := decodePrincipal(id, principal())
	want := &record{id: id, Certs: [][]byte{{1}, {2}}, Principal: Principal{ObjectID: id.String(), ClientID: Tenant, TenantID: Tenant, Kind: UserAssigned, Name: "n", ResourceID: "/r", Machine: true, Created: at, Tags: `{"a":"1","b":""}`}}
	if err != nil || cmp.Diff(want.Principal, got.Principal) != "" || cmp.Diff(want.Certs, got.Certs) != "" {
		t.Fatalf("decodePrincipal = %+v, %v, want %+v", got, err, want)
	}
	for name, spoil := range map[string]func(*object.Row){
		"unknown tag":         func(r *object.Row) { r.Set(200, []byte{1}) },
		"unknown kind":        func(r *object.Row) { r.Set(tagKind, []byte{9}) },
		"unknown flag":        func(r *object.Row) { r.Set(tagFlags, []byte{2}) },
		"no name":             func(r *object.Row) { r.Set(tagName) },
		"no UTF-8":            func(r *object.Row) { r.Set(tagName, []byte{0xff}) },
		"two names":           func(r *object.Row) { r.Set(tagName, []byte("a"), []byte("b")) },
		"short id":            func(r *object.Row) { r.Set(tagClient, []byte{1}) },
		"tags that are none":  func(r *object.Row) { r.Set(tagTags, []byte("{}")) },
		"tags spelled twice":  func(r *object.Row) { r.Set(tagTags, []byte(`{"b":"","a":"1"}`)) },
		"tags of no JSON":     func(r *object.Row) { r.Set(tagTags, []byte("a=b")) },
		"tags of an account":  func(r *object.Row) { r.Set(tagKind, []byte{byte(SystemAssigned)}) },
		"short time":          func(r *object.Row) { r.Set(tagCreated, []byte{1}) },
		"managed of nothing":  func(r *object.Row) { r.Set(tagResource) },
		"program of resource": func(r *object.Row) { r.Set(tagKind, []byte{byte(ServicePrincipal)}) },
	} {
		r := principal()
		spoil(r)
		if p, err := decodePrincipal(id, r); err == nil {
			t.Errorf("%s: decoded %+v", name, p)
		}
	}
	r := &object.Row{}
	r.Set(tagCreated, stamp(at))
	a := RoleAssignment{ID: id.String(), Scope: "/s", RoleID: Tenant, PrincipalID: id.String(), Created: at}
	encodeAssignment(a, r)
	if got, err := decodeAssignment(id, r); err != nil || got != a {
		t.Errorf("decodeAssignment = %+v, %v, want %+v", got, err, a)
	}
	r.Set(tagScope)
	if got, err := decodeAssignment(id, r); err == nil {
		t.Errorf("without a scope: decoded %+v", got)
	}
}

// FuzzRows shows that no fields of any kind make a decoder fall over, and that what
// decodes encodes to the same.
func FuzzRows(f *testing.F) {
	f.Add([]byte{tagKind, 1, 1, tagName, 1, 'n'})
	f.Add(append([]byte{tagScope, 1, '/', tagRole, 16}, make([]byte, 16)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &object.Row{}
		for len(b) >= 2 && len(b) >= 2+int(b[1]) {
			r.Fields = append(r.Fields, envelope.Field{Tag: b[0], Value: b[2 : 2+b[1]]})
			b = b[2+int(b[1]):]
		}
		if p, err := decodePrincipal(uuid{1}, r); err == nil {
			back := &object.Row{}
			back.Set(tagCreated, stamp(p.Created))
			p.encode(back)
			again, err := decodePrincipal(uuid{1}, back)
			if err != nil || cmp.Diff(p.Principal, again.Principal) != "" {
				t.Errorf("principal %+v becomes %+v, %v", p, again, err)
			}
		}
		if a, err := decodeAssignment(uuid{1}, r); err == nil && (a.Scope == "" || a.PrincipalID == "") {
			t.Errorf("decoded %+v", a)
		}
	})
}

// TestDelegationVector pins the derivation of user delegation keys; spec/identity.md.
func TestDelegationVector(t *testing.T) {
	oid, tid := uuid{1}, uuid{2}
	start, end := time.Unix(1795600000, 0), time.Unix(1795700000, 0)
	root := secret.New(bytes.Repeat([]byte{7}, 32))
	got, err := mac.Sum(root, delegationInput(oid, tid, Delegation{Start: start, Expiry: end, Service: "b", Version: "2026-12-06"}))
	const want = "16ade1cf5d25e6de0acfd528981847b8b3fd5ba73a38d62a5e92e807929d846b"
	if err != nil || hex.EncodeToString(got[:]) != want {
		t.Errorf("delegation key = %x, %v, want %s", got, err, want)
	}
	// The same by hand: one label, and each field with its length.
	by := []byte("\x00\x14coffer/delegation/v1")
	for _, f := range [][]byte{oid[:], tid[:], enc.Uint(1795600000), enc.Uint(1795700000), []byte("b"), []byte("2026-12-06")} {
		by = append(binary.BigEndian.AppendUint32(by, uint32(len(f))), f...)
	}
	if !bytes.Equal(by, delegationInput(oid, tid, Delegation{Start: start, Expiry: end, Service: "b", Version: "2026-12-06"})) {
		t.Error("the input is not what the specification says")
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	var r refusals
	n := 0
	for range 1000 {
		if ok, _ := r.take(at); ok {
			n++
		}
	}
	ok, skipped := r.take(at.Add(time.Second))
	if n != maxRefusals || !ok || skipped != 1000-maxRefusals {
		t.Errorf("%d of 1000 refusals recorded, then %v with %d before it", n, ok, skipped)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "a/b", true}, {"a/*/read", "a/b/c/read", true}, {"a/*/read", "a/read", false}, {"*/read", "a/read", true}, {"*/read", "a/readx", false},
		{"a/b", "a/b", true}, {"a/b", "a/bc", false}, {"a*b*c", "axbxbxc", true}, {"a*b*c", "axcxb", false}, {"", "", true}, {"a*", "a", true},
	} {
		if got := match(tt.pattern, tt.action); got != tt.want {
			t.Errorf("match(%q, %q) = %v, want %v", tt.pattern, tt.action, got, tt.want)
		}
	}
}
