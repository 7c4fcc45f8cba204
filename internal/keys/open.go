package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

var (
	errPin       = errors.New("the identity key is not the pinned one: this is another store's file, or a planted one")
	errSignature = errors.New("the signature is wrong")
	errTwo       = errors.New("two valid copies have the same generation and differ")
	errDevStore  = errors.New("this is a development store: it opens only in development mode")
	errNotDev    = errors.New("this is not a development store, and cannot become one")
	errNoSlot    = errors.New("no slot of the key store opens with the unseal key that was given")
)

// opener gives the root of a file and the pin that its secret carries.
type opener func(ctx context.Context, f *cfks.File, root Root) (secret.Key, [32]byte, error)

// Open reads every copy of the key store, chooses the newest valid one and opens it. It
// writes nothing: Repair, Initialize and FinishPurge do, once the caller found the
// generation to be the right one.
func Open(ctx context.Context, o Options) (*Ring, error) {
	return openWith(ctx, o, onlineOpener(o.Service, o.Infra))
}

func openWith(ctx context.Context, o Options, open opener) (*Ring, error) {
	const op = "keys.Open"
	copies, err := o.Store.Load(ctx)
	if err != nil {
		return nil, fault.New(op, "", fault.KeyStore, err)
	}
	if len(copies) == 0 {
		return nil, fault.New(op, "", fault.ResourceNotFound, errors.New("there is no key store"))
	}
	best, err := newest(ctx, copies, open)
	if err != nil {
		return nil, err
	}
	if err := checkDev(best.state.file.Dev, o.Dev); err != nil {
		best.state.destroyRoots()
		return nil, fault.New(op, "", fault.NotAllowed, err)
	}
	r := newRing(o, best.state.file.Dev)
	if err := r.openInfra(ctx, best.state, open); err != nil {
		best.state.destroyRoots()
		return nil, err
	}
	r.cur.Store(best.state)
	r.durable.Store(&durable{best.state.file.Generation, sha256.Sum256(best.bytes), best.bytes})
	r.note(ctx, "keys.root.open", SRK.String(), best.state.file.SRKRef, "ok")
	if !best.state.ik.IsZero() {
		r.note(ctx, "keys.root.open", IRK.String(), best.state.file.IRKRef, "ok")
	}
	return r, nil
}

func checkDev(store, asked bool) error {
	if store && !asked {
		return errDevStore
	}
	if !store && asked {
		return errNotDev
	}
	return nil
}

// candidate is a copy that passed every check.
type candidate struct {
	state *state
	bytes []byte
}

// newest opens the copies and returns the valid one of the highest generation.
func newest(ctx context.Context, copies []Copy, open opener) (candidate, error) {
	const op = "keys.Open"
	var best candidate
	var faults []error
	for i, c := range copies {
		if c.Err == nil && slices.ContainsFunc(copies[:i], func(d Copy) bool { return d.Err == nil && bytes.Equal(d.Bytes, c.Bytes) }) {
			continue // judged already; the provider is not asked twice
		}
		s, err := openCopy(ctx, c, open)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.Place, err))
			continue
		}
		switch {
		case best.state == nil || s.file.Generation > best.state.file.Generation:
			if best.state != nil {
				best.state.destroyRoots()
			}
			best = candidate{s, c.Bytes}
		case s.file.Generation == best.state.file.Generation:
			s.destroyRoots()
			best.state.destroyRoots()
			return candidate{}, fault.New(op, c.Place, fault.KeyStore, errTwo)
		default:
			s.destroyRoots()
		}
	}
	if best.state == nil {
		err := errors.Join(faults...)
		kind := fault.KeyStore
		if errors.Is(err, cfks.ErrNewer) {
			kind = fault.NewerFormat
		}
		return candidate{}, fault.New(op, "", kind, err)
	}
	return best, nil
}

// openCopy checks one copy: form, pin, signature, body; in this order.
func openCopy(ctx context.Context, c Copy, open opener) (*state, error) {
	if c.Err != nil {
		return nil, c.Err
	}
	f, err := cfks.Parse(c.Bytes)
	if err != nil {
		return nil, err
	}
	root, pin, err := open(ctx, f, SRK)
	if err != nil {
		return nil, err
	}
	s, err := openFile(f, root, pin)
	if err != nil {
		root.Destroy()
		return nil, err
	}
	return s, nil
}

