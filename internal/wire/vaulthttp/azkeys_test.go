package vaulthttp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/google/go-cmp/cmp"
)

// The whole life of a key by the official client, which begins with the challenge.
func TestClientLife(t *testing.T) {
	w := newWorld(t)
	c := w.azkeys(t, "box.vault.localhost", alice)
	exp := w.Clock.Now().Add(90 * 24 * time.Hour).Truncate(time.Second)
	made, err := c.CreateKey(ctx, "Key1", azkeys.CreateKeyParameters{
		Kty: ptr(azkeys.KeyTypeRSA), KeySize: ptr(int32(3072)), Tags: map[string]*string{"a": ptr("b")},
		KeyAttributes: &azkeys.KeyAttributes{Expires: &exp},
	}, nil)
	ok(t, "CreateKey", err)
	if want := "https://vault.localhost:" + w.port + "/.default"; w.scopes[0].Scopes[0] != want || w.scopes[0].TenantID != tenant {
		t.Errorf("the client asked for %v of %s, want %s of %s", w.scopes[0].Scopes, w.scopes[0].TenantID, want, tenant)
	}
	if !strings.HasPrefix(string(*made.Key.KID), w.url("box.vault.localhost")+"/keys/Key1/") || made.Key.KID.Name() != "Key1" || len(made.Key.KID.Version()) != 32 {
		t.Errorf("kid = %s", *made.Key.KID)
	}
	if len(made.Key.N) != 384 || !made.Attributes.Expires.Equal(exp) || *made.Attributes.RecoveryLevel != "Recoverable+Purgeable" ||
		*made.Attributes.HSMPlatform != "software" || *made.Tags["a"] != "b" {
		t.Errorf("made = %+v", made)
	}
	got, err := c.GetKey(ctx, "key1", "", nil)
	ok(t, "GetKey", err)
	if diff := cmp.Diff(made.KeyBundle, got.KeyBundle); diff != "" {
		t.Error(diff)
	}
	rotated, err := c.RotateKey(ctx, "key1", nil)
	ok(t, "RotateKey", err)
	if *rotated.Key.KID == *made.Key.KID {
		t.Error("rotation made no new version")
	}
	upd, err := c.UpdateKey(ctx, "key1", made.Key.KID.Version(), azkeys.UpdateKeyParameters{KeyAttributes: &azkeys.KeyAttributes{Enabled: ptr(false)}}, nil)
	ok(t, "UpdateKey", err)
	if *upd.Attributes.Enabled || !upd.Attributes.Expires.Equal(exp) || *upd.Tags["a"] != "b" {
		t.Errorf("UpdateKey changed too much or too little: %+v", upd.Attributes)
	}
	n := 0
	for p := c.NewListKeyPropertiesVersionsPager("key1", nil); p.More(); {
		page, err := p.NextPage(ctx)
		ok(t, "list of versions", err)
		n += len(page.Value)
	}
	if n != 2 {
		t.Errorf("%d versions are listed", n)
	}
	backup, err := c.BackupKey(ctx, "key1", nil)
	ok(t, "BackupKey", err)
	del, err := c.DeleteKey(ctx, "key1", nil)
	ok(t, "DeleteKey", err)
	if !strings.HasSuffix(*del.RecoveryID, "/deletedkeys/Key1") || del.ScheduledPurgeDate == nil {
		t.Errorf("deleted = %+v", del)
	}
	_, err = c.GetKey(ctx, "key1", "", nil)
	refused(t, "GetKey of a deleted key", err, 404, "KeyNotFound")
	_, err = c.CreateKey(ctx, "key1", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeRSA)}, nil)
	refused(t, "CreateKey over a deleted key", err, 409, "Conflict")
	_, err = c.GetDeletedKey(ctx, "key1", nil)
	ok(t, "GetDeletedKey", err)
	_, err = c.RecoverDeletedKey(ctx, "key1", nil)
	ok(t, "RecoverDeletedKey", err)
	_, err = c.DeleteKey(ctx, "key1", nil)
	ok(t, "DeleteKey", err)
	n = 0
	for p := c.NewListDeletedKeyPropertiesPager(nil); p.More(); {
		page, err := p.NextPage(ctx)
		ok(t, "list of deleted keys", err)
		n += len(page.Value)
	}
	if n != 1 {
		t.Errorf("%d deleted keys are listed", n)
	}
	_, err = c.PurgeDeletedKey(ctx, "key1", nil)
	ok(t, "PurgeDeletedKey", err)
	back, err := c.RestoreKey(ctx, azkeys.RestoreKeyParameters{KeyBackup: backup.Value}, nil)
	ok(t, "RestoreKey", err)
	if *back.Key.KID != *rotated.Key.KID {
		t.Errorf("restored %s, want %s", *back.Key.KID, *rotated.Key.KID)
	}
	_, err = c.RestoreKey(ctx, azkeys.RestoreKeyParameters{KeyBackup: backup.Value}, nil)
	refused(t, "RestoreKey over a key", err, 409, "Conflict")
}

