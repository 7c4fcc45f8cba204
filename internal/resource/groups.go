package resource

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// Group is a resource group. The default one is always there.
type Group struct {
	Subscription string
	Name         string
	Location     string
	Tags         map[string]string
	Created      time.Time
}

// ID is the group's id in the management plane.
func (g Group) ID() string { return "/subscriptions/" + g.Subscription + "/resourceGroups/" + g.Name }

// Fields of rows of groups; spec/blob-rows.md lists them. The row's key is "group",
// subscription and name in lower case, each after a zero byte.
const (
	tagLocation = 130 // text
	tagTag      = 131 // repeated: string name, string value
	tagCreated  = 132 // u64 ns
	tagName     = 133 // text: the name as it was written
)

const (
	maxTags   = 50
	maxText   = 2 << 10
	maxGroups = 1000
)

var (
	errRow    = errors.New("resource: row of a group has a wrong form")
	groupName = regexp.MustCompile(`^[-\pL\pN_.()]{0,89}[-\pL\pN_()]$`)
	subName   = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
)

func groupPrefix(subscription string) []byte {
	return []byte("group\x00" + strings.ToLower(subscription) + "\x00")
}

func groupKey(subscription, n string) []byte {
	return append(groupPrefix(subscription), strings.ToLower(n)...)
}

// isDefault reports whether a group is the one that is always there.
func isDefault(subscription, n string) bool {
	return strings.EqualFold(n, account.DefaultGroup) && strings.EqualFold(subscription, account.DefaultSubscription)
}

func defaultGroup() Group {
	return Group{Subscription: account.DefaultSubscription, Name: account.DefaultGroup, Location: account.DefaultLocation}
}

// Group returns a resource group, or NoGroup.
func (s *Service) Group(ctx context.Context, subscription, n string) (g Group, err error) {
	err = s.o.Store.View(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Settings, s.o.Store.StoreID(), groupKey(subscription, n))
		if err != nil {
			return err
		}
		g, err = decodeGroup(subscription, r)
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		if isDefault(subscription, n) {
			return defaultGroup(), nil
		}
		return Group{}, refuse(NoGroup, n, "resource group '%s' could not be found", n)
	}
	return g, err
}

// Groups returns the groups of a subscription in the order of their names.
func (s *Service) Groups(ctx context.Context, subscription string) (list []Group, err error) {
	lo := groupPrefix(subscription)
	err = s.o.Store.View(ctx, func(tx *object.Tx) error {
		list = nil
		return tx.Scan(object.Settings, s.o.Store.StoreID(), lo, account.After(lo), false, func(_ []byte, r *object.Row) (bool, error) {
			g, err := decodeGroup(subscription, r)
			list = append(list, g)
			return true, err
		})
	})
	if err == nil && strings.EqualFold(subscription, account.DefaultSubscription) {
		if !slices.ContainsFunc(list, func(g Group) bool { return isDefault(subscription, g.Name) }) {
			list = append(list, defaultGroup())
		}
	}
	return list, err
}

// PutGroup makes a group or changes its tags, and reports whether it is new.
func (s *Service) PutGroup(ctx context.Context, g Group) (made Group, created bool, err error) {
	if !groupName.MatchString(g.Name) || !subName.MatchString(g.Subscription) {
		return Group{}, false, refuse(BadValue, "resourceGroupName", "it has 1 to 90 letters, digits, dots, dashes, underscores and parentheses, and does not end in a dot")
	}
	if g.Location == "" || len(g.Location) > maxText || len(g.Tags) > maxTags {
		return Group{}, false, refuse(BadValue, "location", "a resource group says where it is, and has at most 50 tags")
	}
	for k, v := range g.Tags {
		if len(k)+len(v) > maxText {
			return Group{}, false, refuse(BadValue, "tags", "a tag is too long")
		}
	}
	list, err := s.Groups(ctx, g.Subscription)
	if err == nil && len(list) >= maxGroups {
		err = refuse(BadValue, g.Name, "a subscription has at most 1,000 resource groups")
	}
	if err != nil {
		return Group{}, false, err
	}
	err = s.o.Store.Update(ctx, func(tx *object.Tx) error {
		made = g
		made.Created = s.o.Now().UTC()
		old, err := tx.Get(object.Settings, s.o.Store.StoreID(), groupKey(g.Subscription, g.Name))
		created = errors.Is(err, meta.ErrNotFound)
		if err != nil && !created {
			return err
		}
		if !created {
			was, err := decodeGroup(g.Subscription, old)
			if err != nil {
				return err
			}
			if !strings.EqualFold(was.Location, g.Location) {
				return refuse(ReadOnly, "location", "the group is in %s", was.Location)
			}
			made.Created, made.Name, made.Location = was.Created, was.Name, was.Location
		}
		return tx.Put(object.Settings, groupKey(g.Subscription, g.Name), s.groupRow(made))
	})
	return made, created, err
}

// RemoveGroup takes the row of a group away. What is in it is the caller's business;
// accounts in it stand in the way.
func (s *Service) RemoveGroup(ctx context.Context, subscription, n string) error {
	if _, err := s.Group(ctx, subscription, n); err != nil {
		return err
	}
	left, err := s.List(ctx, subscription, n)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return refuse(GroupNotEmpty, n, "it has storage accounts")
	}
	return s.o.Store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
		tx.Delete(object.Settings, groupKey(subscription, n))
		return nil
	})
}

func (s *Service) groupRow(g Group) *object.Row {
	r := &object.Row{Owner: s.o.Store.StoreID(), Class: extent.Single}
	r.Set(tagLocation, []byte(g.Location))
	r.Set(tagName, []byte(g.Name))
	r.Set(tagCreated, binary.BigEndian.AppendUint64(nil, uint64(g.Created.UnixNano())))
	var tags [][]byte
	for _, k := range slices.Sorted(maps.Keys(g.Tags)) {
		b := binary.BigEndian.AppendUint16(nil, uint16(len(k)))
		b = append(b, k...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(g.Tags[k])))
		tags = append(tags, append(b, g.Tags[k]...))
	}
	r.Set(tagTag, tags...)
	return r
}

func decodeGroup(subscription string, r *object.Row) (Group, error) {
	g := Group{Subscription: subscription, Location: string(r.Get(tagLocation)), Name: string(r.Get(tagName))}
	created := r.Get(tagCreated)
	if len(created) != 8 || g.Name == "" {
		return Group{}, errRow
	}
	g.Created = time.Unix(0, int64(binary.BigEndian.Uint64(created))).UTC()
	for _, b := range r.All(tagTag) {
		k, rest, ok := cutString(b)
		v, end, ok2 := cutString(rest)
		if !ok || !ok2 || len(end) > 0 {
			return Group{}, errRow
		}
		if g.Tags == nil {
			g.Tags = map[string]string{}
		}
		g.Tags[k] = v
	}
	return g, nil
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, false
	}
	return string(b[2 : 2+n]), b[2+n:], true
}
