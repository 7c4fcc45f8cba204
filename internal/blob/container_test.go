package blob_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

func TestContainer(t *testing.T) {
	w := newWorld(t)
	m := blob.Metadata{{Name: "Zeta", Value: "1"}, {Name: "alpha", Value: "2"}}
	a, err := w.Blobs.CreateContainer(w.ctx, w.who, acct, "c01", blob.ContainerOptions{Metadata: m, PublicAccess: "blob", DefaultScope: blob.AccountKeyScope})
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Blobs.GetContainer(w.ctx, w.who, acct, "c01", blob.Conditions{})
	want := blob.ContainerProperties{
		ETag: a.ETag, LastModified: a.LastModified, PublicAccess: "blob", Metadata: m,
		LeaseStatus: "unlocked", LeaseState: "available", DefaultScope: "$account-encryption-key",
	}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("GetContainer: %v\n%s", err, cmp.Diff(want, got))
	}
	w.Clock.Add(time.Minute)
	b, err := w.Blobs.SetContainerMetadata(w.ctx, w.who, acct, "c01", m[:1], blob.Conditions{IfModifiedSince: a.LastModified.Add(-time.Hour)})
	if err != nil || b.ETag == a.ETag {
		t.Errorf("SetContainerMetadata = %+v, %v", b, err)
	}
	got, err = w.Blobs.GetContainer(w.ctx, w.who, acct, "c01", blob.Conditions{})
	if err != nil || cmp.Diff(m[:1], got.Metadata) != "" || got.PublicAccess != "blob" || got.ETag != b.ETag {
		t.Errorf("after SetContainerMetadata: %+v, %v", got, err)
	}
	if s, err := w.Blobs.PublicAccess(w.ctx, acct, "c01"); err != nil || s != "blob" {
		t.Errorf("PublicAccess = %q, %v", s, err)
	}
	_, err = w.Blobs.PublicAccess(w.ctx, acct, "nobox")
	w.want("PublicAccess of nothing", err, fault.ContainerNotFound)
}

func TestContainerRefuses(t *testing.T) {
	w := newWorld(t)
	create := func(o blob.ContainerOptions, n name.Container) error {
		_, err := w.Blobs.CreateContainer(w.ctx, w.who, acct, n, o)
		return err
	}
	w.want("twice", create(blob.ContainerOptions{}, "box"), fault.ContainerAlreadyExists)
	w.want("scope", create(blob.ContainerOptions{DefaultScope: "s"}, "c01"), fault.ScopeNotFound)
	w.want("public access", create(blob.ContainerOptions{PublicAccess: "all"}, "c01"), fault.InvalidHeaderValue)
	w.want("metadata", create(blob.ContainerOptions{Metadata: blob.Metadata{{Name: "a-b"}}}, "c01"), fault.InvalidMetadata)
	_, err := w.Blobs.GetContainer(w.ctx, w.who, acct, "c01", blob.Conditions{})
	w.want("get what was refused", err, fault.ContainerNotFound)
	_, err = w.Blobs.GetContainer(w.ctx, w.who, acct, "box", blob.Conditions{LeaseID: "l"})
	w.want("lease", err, fault.LeaseNotPresent)
	_, err = w.Blobs.SetContainerMetadata(w.ctx, w.who, acct, "box", nil, blob.Conditions{IfModifiedSince: w.Clock.Now()})
	w.want("condition", err, fault.ConditionNotMet)
	w.want("delete on a condition", w.Blobs.DeleteContainer(w.ctx, w.who, acct, "box", blob.Conditions{IfUnmodifiedSince: w.Clock.Now().Add(-time.Hour)}), fault.ConditionNotMet)
	w.want("delete nothing", w.Blobs.DeleteContainer(w.ctx, w.who, acct, "nobox", blob.Conditions{}), fault.ContainerNotFound)
	foreign := w.as(&access.Caller{Kind: access.SharedKey, Account: "acct2"})
	_, err = foreign.Blobs.GetContainer(w.ctx, foreign.who, acct, "box", blob.Conditions{})
	w.want("another account's key", err, fault.AuthenticationFailed)
}

