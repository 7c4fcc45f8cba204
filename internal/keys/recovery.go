package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// MinPassphrase is the least number of characters of a recovery passphrase. It guards
// the key store against guessing offline, so it is longer than a login's.
const MinPassphrase = 14

// maxShares is what x of a share can count.
const maxShares = 255

// RecoverySecret is what a person kept: shares of a kit, or a passphrase.
type RecoverySecret struct {
	Shares     []string
	Passphrase string
}

// String hides the secret.
func (RecoverySecret) String() string { return "keys.RecoverySecret(hidden)" }

// GoString hides the secret.
func (RecoverySecret) GoString() string { return "keys.RecoverySecret(hidden)" }

// RecoveryOptions says what kind of recovery slots to make.
type RecoveryOptions struct {
	Name       string
	Passphrase string // not empty: a passphrase instead of a kit
	Threshold  int    // k; 0: 1
	Shares     int    // n; 0: as many as the threshold
}

// Kit is what AddRecovery gives to be kept offline. The text of a share is secret.
type Kit struct {
	Store     ID
	Pin       [32]byte
	Slots     []ID
	Threshold int
	Shares    []string // empty for a passphrase
}

// String hides the shares.
func (k Kit) String() string { return "keys.Kit(" + k.Store.String() + ", hidden)" }

// GoString hides the shares.
func (k Kit) GoString() string { return k.String() }

// AddRecovery makes a recovery slot for each root, both with one secret: a random one,
// cut into shares to print, or one from a passphrase. The slots count once they are
// proved.
func (r *Ring) AddRecovery(ctx context.Context, o RecoveryOptions) (Kit, error) {
	const op = "keys.AddRecovery"
	m, err := newRecovery(o)
	if err != nil {
		return Kit{}, fault.New(op, o.Name, fault.InvalidInput, err)
	}
	defer m.u.Destroy()
	kit := Kit{Store: r.StoreID(), Pin: r.Identity(), Threshold: m.k}
	for _, s := range m.shares {
		kit.Shares = append(kit.Shares, s.Text())
	}
	if r.cur.Load().ik.IsZero() {
		return Kit{}, fault.New(op, o.Name, fault.NotAllowed, errNoInfra)
	}
	made := map[Root]cfks.Slot{}
	for _, root := range []Root{SRK, IRK} { // slow: outside the change
		s := cfks.Slot{ID: cfks.NewID(), Root: root, Provider: m.provider}
		place := slot.Place{Store: kit.Store, Slot: s.ID, Root: uint8(root), Provider: m.provider}
		if s.Params, err = slot.NewRecipient(m.u, place, m.head, kit.Pin); err != nil {
			return Kit{}, fault.New(op, o.Name, fault.KeyStore, err)
		}
		made[root] = s
		kit.Slots = append(kit.Slots, s.ID)
	}
	err = r.granted(ctx, "keys.recovery.add", o.Name, ID{}, func() error {
		return r.update(ctx, func(d *draft) error { return d.addRecovery(made, o.Name) })
	})
	if err != nil {
		return Kit{}, err
	}
	return kit, nil
}

func (d *draft) addRecovery(made map[Root]cfks.Slot, name string) error {
	for root, s := range made {
		blob, err := slot.SealRoot(placeOf(d.file, s), d.root(root))
		if err != nil {
			return fault.New("keys.AddRecovery", name, fault.KeyStore, err)
		}
		s.Blob = blob
		d.file.Slots = append(d.file.Slots, s)
		d.body.Facts = append(d.body.Facts, cfks.Fact{Slot: s.ID, Name: name})
	}
	if len(d.file.Slots) > cfks.MaxSlots {
		return fault.New("keys.AddRecovery", name, fault.NotAllowed, fmt.Errorf("over %d slots", cfks.MaxSlots))
	}
	return nil
}

// recovery is a new recovery secret.
type recovery struct {
	u        secret.Key
	provider uint8
	head     []byte
	k        int
	shares   []slot.Share
}

func newRecovery(o RecoveryOptions) (recovery, error) {
	if len(o.Name) > 200 || !utf8.ValidString(o.Name) {
		return recovery{}, errors.New("the name is too long")
	}
	if o.Passphrase != "" {
		return newPassphrase(o.Passphrase)
	}
	k, n := max(o.Threshold, 1), o.Shares
	if n == 0 {
		n = k
	}
	if k > n || n > maxShares {
		return recovery{}, fmt.Errorf("%d of %d shares", k, n)
	}
	m := recovery{u: secret.Random(slot.KeySize), provider: slot.Kit, head: slot.KitHead(uint8(k), uint8(n)), k: k}
	var err error
	if m.shares, err = slot.Split(m.u, uint8(k), uint8(n)); err != nil {
		m.u.Destroy()
		return recovery{}, err
	}
	return m, nil
}

