package server

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// inspect tells the story of every kind of key.
func TestInspectKinds(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	var sc Scope
	p.call(t, "scope.create", ScopeArgs{Account: r.st.Account, Name: "tenant-a"}, &sc)
	if status, b := r.do("PUT", "/kinds?restype=container", nil, 0); status != http.StatusCreated {
		t.Fatalf("container: %d %s", status, b)
	}
	for blob, header := range map[string][]string{
		"plain": nil, "scoped": {"x-ms-encryption-scope", "tenant-a"},
	} {
		status, b := r.do("PUT", "/kinds/"+blob, bytes.NewReader([]byte("content")), 7, append(header, "x-ms-blob-type", "BlockBlob")...)
		if status != http.StatusCreated {
			t.Fatalf("%s: %d %s", blob, status, b)
		}
	}
	inspect := func(blob string) (in Inspection) {
		t.Helper()
		p.call(t, "inspect", Target{r.st.Account, "kinds", blob}, &in)
		return in
	}
	if in := inspect("plain"); in.Scope != "" || in.State != "enabled" || !strings.HasPrefix(in.Protector, "account key of ") || in.Key.Version != 1 {
		t.Errorf("plain: %+v", in)
	}
	if in := inspect("scoped"); in.Scope != "tenant-a" || in.State != "enabled" || !strings.HasPrefix(in.Protector, "encryption scope "+r.st.Account+"/tenant-a") || in.Key.Chain != sc.Key.Chain {
		t.Errorf("scoped: %+v", in)
	}
	p.call(t, "scope.disable", ScopeArgs{Account: r.st.Account, Name: "tenant-a"}, &sc)
	if in := inspect("scoped"); in.State != "disabled" || in.Key.Ref != sc.Key.Ref {
		t.Errorf("disabled: %+v", in)
	}
	var tree KeyTree
	p.call(t, "keys.tree", Nothing{}, &tree)
	if tree.Contents != 2 {
		t.Errorf("tree counts %d contents, want 2", tree.Contents)
	}
}