func TestACL(t *testing.T) {
	w := newWorld(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ps := []blob.Policy{{ID: "one", Permission: "rl", Start: at, Expiry: at.Add(time.Hour)}, {ID: "two"}}
	set := func(o blob.ACLOptions) error {
		_, err := w.Blobs.SetContainerACL(w.ctx, w.who, acct, "box", o)
		return err
	}
	w.want("set", set(blob.ACLOptions{PublicAccess: "container", Policies: ps}), success)
	got, err := w.Blobs.GetContainerACL(w.ctx, w.who, acct, "box", blob.Conditions{})
	if err != nil || got.PublicAccess != "container" || cmp.Diff(ps, got.Policies) != "" {
		t.Errorf("GetContainerACL = %+v, %v", got, err)
	}
	if p, err := w.Blobs.Policy(w.ctx, acct, "box", "one"); err != nil || p != ps[0] {
		t.Errorf("Policy = %+v, %v", p, err)
	}
	for _, box := range []name.Container{"box", "nobox"} {
		_, err = w.Blobs.Policy(w.ctx, acct, box, "none")
		w.want("Policy that is not there", err, fault.AuthenticationFailed)
	}
	many := make([]blob.Policy, 6)
	for i := range many {
		many[i].ID = id(i)
	}
	w.want("too many", set(blob.ACLOptions{Policies: many}), fault.InvalidXMLDocument)
	w.want("five", set(blob.ACLOptions{Policies: many[:5]}), success)
	w.want("same id", set(blob.ACLOptions{Policies: []blob.Policy{{ID: "a"}, {ID: "a"}}}), fault.InvalidXMLNodeValue)
	w.want("no id", set(blob.ACLOptions{Policies: []blob.Policy{{}}}), fault.InvalidXMLNodeValue)
	w.want("long id", set(blob.ACLOptions{Policies: []blob.Policy{{ID: strings.Repeat("a", 65)}}}), fault.InvalidXMLNodeValue)
	w.want("permission", set(blob.ACLOptions{Policies: []blob.Policy{{ID: "a", Permission: "rq"}}}), fault.InvalidXMLNodeValue)
	sas := w.sas("racwdl")
	_, err = sas.Blobs.SetContainerACL(w.ctx, sas.who, acct, "box", blob.ACLOptions{})
	w.want("set with a SAS", err, fault.InsufficientAccount)
	_, err = sas.Blobs.GetContainerACL(w.ctx, sas.who, acct, "box", blob.Conditions{})
	w.want("get with a SAS", err, fault.InsufficientAccount)
}

func TestListContainers(t *testing.T) {
	w := newWorld(t)
	for _, n := range []name.Container{"aaa", "bbb", "bbc", "$root"} {
		if _, err := w.Blobs.CreateContainer(w.ctx, w.who, acct, n, blob.ContainerOptions{Metadata: blob.Metadata{{Name: "n", Value: string(n[1:])}}}); err != nil {
			t.Fatal(err)
		}
	}
	w.Account(t, "acct2")
	for _, tt := range []struct {
		prefix string
		most   int
		want   []string
	}{
		{"", 0, []string{"$root", "aaa", "bbb", "bbc", "box"}},
		{"bb", 0, []string{"bbb", "bbc"}},
		{"", 2, []string{"$root", "aaa", "bbb", "bbc", "box"}},
		{"zz", 2, nil},
	} {
		var got []string
		o := blob.ListContainersOptions{Prefix: tt.prefix, MaxResults: tt.most, Include: blob.IncludeMetadata}
		for {
			page, err := w.Blobs.ListContainers(w.ctx, w.who, acct, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range page.Items {
				if v, _ := i.Metadata.Get("N"); i.Name != "box" && v != i.Name[1:] {
					t.Errorf("metadata of %s = %v", i.Name, i.Metadata)
				}
				got = append(got, i.Name)
			}
			if o.Marker = page.NextMarker; o.Marker == "" {
				break
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("prefix %q by %d (-want +got):\n%s", tt.prefix, tt.most, d)
		}
	}
	page, err := w.Blobs.ListContainers(w.ctx, blobtest.Owner("acct2"), "acct2", blob.ListContainersOptions{})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("containers of the other account = %v, %v", page, err)
	}
	_, err = w.Blobs.ListContainers(w.ctx, nil, acct, blob.ListContainersOptions{})
	w.want("anonymous list", err, fault.NoAuthentication)
}

// TestDeleteContainer shows that the name is free at once, that nothing of the old
// container shows in the new one, and that all its space comes back, in slices.
func TestDeleteContainer(t *testing.T) {
	w := newWorld(t)
	for i := range 300 {
		w.put(id(i), strings.Repeat("x", 40_000))
	}
	w.stage("s", id(1), strings.Repeat("y", 40_000))
	w.stage("s", id(2), strings.Repeat("y", 40_000))
	if err := w.Blobs.DeleteContainer(w.ctx, w.who, acct, "box", blob.Conditions{}); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.tryGet(id(1), nil)
	w.want("read in a deleted container", err, fault.ContainerNotFound)
	w.box("box", "")
	if got, _ := w.list(blob.ListBlobsOptions{Include: blob.IncludeUncommitted}); len(got) != 0 {
		t.Errorf("the new container has %v", got)
	}
	w.put("new", "new")
	if more, err := w.Blobs.Collect(w.ctx, 100); err != nil || !more {
		t.Errorf("Collect of 100 = %v, %v, want more", more, err)
	}
	if n := w.rows()["b"]; n < 150 || n > 250 {
		t.Errorf("%d blob rows after a slice of 100 of 301", n)
	}
	w.collect()
	if n := w.rows(); n["b"] != 1 || n["s"] != 0 || n["t"] != 0 || n["k"] != 1 || n["g"] != 0 || w.Extents.Len() != 0 {
		t.Errorf("left over: %v and %d extents", n, w.Extents.Len())
	}
	if got := w.get("new"); got != "new" {
		t.Errorf("content of the new container = %q", got)
	}
}

func TestForcedDeleteOfAnAccount(t *testing.T) {
	w := newWorld(t)
	w.box("box2", "")
	w.put("a", strings.Repeat("x", 40_000))
	w.stage("b", id(1), "x")
	if err := w.Blobs.SetServiceProperties(w.ctx, w.who, acct, blob.ServiceProperties{CORS: &[]blob.CORSRule{}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Accounts.Delete(w.ctx, acct, true); err != nil {
		t.Fatal(err)
	}
	_, err := w.Blobs.CreateContainer(w.ctx, w.who, acct, "box3", blob.ContainerOptions{})
	w.want("create in a deleted account", err, fault.AccountNotFound)
	w.wantNoContent()
	if n := w.rows(); n["c"] != 0 || n["x"] != 0 || n["a"] != 0 {
		t.Errorf("left over: %v", n)
	}
}

// TestCreateInAnAccountJustDeleted uses a second server, whose cache still knows the
// account.
func TestCreateInAnAccountJustDeleted(t *testing.T) {
	w := newWorld(t)
	accounts := account.New(w.Objects, w.Ring, account.Options{Now: w.Clock.Now})
	defer accounts.Close()
	other := blob.New(w.Objects, accounts, w.Scopes, blob.Options{Now: w.Clock.Now})
	if _, err := other.GetContainer(w.ctx, w.who, acct, "box", blob.Conditions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Accounts.Delete(w.ctx, acct, true); err != nil {
		t.Fatal(err)
	}
	_, err := other.CreateContainer(w.ctx, w.who, acct, "box3", blob.ContainerOptions{})
	w.want("create", err, fault.AccountNotFound)
}

func TestStagedBlocksExpire(t *testing.T) {
	w := newWorld(t)
	w.stage("old", id(1), "x")
	w.put("kept", "x")
	w.Clock.Add(6 * 24 * time.Hour)
	w.stage("young", id(1), "x")
	w.collect()
	if l := w.blocks("old", blob.WhichUncommitted); len(l.Uncommitted) != 1 {
		t.Error("blocks went before their time")
	}
	w.Clock.Add(25 * time.Hour)
	w.collect()
	_, err := w.Blobs.GetBlockList(w.ctx, w.who, ref("old"), blob.WhichAll, blob.Conditions{})
	w.want("block list after 7 days", err, fault.BlobNotFound)
	if l := w.blocks("young", blob.WhichUncommitted); len(l.Uncommitted) != 1 {
		t.Error("young blocks went with the old")
	}
	if n := w.rows(); n["t"] != 1 || n["s"] != 1 || n["k"] != 2 {
		t.Errorf("rows after expiry: %v", n)
	}
	if got := w.get("kept"); got != "x" {
		t.Errorf("content = %q", got)
	}
}

func TestInspect(t *testing.T) {
	w := newWorld(t)
	if _, err := w.tryPut("a/b", "hello", blob.PutOptions{Metadata: blob.Metadata{{Name: "a", Value: "b"}}}); err != nil {
		t.Fatal(err)
	}
	in, err := w.Blobs.Inspect(w.ctx, ref("a/b"))
	if err != nil || !in.HasMetadata || in.Properties.Length != 5 || in.Properties.Metadata != nil || in.Protection.Length != 5 || len(in.Protection.Keys) == 0 {
		t.Errorf("Inspect = %+v, %v", in, err)
	}
	_, err = w.Blobs.Inspect(w.ctx, ref("none"))
	w.want("Inspect of nothing", err, fault.BlobNotFound)
	r := ref("a")
	r.Container = "nobox"
	_, err = w.Blobs.Inspect(w.ctx, r)
	w.want("Inspect in no container", err, fault.ContainerNotFound)

	info, err := w.Accounts.Get(w.ctx, acct)
	if err != nil {
		t.Fatal(err)
	}
	var key []byte
	if err := w.Objects.View(w.ctx, func(tx *object.Tx) error {
		return tx.Scan(object.Blob, info.ID, info.ID[:], nil, false, func(k []byte, _ *object.Row) (bool, error) {
			key = k
			return false, nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		table object.Table
		key   []byte
		want  string
	}{
		{object.Blob, key, "acct1/box/a/b"},
		{object.Container, append(info.ID[:len(info.ID):len(info.ID)], "box"...), "acct1/box"},
		{object.Account, []byte("acct1"), "acct1"},
		{object.Chunk, key, "acct1"},
		{object.Blob, []byte("short"), ""},
		{object.Blob, make([]byte, 40), ""},
	} {
		if got := w.Blobs.NameOf(w.ctx, tt.table, tt.key); got != tt.want {
			t.Errorf("NameOf(%s) = %q, want %q", tt.table.Name, got, tt.want)
		}
	}
}
