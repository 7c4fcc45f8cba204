package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// key returns the secret of a version: from memory, or opened and then kept, which is a
// use of the key by whom ctx names.
func (r *Ring) key(ctx context.Context, kref ID) (secret.Key, error) {
	for {
		s := r.cur.Load()
		at, ok := s.byKref[kref]
		if !ok {
			return secret.Key{}, fault.New("keys.Open", kref.String(), fault.Corrupt, errors.New("no such key version"))
		}
		if at.key.State == cfks.Destroyed {
			return secret.Key{}, destroyedFault(at)
		}
		k, err := r.openCached(ctx, s, at)
		if errors.Is(err, secret.ErrDestroyed) && r.cur.Load() != s {
			continue // the root was replaced under our hands
		}
		if err != nil && fault.KindOf(err) == fault.Internal {
			err = fault.New("keys.Open", kref.String(), fault.KeyGone, err)
		}
		return k, err
	}
}

func (r *Ring) openCached(ctx context.Context, s *state, at keyAt) (secret.Key, error) {
	r.mu.Lock()
	k, ok := r.opened[at.key.Kref]
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return secret.Key{}, fault.New("keys.Open", "", fault.Unavailable, errClosed)
	}
	if ok {
		return k, nil
	}
	k, err := s.open(at.chain, at.key)
	if at.chain.Kind == cfks.KEK && !errors.Is(err, secret.ErrDestroyed) {
		r.note(ctx, "keys.kek.open", at.chain.Protector.String(), at.key.Kref, openOutcome(err))
	}
	if err != nil {
		return secret.Key{}, err
	}
	return r.keep(at.key.Kref, k)
}

func openOutcome(err error) string {
	if err == nil {
		return "ok"
	}
	return fault.KeyGone.String()
}

// keep stores a key that was just opened, unless somebody was faster.
func (r *Ring) keep(kref ID, k secret.Key) (secret.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keepLocked(kref, k)
}

// keepLocked is keep with r.mu held.
func (r *Ring) keepLocked(kref ID, k secret.Key) (secret.Key, error) {
	if old, ok := r.opened[kref]; ok {
		k.Destroy()
		return old, nil
	}
	if at := r.cur.Load().byKref[kref]; r.closed || at.key == nil || at.key.State == cfks.Destroyed {
		k.Destroy()
		return secret.Key{}, fault.New("keys.Open", kref.String(), fault.KeyGone, secret.ErrDestroyed)
	}
	r.opened[kref] = k
	return k, nil
}

func destroyedFault(at keyAt) error {
	when := time.Unix(0, int64(at.key.Destroyed)).UTC().Format(time.DateTime)
	return fault.New("keys.Open", at.key.Kref.String(), fault.KeyGone,
		fmt.Errorf("the key was destroyed on %s by %s", when, at.key.DestroyedBy))
}

// unrecorded is the context of uses that the trail does not have: of every key that is
// no KEK.
var unrecorded = context.Background()

// sealWith returns the Active version of a chain.
func (r *Ring) sealWith(c *cfks.Chain, what string) (ID, secret.Key, error) {
	if c == nil {
		return ID{}, secret.Key{}, fault.New("keys.Seal", what, fault.ResourceNotFound, errors.New("no such key"))
	}
	k := active(c)
	if k == nil {
		return ID{}, secret.Key{}, fault.New("keys.Seal", what, fault.KeyGone, errors.New("no version is active"))
	}
	key, err := r.key(unrecorded, k.Kref)
	return k.Kref, key, err
}

// openIn opens kref, which must be a version of c.
func (r *Ring) openIn(c *cfks.Chain, kref ID, what string) (secret.Key, error) {
	if at := r.cur.Load().byKref[kref]; c == nil || at.chain == nil || at.chain.ID != c.ID {
		return secret.Key{}, fault.New("keys.Open", what, fault.Corrupt, errors.New("key version does not belong here"))
	}
	return r.key(unrecorded, kref)
}

// SealVFS returns the Active key of sealedfs.
func (r *Ring) SealVFS() (kref [16]byte, k secret.Key, err error) {
	return r.sealWith(r.cur.Load().vfs, "sealedfs")
}

// OpenVFS returns the version of the key of sealedfs that kref names.
func (r *Ring) OpenVFS(kref [16]byte) (secret.Key, error) {
	return r.openIn(r.cur.Load().vfs, kref, "sealedfs")
}

// SealStore returns the Active system key of the store: for HEAD and other SEAL-1 files.
func (r *Ring) SealStore() (kref [16]byte, k secret.Key, err error) { return r.System(r.StoreID()) }

// OpenStore returns the version of the store's system key that kref names.
func (r *Ring) OpenStore(kref [16]byte) (secret.Key, error) { return r.SystemByRef(r.StoreID(), kref) }

// SealInfra returns the Active infrastructure key, for double objects.
func (r *Ring) SealInfra() (kref ID, k secret.Key, err error) {
	return r.sealWith(r.cur.Load().idk, "infrastructure")
}

// OpenInfra returns the version of the infrastructure key that kref names.
func (r *Ring) OpenInfra(kref ID) (secret.Key, error) {
	return r.openIn(r.cur.Load().idk, kref, "infrastructure")
}

