package blob

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// container is the row of a container. All of it is in SYS: policies and metadata of
// containers are under the account's system key.
type container struct {
	id                keys.ID
	etag              uint64
	modified, created time.Time
	public            access.Public
	policies          []Policy
	metadata          Metadata
	scope             *defaultScope // nil: the account's key
	deny              bool          // blobs may not choose another encryption
}

// defaultScope is what a container keeps of its default scope. None of it can change.
type defaultScope struct {
	id     keys.ID
	double bool
	name   string
}

func (d *defaultScope) protector() keys.Protector { return keys.ScopeProtector(d.id) }

func (d *defaultScope) encode() []byte {
	if d == nil {
		return nil
	}
	b := append(d.id[:], 0)
	if d.double {
		b[16] = 1
	}
	return append(b, d.name...)
}

func decodeDefaultScope(b []byte) (*defaultScope, error) {
	if b == nil {
		return nil, nil
	}
	if len(b) < 17+3 || b[16] > 1 {
		return nil, errRow
	}
	return &defaultScope{id: keys.ID(b), double: b[16] == 1, name: string(b[17:])}, nil
}

// defaultScope is the name of the default, which every container has.
func (c *container) defaultScope() string {
	if c.scope == nil {
		return AccountKeyScope
	}
	return c.scope.name
}

func containerKey(owner keys.ID, n string) []byte {
	b := make([]byte, 0, 16+len(n))
	b = append(b, owner[:]...)
	return append(b, n...)
}

// getContainer reads a container, or answers meta.ErrNotFound. It may be shared with
// other requests and must not be changed.
func getContainer(tx *object.Tx, owner keys.ID, n name.Container) (*container, error) {
	return object.Recall(tx, object.Container, owner, containerKey(owner, string(n)), decodeContainer)
}

func decodeContainer(r *object.Row) (*container, error) {
	f := fields{r: r}
	c := &container{
		id:       f.id(tagContainerID),
		etag:     f.u64(tagETag, true),
		modified: f.time(tagModified, true),
		created:  f.time(tagCreated, true),
		public:   access.Public(f.u8(tagPublic)),
		deny:     f.u8(tagDeny) == 1,
	}
	f.asked[tagPolicy] = true
	var err error
	for _, b := range r.All(tagPolicy) {
		p, perr := decodePolicy(b)
		err = errors.Join(err, perr)
		c.policies = append(c.policies, p)
	}
	m, merr := decodeMetadata(f.get(tagMetadata))
	c.metadata = m
	d, derr := decodeDefaultScope(f.get(tagDefault))
	c.scope = d
	if c.public > access.PublicContainer {
		return nil, errRow
	}
	return c, errors.Join(err, merr, derr, f.done())
}

func (c *container) encode(r *object.Row) {
	r.Set(tagContainerID, c.id[:])
	setU64(r, tagETag, c.etag)
	setTime(r, tagModified, c.modified)
	setTime(r, tagCreated, c.created)
	setU8(r, tagPublic, byte(c.public))
	var policies [][]byte
	for _, p := range c.policies {
		policies = append(policies, p.encode())
	}
	r.Set(tagPolicy, policies...)
	setBytes(r, tagMetadata, c.metadata.encode())
	setBytes(r, tagDefault, c.scope.encode())
	if c.deny {
		setU8(r, tagDeny, 1)
	}
}

// encode is u16 length and bytes of id and permission, then start and expiry as u64 ns
// or 0.
func (p Policy) encode() []byte {
	var b []byte
	for _, s := range []string{p.ID, p.Permission} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	for _, t := range []time.Time{p.Start, p.Expiry} {
		var ns uint64
		if !t.IsZero() {
			ns = uint64(t.UnixNano())
		}
		b = binary.BigEndian.AppendUint64(b, ns)
	}
	return b
}

func decodePolicy(b []byte) (p Policy, err error) {
	var ok bool
	if p.ID, b, ok = cutString(b); !ok {
		return Policy{}, errRow
	}
	if p.Permission, b, ok = cutString(b); !ok || len(b) != 16 {
		return Policy{}, errRow
	}
	for i, t := range []*time.Time{&p.Start, &p.Expiry} {
		if ns := binary.BigEndian.Uint64(b[8*i:]); ns != 0 {
			*t = time.Unix(0, int64(ns)).UTC()
		}
	}
	return p, nil
}

func (c *container) state() state { return state{exists: true, etag: c.etag, modified: c.modified} }

func (c *container) properties() ContainerProperties {
	return ContainerProperties{
		ETag:         formatETag(c.etag),
		LastModified: c.modified,
		PublicAccess: publicNames[c.public],
		Metadata:     c.metadata,
		LeaseStatus:  "unlocked",
		LeaseState:   "available",
		DefaultScope: c.defaultScope(),

		DenyScopeOverride: c.deny,
	}
}

func (c *container) written() Written {
	return Written{ETag: formatETag(c.etag), LastModified: c.modified}
}

var publicNames = [...]string{"", "blob", "container"}

// public reads x-ms-blob-public-access and checks that the account allows it.
func (k *call) public(s string) (access.Public, error) {
	for level, n := range publicNames {
		if !strings.EqualFold(n, s) {
			continue
		}
		if access.Public(level) != access.PublicNone && !k.acct.AllowPublic {
			return 0, k.fault(fault.PublicAccessNotPermitted)
		}
		return access.Public(level), nil
	}
	return 0, k.fault(fault.InvalidHeaderValue,
		fault.Detail{Name: "HeaderName", Value: "x-ms-blob-public-access"},
		fault.Detail{Name: "HeaderValue", Value: clip(s)})
}