func newPassphrase(text string) (recovery, error) {
	if utf8.RuneCountInString(text) < MinPassphrase {
		return recovery{}, fmt.Errorf("a recovery passphrase has at least %d characters", MinPassphrase)
	}
	var salt [16]byte
	rand.Read(salt[:])
	u, err := slot.FromPassphrase(text, salt, slot.MinIterations)
	return recovery{u: u, provider: slot.Passphrase, head: slot.PassphraseHead(salt, slot.MinIterations)}, err
}

// recoverer opens recovery slots with what a person kept.
type recoverer struct {
	shares     []slot.Share
	passphrase string
	derived    map[[16]byte]secret.Key // by salt: both slots share one
}

func newRecoverer(s RecoverySecret) (*recoverer, error) {
	rec := &recoverer{passphrase: s.Passphrase, derived: map[[16]byte]secret.Key{}}
	for i, text := range s.Shares {
		share, err := slot.ParseShare(text)
		if err != nil {
			return nil, fmt.Errorf("share %d: %w", i+1, err)
		}
		rec.shares = append(rec.shares, share)
	}
	if len(rec.shares) == 0 && rec.passphrase == "" {
		return nil, errors.New("give the shares of a kit or a passphrase")
	}
	return rec, nil
}

func (rec *recoverer) close() {
	clear(rec.shares)
	for _, u := range rec.derived {
		u.Destroy()
	}
}

// secret is the secret of a slot, as far as this recoverer may have it.
func (rec *recoverer) secret(s cfks.Slot) (secret.Key, error) {
	q, err := slot.ParseParams(s.Provider, s.Params)
	if err != nil {
		return secret.Key{}, err
	}
	if s.Provider == slot.Kit {
		u, err := slot.Join(rec.shares, q.K)
		if err == nil {
			rec.derived[s.ID] = u
		}
		return u, err
	}
	if u, ok := rec.derived[q.Salt]; ok {
		return u, nil
	}
	u, err := slot.FromPassphrase(rec.passphrase, q.Salt, q.Iterations)
	if err == nil {
		rec.derived[q.Salt] = u
	}
	return u, err
}

// fits reports whether the recoverer has the kind of secret that a slot wants.
func (rec *recoverer) fits(s cfks.Slot) bool {
	return s.Provider == slot.Kit && len(rec.shares) > 0 || s.Provider == slot.Passphrase && rec.passphrase != ""
}

// open finds the slot of a root that the secret opens.
func (rec *recoverer) open(f *cfks.File, root Root) (cfks.Slot, secret.Key, [32]byte, error) {
	err := errors.New("it opens no recovery slot of this store")
	for _, s := range f.Slots {
		if s.Root != root || !rec.fits(s) {
			continue
		}
		u, serr := rec.secret(s)
		if serr != nil {
			err = serr
			continue
		}
		key, pin, serr := slot.OpenRoot(u, placeOf(f, s), s.Blob)
		if serr == nil {
			return s, key, pin, nil
		}
	}
	return cfks.Slot{}, secret.Key{}, [32]byte{}, err
}

// ProveRecovery opens both roots with what a person kept, from the key store as it lies
// on disk, and records that it worked. It returns the slots that it proved.
func (r *Ring) ProveRecovery(ctx context.Context, s RecoverySecret) ([]SlotInfo, error) {
	const op = "keys.ProveRecovery"
	rec, err := newRecoverer(s)
	if err != nil {
		return nil, fault.New(op, "", fault.InvalidInput, err)
	}
	defer rec.close()
	var proved []ID
	st := r.cur.Load()
	for _, root := range []Root{SRK, IRK} {
		id, err := st.prove(rec, root)
		if err != nil {
			r.note(ctx, "keys.recovery.prove", root.String(), ID{}, fault.NotAllowed.String())
			return nil, fault.New(op, root.String()+" root", fault.NotAllowed, err)
		}
		proved = append(proved, id)
	}
	err = r.granted(ctx, "keys.recovery.prove", "", ID{}, func() error {
		return r.update(ctx, func(d *draft) error { return d.setProved(proved, st.file) })
	})
	if err != nil {
		return nil, err
	}
	var out []SlotInfo
	for _, info := range r.Slots() {
		if info.ID == proved[0] || info.ID == proved[1] {
			out = append(out, info)
		}
	}
	return out, nil
}

