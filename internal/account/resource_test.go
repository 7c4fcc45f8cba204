package account

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/object"
)

func TestResourceRoundTrip(t *testing.T) {
	full := Resource{
		Subscription: "s", Group: "g", Location: "westeurope", Kind: "StorageV2", SKU: "Standard_GRS", AccessTier: "Cool",
		Tags: map[string]string{"a": "1", "ü": ""}, SystemIdentity: true, Identity: "/subscriptions/s/i", KeyIdentity: "/subscriptions/s/i",
		FederatedClientID: "c", QueueAccountKey: true, TableAccountKey: true, RequireCustomerKey: true, RequireDouble: true,
	}
	for name, want := range map[string]Resource{"empty": {}, "full": full, "flags": {RequireDouble: true}} {
		var row object.Row
		want.encode(&row)
		got, err := decodeResource(&row)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if name == "empty" && len(row.Fields) != 0 {
			t.Errorf("an empty resource has %d fields", len(row.Fields))
		}
	}
	for _, bad := range []func(*object.Row){
		func(r *object.Row) { r.Set(tagManaged, []byte{0}) },
		func(r *object.Row) { r.Set(tagManaged, []byte{128}) },
		func(r *object.Row) { r.Set(tagTag, []byte{0, 9, 'a'}) },
		func(r *object.Row) { r.Set(tagTag, []byte{0, 0, 0, 0, 1}) },
		func(r *object.Row) { r.Set(tagGroup, []byte(strings.Repeat("g", maxText+1))) },
	} {
		var row object.Row
		full.encode(&row)
		bad(&row)
		if got, err := decodeResource(&row); err == nil {
			t.Errorf("damaged fields decode as %+v", got)
		}
	}
}
