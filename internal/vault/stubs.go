package vault

import "context"

// CreateKey makes a key, or a new version of one that is there.
func (s *Service) CreateKey(ctx context.Context, c Caller, r Ref, k NewKey) (Key, error) {
	return Key{}, skeleton("vault.CreateKey")
}

// ImportKey makes a key version of a given private key.
func (s *Service) ImportKey(ctx context.Context, c Caller, r Ref, m *Material, k NewKey) (Key, error) {
	return Key{}, skeleton("vault.ImportKey")
}

// GetKey returns a version of a key, the newest unless one is named. Disabled ones are shown too.
func (s *Service) GetKey(ctx context.Context, c Caller, r Ref) (Key, error) {
	return Key{}, skeleton("vault.GetKey")
}

// ListKeys returns the newest versions of the keys of a vault in the order of their names.
func (s *Service) ListKeys(ctx context.Context, c Caller, r Ref, from string, most int) (Page, error) {
	return Page{}, skeleton("vault.ListKeys")
}

// ListVersions returns the versions of a key.
func (s *Service) ListVersions(ctx context.Context, c Caller, r Ref, from string, most int) (Page, error) {
	return Page{}, skeleton("vault.ListVersions")
}

// UpdateKey changes the attributes of a version.
func (s *Service) UpdateKey(ctx context.Context, c Caller, r Ref, change KeyChange) (Key, error) {
	return Key{}, skeleton("vault.UpdateKey")
}

// DeleteKey deletes all versions of a key; it can be recovered until it is purged.
func (s *Service) DeleteKey(ctx context.Context, c Caller, r Ref) (Key, error) {
	return Key{}, skeleton("vault.DeleteKey")
}

// DeletedKey returns a deleted key.
func (s *Service) DeletedKey(ctx context.Context, c Caller, r Ref) (Key, error) {
	return Key{}, skeleton("vault.DeletedKey")
}

// ListDeleted returns the deleted keys of a vault.
func (s *Service) ListDeleted(ctx context.Context, c Caller, r Ref, from string, most int) (Page, error) {
	return Page{}, skeleton("vault.ListDeleted")
}

// RecoverKey brings a deleted key back.
func (s *Service) RecoverKey(ctx context.Context, c Caller, r Ref) (Key, error) {
	return Key{}, skeleton("vault.RecoverKey")
}

// BackupKey returns all versions of a key, sealed: only a vault of this store opens it.
func (s *Service) BackupKey(ctx context.Context, c Caller, r Ref) ([]byte, error) {
	return nil, skeleton("vault.BackupKey")
}

// RestoreKey brings back a key from its backup, into the same vault or another one of its kind.
func (s *Service) RestoreKey(ctx context.Context, c Caller, r Ref, blob []byte) (Key, error) {
	return Key{}, skeleton("vault.RestoreKey")
}

// RotateKey makes a new version of the same type and size.
func (s *Service) RotateKey(ctx context.Context, c Caller, r Ref) (Key, error) {
	return Key{}, skeleton("vault.RotateKey")
}

// RotationPolicy returns when a key is rotated.
func (s *Service) RotationPolicy(ctx context.Context, c Caller, r Ref) (RotationPolicy, error) {
	return RotationPolicy{}, skeleton("vault.RotationPolicy")
}

// SetRotationPolicy says when a key is rotated.
func (s *Service) SetRotationPolicy(ctx context.Context, c Caller, r Ref, p RotationPolicy) (RotationPolicy, error) {
	return RotationPolicy{}, skeleton("vault.SetRotationPolicy")
}

// Encrypt encrypts a short text.
func (s *Service) Encrypt(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return Result{}, skeleton("vault.Encrypt")
}

// Decrypt opens what Encrypt made. It works before and after the dates of the key.
func (s *Service) Decrypt(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return Result{}, skeleton("vault.Decrypt")
}

// Wrap encrypts a key.
func (s *Service) Wrap(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return Result{}, skeleton("vault.Wrap")
}

// Unwrap opens what Wrap made. It works before and after the dates of the key.
func (s *Service) Unwrap(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return Result{}, skeleton("vault.Unwrap")
}

// Sign signs a digest.
func (s *Service) Sign(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return Result{}, skeleton("vault.Sign")
}

// Verify checks a signature of a digest. It works before and after the dates of the key.
func (s *Service) Verify(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return Result{}, skeleton("vault.Verify")
}

// Random returns n random bytes of an HSM, at most 128.
func (s *Service) Random(ctx context.Context, c Caller, r Ref, n int) ([]byte, error) {
	return nil, skeleton("vault.Random")
}

// PurgeKey destroys a deleted key. With purge protection that is NotAllowed before its
// time.
func (s *Service) PurgeKey(ctx context.Context, c Caller, r Ref) error {
	return skeleton("vault.PurgeKey")
}

// Tick does what is due: rotations by policy, and purges of what was deleted long ago.
func (s *Service) Tick(ctx context.Context) error { return nil }
