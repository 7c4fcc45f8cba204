package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

func (s *Server) opKeysUses(ctx context.Context, a UsesArgs, progress func(Progress)) (UsesReport, error) {
	p, full, err := s.protectorOf(ctx, a.What, a.Name)
	if err != nil {
		return UsesReport{}, err
	}
	return s.uses(ctx, p, a.What+" "+full, a.Limit, func(p keys.Protector, e object.DEKEntry) bool { return e.Protector == p }, progress)
}

// uses finds out, in one snapshot, what a protector's keys protect.
func (s *Server) uses(ctx context.Context, p keys.Protector, what string, limit int,
	match func(keys.Protector, object.DEKEntry) bool, progress func(Progress)) (UsesReport, error) {
	info, ok := s.store.Ring.Protector(p)
	if !ok {
		return UsesReport{}, fault.New("server.keysUses", what, fault.ResourceNotFound, errors.New("no such key"))
	}
	r := UsesReport{What: what, State: info.Admin.String(), Double: s.double(info.Owner, p), Names: []string{}, Counts: []KeyUse{}}
	acct, err := s.accountByID(ctx, info.Owner)
	if fault.Is(err, fault.AccountNotFound) {
		return s.usesOfDeleted(ctx, info, what)
	}
	if err != nil {
		return r, err
	}
	counts := map[keys.ID]int64{}
	err = s.store.Blobs.Uses(ctx, acct, func(e object.DEKEntry) bool { return match(p, e) }, func(u blob.Used) error {
		n := string(acct.Name) + "/" + u.Name
		if u.Staged {
			r.Staged++
			n += " (staged blocks)"
		} else {
			r.Contents++
			r.Bytes += u.Length
		}
		for _, e := range u.Wraps {
			counts[e.Kref()]++
		}
		if limit > 0 && len(r.Names) >= limit {
			r.More++
		} else {
			r.Names = append(r.Names, n)
		}
		if done := r.Contents + r.Staged; done%1000 == 0 {
			progress(Progress{Stage: "look", Done: done, Unit: "contents"})
		}
		return nil
	})
	if err != nil {
		return r, withHint(fault.New("server.keysUses", what, fault.Corrupt, fmt.Errorf("the list would not be complete: %w", err)),
			"coffer verify shows what does not open")
	}
	r.Keys = s.versionsOf(info.Chain)
	for _, v := range r.Keys {
		id, _ := keys.ParseID(v.Ref)
		r.Counts = append(r.Counts, KeyUse{KeyName: KeyName{Chain: info.Chain.String(), Version: v.Number, Ref: v.Ref, State: v.State},
			Kind: "KEK", Owner: string(acct.Name), Uses: counts[id]})
	}
	return r, nil
}

func (s *Server) accountByID(ctx context.Context, id keys.ID) (account.Info, error) {
	list, err := s.store.Accounts.List(ctx)
	if err != nil {
		return account.Info{}, err
	}
	for _, a := range list {
		if a.ID == id {
			return a, nil
		}
	}
	return account.Info{}, fault.New("server.keysUses", id.String(), fault.AccountNotFound, nil)
}

func (s *Server) versionsOf(chain keys.ID) []KeyVersion {
	for _, c := range s.store.Ring.Chains() {
		if c.ID == chain {
			return chainReport(c, nil).Versions
		}
	}
	return nil
}

// opKeysLosses lists what the destruction of a protector's keys would cost.
func (s *Server) opKeysLosses(ctx context.Context, a UsesArgs, progress func(Progress)) (UsesReport, error) {
	p, full, err := s.protectorOf(ctx, a.What, a.Name)
	if err != nil {
		return UsesReport{}, err
	}
	return s.destroyed(ctx, p, a.What, full, a.Limit, progress)
}

// opKeysDestroy destroys all keys of a scope or an account. Who asks has seen the list
// of what they protect and typed the name; a list that is not complete, or not what he
// saw, refuses.
func (s *Server) opKeysDestroy(ctx context.Context, a DestroyArgs, progress func(Progress)) (DestroyReport, error) {
	const op = "server.keysDestroy"
	p, full, err := s.protectorOf(ctx, a.What, a.Name)
	if err != nil {
		return DestroyReport{}, err
	}
	r := DestroyReport{What: a.What + " " + full, By: operator}
	if a.Confirm != full {
		return r, withHint(fault.New(op, r.What, fault.NotAllowed, errors.New("the name that was typed is another one")),
			"type "+full+" to destroy its keys, or leave it")
	}
	if s.store.Objects.Shredded(p) {
		return r, withHint(fault.New(op, r.What, fault.NotAllowed, errors.New("its keys are destroyed already")), "coffer keys list shows when and by whom")
	}
	got, err := s.destroyed(ctx, p, a.What, full, 1, progress)
	if err != nil {
		return r, err
	}
	if got.Contents != a.Contents || got.Staged != a.Staged {
		return r, withHint(fault.New(op, r.What, fault.NotAllowed, fmt.Errorf(
			"it protects %d contents and %d staged blobs now, and the list said %d and %d", got.Contents, got.Staged, a.Contents, a.Staged)),
			"look at the list again")
	}
	info, _ := s.store.Ring.Protector(p)
	if a.What == "scope" {
		err = s.shredScope(ctx, p)
	} else {
		err = s.shredAccount(ctx, info.Owner)
	}
	if err != nil {
		return r, err
	}
	r.Contents, r.At, r.Keys = got.Contents, s.now().UTC(), s.versionsOf(info.Chain)
	r.Generation, _ = s.store.Ring.Generation()
	r.Remains = s.remains(a.What)
	return r, nil
}

// destroyed is what is lost with a protector: with an account all that it holds.
func (s *Server) destroyed(ctx context.Context, p keys.Protector, what, full string, limit int, progress func(Progress)) (UsesReport, error) {
	match := func(p keys.Protector, e object.DEKEntry) bool { return e.Protector == p }
	if what == "account" {
		match = func(keys.Protector, object.DEKEntry) bool { return true }
	}
	return s.uses(ctx, p, what+" "+full, limit, match, progress)
}

func (s *Server) shredScope(ctx context.Context, p keys.Protector) error {
	if err := s.store.Ring.ShredProtector(ctx, p, operator); err != nil {
		return err
	}
	s.store.Objects.DropKeys(p)
	return s.store.Objects.MirrorProtector(ctx, p)
}

func (s *Server) shredAccount(ctx context.Context, owner keys.ID) error {
	acct, err := s.accountByID(ctx, owner)
	deleted := fault.Is(err, fault.AccountNotFound)
	if err != nil && !deleted {
		return err
	}
	if err := s.store.Ring.Shred(ctx, owner, operator); err != nil {
		return err
	}
	for _, p := range s.store.Ring.Protectors() {
		if p.Owner == owner {
			s.store.Objects.DropKeys(p.Protector)
		}
	}
	if err := s.store.Objects.Mirror(ctx); err != nil || deleted {
		return err
	}
	return s.store.Blobs.ForgetAccount(ctx, acct)
}

// remains says what the destruction of keys does not reach.
func (s *Server) remains(what string) []string {
	days := int(s.store.Ring.Retention().Hours() / 24)
	out := []string{
		fmt.Sprintf("backups and copies of the key store made until now still hold the keys; with a declared retention of %d days they open until those are gone", days),
		"old blocks of the disk may still hold the key store as it was, which opens with the key file of today: replace that with coffer keys rotate root --new-unseal-key, or wipe the disk before it leaves your hands",
	}
	if what == "scope" {
		out = append(out, "names, sizes, times and checksums of the blobs stay readable until the blobs are deleted")
	}
	return out
}