// An update changes what it names and nothing else; without a version that of now.
func TestClientUpdate(t *testing.T) {
	w := newWorld(t)
	c := w.azkeys(t, "box.vault.localhost", alice)
	made, err := c.CreateKey(ctx, "k", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeEC), Tags: map[string]*string{"a": ptr("b")}}, nil)
	ok(t, "CreateKey", err)
	nbf, exp := w.Clock.Now().Add(time.Hour).Truncate(time.Second), w.Clock.Now().Add(48*time.Hour).Truncate(time.Second)
	for _, p := range []azkeys.UpdateKeyParameters{
		{KeyAttributes: &azkeys.KeyAttributes{NotBefore: &nbf}},
		{KeyAttributes: &azkeys.KeyAttributes{Expires: &exp}},
		{KeyOps: []*azkeys.KeyOperation{ptr(azkeys.KeyOperationSign)}},
		{Tags: map[string]*string{"c": ptr("d")}},
		{KeyAttributes: &azkeys.KeyAttributes{Enabled: ptr(false)}},
	} {
		_, err := c.UpdateKey(ctx, "k", "", p, nil)
		ok(t, "UpdateKey", err)
	}
	got, err := c.GetKey(ctx, "k", made.Key.KID.Version(), nil)
	ok(t, "GetKey", err)
	want := made.KeyBundle
	want.Attributes.NotBefore, want.Attributes.Expires, want.Attributes.Enabled = &nbf, &exp, ptr(false)
	want.Key.KeyOps, want.Tags = []*azkeys.KeyOperation{ptr(azkeys.KeyOperationSign)}, map[string]*string{"c": ptr("d")}
	want.Attributes.Updated, got.Attributes.Updated = nil, nil
	if diff := cmp.Diff(want, got.KeyBundle); diff != "" {
		t.Error(diff)
	}
	early := nbf.Add(-time.Hour)
	_, err = c.UpdateKey(ctx, "k", "", azkeys.UpdateKeyParameters{KeyAttributes: &azkeys.KeyAttributes{Expires: &early}}, nil)
	refused(t, "an end before the beginning", err, 400, "BadParameter")
	_, err = c.UpdateKey(ctx, "k", "", azkeys.UpdateKeyParameters{KeyOps: []*azkeys.KeyOperation{ptr(azkeys.KeyOperationWrapKey)}}, nil)
	refused(t, "an operation that the type has not", err, 400, "BadParameter")
	_, err = c.UpdateKey(ctx, "none", "", azkeys.UpdateKeyParameters{}, nil)
	refused(t, "no such key", err, 404, "KeyNotFound")
}

