package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// ref checks the names of a target.
func (t Target) ref() (blob.Ref, error) {
	var r blob.Ref
	var err error
	if r.Account, err = name.ParseAccount(t.Account); err != nil {
		return r, err
	}
	if r.Container, err = name.ParseContainer(t.Container); err != nil {
		return r, err
	}
	r.Blob, err = name.ParseBlob(t.Blob)
	return r, err
}

func (s *Server) opInspect(ctx context.Context, t Target, _ func(Progress)) (Inspection, error) {
	r := Inspection{Target: t}
	ref, err := t.ref()
	if err != nil {
		return r, withHint(err, "name the blob as ACCOUNT/CONTAINER/BLOB or by its URL")
	}
	got, err := s.store.Blobs.Inspect(ctx, ref)
	if err != nil {
		return r, err
	}
	s.describe(&r, got.Protection)
	r.Scope, r.CPK = got.Properties.Encryption.Scope, got.Properties.Encryption.KeySHA256
	if len(got.Protection.Keys) > 0 {
		s.describeProtector(&r, got.Protection.Keys[0])
	}
	return r, nil
}

// describe turns what the barrier knows into what people read.
func (s *Server) describe(r *Inspection, p object.Protection) {
	r.Length, r.StoredSize = p.Length, p.Stored
	r.DEKs, r.Chunks = len(p.Keys), p.Count
	for _, c := range p.Chunks {
		if c.Inline {
			r.Inline++
		}
	}
	for _, l := range p.Layers {
		r.Layers = append(r.Layers, l.What)
		r.Algorithms = append(r.Algorithms, l.Algorithm)
	}
	r.Properties = fmt.Sprintf("system key of the account, version %d (%s)", p.System.Version, p.System.Kref)
	s.describeInfra(r, p)
	r.Names = "file key of the index (sealedfs), one layer"
	r.Metadata = "none"
	provider, place := s.rootProvider(keys.SRK)
	r.Provider = provider
	if place != "" {
		r.Provider += " " + place
	}
	for i, k := range p.Keys {
		if k.Metadata {
			r.Metadata = "data key " + k.DEK.String()
		}
		if i > 0 {
			continue
		}
		r.Protector = k.Protector.Kind.String() + " key of " + r.Account + " (managed by the " + k.Managed + ")"
		r.Key = KeyName{Chain: k.Chain.String(), Version: k.Version, Ref: k.Kref.String(), State: k.State}
		r.Wrapped = k.WrappedAt
		r.Tree = []KeyLevel{
			{"content", fmt.Sprintf("%d chunks", p.Count), "chunk keys derived from the data key"},
			{"data key", k.DEK.String(), fmt.Sprintf("KEK version %d (%s)", k.Version, k.Algorithm)},
			{"KEK", k.Chain.String(), "service root"},
			{"service root", s.rootRef(), r.Provider},
		}
	}
}

// describeInfra says what the second layer is made of.
func (s *Server) describeInfra(r *Inspection, p object.Protection) {
	r.Class = p.Class
	if p.Class != "double" {
		return
	}
	provider, place := s.rootProvider(keys.IRK)
	k := p.Infra
	r.InfraKey = KeyName{Chain: k.Chain.String(), Version: k.Version, Ref: k.Kref.String(), State: k.State}
	r.Second = []string{fmt.Sprintf("properties, metadata and chunks in rows: A256CBC-HS512, infrastructure key version %d (%s)", k.Version, k.Kref)}
	for _, e := range p.Extents {
		r.Second = append(r.Second, fmt.Sprintf("extent %s, %d chunks: %s, infrastructure key version %d (%s)",
			e.ID, e.Chunks, e.Algorithm, e.Infra.Version, e.Infra.Kref))
	}
	r.InfraPlaces = []KeyLevel{
		{"second layer", "around what the data key and the system key sealed", "infrastructure key"},
		{"infrastructure key", k.Chain.String(), "infrastructure root"},
		{"infrastructure root", s.rootRef(), strings.TrimSpace(provider + " " + place)},
	}
}

// describeProtector says whose key it is, for every kind.
func (s *Server) describeProtector(r *Inspection, k object.KeyUse) {
	r.State = "enabled"
	if info, ok := s.store.Ring.Protector(k.Protector); ok {
		r.State = info.Admin.String()
	}
	if r.Customer = s.customerReport(k.Protector); r.Customer != nil {
		r.describeCustomer()
	}
	switch k.Protector.Kind {
	case keys.ProtectScope:
		r.Protector = "encryption scope " + r.Account + "/" + r.Scope + " (managed by the " + k.Managed + ")"
	case keys.ProtectCPK:
		r.Protector = "customer-provided key with SHA-256 " + r.CPK
		r.Key, r.State = KeyName{}, "not in the store"
		r.Provider = "the customer, with every request"
		r.Tree = []KeyLevel{
			r.Tree[0],
			{"data key", k.DEK.String(), "key derived from the customer's (" + k.Algorithm + ")"},
			{"customer-provided key", "SHA-256 " + r.CPK, "nobody: it is not in the store"},
		}
	}
}

// rootProvider says what opens a root when the server starts, and where it lies.
func (s *Server) rootProvider(root keys.Root) (provider, place string) {
	service, infra := s.keys.where(s.store.Ring.StoreID())
	place = service
	if root == keys.IRK {
		place = infra
	}
	for _, slot := range s.store.Ring.Slots() {
		if slot.Root == root && slot.Provider.Online() {
			return slot.Provider.String(), place
		}
	}
	return "none", ""
}

func (s *Server) rootRef() string {
	generation, _ := s.store.Ring.Generation()
	return fmt.Sprintf("key store generation %d", generation)
}

// whose names the thing that a damaged row belongs to.
func (s *Server) whose(ctx context.Context, d object.Damage) string {
	if n := s.store.Blobs.NameOf(ctx, d.Table, d.Key); n != "" {
		return n
	}
	return fmt.Sprintf("table %s, row %x", d.Table.Name, d.Key)
}
