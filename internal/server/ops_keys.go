package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
)

func (s *Server) opKeysList(ctx context.Context, _ Nothing, _ func(Progress)) (KeysReport, error) {
	ring := s.store.Ring
	id, pin := ring.StoreID(), ring.Identity()
	r := KeysReport{Store: hex.EncodeToString(id[:]), Identity: hex.EncodeToString(pin[:])}
	r.Generation, _ = ring.Generation()
	names, err := s.ownerNames(ctx)
	if err != nil {
		return r, err
	}
	for _, c := range ring.Chains() {
		r.Chains = append(r.Chains, chainReport(c, names))
	}
	for _, p := range ring.Protectors() {
		r.Protectors = append(r.Protectors, KeyProtector{
			Name: names[p.Protector.ID], Kind: p.Protector.Kind.String(), ID: p.Protector.ID.String(), State: p.Admin.String(),
			Managed: p.Managed, Chain: p.Chain.String(), Active: p.Active.Number, Double: p.Double,
			Customer: s.customerReport(p.Protector),
		})
	}
	r.Slots = slotReports(ring.Slots())
	return r, nil
}

// ownerNames gives owners the names that people know.
func (s *Server) ownerNames(ctx context.Context) (map[keys.ID]string, error) {
	names := map[keys.ID]string{s.store.Ring.StoreID(): "store"}
	infos, err := s.store.Accounts.List(ctx)
	for _, i := range infos {
		names[i.ID] = string(i.Name)
		scopes, _, err := s.store.Scopes.List(ctx, i.ID, scope.ListOptions{})
		if err != nil {
			return names, err
		}
		for _, sc := range scopes {
			names[sc.ID] = string(i.Name) + "/" + string(sc.Name)
		}
	}
	return names, errors.Join(err, s.vaultNames(ctx, names))
}