// prove opens a root with a recovery secret and compares it with the one in use.
func (s *state) prove(rec *recoverer, root Root) (ID, error) {
	sl, key, pin, err := rec.open(s.file, root)
	if err != nil {
		return ID{}, err
	}
	defer key.Destroy()
	if pin != pinOf(s.file) {
		return ID{}, errPin
	}
	want := s.srk
	if root == IRK {
		want = s.irk
	}
	same, err := slot.Same(key, want)
	if err == nil && !same {
		err = errors.New("the slot holds another root")
	}
	return sl.ID, err
}

func (d *draft) setProved(slots []ID, f *cfks.File) error {
	for _, id := range slots {
		found := false
		for i := range d.body.Facts {
			if fact := &d.body.Facts[i]; fact.Slot == id {
				fact.Proved, found = d.now, true
			}
		}
		if !found {
			return fault.New("keys.ProveRecovery", id.String(), fault.ResourceNotFound, errors.New("the slot is gone"))
		}
	}
	for _, s := range f.Slots {
		for i := range d.body.Facts {
			if fact := &d.body.Facts[i]; fact.Slot == s.ID && fact.Proved == d.now {
				fact.ProvedRef = f.RootRef(s.Root)
			}
		}
	}
	return nil
}

// Slots lists the ways to open the roots.
func (r *Ring) Slots() []SlotInfo {
	s := r.cur.Load()
	facts := map[ID]cfks.Fact{}
	for _, f := range s.body.Facts {
		facts[f.Slot] = f
	}
	var out []SlotInfo
	for _, sl := range s.file.Slots {
		f := facts[sl.ID]
		out = append(out, SlotInfo{
			ID: sl.ID, Root: sl.Root, Provider: keyprovider.Kind(sl.Provider), Name: f.Name, Proved: timeOf(f.Proved),
			Stale: f.Proved != 0 && f.ProvedRef != s.file.RootRef(sl.Root),
		})
	}
	return out
}

// RecoveryProved reports whether each root has a recovery slot that was proved. A proof
// of an older root counts: the slot was wrapped anew with it.
func (r *Ring) RecoveryProved() bool {
	proved := map[Root]bool{}
	for _, s := range r.Slots() {
		if !s.Provider.Online() && !s.Proved.IsZero() {
			proved[s.Root] = true
		}
	}
	return proved[SRK] && proved[IRK]
}

// RemoveSlot takes a way to open a root away. The last online slot of a root stays.
func (r *Ring) RemoveSlot(ctx context.Context, id ID) error {
	const op = "keys.RemoveSlot"
	return r.granted(ctx, "keys.slot.remove", id.String(), ID{}, func() error {
		return r.update(ctx, func(d *draft) error {
			before := len(d.file.Slots)
			d.dropSlot(id)
			if len(d.file.Slots) == before {
				return fault.New(op, id.String(), fault.ResourceNotFound, nil)
			}
			for _, root := range []Root{SRK, IRK} {
				if !d.hasOnline(root) {
					return fault.New(op, id.String(), fault.NotAllowed, fmt.Errorf("the %v root would have no online slot", root))
				}
			}
			return nil
		})
	})
}

func (d *draft) hasOnline(root Root) bool {
	for _, s := range d.file.Slots {
		if s.Root == root && keyprovider.Kind(s.Provider).Online() {
			return true
		}
	}
	return false
}

// OpenWithKit opens a store whose unseal key is lost, with a kit or a passphrase.
// NewUnsealKeys then makes new ones.
func OpenWithKit(ctx context.Context, o Options, s RecoverySecret) (*Ring, error) {
	rec, err := newRecoverer(s)
	if err != nil {
		return nil, fault.New("keys.OpenWithKit", "", fault.InvalidInput, err)
	}
	defer rec.close()
	r, err := openWith(ctx, o, func(_ context.Context, f *cfks.File, root Root) (secret.Key, [32]byte, error) {
		_, key, pin, err := rec.open(f, root)
		return key, pin, err
	})
	if err == nil {
		r.note(ctx, "keys.recover", "", ID{}, "ok")
	}
	return r, err
}

// NewUnsealKeys makes new unseal secrets for both roots with the providers of the
// options and drops the slots of the old ones. Who may have found the old ones opens
// older copies of the key store still: RotateRoot with NewSecret is for that.
func (r *Ring) NewUnsealKeys(ctx context.Context) error {
	return r.granted(ctx, "keys.unseal.new", "", ID{}, func() error {
		err := r.update(ctx, func(d *draft) error {
			for _, root := range []Root{SRK, IRK} {
				if d.root(root).IsZero() {
					return fault.New("keys.NewUnsealKeys", root.String(), fault.NotAllowed, errNoInfra)
				}
				if err := r.newSecret(ctx, d, root); err != nil {
					return fault.New("keys.NewUnsealKeys", root.String(), fault.KeyStore, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return r.prune(ctx)
	})
}
