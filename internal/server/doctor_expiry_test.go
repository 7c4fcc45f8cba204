package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
	"github.com/coffer-storage/coffer/internal/server/certs"
	"github.com/coffer-storage/coffer/internal/server/store"
	"github.com/coffer-storage/coffer/internal/vault"
)

// K6: certificates, versions of customers' keys, keys of our own vaults, credentials and SAS
// policies: 30, 7 and 1 days before each ends doctor speaks louder, not a second earlier.
func TestEveryEndIsAnnounced(t *testing.T) {
	end := time.Now().Add(60 * 24 * time.Hour).UTC().Truncate(time.Second)
	s := ending(t, end)
	kinds := []struct {
		name, says string
		check      func(*Server, context.Context) []Advice
		ended      string // once it ended
	}{
		{"certificate of the server", "valid until ", checkCertificate, "danger"},
		{"customer's key", "the version in use expires on ", checkCustomers, "danger"},
		{"key of a vault", "vault box: the key k ends ", checkVaults, "danger"},
		{"key of a Managed HSM", "managedhsm safe: the key k ends ", checkVaults, "danger"},
		{"client secret", "the last credential of secret ends ", checkIdentities, "danger"},
		{"certificate of a client", "the last credential of certificate ends ", checkIdentities, "danger"},
		{"SAS policy", `policy "p" ends on `, checkPolicies, ""}, // that it ended is what its owner wanted
	}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		left time.Duration
		want string
	}{
		{31 * day, ""}, {30*day + time.Second, ""}, {30 * day, "note"}, {29 * day, "note"}, {8 * day, "note"}, {7*day + time.Second, "note"},
		{7 * day, "warning"}, {2 * day, "warning"}, {day + time.Second, "warning"}, {day, "danger"}, {time.Second, "danger"},
		{0, "danger"}, {-time.Second, "ended"}, {-40 * day, "ended"},
	} {
		s.now = func() time.Time { return end.Add(-tt.left) }
		for _, k := range kinds {
			want := tt.want
			if want == "ended" {
				want = k.ended
			}
			got := ""
			for _, a := range k.check(s, t.Context()) {
				if strings.Contains(a.Found, k.says) && a.Level != "ok" {
					got += a.Level
					if a.Do == "" {
						t.Errorf("%s: %q says not what to do", k.name, a.Found)
					}
				}
			}
			if got != want {
				t.Errorf("%s, %v before its end: level %q, want %q", k.name, tt.left, got, want)
			}
		}
	}
}

// What else doctor says of keys: how long a revocation takes, keys beside their data, a
// drill and a backup that are old, our own CA.
func TestDoctorSpeaksOfKeys(t *testing.T) {
	end := time.Now().Add(60 * 24 * time.Hour).UTC().Truncate(time.Second)
	s := ending(t, end)
	s.now = time.Now
	ctx := t.Context()
	says := func(what string, check func(*Server, context.Context) []Advice, level, text string) {
		t.Helper()
		list := check(s, ctx)
		for _, a := range list {
			if a.Level == level && strings.Contains(a.Found, text) {
				if level != "ok" && a.Do == "" {
					t.Errorf("%s: %q says not what to do", what, a.Found)
				}
				return
			}
		}
		t.Errorf("%s: no %s with %q in %+v", what, level, text, list)
	}
	says("timers", checkCustomers, "ok", "a revocation counts after 1m0s + 15s, a vault out of reach after 15m0s")
	says("the vault in this process", checkVaults, "note", "2 in this process: they separate duties")
	says("no purge protection", checkVaults, "warning", "vault box has no purge protection")

	says("no drill yet", checkTrail, "warning", "never made")
	if err := s.noteDrill(); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Audit.Before(ctx, s.record(auditBackup, audit.OK)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		days  int
		check string
		level string
	}{{6, "key drill", "ok"}, {6, "backup", "ok"}, {8, "backup", "warning"}, {29, "key drill", "ok"}, {31, "key drill", "warning"}} {
		s.now = func() time.Time { return time.Now().Add(time.Duration(tt.days)*24*time.Hour + time.Hour) }
		for _, a := range checkTrail(s, ctx) {
			if a.Check == tt.check && a.Level != tt.level {
				t.Errorf("%s of %d days ago: %+v, want %s", tt.check, tt.days, a, tt.level)
			}
		}
	}

	s.cfg.Data = t.TempDir()
	beside := filepath.Join(t.TempDir(), "u.key")
	if err := os.WriteFile(beside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	keyFile := func(path string) func(*Server, context.Context) []Advice {
		return func(s *Server, _ context.Context) []Advice { return s.checkKeyFile("unseal key", path) }
	}
	says("on the same device", keyFile(beside), "warning", "lies on the same device as the data")
	says("gone", keyFile(beside+".gone"), "danger", "is not there")

	s.authority = &certs.Authority{Certificate: &x509.Certificate{NotAfter: end}}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		left  time.Duration
		level string
	}{{181 * day, "ok"}, {179 * day, "warning"}, {2 * day, "warning"}, {day, "danger"}, {-day, "danger"}} {
		s.now = func() time.Time { return end.Add(-tt.left) }
		says("CA", checkAuthority, tt.level, end.Format(time.DateOnly))
	}
}

