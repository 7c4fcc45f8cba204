package access

import (
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
)

const success = fault.KindCount // no refusal

func TestAllow(t *testing.T) {
	const acct = name.Account("acct")
	key := &Caller{Kind: SharedKey, Account: acct}
	lite := &Caller{Kind: SharedKeyLite, Account: acct}
	asas := func(ss, srt, sp string) *Caller {
		return &Caller{Kind: AccountSAS, Account: acct, SAS: &SAS{Services: ss, ResourceTypes: srt, Permissions: sp}}
	}
	box := func(sp string) *Caller {
		return &Caller{Kind: ServiceSAS, Account: acct, SAS: &SAS{Resource: "c", Container: "box", Permissions: sp}}
	}
	one := func(sp string) *Caller {
		return &Caller{Kind: ServiceSAS, Account: acct, SAS: &SAS{Resource: "b", Container: "box", Blob: "a/b", Permissions: sp}}
	}
	snap := func(sp string) *Caller {
		return &Caller{Kind: ServiceSAS, Account: acct, SAS: &SAS{Resource: "bs", Container: "box", Blob: "a/b", Snapshot: "t1", Permissions: sp}}
	}
	blob := func(need string) Need {
		return Need{Account: acct, Type: Object, Permissions: need, Container: "box", Blob: "a/b", PublicAllowed: true}
	}
	read := blob("r")
	read.Anonymous = PublicBlob
	published := func(n Need, p Public) Need { n.Public = p; return n }
	list := Need{Account: acct, Type: Container, Permissions: "l", Container: "box", Anonymous: PublicContainer, PublicAllowed: true}
	makeBox := Need{Account: acct, Type: Container, Permissions: "cw", Container: "box", PublicAllowed: true}
	acl := Need{Account: acct, Type: Container, KeyOnly: true, Container: "box", PublicAllowed: true}
	boxes := Need{Account: acct, Type: Service, Permissions: "l", PublicAllowed: true}
	info := Need{Account: acct, Type: AnyType, PublicAllowed: true}
	other := read
	other.Blob = "a/c"
	elsewhere := read
	elsewhere.Container = "box2"
	closed := published(read, PublicContainer)
	closed.PublicAllowed = false
	snapshot := read
	snapshot.Snapshot = "t1"
	snapshot2 := read
	snapshot2.Snapshot = "t2"
	foreign := read
	foreign.Account = "acct2"
	queue := Need{Account: acct, Service: 'q', Type: Object, Permissions: "r"}

	tests := []struct {
		name string
		c    *Caller
		n    Need
		want fault.Kind
	}{
		{"key may write", key, blob("w"), success},
		{"key may set policies", key, acl, success},
		{"key may list containers", lite, boxes, success},
		{"key of another account", key, foreign, fault.AuthenticationFailed},
		{"unknown kind", &Caller{Kind: 99, Account: acct}, read, fault.AuthenticationFailed},

		{"nobody, private", nil, read, fault.ResourceNotFound},
		{"zero caller, private", &Caller{}, read, fault.ResourceNotFound},
		{"nobody, public blobs", nil, published(read, PublicBlob), success},
		{"nobody, public container", nil, published(read, PublicContainer), success},
		{"nobody lists public blobs", nil, published(list, PublicBlob), fault.ResourceNotFound},
		{"nobody lists public container", nil, published(list, PublicContainer), success},
		{"nobody writes to a public container", nil, published(blob("w"), PublicContainer), fault.NoAuthentication},
		{"nobody, account forbids it", nil, closed, fault.PublicAccessNotPermitted},
		{"nobody, policies", nil, acl, fault.NoAuthentication},

		{"account SAS", asas("b", "o", "r"), read, success},
		{"account SAS, many", asas("bqtf", "sco", "rwdlacup"), read, success},
		{"account SAS without the service", asas("q", "sco", "r"), read, fault.ServiceMismatch},
		{"account SAS for another service", asas("b", "o", "r"), queue, fault.ServiceMismatch},
		{"account SAS without the type", asas("b", "sc", "r"), read, fault.ResourceTypeMismatch},
		{"account SAS without the permission", asas("b", "o", "w"), read, fault.PermissionMismatch},
		{"account SAS creates with c", asas("b", "c", "c"), makeBox, success},
		{"account SAS creates with w", asas("b", "c", "w"), makeBox, success},
		{"account SAS does not create with r", asas("b", "c", "rl"), makeBox, fault.PermissionMismatch},
		{"account SAS lists containers", asas("b", "s", "l"), boxes, success},
		{"account SAS and policies", asas("b", "sco", "rwdlacup"), acl, fault.InsufficientAccount},
		{"account SAS, account information", asas("b", "o", "r"), info, success},
		{"account SAS of another account", asas("b", "o", "r"), foreign, fault.AuthenticationFailed},
		{"account SAS that is missing", &Caller{Kind: AccountSAS, Account: acct}, read, fault.AuthenticationFailed},

		{"container SAS reads", box("r"), read, success},
		{"container SAS reads any blob", box("r"), other, success},
		{"container SAS lists", box("l"), list, success},
		{"container SAS lists only with l", box("rw"), list, fault.PermissionMismatch},
		{"container SAS elsewhere", box("r"), elsewhere, fault.AuthenticationFailed},
		{"container SAS lacks the permission", box("l"), read, fault.PermissionMismatch},
		{"container SAS makes no containers", box("rcwd"), makeBox, fault.AuthorizationFailure},
		{"container SAS lists no containers", box("l"), boxes, fault.AuthorizationFailure},
		{"container SAS and policies", box("rcwdl"), acl, fault.InsufficientAccount},
		{"container SAS, account information", box("r"), info, success},

		{"blob SAS reads", one("r"), read, success},
		{"blob SAS reads its snapshots", one("r"), snapshot, success},
		{"blob SAS and another blob", one("r"), other, fault.AuthenticationFailed},
		{"blob SAS and another container", one("r"), elsewhere, fault.AuthenticationFailed},
		{"blob SAS lists nothing", one("rl"), list, fault.AuthorizationFailure},
		{"blob SAS lacks the permission", one("r"), blob("w"), fault.PermissionMismatch},
		{"blob SAS creates with c", one("c"), blob("cw"), success},
		{"service SAS that is missing", &Caller{Kind: ServiceSAS, Account: acct}, read, fault.AuthenticationFailed},
		{"directory SAS", &Caller{Kind: ServiceSAS, Account: acct, SAS: &SAS{Resource: "d", Container: "box", Permissions: "r"}}, read, fault.AuthorizationFailure},

		{"snapshot SAS", snap("r"), snapshot, success},
		{"snapshot SAS and the blob", snap("r"), read, fault.AuthenticationFailed},
		{"snapshot SAS and another snapshot", snap("r"), snapshot2, fault.AuthenticationFailed},

		{"a need that says nothing", asas("b", "sco", "rwdlacup"), Need{Account: acct}, fault.ResourceTypeMismatch},
		{"a need that says nothing, container SAS", box("rwdl"), Need{Account: acct, Container: "box"}, fault.AuthorizationFailure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.c.Allow(tt.n)
			if tt.want == success {
				if err != nil {
					t.Fatalf("Allow = %v, want it allowed", err)
				}
				return
			}
			if !fault.Is(err, tt.want) {
				t.Fatalf("Allow = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestKindString(t *testing.T) {
	for k, want := range map[Kind]string{Anonymous: "Anonymous", ServiceSAS: "ServiceSAS", 99: "Unknown"} {
		if got := k.String(); got != want {
			t.Errorf("Kind(%d) = %q, want %q", k, got, want)
		}
	}
}

// Every way to be authenticated names who stands for the request.
func TestActor(t *testing.T) {
	want := map[Kind]string{
		Anonymous: "anonymous", SharedKey: "account acct", SharedKeyLite: "account acct",
		AccountSAS: "SAS of account acct", ServiceSAS: "SAS of account acct",
		Bearer: "principal p1", UserDelegationSAS: "SAS of principal p1",
	}
	for k := range Kind(len(kindNames)) {
		c := &Caller{Kind: k, Account: "acct", Principal: "p1"}
		if got := c.Actor(); got != want[k] {
			t.Errorf("%v is %q, want %q", k, got, want[k])
		}
	}
	if got := (*Caller)(nil).Actor(); got != "anonymous" {
		t.Errorf("nobody is %q", got)
	}
}

func TestRoles(t *testing.T) {
	const acct = name.Account("acct")
	roles := func(give ...Action) Roles {
		return func(action string, data bool, scope string) bool {
			for _, a := range give {
				if a == (Action{action, data}) && (scope == "/r" || scope == "/r/blobServices/default/containers/box") {
					return true
				}
			}
			return false
		}
	}
	bearer := func(give ...Action) *Caller {
		return &Caller{Kind: Bearer, Account: acct, Resource: "/r", Roles: roles(give...)}
	}
	sas := func(sp string, give ...Action) *Caller {
		c := bearer(give...)
		c.Kind, c.SAS = UserDelegationSAS, &SAS{Resource: "c", Container: "box", Permissions: sp}
		return c
	}
	read := Need{Account: acct, Type: Object, Permissions: "r", Container: "box", Blob: "b", Actions: []Action{ReadBlob}}
	create := Need{Account: acct, Type: Object, Permissions: "cw", Container: "box", Blob: "b", Actions: []Action{WriteBlob, AddBlob}}
	elsewhere := read
	elsewhere.Container = "box2"
	noRole := read
	noRole.Actions = nil
	acl := Need{Account: acct, Type: Container, KeyOnly: true, Container: "box", Actions: []Action{WriteACL}}
	info := Need{Account: acct, Type: AnyType, Actions: []Action{ReadInfo}}
	foreign := read
	foreign.Account = "acct2"
	for what, tt := range map[string]struct {
		c       *Caller
		n       Need
		want    fault.Kind
		replace bool
	}{
		"reader reads":             {bearer(ReadBlob), read, success, false},
		"reader elsewhere":         {bearer(ReadBlob), elsewhere, fault.PermissionMismatch, false},
		"reader writes":            {bearer(ReadBlob), create, fault.PermissionMismatch, false},
		"writer creates":           {bearer(WriteBlob), create, success, true},
		"adder creates":            {bearer(AddBlob), create, success, false},
		"no roles":                 {&Caller{Kind: Bearer, Account: acct}, read, fault.PermissionMismatch, false},
		"no role is enough":        {bearer(ReadBlob), noRole, fault.InsufficientAccount, false},
		"owner sets policies":      {bearer(WriteACL), acl, success, false},
		"other account":            {bearer(ReadBlob), foreign, fault.AuthenticationFailed, false},
		"SAS of a reader":          {sas("r", ReadBlob), read, success, false},
		"SAS of nobody":            {sas("r"), read, fault.PermissionMismatch, false},
		"SAS without the letter":   {sas("w", ReadBlob), read, fault.PermissionMismatch, false},
		"SAS says more than roles": {sas("rcw", ReadBlob), create, fault.PermissionMismatch, false},
		"SAS replaces":             {sas("w", WriteBlob), create, success, true},
		"SAS creates only":         {sas("c", WriteBlob), create, success, false},
		"SAS of who adds only":     {sas("w", AddBlob), create, success, false},
		"SAS and policies":         {sas("rwdl", WriteACL), acl, fault.InsufficientAccount, false},
		"SAS, account information": {sas("r"), info, success, false},
	} {
		err := tt.c.Allow(tt.n)
		if tt.want == success && err != nil || tt.want != success && !fault.Is(err, tt.want) {
			t.Errorf("%s: Allow = %v, want %v", what, err, tt.want)
		}
		if got := tt.c.MayReplace(tt.n); err == nil && got != tt.replace {
			t.Errorf("%s: MayReplace = %v, want %v", what, got, tt.replace)
		}
	}
}