func TestClientPages(t *testing.T) {
	w := newWorld(t)
	c := w.azkeys(t, "box.vault.localhost", alice)
	for i := range 27 {
		_, err := c.CreateKey(ctx, "k"+string(rune('a'+i%26))+string(rune('a'+i/26)), azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeEC)}, nil)
		ok(t, "CreateKey", err)
	}
	n, pages := 0, 0
	for p := c.NewListKeyPropertiesPager(nil); p.More(); pages++ {
		page, err := p.NextPage(ctx)
		ok(t, "list", err)
		n += len(page.Value)
	}
	if n != 27 || pages != 2 {
		t.Errorf("%d keys on %d pages", n, pages)
	}
}

// What one side encrypts or signs, the standard library undoes or checks.
func TestClientOperations(t *testing.T) {
	w := newWorld(t)
	c := w.azkeys(t, "box.vault.localhost", alice)
	k, err := c.CreateKey(ctx, "rsa", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeRSAHSM)}, nil)
	ok(t, "CreateKey", err)
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(k.Key.N), E: 65537}
	text := []byte("thirty-two bytes of key material")
	for _, alg := range []azkeys.EncryptionAlgorithm{azkeys.EncryptionAlgorithmRSAOAEP256, azkeys.EncryptionAlgorithmRSAOAEP, azkeys.EncryptionAlgorithmRSA15} {
		for _, version := range []string{"", k.Key.KID.Version()} {
			wrapped, err := c.WrapKey(ctx, "rsa", version, azkeys.KeyOperationParameters{Algorithm: &alg, Value: text}, nil)
			if fips140.Enforced() && alg != azkeys.EncryptionAlgorithmRSAOAEP256 {
				refused(t, "WrapKey in strict FIPS mode", err, 400, "BadParameter")
				continue
			}
			ok(t, "WrapKey", err)
			if *wrapped.KID != *k.Key.KID {
				t.Errorf("WrapKey used %s", *wrapped.KID)
			}
			got, err := c.UnwrapKey(ctx, "rsa", version, azkeys.KeyOperationParameters{Algorithm: &alg, Value: wrapped.Result}, nil)
			ok(t, "UnwrapKey", err)
			enc, err := c.Encrypt(ctx, "rsa", version, azkeys.KeyOperationParameters{Algorithm: &alg, Value: text}, nil)
			ok(t, "Encrypt", err)
			dec, err := c.Decrypt(ctx, "rsa", version, azkeys.KeyOperationParameters{Algorithm: &alg, Value: enc.Result}, nil)
			ok(t, "Decrypt", err)
			if !bytes.Equal(got.Result, text) || !bytes.Equal(dec.Result, text) {
				t.Errorf("%s: other bytes come back", alg)
			}
		}
	}
	outside, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, text, nil)
	ok(t, "EncryptOAEP", err)
	got, err := c.UnwrapKey(ctx, "rsa", k.Key.KID.Version(), azkeys.KeyOperationParameters{Algorithm: ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: outside}, nil)
	if err != nil || !bytes.Equal(got.Result, text) {
		t.Errorf("UnwrapKey of what was wrapped outside: %v", err)
	}
	outside[7] ^= 1
	_, err = c.UnwrapKey(ctx, "rsa", k.Key.KID.Version(), azkeys.KeyOperationParameters{Algorithm: ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: outside}, nil)
	refused(t, "UnwrapKey of damaged bytes", err, 400, "BadParameter")

	ec, err := c.CreateKey(ctx, "ec", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeEC), Curve: ptr(azkeys.CurveNameP256)}, nil)
	ok(t, "CreateKey", err)
	digest := sha256.Sum256(text)
	sig, err := c.Sign(ctx, "ec", "", azkeys.SignParameters{Algorithm: ptr(azkeys.SignatureAlgorithmES256), Value: digest[:]}, nil)
	ok(t, "Sign", err)
	point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, ec.Key.X...), ec.Key.Y...))
	ok(t, "ParseUncompressedPublicKey", err)
	if !ecdsa.Verify(point, digest[:], new(big.Int).SetBytes(sig.Result[:32]), new(big.Int).SetBytes(sig.Result[32:])) {
		t.Error("the signature is not one")
	}
	ver, err := c.Verify(ctx, "ec", ec.Key.KID.Version(), azkeys.VerifyParameters{Algorithm: ptr(azkeys.SignatureAlgorithmES256), Digest: digest[:], Signature: sig.Result}, nil)
	if err != nil || !*ver.Value {
		t.Errorf("Verify = %+v, %v", ver, err)
	}
	_, err = c.CreateKey(ctx, "k1", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeEC), Curve: ptr(azkeys.CurveNameP256K)}, nil)
	refused(t, "P-256K", err, 400, "BadParameter")
}

