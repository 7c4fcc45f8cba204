package vault

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/jwk"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

const (
	maxOpened = 128             // private keys in memory
	openedFor = 5 * time.Minute // since they were opened
	maxRandom = 128             // bytes in one answer
)

// opened keeps private keys that were used lately. Whether one may be used is asked of
// its rows each time; this saves opening it.
type opened struct {
	mu    sync.Mutex // guards what follows
	byID  map[keys.ID]*list.Element
	order list.List // of *openKey, latest use first
}

type openKey struct {
	id    keys.ID
	key   *jwk.Private
	until time.Time
}

func (o *opened) get(id keys.ID, now time.Time) *jwk.Private {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.byID[id]
	if e == nil {
		return nil
	}
	k := e.Value.(*openKey)
	if now.After(k.until) {
		o.drop(e)
		return nil
	}
	o.order.MoveToFront(e)
	return k.key
}

func (o *opened) put(id keys.ID, p *jwk.Private, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byID == nil {
		o.byID = make(map[keys.ID]*list.Element)
	}
	if e := o.byID[id]; e != nil {
		o.drop(e)
	}
	o.byID[id] = o.order.PushFront(&openKey{id, p, now.Add(openedFor)})
	for o.order.Len() > maxOpened {
		o.drop(o.order.Back())
	}
}

// drop leaves a key to who may be using it; its memory is wiped when nobody does.
func (o *opened) drop(e *list.Element) {
	delete(o.byID, e.Value.(*openKey).id)
	o.order.Remove(e)
}

func (s *Service) forget(ids []keys.ID) {
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	for _, id := range ids {
		if e := s.opened.byID[id]; e != nil {
			s.opened.drop(e)
		}
	}
}

func (s *Service) forgetAll() {
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	s.opened.byID = nil
	s.opened.order.Init()
}

// open opens the private key of a version.
func (s *Service) open(ctx context.Context, ver *version, row *object.Row) (*jwk.Private, error) {
	now := s.o.Now()
	if p := s.opened.get(ver.id, now); p != nil {
		return p, nil
	}
	plain, err := s.store.OpenMeta(ctx, row)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	p, err := jwk.Decode(ver.pub.Type, plain)
	if err != nil {
		return nil, errRow
	}
	if !slices.Equal(p.N, ver.pub.N) || !slices.Equal(p.X, ver.pub.X) || p.Bits != ver.pub.Bits {
		return nil, errRow
	}
	s.opened.put(ver.id, p, now)
	return p, nil
}

// used is a key version at work.
type used struct {
	ver *version
	row *object.Row
}

// use runs an operation on the version that r names, if it may be used for it now. Dates
// bind what protects new data; what opens old data goes on.
func (s *Service) use(ctx context.Context, c Caller, r Ref, n need, op string, dated bool, f func(used) (Result, error)) (out Result, err error) {
	err = s.do(ctx, c, r, n, func(v Vault) (keys.ID, error) {
		var u used
		var k *keyRecord
		err := s.store.View(ctx, func(tx *object.Tx) (err error) {
			k, u.ver, u.row, err = s.find(tx, v, r)
			return err
		})
		if err != nil {
			return keys.ID{}, err
		}
		if err := s.usable(r, u.ver, op, dated); err != nil {
			return u.ver.id, err
		}
		out, err = f(u)
		out.Ref = Ref{v.Kind, v.Name, k.name, u.ver.id.String()}
		return u.ver.id, err
	})
	if err != nil {
		return Result{}, err
	}
	return out, nil
}

// usable says why a version may not do op now.
func (s *Service) usable(r Ref, ver *version, op string, dated bool) error {
	now, a := s.o.Now(), ver.attrs
	refuse := func(k fault.Kind) error { return fault.New("vault."+op, r.what(), k, nil) }
	switch {
	case !a.Enabled:
		return refuse(fault.VaultKeyDisabled)
	case dated && !a.NotBefore.IsZero() && now.Before(a.NotBefore):
		return refuse(fault.VaultKeyNotYetValid)
	case dated && !a.Expires.IsZero() && !now.Before(a.Expires):
		return refuse(fault.VaultKeyExpired)
	case !slices.Contains(ver.ops, op):
		return refuse(fault.VaultKeyOperation)
	}
	return nil
}

