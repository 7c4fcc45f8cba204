package server

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// opKeysTree draws the hierarchy: roots, the store's own keys, accounts, their scopes,
// and under each the versions with how many contents they protect.
func (s *Server) opKeysTree(ctx context.Context, _ Nothing, progress func(Progress)) (*KeyTree, error) {
	names, err := s.ownerNames(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := s.store.Accounts.List(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := s.countKeys(ctx, accounts, progress)
	if err != nil {
		return nil, err
	}
	store := keys.ID(s.store.Ring.StoreID())
	t := &KeyTree{Name: "store " + store.String()}
	service := &KeyTree{Name: "service root", State: s.rootState(keys.SRK)}
	infra := &KeyTree{Name: "infrastructure root", State: s.rootState(keys.IRK)}
	t.Children = []*KeyTree{service, infra}
	owners := map[keys.ID]*KeyTree{}
	for _, a := range accounts {
		owners[a.ID] = &KeyTree{Name: "account " + string(a.Name), Double: s.double(a.ID, a.Protector)}
		if c := s.customerReport(a.Protector); c != nil {
			owners[a.ID].State = c.line()
		}
	}
	var scopes []*KeyTree
	parents := map[*KeyTree]*KeyTree{}
	for _, c := range s.store.Ring.Chains() {
		n := &KeyTree{Name: c.Kind.String()}
		for _, v := range c.Versions {
			n.Children = append(n.Children, &KeyTree{Name: fmt.Sprintf("version %d", v.Number), State: stateOf(v), Contents: counts[v.Kref]})
			n.Contents += counts[v.Kref]
		}
		owner := owners[c.Owner]
		switch {
		case c.Kind == keys.IDK:
			n.Contents = counts[secondLayer]
			infra.Contents = n.Contents
			infra.Children = append(infra.Children, n)
		case c.Owner == store:
			if c.Protector.Kind == keys.ProtectVault {
				n.Name = "KEK of " + nameOfVault(names, c.Protector.ID)
			}
			service.Children = append(service.Children, n)
		case c.Protector.Kind == keys.ProtectScope:
			n.Name = "scope " + lastPart(names[c.Protector.ID])
			if names[c.Protector.ID] == "" { // a creation that was cut off left it
				n.Name = "scope without a name " + c.Protector.ID.String()
			}
			if p, ok := s.store.Ring.Protector(c.Protector); ok {
				n.State, n.Double = s.protectorState(p), s.double(c.Owner, c.Protector)
			}
			if owner == nil {
				n.Name = "(deleted account) " + n.Name
				owner = service
			}
			parents[n] = owner
			scopes = append(scopes, n)
		case owner == nil:
			n.Name = "(deleted account) " + n.Name
			service.Children = append(service.Children, n)
		default:
			owner.Children = append(owner.Children, n)
			owner.Contents += n.Contents
		}
	}
	slices.SortFunc(scopes, func(a, b *KeyTree) int { return strings.Compare(a.Name, b.Name) })
	for _, n := range scopes {
		parents[n].Children = append(parents[n].Children, n)
		parents[n].Contents += n.Contents
	}
	for _, a := range accounts {
		n := owners[a.ID]
		if c := counts[a.ID]; c > 0 { // counted under the account's id, as they have no key here
			n.Children = append(n.Children, &KeyTree{Name: "customer-provided keys", State: "not in the store", Contents: c})
			n.Contents += c
		}
		service.Children = append(service.Children, n)
		t.Contents += n.Contents
	}
	service.Contents = t.Contents
	return t, nil
}

func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

func stateOf(v keys.Version) string {
	if v.State == keys.Destroyed {
		return fmt.Sprintf("destroyed %s by %s", v.Destroyed.UTC().Format("2006-01-02 15:04:05"), v.DestroyedBy)
	}
	return v.State.String()
}

func (s *Server) rootState(r keys.Root) string {
	provider, _ := s.rootProvider(r)
	return "opened by " + provider
}

// double says whether what an owner stores under a protector has two layers.
func (s *Server) double(owner keys.ID, p keys.Protector) bool {
	return s.store.Objects.ClassOf(owner, p) == extent.Double
}

// secondLayer is what countKeys counts the contents with two layers under; no key has it.
var secondLayer keys.ID

// countKeys counts the contents under every key version; those under customer-provided
// keys count under the id of their account.
func (s *Server) countKeys(ctx context.Context, accounts []account.Info, progress func(Progress)) (map[keys.ID]int64, error) {
	counts := map[keys.ID]int64{}
	done := int64(0)
	for _, a := range accounts {
		if s.store.Objects.Shredded(a.Protector) {
			continue
		}
		err := s.store.Blobs.Uses(ctx, a, func(object.DEKEntry) bool { return true }, func(u blob.Used) error {
			seen := map[keys.ID]bool{}
			count := func(id keys.ID) {
				if !seen[id] {
					counts[id]++
				}
				seen[id] = true
			}
			for _, e := range u.Wraps {
				id := e.Kref()
				if e.Protector == keys.CPK {
					id = a.ID
				}
				count(id)
				if s.double(a.ID, e.Protector) {
					count(secondLayer)
				}
			}
			if done++; done%1000 == 0 {
				progress(Progress{Stage: "count", Done: done, Unit: "contents"})
			}
			return nil
		})
		if err != nil && !fault.Is(err, fault.KeyGone) {
			return nil, err
		}
	}
	return counts, nil
}