func TestClientHSM(t *testing.T) {
	w := newWorld(t)
	c := w.azkeys(t, "safe.managedhsm.localhost", alice)
	k, err := c.CreateKey(ctx, "aes", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeOctHSM), KeySize: ptr(int32(256))}, nil)
	ok(t, "CreateKey", err)
	if *k.Key.Kty != azkeys.KeyTypeOctHSM || k.Key.K != nil {
		t.Errorf("made = %+v", k.Key)
	}
	text := bytes.Repeat([]byte{5}, 32)
	wrapped, err := c.WrapKey(ctx, "aes", "", azkeys.KeyOperationParameters{Algorithm: ptr(azkeys.EncryptionAlgorithmA256KW), Value: text}, nil)
	ok(t, "WrapKey", err)
	got, err := c.UnwrapKey(ctx, "aes", "", azkeys.KeyOperationParameters{Algorithm: ptr(azkeys.EncryptionAlgorithmA256KW), Value: wrapped.Result}, nil)
	if err != nil || !bytes.Equal(got.Result, text) {
		t.Errorf("UnwrapKey: %v", err)
	}
	enc, err := c.Encrypt(ctx, "aes", "", azkeys.KeyOperationParameters{Algorithm: ptr(azkeys.EncryptionAlgorithmA256GCM), Value: text, AdditionalAuthenticatedData: []byte("aad")}, nil)
	ok(t, "Encrypt", err)
	dec, err := c.Decrypt(ctx, "aes", "", azkeys.KeyOperationParameters{Algorithm: ptr(azkeys.EncryptionAlgorithmA256GCM), Value: enc.Result,
		IV: enc.IV, AuthenticationTag: enc.AuthenticationTag, AdditionalAuthenticatedData: []byte("aad")}, nil)
	if err != nil || !bytes.Equal(dec.Result, text) {
		t.Errorf("Decrypt: %v", err)
	}
	rng, err := c.GetRandomBytes(ctx, azkeys.GetRandomBytesParameters{Count: ptr(int32(32))}, nil)
	if err != nil || len(rng.Value) != 32 {
		t.Errorf("GetRandomBytes = %v, %v", rng, err)
	}
	r, err := c.CreateKey(ctx, "rsa", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeRSA)}, nil)
	if err != nil || *r.Key.Kty != azkeys.KeyTypeRSAHSM {
		t.Errorf("RSA in an HSM: %v, %v", r.Key, err)
	}
	_, err = w.azkeys(t, "safe.managedhsm.localhost", bob).GetKey(ctx, "aes", "", nil)
	refused(t, "GetKey without a role", err, 403, "Forbidden")
	_, err = c.ImportKey(ctx, "in", azkeys.ImportKeyParameters{Key: &azkeys.JSONWebKey{Kty: ptr(azkeys.KeyTypeOctHSM), K: bytes.Repeat([]byte{1}, 16)}}, nil)
	ok(t, "ImportKey", err)
	out, err := c.WrapKey(ctx, "in", "", azkeys.KeyOperationParameters{Algorithm: ptr(azkeys.EncryptionAlgorithmA128KW), Value: text}, nil)
	if err != nil || len(out.Result) != 40 {
		t.Errorf("WrapKey with the imported key: %v", err)
	}
}