// protect encrypts or wraps.
func (s *Service) protect(ctx context.Context, c Caller, r Ref, n need, p jwk.Purpose, o Operation) (Result, error) {
	return s.use(ctx, c, r, n, n.op, true, func(u used) (Result, error) {
		in := jwk.Input{Value: o.Value, IV: o.IV, AAD: o.AAD}
		out, err := jwk.Input{}, error(nil)
		if u.ver.pub.NeedsPrivate() {
			k, err := s.open(ctx, u.ver, u.row)
			if err != nil {
				return Result{}, err
			}
			out, err = k.Seal(o.Algorithm, p, in)
			return Result{Value: out.Value, IV: out.IV, AAD: out.AAD, Tag: out.Tag}, err
		}
		out, err = u.ver.pub.Seal(o.Algorithm, p, in)
		return Result{Value: out.Value}, err
	})
}

// reveal decrypts or unwraps.
func (s *Service) reveal(ctx context.Context, c Caller, r Ref, n need, p jwk.Purpose, o Operation) (Result, error) {
	return s.use(ctx, c, r, n, n.op, false, func(u used) (Result, error) {
		if _, err := u.ver.pub.Find(o.Algorithm, p); err != nil {
			return Result{}, err
		}
		k, err := s.open(ctx, u.ver, u.row)
		if err != nil {
			return Result{}, err
		}
		out, err := k.Open(o.Algorithm, p, jwk.Input{Value: o.Value, IV: o.IV, AAD: o.AAD, Tag: o.Tag})
		return Result{Value: out}, err
	})
}

// Encrypt encrypts a short text.
func (s *Service) Encrypt(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return s.protect(ctx, c, r, needEncrypt, jwk.Encrypts, o)
}

// Decrypt opens what Encrypt made. It works before and after the dates of the key.
func (s *Service) Decrypt(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return s.reveal(ctx, c, r, needDecrypt, jwk.Encrypts, o)
}

// Wrap encrypts a key.
func (s *Service) Wrap(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return s.protect(ctx, c, r, needWrap, jwk.Wraps, o)
}

// Unwrap opens what Wrap made. It works before and after the dates of the key.
func (s *Service) Unwrap(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return s.reveal(ctx, c, r, needUnwrap, jwk.Wraps, o)
}

// Sign signs a digest.
func (s *Service) Sign(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return s.use(ctx, c, r, needSign, "sign", true, func(u used) (Result, error) {
		k, err := s.open(ctx, u.ver, u.row)
		if err != nil {
			return Result{}, err
		}
		sig, err := k.Sign(o.Algorithm, o.Value)
		return Result{Value: sig}, err
	})
}

// Verify checks a signature of a digest. It works before and after the dates of the key.
func (s *Service) Verify(ctx context.Context, c Caller, r Ref, o Operation) (Result, error) {
	return s.use(ctx, c, r, needVerify, "verify", false, func(u used) (Result, error) {
		ok, err := u.ver.pub.Verify(o.Algorithm, o.Value, o.Signature)
		return Result{Valid: ok}, err
	})
}

// Random returns n random bytes of an HSM, at most 128.
func (s *Service) Random(ctx context.Context, c Caller, r Ref, n int) (out []byte, err error) {
	r.Key, r.Version = "", ""
	if r.Kind != HSM {
		return nil, fault.New("vault.Random", r.what(), fault.UnsupportedOperation, errors.New("random bytes come from Managed HSMs"))
	}
	err = s.do(ctx, c, r, needRandom, func(Vault) (keys.ID, error) {
		if n < 1 || n > maxRandom {
			return keys.ID{}, bad("vault.Random", r.what(), "count is 1 to 128")
		}
		out = make([]byte, n)
		rand.Read(out)
		return keys.ID{}, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
