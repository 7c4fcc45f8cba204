package vault

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// need is what a call takes: its word in access policies and its actions for roles.
type need struct {
	op     string // name of the call, and of its records
	policy string
	vault  string // data action, after Microsoft.KeyVault/vaults/
	hsm    string // after Microsoft.KeyVault/managedHsm/
	trail  trail
}

// trail says when a call is recorded. Refusals always are.
type trail uint8

const (
	quiet  trail = iota // what is public or a description: refusals only
	noted               // after it happened
	begun               // before it happens: it grants or destroys
	sealed              // before its result is given out: it uses a private key
)

var (
	needGet       = need{"getKey", "get", "keys/read", "keys/read/action", quiet}
	needList      = need{"listKeys", "list", "keys/read", "keys/read/action", quiet}
	needCreate    = need{"createKey", "create", "keys/create/action", "keys/create", begun}
	needImport    = need{"importKey", "import", "keys/import/action", "keys/import/action", begun}
	needUpdate    = need{"updateKey", "update", "keys/update/action", "keys/write/action", begun}
	needDelete    = need{"deleteKey", "delete", "keys/delete", "keys/delete", begun}
	needDeleted   = need{"getDeletedKey", "get", "keys/read", "keys/deletedKeys/read/action", quiet}
	needListGone  = need{"listDeletedKeys", "list", "keys/read", "keys/deletedKeys/read/action", quiet}
	needRecover   = need{"recoverDeletedKey", "recover", "keys/recover/action", "keys/deletedKeys/recover/action", begun}
	needPurge     = need{"purgeDeletedKey", "purge", "keys/purge/action", "keys/deletedKeys/delete", begun}
	needBackup    = need{"backupKey", "backup", "keys/backup/action", "keys/backup/action", sealed}
	needRestore   = need{"restoreKey", "restore", "keys/restore/action", "keys/restore/action", begun}
	needRotate    = need{"rotateKey", "rotate", "keys/rotate/action", "keys/rotate/action", begun}
	needGetPolicy = need{"getKeyRotationPolicy", "getrotationpolicy", "keyrotationpolicies/read", "keys/read/action", quiet}
	needSetPolicy = need{"updateKeyRotationPolicy", "setrotationpolicy", "keyrotationpolicies/write", "keys/write/action", begun}
	needEncrypt   = need{"encrypt", "encrypt", "keys/encrypt/action", "keys/encrypt/action", noted}
	needDecrypt   = need{"decrypt", "decrypt", "keys/decrypt/action", "keys/decrypt/action", sealed}
	needWrap      = need{"wrapKey", "wrapkey", "keys/wrap/action", "keys/wrap/action", noted}
	needUnwrap    = need{"unwrapKey", "unwrapkey", "keys/unwrap/action", "keys/unwrap/action", sealed}
	needSign      = need{"sign", "sign", "keys/sign/action", "keys/sign/action", sealed}
	needVerify    = need{"verify", "verify", "keys/verify/action", "keys/verify/action", noted}
	needRandom    = need{"rng", "", "", "rng/action", quiet}
)

// adminActions are what the administrators that an HSM was made with may do, before any
// role was assigned there: assign roles.
var adminActions = []string{"roleAssignments/", "roleDefinitions/"}

// permit says whether c may do what n needs, on one key or on the vault as a whole.
func (s *Service) permit(ctx context.Context, c Caller, v Vault, key string, n need) error {
	switch {
	case c.operator:
		return nil
	case c.ObjectID == "":
		return fault.New("vault."+n.op, v.Name, fault.VaultPolicyForbids, errors.New("nobody asks"))
	case v.Kind == HSM:
		return s.role(ctx, c, v, key, n.op, "Microsoft.KeyVault/managedHsm/"+n.hsm)
	case v.RBAC:
		return s.role(ctx, c, v, key, n.op, "Microsoft.KeyVault/vaults/"+n.vault)
	}
	for _, p := range v.Policies {
		if strings.EqualFold(p.ObjectID, c.ObjectID) && p.of(c) && p.allows(n.policy) {
			return nil
		}
	}
	return fault.New("vault."+n.op, v.Name, fault.VaultPolicyForbids,
		errors.New("no access policy of the vault gives "+c.ObjectID+" the permission "+n.policy))
}

// of reports whether p is for the program that c came with.
func (p *AccessPolicy) of(c Caller) bool {
	return p.ApplicationID == "" || strings.EqualFold(p.ApplicationID, c.ClientID)
}