// CreateContainer makes a container.
func (s *Service) CreateContainer(ctx context.Context, c *access.Caller, a name.Account, n name.Container, o ContainerOptions) (Written, error) {
	k, err := s.begin(ctx, "blob.CreateContainer", c, boxRef(a, n), needMakeBox)
	if err != nil {
		return Written{}, err
	}
	standard, err := k.defaultScope(ctx, o.DefaultScope)
	if err != nil {
		return Written{}, err
	}
	public, err := k.public(o.PublicAccess)
	if err != nil {
		return Written{}, err
	}
	if err := o.Metadata.check(k.op, k.ref.String()); err != nil {
		return Written{}, err
	}
	var w Written
	err = k.update(ctx, func(tx *object.Tx) error {
		if err := s.accounts.Check(tx, k.acct); err != nil {
			return err
		}
		if standard != nil { // a container that nothing can be put into is of no use
			if err := tx.Permit(standard.protector()); err != nil {
				return err
			}
		}
		_, err := getContainer(tx, k.acct.ID, n)
		if err == nil {
			return k.fault(fault.ContainerAlreadyExists)
		}
		if !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		box := &container{id: keys.NewID(), public: public, metadata: o.Metadata, scope: standard, deny: o.DenyScopeOverride}
		box.etag, box.modified = s.stamp.next(0)
		box.created = box.modified
		w = box.written()
		return k.putContainer(tx, box)
	})
	return w, err
}

// defaultScope looks the default scope of a new container up.
func (k *call) defaultScope(ctx context.Context, n string) (*defaultScope, error) {
	if n == "" || n == AccountKeyScope {
		return nil, nil
	}
	found, err := k.s.scopes.Find(ctx, k.acct.ID, n)
	if err != nil {
		return nil, err
	}
	return &defaultScope{id: found.ID, double: found.Double, name: n}, nil
}

func (k *call) putContainer(tx *object.Tx, box *container) error {
	r := &object.Row{Owner: k.acct.ID, Class: k.acct.Class()}
	box.encode(r)
	return tx.Put(object.Container, containerKey(k.acct.ID, string(k.ref.Container)), r)
}

// readContainer authorizes and reads a container for a read of it.
func (s *Service) readContainer(ctx context.Context, op string, c *access.Caller, ref Ref, need access.Need, cond Conditions) (*container, error) {
	k, err := s.begin(ctx, op, c, ref, need)
	if err != nil {
		return nil, err
	}
	if err := cond.form(op, ref.String()); err != nil {
		return nil, err
	}
	var box *container
	err = k.view(ctx, func(tx *object.Tx) (err error) {
		if box, err = k.enter(tx); err != nil {
			return err
		}
		return cond.check(op, ref.String(), reading, box.state(), fault.ContainerNotFound)
	})
	return box, err
}

// GetContainer describes a container, metadata included.
func (s *Service) GetContainer(ctx context.Context, c *access.Caller, a name.Account, n name.Container, cond Conditions) (ContainerProperties, error) {
	box, err := s.readContainer(ctx, "blob.GetContainer", c, boxRef(a, n), needReadBox, cond)
	if err != nil {
		return ContainerProperties{}, err
	}
	return box.properties(), nil
}

// changeContainer lets change alter a container and writes it with a new ETag.
func (k *call) changeContainer(ctx context.Context, cond Conditions, change func(*container)) (Written, error) {
	if err := cond.form(k.op, k.ref.String()); err != nil {
		return Written{}, err
	}
	var w Written
	err := k.update(ctx, func(tx *object.Tx) error {
		box, err := k.enter(tx)
		if err != nil {
			return err
		}
		if err := cond.check(k.op, k.ref.String(), changing, box.state(), fault.ContainerNotFound); err != nil {
			return err
		}
		own := *box
		box = &own
		change(box)
		box.etag, box.modified = k.s.stamp.next(box.etag)
		w = box.written()
		return k.putContainer(tx, box)
	})
	return w, err
}

// SetContainerMetadata replaces the metadata of a container.
func (s *Service) SetContainerMetadata(ctx context.Context, c *access.Caller, a name.Account, n name.Container, m Metadata, cond Conditions) (Written, error) {
	k, err := s.begin(ctx, "blob.SetContainerMetadata", c, boxRef(a, n), needWriteBox)
	if err != nil {
		return Written{}, err
	}
	if err := m.check(k.op, k.ref.String()); err != nil {
		return Written{}, err
	}
	return k.changeContainer(ctx, cond, func(box *container) { box.metadata = m })
}

// DeleteContainer removes a container with all that is in it. Its name may be used
// again at once; the space comes back as Collect goes along.
func (s *Service) DeleteContainer(ctx context.Context, c *access.Caller, a name.Account, n name.Container, cond Conditions) error {
	k, err := s.begin(ctx, "blob.DeleteContainer", c, boxRef(a, n), needDeleteBox)
	if err != nil {
		return err
	}
	if err := cond.form(k.op, k.ref.String()); err != nil {
		return err
	}
	return k.update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
		box, err := k.enter(tx)
		if err != nil {
			return err
		}
		if err := cond.check(k.op, k.ref.String(), changing, box.state(), fault.ContainerNotFound); err != nil {
			return err
		}
		tx.Delete(object.Container, containerKey(k.acct.ID, string(n)))
		return account.Drop(tx, s.store.StoreID(), account.DroppedContainer, k.acct.ID, box.id)
	})
}