// System returns the Active system key of an owner.
func (r *Ring) System(owner ID) (kref ID, k secret.Key, err error) {
	return r.sealWith(r.cur.Load().system[owner], owner.String())
}

// SystemByRef returns the version of the owner's system key that kref names.
func (r *Ring) SystemByRef(owner, kref ID) (secret.Key, error) {
	return r.openIn(r.cur.Load().system[owner], kref, owner.String())
}

// KEK returns the Active KEK of a protector. Under a customer's key the vault may have to
// be asked; then it waits.
func (r *Ring) KEK(ctx context.Context, p Protector) (Version, secret.Key, error) {
	return r.kek(ctx, p, func(c *cfks.Chain) (*cfks.Key, error) {
		if k := active(c); k != nil {
			return k, nil
		}
		return nil, fault.New("keys.Seal", p.String(), fault.KeyGone, errors.New("no version is active"))
	})
}

// KEKByRef returns the version of the protector's KEK that kref names.
func (r *Ring) KEKByRef(ctx context.Context, p Protector, kref ID) (Version, secret.Key, error) {
	return r.kek(ctx, p, byKref(p, kref))
}

// KEKByVersion returns a version of the protector's KEK by its number.
func (r *Ring) KEKByVersion(ctx context.Context, p Protector, number uint64) (Version, secret.Key, error) {
	return r.kek(ctx, p, func(c *cfks.Chain) (*cfks.Key, error) {
		if number == 0 || number > uint64(len(c.Keys)) {
			return nil, fault.New("keys.KEK", p.String(), fault.Corrupt, fmt.Errorf("no version %d", number))
		}
		return &c.Keys[number-1], nil
	})
}

// byKref picks a version of the chain of p.
func byKref(p Protector, kref ID) func(*cfks.Chain) (*cfks.Key, error) {
	return func(c *cfks.Chain) (*cfks.Key, error) {
		for i := len(c.Keys) - 1; i >= 0; i-- {
			if c.Keys[i].Kref == kref {
				return &c.Keys[i], nil
			}
		}
		return nil, fault.New("keys.KEK", p.String(), fault.Corrupt, errors.New("key version does not belong here"))
	}
}

// kek opens a version of the KEK of p.
func (r *Ring) kek(ctx context.Context, p Protector, pick func(*cfks.Chain) (*cfks.Key, error)) (Version, secret.Key, error) {
	for tries := 0; ; tries++ {
		s := r.cur.Load()
		rec := s.protectors[p]
		if rec == nil {
			return Version{}, secret.Key{}, fault.New("keys.KEK", p.String(), fault.ResourceNotFound, errors.New("no such protector"))
		}
		if rec.Admin == cfks.Disabled {
			return Version{}, secret.Key{}, usableRecord("keys.KEK", p, rec)
		}
		c := s.byID[rec.Chain]
		k, err := pick(c)
		if err != nil {
			return Version{}, secret.Key{}, err
		}
		key, epoch, err := r.kekSecret(ctx, s, rec, keyAt{c, k})
		if (errors.Is(err, secret.ErrDestroyed) || errors.Is(err, errSwitched)) && tries < 10 {
			continue // dropped, switched, or another root, under our hands
		}
		if err != nil {
			return Version{}, secret.Key{}, err
		}
		v := versionOf(c, k)
		v.Epoch = epoch
		return v, key, nil
	}
}

// kekSecret opens a KEK version: the service's, or with what a vault has unwrapped.
func (r *Ring) kekSecret(ctx context.Context, s *state, rec *cfks.ProtectorRecord, at keyAt) (secret.Key, uint64, error) {
	cur := rec.Current()
	if cur == nil || at.key.State == cfks.Destroyed {
		k, err := r.key(ctx, at.key.Kref)
		return k, 0, err
	}
	l, err := r.lease(ctx, rec, cur)
	if err != nil {
		return secret.Key{}, 0, err
	}
	k, err := r.kekUnder(ctx, s, at, l)
	return k, r.customer(rec.Protector).epoch.Load(), err
}

// kekUnder is the opened KEK, or opens it with a lease.
func (r *Ring) kekUnder(ctx context.Context, s *state, at keyAt, l *lease) (secret.Key, error) {
	r.mu.Lock()
	k, ok := r.opened[at.key.Kref]
	r.mu.Unlock()
	if ok {
		return k, nil
	}
	sec, err := s.inForce(at.chain, at.key)
	if err == nil {
		k, err = s.openUnder(at.chain, at.key, sec, l.k, l.w)
	}
	if !errors.Is(err, secret.ErrDestroyed) {
		r.note(ctx, "keys.kek.open", at.chain.Protector.String(), at.key.Kref, openOutcome(err))
	}
	if errors.Is(err, secret.ErrDestroyed) {
		return secret.Key{}, err
	}
	if err != nil {
		return secret.Key{}, fault.New("keys.KEK", at.key.Kref.String(), fault.KeyGone, err)
	}
	return r.keepUnder(at, k, l)
}

// keepUnder is keep for a KEK under a lease: unless the lease was taken away meanwhile.
func (r *Ring) keepUnder(at keyAt, k secret.Key, l *lease) (secret.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.customer(at.chain.Protector).leases.Load().of(l.w) == nil {
		k.Destroy()
		return secret.Key{}, secret.ErrDestroyed
	}
	return r.keepLocked(at.key.Kref, k)
}