func (p *AccessPolicy) allows(word string) bool {
	return word != "" && slices.ContainsFunc(p.Keys, func(have string) bool {
		return strings.EqualFold(have, word) || strings.EqualFold(have, "all") && word != "purge"
	})
}

func (s *Service) role(ctx context.Context, c Caller, v Vault, key, op, action string) error {
	if s.o.Authorizer != nil && s.o.Authorizer.Allowed(ctx, c.ObjectID, action, true, v.Scope(key)) {
		return nil
	}
	return fault.New("vault."+op, v.Name, fault.VaultRoleForbids,
		errors.New("no role at "+v.Scope(key)+" gives "+c.ObjectID+" the action "+action))
}

// MayAssign says whether c may do action, "roleAssignments/write/action" for one, at a
// local scope of a Managed HSM. The vault is returned when he may.
func (s *Service) MayAssign(ctx context.Context, c Caller, name, action string) (Vault, error) {
	v, err := s.Vault(ctx, HSM, name)
	if err != nil {
		return Vault{}, err
	}
	isAdmin := slices.ContainsFunc(v.Admins, func(a string) bool { return strings.EqualFold(a, c.ObjectID) })
	isWord := slices.ContainsFunc(adminActions, func(a string) bool { return strings.HasPrefix(action, a) })
	if c.operator || c.ObjectID != "" && isAdmin && isWord {
		return v, nil
	}
	return v, s.role(ctx, c, v, "", "roles", "Microsoft.KeyVault/managedHsm/"+action)
}

// enter finds the vault and lets the caller in, or not.
func (s *Service) enter(ctx context.Context, c Caller, r Ref, n need) (Vault, error) {
	v, err := s.Vault(ctx, r.Kind, r.Vault)
	if err != nil {
		return Vault{}, err
	}
	return v, s.permit(ctx, c, v, r.Key, n)
}

// do runs a call: it lets the caller in, runs f, and keeps the trail as n says.
func (s *Service) do(ctx context.Context, c Caller, r Ref, n need, f func(v Vault) (keys.ID, error)) error {
	v, err := s.enter(ctx, c, r, n)
	if err == nil && n.trail == begun {
		err = s.before(ctx, c, r, n, keys.ID{}, audit.Begin)
	}
	var id keys.ID
	if err == nil {
		id, err = f(v)
	}
	err = edge("vault."+n.op, r, err)
	if err == nil && n.trail == sealed {
		return s.before(ctx, c, r, n, id, audit.OK)
	}
	if s.o.Audit != nil && (err != nil && refusal(err) || n.trail != quiet) {
		s.o.Audit.After(s.record(ctx, c, r, n, id, outcome(err)))
	}
	return err
}

// refusal reports whether an answer is one that the trail has even for quiet calls.
func refusal(err error) bool {
	k := fault.KindOf(err)
	return k == fault.VaultPolicyForbids || k == fault.VaultRoleForbids
}

func outcome(err error) string {
	if err == nil {
		return audit.OK
	}
	return fault.KindOf(err).String()
}

func (s *Service) record(ctx context.Context, c Caller, r Ref, n need, id keys.ID, outcome string) audit.Record {
	by := audit.By(ctx)
	if c.ObjectID != "" && !c.operator {
		by.Actor = "principal " + c.ObjectID
	}
	return audit.Record{
		Time: s.o.Now().UTC(), Actor: by.Actor, RequestID: by.RequestID,
		Operation: "vault." + n.op, What: r.what(), Kref: id, Outcome: outcome,
	}
}

// before makes a record durable: without it the call does not happen, or gives nothing.
func (s *Service) before(ctx context.Context, c Caller, r Ref, n need, id keys.ID, outcome string) error {
	if s.o.Audit == nil {
		return nil
	}
	if err := s.o.Audit.Before(ctx, s.record(ctx, c, r, n, id, outcome)); err != nil {
		return fault.New("vault."+n.op, r.what(), fault.Unavailable, err)
	}
	return nil
}

// still makes a transaction depend on the vault's being what it was.
func (s *Service) still(tx *object.Tx, v Vault) error {
	now, err := s.readVault(tx, v.Kind, v.Name)
	if err != nil {
		return err
	}
	if now.ID != v.ID || now.Deletion != nil {
		return fault.New("vault.still", v.Name, fault.VaultNotFound, nil)
	}
	return nil
}
