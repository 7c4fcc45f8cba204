package cse_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

// entity is an entity as the writers of 1.0 made it: by Java, or by .NET and Python.
func entity(t testing.TB, key cse.Key, java bool, row string, text map[string]string) string {
	t.Helper()
	cek, iv := []byte(strings.Repeat("c", 32)), csetest.Pattern(16)
	wrapped, err := key.WrapKey(context.Background(), cse.A256KW, cek)
	if err != nil {
		t.Fatal(err)
	}
	column := func(name, value string) string {
		join := row + "part" + name
		if java {
			join = "part" + row + name
		}
		sum := sha256.Sum256(append(append([]byte{}, iv...), join...))
		return fmt.Sprintf(`%q:%q,%q:"Edm.Binary"`, name, encode64(csetest.SealV1(cek, sum[:16], []byte(value), true)), name+"@odata.type")
	}
	data := csetest.DataV1(key.KeyID(), cse.A256KW, wrapped, iv)
	list, _ := json.Marshal(strings.Fields("a b"))
	names := string(list)
	if java {
		data = strings.Replace(data, "Old 1.0", "Java 7.0.0", 1)
		names = "[a, b]"
	}
	if len(text) == 0 {
		names = "[]"
	}
	s := `{"odata.etag":"W/1","PartitionKey":"part","RowKey":"` + row + `","n":1.50,"n@odata.type":"Edm.Double"`
	for _, name := range []string{"a", "b"} {
		if value, ok := text[name]; ok {
			s += "," + column(name, value)
		}
	}
	quoted, _ := json.Marshal(data)
	return s + "," + column("_ClientEncryptionMetadata2", names) + `,"_ClientEncryptionMetadata1":` + string(quoted) + "}"
}

func TestDecryptEntity(t *testing.T) {
	key := aesKey(t, "key1")
	opt := &cse.Options{Key: key, AllowV1Read: true}
	for _, java := range []bool{false, true} {
		in := entity(t, key, java, "row", map[string]string{"a": "x & <y> \u2028", "b": ""})
		got, err := cse.DecryptEntity(t.Context(), []byte(in), opt)
		want := `{"odata.etag":"W/1","PartitionKey":"part","RowKey":"row","n":1.50,"n@odata.type":"Edm.Double","a":"x & <y> \u2028","b":""}`
		if err != nil || string(got) != want {
			t.Errorf("java %v: %s, %v\nwant %s", java, got, err, want)
		}
		none := entity(t, key, java, "row", nil)
		if got, err := cse.DecryptEntity(t.Context(), []byte(none), opt); err != nil || strings.Contains(string(got), "_Client") {
			t.Errorf("java %v, no property: %s, %v", java, got, err)
		}
		// A projection leaves properties out.
		only := entity(t, key, java, "row", map[string]string{"a": "x"})
		if got, err := cse.DecryptEntity(t.Context(), []byte(only), opt); err != nil || stringProperty(t, got, "a") != "x" {
			t.Errorf("java %v, a projection: %s, %v", java, got, err)
		}
	}
}

func TestEntitiesThatDoNotOpen(t *testing.T) {
	key := aesKey(t, "key1")
	opt := cse.Options{Key: key, AllowV1Read: true}
	good := entity(t, key, false, "row", map[string]string{"a": "text of a", "b": "b"})
	replace := func(old, fresh string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(good, old, fresh, 1)
	}
	plain := `{"PartitionKey":"p","RowKey":"r"}`
	tests := []struct {
		name, in string
		opt      cse.Options
		want     cse.Code
	}{
		{"no JSON", "x", opt, cse.BadMetadata},
		{"plaintext", plain, opt, cse.NotEncrypted},
		{"plaintext, allowed", plain, cse.Options{AllowPlaintextRead: true}, ""},
		{"not allowed", good, cse.Options{Key: key}, cse.V1NotAllowed},
		{"no key", good, cse.Options{AllowV1Read: true}, cse.KeyNotFound},
		{"wrong key", good, cse.Options{Key: other(t, key), AllowV1Read: true}, cse.AuthenticationFailed},
		{"another row", replace(`"row"`, `"rox"`), opt, cse.AuthenticationFailed},
		{"moved", strings.NewReplacer(`"a":`, `"b":`, `"b":`, `"a":`).Replace(good), opt, cse.AuthenticationFailed},
		{"no list", replace(`_ClientEncryptionMetadata2"`, `List"`), opt, cse.BadMetadata},
		{"no data", replace(`_ClientEncryptionMetadata1"`, `Data"`), opt, cse.BadMetadata},
		{"list twice", replace("{", `{"_ClientEncryptionMetadata2":"",`), opt, cse.BadMetadata},
		{"data is no text", replace(`"_ClientEncryptionMetadata1":`, `"_ClientEncryptionMetadata1":1,"x":`), opt, cse.BadMetadata},
		{"bad data", replace("AES_CBC_256", "AES"), opt, cse.BadMetadata},
		{"as if by Java", replace("Old 1.0", "Java"), opt, cse.AuthenticationFailed},
		{"no base64", replace(`"a":"`, `"a":"?`), opt, cse.AuthenticationFailed},
	}
	for _, tt := range tests {
		got, err := cse.DecryptEntity(t.Context(), []byte(tt.in), &tt.opt)
		if tt.want == "" && (err != nil || string(got) != tt.in) || tt.want != "" && (!cse.HasCode(err, tt.want) || got != nil) {
			t.Errorf("%s: %s, %v; want code %q", tt.name, got, err, tt.want)
		}
	}
	v2 := v2Blob(t, key, nil)
	quoted, _ := json.Marshal(v2.Metadata["encryptiondata"])
	in := `{"PartitionKey":"p","RowKey":"r","_ClientEncryptionMetadata1":` + string(quoted) + `,"_ClientEncryptionMetadata2":""}`
	if _, err := cse.DecryptEntity(t.Context(), []byte(in), &opt); !cse.HasCode(err, cse.UnknownProtocol) {
		t.Errorf("of 2.0: %v", err)
	}
}