func chainReport(c keys.ChainInfo, names map[keys.ID]string) KeyChain {
	out := KeyChain{ID: c.ID.String(), Kind: c.Kind.String(), Owner: c.Owner.String(), For: names[c.Owner]}
	if c.Protector.Kind == keys.ProtectScope {
		out.For = names[c.Protector.ID]
	}
	if c.Protector.Kind == keys.ProtectVault {
		out.For = nameOfVault(names, c.Protector.ID)
	}
	switch {
	case out.For != "":
	case c.Protector.Kind == keys.ProtectScope && names[c.Owner] != "":
		out.For = "(scope without a name) " + names[c.Owner] + "/" + c.Protector.ID.String()
	default:
		out.For = "(deleted account) " + c.Owner.String()
	}
	if c.Cryptoperiod > 0 {
		out.Cryptoperiod = c.Cryptoperiod.String()
	}
	for _, v := range c.Versions {
		out.Versions = append(out.Versions, KeyVersion{
			Number: v.Number, Ref: v.Kref.String(), State: v.State.String(), Created: v.Created,
			Deactivated: optional(v.Deactivated), Unreferenced: optional(v.Unreferenced), Destroyed: optional(v.Destroyed),
		})
		if v.State == keys.Active && c.Cryptoperiod > 0 {
			out.Due = optional(v.Activated.Add(c.Cryptoperiod))
		}
	}
	return out
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func slotReports(slots []keys.SlotInfo) []KeySlot {
	out := []KeySlot{}
	for _, s := range slots {
		out = append(out, KeySlot{
			ID: s.ID.String(), Root: s.Root.String(), Provider: s.Provider.String(), Name: s.Name,
			Proved: optional(s.Proved), Stale: s.Stale,
		})
	}
	return out
}

// rotations are the keys that keys rotate knows by name.
var rotations = map[string]struct {
	kind keys.Kind
	root keys.Root
	of   bool // takes an account
}{
	"scope":      {kind: keys.KEK, of: true},
	"account":    {kind: keys.KEK, of: true},
	"system":     {kind: keys.SYSK, of: true},
	"vault":      {kind: keys.KEK, of: true},
	"hsm":        {kind: keys.KEK, of: true},
	"store":      {kind: keys.KEK},
	"vfs":        {kind: keys.VFSK},
	"infra":      {kind: keys.IDK},
	"root":       {root: keys.SRK},
	"infra-root": {root: keys.IRK},
}

func (s *Server) opKeysRotate(ctx context.Context, a RotateArgs, progress func(Progress)) (RotateReport, error) {
	const op = "server.keysRotate"
	how, ok := rotations[a.What]
	if !ok {
		return RotateReport{}, withHint(fault.New(op, a.What, fault.InvalidInput, nil),
			"rotate account NAME, scope ACCOUNT/NAME, system NAME, vault NAME, hsm NAME, store, vfs, infra, root or infra-root")
	}
	r := RotateReport{What: a.What}
	if a.NewUnsealKey && how.root == 0 {
		return RotateReport{}, fault.New(op, a.What, fault.InvalidInput, errors.New("only a root has an unseal key"))
	}
	if how.root != 0 {
		var opts []keys.RootOption
		if a.NewUnsealKey {
			opts = append(opts, keys.NewSecret())
		}
		if err := s.store.Ring.RotateRoot(ctx, how.root, opts...); err != nil {
			return r, err
		}
		r.Generation, _ = s.store.Ring.Generation()
		return r, nil
	}
	chain, err := s.rotated(ctx, a, how.kind, how.of)
	if err != nil {
		return r, err
	}
	if how.of {
		r.What = a.What + " " + a.Account
	}
	v, err := s.store.Ring.Rotate(ctx, chain.ID)
	if err != nil {
		return r, err
	}
	r.Generation, _ = s.store.Ring.Generation()
	r.Key = KeyName{Chain: chain.ID.String(), Version: v.Number, Ref: v.Kref.String(), State: v.State.String()}
	if how.kind != keys.KEK {
		return r, nil
	}
	if err := s.store.Objects.Mirror(ctx); err != nil {
		return r, err
	}
	// Without a server nobody would do the sweep later.
	if !a.Wait && !s.cfg.offline {
		s.sweepSoon(v.Protector)
		r.Pending = true
		return r, nil
	}
	did, err := s.store.Objects.Sweep(ctx, v.Protector, object.SweepOptions{Progress: func(d object.Swept) {
		progress(Progress{Stage: "wrap data keys anew", Done: d.Rewrapped, Unit: "keys"})
	}})
	r.Rewraps = did.Rewrapped
	if fault.Is(err, fault.Busy) { // the janitor is at it
		r.Pending, err = true, nil
	}
	return r, err
}

// rotated finds the key to rotate.
func (s *Server) rotated(ctx context.Context, a RotateArgs, kind keys.Kind, of bool) (keys.ChainInfo, error) {
	if !of {
		return s.chainOf(kind, keys.ID(s.store.Ring.StoreID()))
	}
	switch a.What {
	case "scope":
		p, _, err := s.protectorOf(ctx, a.What, a.Account)
		if err != nil {
			return keys.ChainInfo{}, err
		}
		return s.chainFor(p)
	case "vault", "hsm":
		named := VaultArgs{Name: a.Account, HSM: a.What == "hsm"}
		v, err := s.store.Vaults.Vault(ctx, vaultKind(named.HSM), a.Account)
		if err != nil {
			return keys.ChainInfo{}, vaultHint(err, named)
		}
		return s.chainFor(v.Protector())
	}
	info, err := s.accountOf(ctx, a.Account)
	if err != nil {
		return keys.ChainInfo{}, err
	}
	return s.chainOf(kind, info.ID)
}

// chainFor is the chain of a protector.
func (s *Server) chainFor(p keys.Protector) (keys.ChainInfo, error) {
	for _, c := range s.store.Ring.Chains() {
		if c.Kind == keys.KEK && c.Protector == p {
			return c, nil
		}
	}
	return keys.ChainInfo{}, fault.New("server.keysRotate", p.String(), fault.ResourceNotFound, errors.New("there is no such key"))
}

// protectorOf finds the protector that a person names: account NAME or scope
// ACCOUNT/NAME, or the id where nothing has a name any more; full is that name.
func (s *Server) protectorOf(ctx context.Context, kind, n string) (p keys.Protector, full string, err error) {
	const op = "server.protectorOf"
	switch kind {
	case "account":
		if p, ok := s.unnamed(ctx, keys.AccountProtector, n); ok {
			return p, n, nil
		}
		info, err := s.accountOf(ctx, n)
		return keys.AccountProtector(info.ID), n, err
	case "scope":
		acct, sc, ok := strings.Cut(n, "/")
		if !ok {
			return p, n, withHint(fault.New(op, n, fault.InvalidInput, nil), "name the scope as ACCOUNT/SCOPE")
		}
		info, err := s.accountOf(ctx, acct)
		if err != nil {
			return p, n, err
		}
		found, err := s.store.Scopes.Find(ctx, info.ID, sc)
		if fault.Is(err, fault.ScopeNotFound) {
			if p, ok := s.unnamed(ctx, keys.ScopeProtector, sc); ok {
				return p, n, nil
			}
		}
		return found.Protector(), n, scopeHint(err, acct)
	}
	return p, n, withHint(fault.New(op, kind, fault.InvalidInput, nil), "it is account NAME or scope ACCOUNT/NAME")
}

func (s *Server) chainOf(kind keys.Kind, owner keys.ID) (keys.ChainInfo, error) {
	for _, c := range s.store.Ring.Chains() {
		if c.Kind == kind && c.Owner == owner && (kind != keys.KEK || c.Protector.Kind == keys.ProtectAccount || c.Protector.Kind == keys.ProtectStore) {
			return c, nil
		}
	}
	return keys.ChainInfo{}, fault.New("server.keysRotate", owner.String(), fault.ResourceNotFound,
		fmt.Errorf("there is no %s of this owner", kind))
}

// sweepSoon wraps data keys anew in the background, until the server stops.
func (s *Server) sweepSoon(p keys.Protector) {
	s.work.Go(func() {
		_, err := s.store.Objects.Sweep(s.workCtx, p, object.SweepOptions{})
		if err != nil && !errors.Is(err, context.Canceled) && !fault.Is(err, fault.Busy) {
			s.log.Warn("the re-wrap sweep goes on later", "err", err)
		}
	})
}

func (s *Server) opKeysDrill(ctx context.Context, _ Nothing, progress func(Progress)) (DrillReport, error) {
	names, err := s.ownerNames(ctx)
	if err != nil {
		return DrillReport{}, err
	}
	r := DrillReport{At: s.now().UTC()}
	total := int64(len(s.store.Ring.Protectors()))
	check := func(ctx context.Context, ring *keys.Ring, p keys.Protector) error {
		opened, err := s.store.Objects.DrillKey(ctx, ring, p)
		if opened {
			r.Opened++
		}
		progress(Progress{Stage: "drill", Done: int64(len(r.Protectors)), Total: total, Unit: "protectors"})
		return err
	}
	did, err := keys.Drill(ctx, s.store.Ring.Snapshot(), keys.Options{
		Service: s.keys.service, Infra: s.keys.infra, Now: s.now, Dev: s.store.Ring.Dev(),
		Vault: s.store.Ring.Vault(), Customer: s.cfg.customerOptions(),
	}, check)
	if err != nil {
		return r, err
	}
	for _, root := range did.Roots {
		r.Roots = append(r.Roots, root.String())
	}
	for _, p := range did.Results {
		label := p.Protector.Kind.String() + " " + names[p.Protector.ID]
		switch {
		case p.Err != nil:
			r.Failed = append(r.Failed, Finding{label, p.Err.Error()})
		case p.Skipped != "":
			r.Protectors = append(r.Protectors, label+" (not tried: "+p.Skipped+")")
		default:
			r.Protectors = append(r.Protectors, label)
		}
	}
	for _, e := range did.Errs {
		r.Failed = append(r.Failed, Finding{"key store", e.Error()})
	}
	if len(r.Failed) == 0 {
		err = s.noteDrill()
	}
	return r, err
}

func (s *Server) opRecoveryCreate(ctx context.Context, a RecoveryArgs, _ func(Progress)) (RecoveryReport, error) {
	kit, err := s.store.Ring.AddRecovery(ctx, keys.RecoveryOptions{
		Name: a.Name, Passphrase: a.Passphrase, Threshold: a.Threshold, Shares: a.Shares,
	})
	if err != nil {
		return RecoveryReport{}, err
	}
	r := RecoveryReport{Store: kit.Store.String(), Pin: hex.EncodeToString(kit.Pin[:]), Shares: kit.Shares}
	for _, slot := range slotReports(s.store.Ring.Slots()) {
		for _, id := range kit.Slots {
			if slot.ID == id.String() {
				r.Slots = append(r.Slots, slot)
			}
		}
	}
	return r, nil
}

func (s *Server) opRecoveryProve(ctx context.Context, a RecoveryArgs, _ func(Progress)) (RecoveryReport, error) {
	slots, err := s.store.Ring.ProveRecovery(ctx, keys.RecoverySecret{Shares: a.Given, Passphrase: a.Passphrase})
	if err != nil {
		return RecoveryReport{}, withHint(err, "check the shares for typing errors and that they belong to this store; coffer recovery create makes another kit")
	}
	id := keys.ID(s.store.Ring.StoreID())
	return RecoveryReport{Store: id.String(), Slots: slotReports(slots)}, nil
}