// openFile opens a file whose service root is root.
func openFile(f *cfks.File, root secret.Key, pin [32]byte) (*state, error) {
	if pinOf(f) != pin {
		return nil, errPin
	}
	if !slot.Verify(f.Identity[:], f.Signed(), f.Signature[:]) {
		return nil, errSignature
	}
	sk, err := slot.SealKey(root, f.Store, uint8(SRK), f.SRKRef)
	if err != nil {
		return nil, err
	}
	body, err := openBody(f, sk)
	if err != nil {
		sk.Destroy()
		return nil, err
	}
	s := &state{file: f, body: body, srk: root, sk: sk}
	s.index()
	if err := s.check(); err != nil {
		sk.Destroy()
		return nil, err
	}
	return s, nil
}

func openBody(f *cfks.File, sk secret.Key) (*cfks.Body, error) {
	plain, err := keywrap.Open(sk, f.SRKRef, f.BodyAAD(), f.Body)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return cfks.ParseBody(plain)
}

// check tests what head and body say of each other.
func (s *state) check() error {
	id := active(s.identity)
	if id == nil || !bytes.Equal(id.Public, s.file.Identity[:]) {
		return fmt.Errorf("%w: identity of head and body differ", cfks.ErrForm)
	}
	if s.vfs == nil || s.system[s.file.Store] == nil {
		return fmt.Errorf("%w: the store's own keys are missing", cfks.ErrForm)
	}
	return nil
}

// openInfra opens the infrastructure root where a provider for it was given.
func (r *Ring) openInfra(ctx context.Context, s *state, open opener) error {
	root, pin, err := open(ctx, s.file, IRK)
	if errors.Is(err, errNoInfra) {
		return nil
	}
	if err != nil {
		return fault.New("keys.Open", "infrastructure root", fault.KeyStore, err)
	}
	ik, err := slot.SealKey(root, s.file.Store, uint8(IRK), s.file.IRKRef)
	if err == nil && pin != pinOf(s.file) {
		ik.Destroy()
		err = errPin
	}
	if err != nil {
		root.Destroy()
		return fault.New("keys.Open", "infrastructure root", fault.KeyStore, err)
	}
	s.irk, s.ik = root, ik
	return nil
}

// onlineOpener asks the providers of the roots.
func onlineOpener(service, infra keyprovider.Provider) opener {
	return func(ctx context.Context, f *cfks.File, root Root) (secret.Key, [32]byte, error) {
		p := service
		if root == IRK {
			p = infra
		}
		if p == nil {
			if root == IRK {
				return secret.Key{}, [32]byte{}, errNoInfra
			}
			return secret.Key{}, [32]byte{}, errNoSlot
		}
		return openOnline(ctx, f, root, p)
	}
}

// openOnline tries the slots of one root that belong to the provider. Only a provider
// that holds nothing for a slot lets the next one be tried.
func openOnline(ctx context.Context, f *cfks.File, root Root, p keyprovider.Provider) (secret.Key, [32]byte, error) {
	for _, s := range f.Slots {
		if s.Root != root || s.Provider != uint8(p.Kind()) {
			continue
		}
		u, pin, err := p.Open(ctx, providerSlot(f, s))
		if errors.Is(err, keyprovider.ErrNoSecret) {
			continue
		}
		if err != nil {
			return secret.Key{}, pin, err
		}
		key, err := slot.Unwrap(u, placeOf(f, s), s.Blob)
		u.Destroy()
		return key, pin, err
	}
	return secret.Key{}, [32]byte{}, errNoSlot
}

func providerSlot(f *cfks.File, s cfks.Slot) keyprovider.Slot {
	return keyprovider.Slot{Store: f.Store, ID: s.ID, Root: uint8(s.Root), Params: s.Params}
}

func placeOf(f *cfks.File, s cfks.Slot) slot.Place {
	return slot.Place{Store: f.Store, Slot: s.ID, Root: uint8(s.Root), Ref: f.RootRef(s.Root),
		Provider: s.Provider, Params: s.Params}
}
