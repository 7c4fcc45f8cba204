package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/resource"
	"github.com/coffer-storage/coffer/internal/vault"
)

// GroupArgs name a resource group and what to do with it.
type GroupArgs struct {
	Name     string            `json:"name"`
	Location string            `json:"location,omitempty"` // create
	Tags     map[string]string `json:"tags,omitempty"`     // create, update: all of them
}

// Group describes a resource group of the default subscription.
type Group struct {
	Name      string            `json:"name"`
	Resource  string            `json:"resource_id"`
	Location  string            `json:"location"`
	Created   time.Time         `json:"created,omitzero"` // not of the default one
	Tags      map[string]string `json:"tags,omitempty"`
	Resources []string          `json:"resources,omitempty"` // ids of what it holds; not in lists
}

func showGroup(g resource.Group) Group {
	return Group{Name: g.Name, Resource: g.ID(), Location: g.Location, Created: g.Created, Tags: g.Tags}
}

func groupHint(err error) error {
	switch {
	case resource.Is(err, resource.NoGroup):
		return withHint(err, "coffer group list shows the groups there are")
	case resource.Is(err, resource.BadValue):
		return withHint(err, "a name has 1 to 90 letters, digits and .-_() and does not end in a dot; there are 50 tags at most")
	}
	return err
}

func (s *Server) opGroupCreate(ctx context.Context, a GroupArgs, _ func(Progress)) (Group, error) {
	_, err := s.store.Resources.Group(ctx, account.DefaultSubscription, a.Name)
	if err == nil {
		return Group{}, withHint(fault.New("server.groupCreate", a.Name, fault.Exists, nil), "choose another name, or change its tags with coffer group update")
	}
	if !resource.Is(err, resource.NoGroup) {
		return Group{}, err
	}
	g, _, err := s.store.Resources.PutGroup(ctx, resource.Group{
		Subscription: account.DefaultSubscription, Name: a.Name, Location: a.Location, Tags: a.Tags,
	})
	return showGroup(g), groupHint(err)
}

func (s *Server) opGroupList(ctx context.Context, _ Nothing, _ func(Progress)) ([]Group, error) {
	list, err := s.store.Resources.Groups(ctx, account.DefaultSubscription)
	out := []Group{}
	for _, g := range list {
		out = append(out, showGroup(g))
	}
	return out, err
}

func (s *Server) opGroupShow(ctx context.Context, a GroupArgs, _ func(Progress)) (Group, error) {
	g, err := s.store.Resources.Group(ctx, account.DefaultSubscription, a.Name)
	if err != nil {
		return Group{}, groupHint(err)
	}
	out := showGroup(g)
	out.Resources, err = s.heldBy(ctx, g)
	return out, err
}

// heldBy returns the ids of what is in a group.
func (s *Server) heldBy(ctx context.Context, g resource.Group) (ids []string, err error) {
	accounts, err := s.store.Resources.List(ctx, g.Subscription, g.Name)
	if err != nil {
		return nil, err
	}
	for _, i := range accounts {
		ids = append(ids, i.ResourceID())
	}
	in := func(id string) {
		if strings.HasPrefix(strings.ToLower(id), strings.ToLower(g.ID())+"/") {
			ids = append(ids, id)
		}
	}
	for _, k := range []vault.Kind{vault.Standard, vault.HSM} {
		vaults, err := s.store.Vaults.Vaults(ctx, k)
		if err != nil {
			return nil, err
		}
		for _, v := range vaults {
			in(v.ResourceID)
		}
	}
	principals, err := s.store.Identity.Principals(ctx)
	for _, p := range principals {
		if p.Kind == identity.UserAssigned { // others are part of what has them
			in(p.ResourceID)
		}
	}
	return ids, err
}

func (s *Server) opGroupUpdate(ctx context.Context, a GroupArgs, _ func(Progress)) (Group, error) {
	g, err := s.store.Resources.Group(ctx, account.DefaultSubscription, a.Name)
	if err != nil {
		return Group{}, groupHint(err)
	}
	g.Tags = a.Tags
	g, _, err = s.store.Resources.PutGroup(ctx, g)
	return showGroup(g), groupHint(err)
}

// opGroupDelete deletes an empty group: what it holds is deleted by name, each with its
// own word, not along with it.
func (s *Server) opGroupDelete(ctx context.Context, a GroupArgs, _ func(Progress)) (Nothing, error) {
	g, err := s.store.Resources.Group(ctx, account.DefaultSubscription, a.Name)
	if err != nil {
		return Nothing{}, groupHint(err)
	}
	held, err := s.heldBy(ctx, g)
	if err != nil {
		return Nothing{}, err
	}
	if len(held) > 0 {
		return Nothing{}, withHint(fault.New("server.groupDelete", a.Name, fault.NotAllowed, errors.New("it holds "+held[0])),
			"coffer group show "+a.Name+" lists what it holds; delete that first")
	}
	return Nothing{}, s.store.Resources.RemoveGroup(ctx, g.Subscription, g.Name)
}
