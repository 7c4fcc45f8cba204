package resource

import (
	"context"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
)

// Wish is what a request says of an account. What is nil was not said: the default when
// the account is created, as it is when it is changed.
type Wish struct {
	Location   *string
	Kind       *string
	SKU        *string
	AccessTier *string
	Tags       map[string]string

	AllowPublic *bool
	Identity    *IdentityWish
	Encryption  *EncryptionWish

	RequireCustomerKey *bool
	RequireDouble      *bool
	ForbidCPK          *bool

	Keys [2][]byte // of a new account; nil: random
}

// IdentityWish says which managed identities an account has.
type IdentityWish struct {
	System bool
	User   []string // resource ids; one at most
	Typed  bool     // the type says UserAssigned, listed or not
}

// EncryptionWish says what an account is encrypted with.
type EncryptionWish struct {
	Source            *Source
	Vault             *VaultWish
	KeyIdentity       *string // resource id of the identity that asks the vault; "" the system's
	FederatedClientID *string
	Double            *bool   // infrastructure encryption
	QueueKey          *string // keyType: Service or Account
	TableKey          *string
}

// Source is who manages the key.
type Source uint8

// Sources.
const (
	ServiceManaged Source = 1 + iota
	CustomerManaged
)

// VaultWish names a key of a vault, in the parts in which accounts name it.
type VaultWish struct {
	URI     *string
	Key     *string
	Version *string // "": new versions are taken by themselves
}

// Create makes an account in a group, or changes the one of that name that is there; it
// reports whether it is new.
func (s *Service) Create(ctx context.Context, subscription, group, n string, w Wish) (account.Info, bool, error) {
	parsed, err := name.ParseAccount(n)
	if err != nil {
		return account.Info{}, false, err
	}
	if _, err := s.Group(ctx, subscription, group); err != nil {
		return account.Info{}, false, err
	}
	defer s.changing.Lock(parsed)()
	info, err := s.o.Accounts.Get(ctx, parsed)
	if err == nil {
		if !info.Resource.Free() && !info.Resource.Within(subscription, group) {
			return account.Info{}, false, refuse(NameTaken, n, "the storage account named %s is already taken", n)
		}
		info, err = s.change(ctx, info, w)
		return info, false, err
	}
	if !fault.Is(err, fault.AccountNotFound) {
		return account.Info{}, false, err
	}
	res := account.Resource{Subscription: subscription, Group: group}
	if isDefault(subscription, group) {
		res.Subscription, res.Group = "", ""
	}
	info, err = s.create(ctx, parsed, res, w)
	return info, err == nil, err
}

func or(p *string, otherwise string) string {
	if p == nil || *p == "" {
		return otherwise
	}
	return *p
}

func isTrue(p *bool) bool { return p != nil && *p }

// create makes a new account.
func (s *Service) create(ctx context.Context, n name.Account, res account.Resource, w Wish) (account.Info, error) {
	k, err := findKind(or(w.Kind, account.DefaultKind))
	if err != nil {
		return account.Info{}, err
	}
	res.Kind, res.Location, res.Tags = k.name, or(w.Location, account.DefaultLocation), w.Tags
	if res.SKU, err = k.sku(or(w.SKU, k.skus[0])); err != nil {
		return account.Info{}, err
	}
	if res.AccessTier, err = k.accessTier(or(w.AccessTier, "")); err != nil {
		return account.Info{}, err
	}
	if w.Identity != nil {
		if err := s.takeIdentity(ctx, &res, w.Identity); err != nil {
			return account.Info{}, err
		}
	}
	p := account.Spec{
		Name: n, Keys: w.Keys, ForbidPublic: w.AllowPublic != nil && !*w.AllowPublic, ForbidCPK: isTrue(w.ForbidCPK),
	}
	if err := s.encryptNew(k, &res, &p, w.Encryption); err != nil {
		return account.Info{}, err
	}
	if err := policies(&res, w, p.CustomerKey != nil, p.Double); err != nil {
		return account.Info{}, err
	}
	p.Resource = res
	if err := s.vacate(ctx, account.Info{Name: n, Resource: res}); err != nil {
		return account.Info{}, err
	}
	info, err := s.o.Accounts.CreateAs(ctx, p)
	if err == nil && res.SystemIdentity {
		_, err = s.o.Identities.CreateIdentity(ctx, identity.SystemAssigned, info.ResourceID(), string(n))
	}
	return info, err
}

