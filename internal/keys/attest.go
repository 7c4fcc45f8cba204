package keys

import (
	"errors"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// SignCheckpoint signs where the audit chain stands. The caller has filled in commit.
func (r *Ring) SignCheckpoint(p audit.Position, commit uint64) (audit.Checkpoint, error) {
	s := r.cur.Load()
	gen, _ := r.Generation()
	c := audit.Checkpoint{Store: s.file.Store, Seq: p.Seq, Hash: p.Hash, Generation: gen, Commit: commit}
	k := active(s.audit)
	if k == nil {
		return c, fault.New("keys.SignCheckpoint", "", fault.KeyStore, errors.New("there is no active audit key"))
	}
	c.Kref = k.Kref
	var err error
	c.Signature, err = s.sign(s.audit, k, c.Text())
	if err != nil {
		return c, fault.New("keys.SignCheckpoint", "", fault.KeyStore, err)
	}
	return c, nil
}

func (s *state) sign(c *cfks.Chain, k *cfks.Key, text []byte) (sig [64]byte, err error) {
	seed, err := s.open(c, k)
	if err != nil {
		return sig, err
	}
	defer seed.Destroy()
	return slot.Sign(seed, text)
}

// AuditKeys are the public keys that signed checkpoints, with their dates.
func (r *Ring) AuditKeys() []audit.Key {
	s := r.cur.Load()
	var out []audit.Key
	for i := range s.audit.Keys {
		v := versionOf(s.audit, &s.audit.Keys[i])
		if len(v.PublicKey) > 0 {
			out = append(out, audit.Key{Kref: v.Kref, Public: v.PublicKey, From: v.Activated, Until: v.Deactivated})
		}
	}
	return out
}

// Attest signs a statement of the store with its identity key, whose pin its owner
// knows. text begins with a label of its own, as enc.Encode makes it.
func (r *Ring) Attest(text []byte) (sig []byte, err error) {
	s := r.cur.Load()
	b, err := s.sign(s.identity, active(s.identity), text)
	if err != nil {
		return nil, fault.New("keys.Attest", "", fault.KeyStore, err)
	}
	return b[:], nil
}

// PublicIdentity is the public key that Attest signs under; Identity is its pin.
func (r *Ring) PublicIdentity() []byte {
	f := r.cur.Load().file
	return append([]byte(nil), f.Identity[:]...)
}
