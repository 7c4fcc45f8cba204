package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/keys/keystest"
	"github.com/coffer-storage/coffer/internal/name"
)

// What doctor says of customers' keys is in the metrics too: how many stand where, and
// when the first expires.
func TestCustomerKeyMetrics(t *testing.T) {
	r := newPlace(t).serve(t)
	page := func() string {
		resp, err := http.Get(r.st.Management + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := func(when string, active, suspended int, lines ...string) {
		t.Helper()
		got := page()
		for _, line := range append(lines, fmt.Sprintf(`coffer_customer_keys{state="active"} %d`, active), fmt.Sprintf(`coffer_customer_keys{state="suspended"} %d`, suspended)) {
			if !strings.Contains(got, line+"\n") {
				t.Errorf("%s: /metrics has no %s", when, line)
			}
		}
		if strings.Contains(got, "vault.test") {
			t.Errorf("%s: /metrics names a vault", when)
		}
	}
	want("without", 0, 0)
	if strings.Contains(page(), "coffer_customer_key_expiry_seconds") {
		t.Error("something expires where there is nothing")
	}

	var vault keystest.Vault
	if err := r.store.Ring.SetVault(&vault, r.cfg.customerOptions()); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(20 * 24 * time.Hour).Truncate(time.Second)
	for i, exp := range []time.Time{end.Add(time.Hour), end, {}} {
		made, err := r.store.Accounts.Create(t.Context(), name.Account(fmt.Sprintf("acme%d", i)), [2][]byte{})
		if err != nil {
			t.Fatal(err)
		}
		ref := vault.Add("hq", fmt.Sprintf("k%d", i))
		vault.Edit(ref, func(k *keystest.Key) { k.Expires = exp })
		if err := r.store.Ring.SetVaultKey(t.Context(), made.Protector, ref, false); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			want("all well", 3, 0, fmt.Sprintf("coffer_customer_key_expiry_seconds %v", float64(end.Unix())))
			vault.Edit(ref, func(k *keystest.Key) { k.Enabled = false })
			if err := r.store.Ring.RevokeNow(t.Context(), made.Protector); err != nil {
				t.Fatal(err)
			}
			if err := r.store.Ring.Usable(t.Context(), made.Protector); err == nil {
				t.Fatal("a disabled key is usable")
			}
			want("one disabled", 2, 1)
		}
	}
}