// encryptNew reads what a new account is to be encrypted with.
func (s *Service) encryptNew(k kind, res *account.Resource, p *account.Spec, e *EncryptionWish) error {
	if e == nil {
		return nil
	}
	p.Double = isTrue(e.Double)
	if p.Double && !k.double {
		return refuse(NotForKind, "requireInfrastructureEncryption", "Infrastructure encryption is not supported for the account.")
	}
	for _, t := range []struct {
		what string
		wish *string
		at   *bool
	}{{"queue", e.QueueKey, &res.QueueAccountKey}, {"table", e.TableKey, &res.TableAccountKey}} {
		on, err := keyType(t.what, or(t.wish, "Service"))
		if err != nil {
			return err
		}
		if on && !k.keyType {
			return refuse(NotForKind, "services."+t.what+".keyType", "Account is for accounts of kind StorageV2 only")
		}
		*t.at = on
	}
	if err := setKeyIdentity(res, e); err != nil {
		return err
	}
	ref, follow, err := keyOf(*res, keys.CustomerKeyInfo{}, e)
	if err != nil || ref == nil {
		return err
	}
	if res.KeyIdentity == "" {
		return refuse(CreateNeedsUser, "encryption.identity", "a system-assigned identity does not exist before the account: name a user-assigned one")
	}
	p.CustomerKey, p.FollowVersion = ref, follow
	return nil
}

func keyType(what, s string) (account bool, err error) {
	switch {
	case strings.EqualFold(s, "Account"):
		return true, nil
	case strings.EqualFold(s, "Service"):
		return false, nil
	}
	return false, refuse(BadValue, "services."+what+".keyType", "it is Service or Account")
}

// Change changes an account. What the caller read of it may be old: what nobody said
// stays as it is now.
func (s *Service) Change(ctx context.Context, i account.Info, w Wish) (account.Info, error) {
	defer s.changing.Lock(i.Name)()
	now, err := s.o.Accounts.Get(ctx, i.Name)
	if fault.Is(err, fault.AccountNotFound) || err == nil && now.ID != i.ID {
		return i, refuse(NoAccount, string(i.Name), "the account was deleted meanwhile")
	}
	if err != nil {
		return i, err
	}
	return s.change(ctx, now, w)
}

func (s *Service) change(ctx context.Context, i account.Info, w Wish) (account.Info, error) {
	res := i.Stated()
	if err := fixed(i, res, w); err != nil {
		return i, err
	}
	res = i.Resource
	if err := s.settings(&res, i.Stated(), w); err != nil {
		return i, err
	}
	if w.Identity != nil {
		if err := s.takeIdentity(ctx, &res, w.Identity); err != nil {
			return i, err
		}
	}
	if w.Encryption != nil {
		if err := setKeyIdentity(&res, w.Encryption); err != nil {
			return i, err
		}
	}
	_, customer := s.Key(i)
	if e := w.Encryption; e != nil && e.Source != nil {
		customer = *e.Source == CustomerManaged
	}
	if err := policies(&res, w, customer, i.Double); err != nil {
		return i, err
	}
	if err := s.policyFits(ctx, i, w); err != nil {
		return i, err
	}
	// The identity has to be there before the key is asked for; it goes last.
	if res.SystemIdentity && s.o.Identities != nil {
		if _, err := s.o.Identities.CreateIdentity(ctx, identity.SystemAssigned, i.ResourceID(), string(i.Name)); err != nil {
			return i, err
		}
	}
	if w.Encryption != nil {
		if err := s.encrypt(ctx, i, res, w.Encryption); err != nil {
			return i, err
		}
	}
	out, err := s.o.Accounts.Update(ctx, i.Name, func(now *account.Info) error {
		now.Resource = res
		if w.AllowPublic != nil {
			now.AllowPublic = *w.AllowPublic
		}
		if w.ForbidCPK != nil {
			now.ForbidCustomerKeys = *w.ForbidCPK
		}
		return nil
	})
	if err == nil && i.Resource.SystemIdentity && !res.SystemIdentity {
		err = s.dropIdentity(ctx, i)
	}
	return out, err
}