// ending is a server over a store in which one thing of every kind ends at a time.
func ending(t *testing.T, end time.Time) *Server {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, local := t.Context(), localkey.NewMemory()
	st, err := store.Open(ctx, store.Options{
		FS: vfs.NewMem(), Dir: "data", Service: local, Infra: local,
		FreeSpace: func() (uint64, error) { return 1 << 40, nil }, Reserve: -1,
	})
	must(err)
	t.Cleanup(func() { must(st.Close()) })
	_, err = st.Accounts.EnsureDefault(ctx)
	must(err)
	who := &access.Caller{Kind: access.SharedKey, Account: account.DefaultName, Secure: true}
	_, err = st.Blobs.CreateContainer(ctx, who, account.DefaultName, "box", blob.ContainerOptions{})
	must(err)
	_, err = st.Blobs.SetContainerACL(ctx, who, account.DefaultName, "box", blob.ACLOptions{Policies: []blob.Policy{{ID: "p", Expiry: end}, {ID: "for-ever"}}})
	must(err)

	// The customer's key.
	info, err := st.Accounts.Get(ctx, account.DefaultName)
	must(err)
	var customers keystest.Vault
	ref := customers.Add("hq", "k")
	customers.Edit(ref, func(k *keystest.Key) { k.Expires = end })
	must(st.Ring.SetVault(&customers, keys.CustomerOptions{}))
	must(st.Ring.SetVaultKey(ctx, keys.AccountProtector(info.ID), ref, false))

	// Our own vaults.
	for _, v := range []vault.Spec{{Kind: vault.Standard, Name: "box"}, {Kind: vault.HSM, Name: "safe"}} {
		_, err := st.Vaults.CreateVault(ctx, v)
		must(err)
		for n, exp := range map[string]time.Time{"k": end, "for-ever": {}} {
			_, err = st.Vaults.CreateKey(ctx, vault.Operator(), vault.Ref{Kind: v.Kind, Vault: v.Name, Key: n}, vault.NewKey{Type: "EC", Expires: exp})
			must(err)
		}
	}

	// Credentials: one secret, one certificate.
	der := certificate(t, end)
	for _, n := range []string{"secret", "certificate"} {
		p, _, err := st.Identity.CreatePrincipal(ctx, n)
		must(err)
		if n == "secret" {
			_, err = st.Identity.AddSecret(ctx, p.ObjectID, end)
		} else {
			err = st.Identity.AddCertificate(ctx, p.ObjectID, der)
		}
		must(err)
		list, err := st.Identity.Secrets(ctx, p.ObjectID)
		must(err)
		for _, x := range list {
			if !x.Expires.Equal(end) {
				must(st.Identity.RemoveSecret(ctx, p.ObjectID, x.ID))
			}
		}
	}

	file := filepath.Join(t.TempDir(), "cert.pem")
	must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return &Server{store: st, cfg: Config{CertFile: file}}
}

// certificate is self-signed and ends at a time.
func certificate(t *testing.T, end time.Time) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ends"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