// table is a table in memory.
type table struct {
	entities []cse.Entity
	replaced map[string]string
	fail     error
}

func (tab *table) Entities(context.Context) iter.Seq2[cse.Entity, error] {
	return func(yield func(cse.Entity, error) bool) {
		for _, e := range tab.entities {
			if !yield(e, nil) {
				return
			}
		}
		if tab.fail != nil {
			yield(cse.Entity{}, tab.fail)
		}
	}
}

func (tab *table) Replace(_ context.Context, entity []byte, etag string) error {
	if etag == "changed" {
		return errors.New("condition")
	}
	tab.replaced[etag] = string(entity)
	return nil
}

func TestMigrateEntities(t *testing.T) {
	key := aesKey(t, "key1")
	tab := &table{replaced: map[string]string{}, entities: []cse.Entity{
		{JSON: []byte(entity(t, key, false, "1", map[string]string{"a": "x"})), ETag: "1"},
		{JSON: []byte(`{"RowKey":"2"}`), ETag: "2"},
		{JSON: []byte(entity(t, key, true, "3", map[string]string{"b": "y"})), ETag: "3"},
		{JSON: []byte(entity(t, aesKey(t, "lost"), true, "4", nil)), ETag: "4"},
		{JSON: []byte(entity(t, key, true, "5", nil)), ETag: "changed"},
	}}
	opt := &cse.Options{Key: key, AllowV1Read: true, AllowPlaintextRead: true}
	dry, err := cse.MigrateEntities(t.Context(), tab, opt, &cse.MigrateEntitiesOptions{DryRun: true})
	if err != nil || dry != (cse.EntitiesReport{Plain: 1, Migrated: 3, Failed: 1}) || len(tab.replaced) != 0 {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	got, err := cse.MigrateEntities(t.Context(), tab, opt, nil)
	if err != nil || got != (cse.EntitiesReport{Plain: 1, Migrated: 2, Failed: 2}) {
		t.Errorf("MigrateEntities = %+v, %v", got, err)
	}
	const head = `{"odata.etag":"W/1","PartitionKey":"part","RowKey":`
	const number = `,"n":1.50,"n@odata.type":"Edm.Double",`
	want := map[string]string{"1": head + `"1"` + number + `"a":"x"}`, "3": head + `"3"` + number + `"b":"y"}`}
	if diff := cmp.Diff(want, tab.replaced); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
	stop := errors.New("stop")
	_, err = cse.MigrateEntities(t.Context(), tab, opt, &cse.MigrateEntitiesOptions{Each: func([]byte, error) error { return stop }})
	if !errors.Is(err, stop) {
		t.Errorf("Each that ends it: %v", err)
	}
	tab.fail = errors.New("listing")
	if _, err := cse.MigrateEntities(t.Context(), tab, opt, nil); !errors.Is(err, tab.fail) {
		t.Errorf("a listing that fails: %v", err)
	}
	if _, err := cse.MigrateEntities(t.Context(), tab, &cse.Options{Version: "x"}, nil); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("bad options: %v", err)
	}
}