func TestClientImport(t *testing.T) {
	w := newWorld(t)
	c := w.azkeys(t, "box.vault.localhost", alice)
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	ok(t, "GenerateKey", err)
	in := azkeys.JSONWebKey{Kty: ptr(azkeys.KeyTypeRSA), N: k.N.Bytes(), E: []byte{1, 0, 1}, D: k.D.Bytes(), P: k.Primes[0].Bytes(), Q: k.Primes[1].Bytes(),
		DP: k.Precomputed.Dp.Bytes(), DQ: k.Precomputed.Dq.Bytes(), QI: k.Precomputed.Qinv.Bytes()}
	made, err := c.ImportKey(ctx, "mine", azkeys.ImportKeyParameters{Key: &in, HSM: ptr(true)}, nil)
	ok(t, "ImportKey", err)
	if *made.Key.Kty != azkeys.KeyTypeRSAHSM || !bytes.Equal(made.Key.N, k.N.Bytes()) || made.Key.D != nil {
		t.Errorf("imported = %+v", made.Key)
	}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &k.PublicKey, []byte("x"), nil)
	ok(t, "EncryptOAEP", err)
	got, err := c.Decrypt(ctx, "mine", "", azkeys.KeyOperationParameters{Algorithm: ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: sealed}, nil)
	if err != nil || string(got.Result) != "x" {
		t.Errorf("Decrypt = %v", err)
	}
	in.D[5] ^= 1
	_, err = c.ImportKey(ctx, "bad", azkeys.ImportKeyParameters{Key: &in}, nil)
	refused(t, "a key that does not fit", err, 400, "BadParameter")
}

func TestClientRotationPolicy(t *testing.T) {
	w := newWorld(t)
	c := w.azkeys(t, "box.vault.localhost", alice)
	_, err := c.CreateKey(ctx, "k", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeEC)}, nil)
	ok(t, "CreateKey", err)
	p, err := c.GetKeyRotationPolicy(ctx, "k", nil)
	ok(t, "GetKeyRotationPolicy", err)
	if len(p.LifetimeActions) != 1 || *p.LifetimeActions[0].Action.Type != azkeys.KeyRotationPolicyActionNotify {
		t.Errorf("the policy of a key without one = %+v", p)
	}
	set, err := c.UpdateKeyRotationPolicy(ctx, "k", azkeys.KeyRotationPolicy{
		Attributes: &azkeys.KeyRotationPolicyAttributes{ExpiryTime: ptr("P90D")},
		LifetimeActions: []*azkeys.LifetimeAction{{
			Action:  &azkeys.LifetimeActionType{Type: ptr(azkeys.KeyRotationPolicyActionRotate)},
			Trigger: &azkeys.LifetimeActionTrigger{TimeBeforeExpiry: ptr("P30D")},
		}},
	}, nil)
	ok(t, "UpdateKeyRotationPolicy", err)
	got, err := c.GetKeyRotationPolicy(ctx, "k", nil)
	if diff := cmp.Diff(set.KeyRotationPolicy, got.KeyRotationPolicy); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	first, err := c.RotateKey(ctx, "k", nil) // from here on versions end
	if err != nil || first.Attributes.Expires == nil || !first.Attributes.Expires.Equal(w.Clock.Now().Add(90*24*time.Hour).Truncate(time.Second)) {
		t.Fatalf("RotateKey = %+v, %v", first.Attributes, err)
	}
	w.Clock.Add(59 * 24 * time.Hour)
	ok(t, "Tick", w.vaults.Tick(ctx))
	if now, _ := c.GetKey(ctx, "k", "", nil); *now.Key.KID != *first.Key.KID {
		t.Error("it was rotated before its time")
	}
	w.Clock.Add(24*time.Hour + time.Second)
	ok(t, "Tick", w.vaults.Tick(ctx))
	if now, _ := c.GetKey(ctx, "k", "", nil); *now.Key.KID == *first.Key.KID {
		t.Error("it was not rotated when it was due")
	}
}