// fixed refuses to change what is chosen when an account is created.
func fixed(i account.Info, now account.Resource, w Wish) error {
	same := func(a *string, b string) bool { return a == nil || *a == "" || strings.EqualFold(*a, b) }
	readOnly := func(property string) error {
		return refuse(ReadOnly, property, "The property '%s' was specified in the input, but it cannot be updated as it is read-only.", property)
	}
	upgrade := w.Kind != nil && strings.EqualFold(*w.Kind, "StorageV2") && now.Kind != "BlockBlobStorage"
	switch {
	case !same(w.Location, now.Location):
		return readOnly("location")
	case !same(w.Kind, now.Kind) && !upgrade:
		return readOnly("kind")
	case w.Encryption == nil:
		return nil
	case w.Encryption.Double != nil && *w.Encryption.Double != i.Double:
		return readOnly("requireInfrastructureEncryption")
	}
	for _, t := range []struct {
		what string
		wish *string
		is   bool
	}{{"queue", w.Encryption.QueueKey, now.QueueAccountKey}, {"table", w.Encryption.TableKey, now.TableAccountKey}} {
		if t.wish == nil {
			continue
		}
		if on, err := keyType(t.what, *t.wish); err != nil {
			return err
		} else if on != t.is {
			return readOnly("encryption.services." + t.what + ".keyType")
		}
	}
	return nil
}

// settings takes over what may always change.
func (s *Service) settings(res *account.Resource, now account.Resource, w Wish) error {
	k, err := findKind(or(w.Kind, now.Kind))
	if err != nil {
		return err
	}
	if w.Kind != nil && *w.Kind != "" {
		res.Kind = k.name
	}
	if w.SKU != nil && *w.SKU != "" {
		if res.SKU, err = k.sku(*w.SKU); err != nil {
			return err
		}
		if strings.HasPrefix(res.SKU, "Premium") != strings.HasPrefix(now.SKU, "Premium") {
			return refuse(ReadOnly, "sku.name", "an account does not change between Standard and Premium")
		}
	}
	if w.AccessTier != nil {
		if res.AccessTier, err = k.accessTier(*w.AccessTier); err != nil {
			return err
		}
	}
	if w.Tags != nil {
		res.Tags = w.Tags
	}
	return nil
}

// policies takes over the policies and refuses what goes against them.
func policies(res *account.Resource, w Wish, customer, double bool) error {
	if w.RequireCustomerKey != nil {
		res.RequireCustomerKey = *w.RequireCustomerKey
	}
	if w.RequireDouble != nil {
		res.RequireDouble = *w.RequireDouble
	}
	switch {
	case res.RequireCustomerKey && !customer:
		return refuse(NeedsCustomerKey, "encryption.keySource", "the account requires a customer-managed key")
	case res.RequireDouble && !double:
		return refuse(NeedsDouble, "requireInfrastructureEncryption",
			"the account is to require infrastructure encryption and was made without it, which is for its life: make a new account")
	}
	return nil
}

// Delete removes an account and its own identity. Unless forced it must have no
// containers.
func (s *Service) Delete(ctx context.Context, i account.Info, force bool) error {
	defer s.changing.Lock(i.Name)()
	if err := s.o.Accounts.Delete(ctx, i.Name, force); err != nil {
		return err
	}
	return s.vacate(ctx, i)
}

// vacate sees to it that roles and the identity of an account that was there count for
// nobody who comes after it.
func (s *Service) vacate(ctx context.Context, i account.Info) error {
	if s.o.Identities == nil {
		return nil
	}
	return s.o.Identities.Forget(ctx, i.ResourceID())
}

func (s *Service) dropIdentity(ctx context.Context, i account.Info) error {
	err := s.o.Identities.DeleteIdentity(ctx, i.ResourceID())
	if fault.Is(err, fault.PrincipalNotFound) {
		return nil
	}
	return err
}

// takeIdentity gives an account the managed identities of a wish.
func (s *Service) takeIdentity(ctx context.Context, res *account.Resource, w *IdentityWish) error {
	const what = "identity"
	if s.o.Identities == nil {
		return refuse(NotServed, what, "this server keeps no identities")
	}
	switch {
	case len(w.User) > 1:
		return refuse(BadValue, what, "an account has at most one user-assigned identity")
	case w.Typed && len(w.User) == 0 && res.Identity == "":
		return refuse(NoUserIdentity, what, "the type says user-assigned, and no identity is listed")
	}
	res.SystemIdentity = w.System
	switch {
	case len(w.User) == 1:
		id := strings.TrimRight(w.User[0], "/")
		p, err := s.o.Identities.Identity(ctx, id)
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil || p.Kind != identity.UserAssigned {
			return refuse(IdentityGone, id, "the user-assigned identity does not exist")
		}
		res.Identity = p.ResourceID
	case !w.Typed:
		res.Identity = ""
	}
	return nil
}
