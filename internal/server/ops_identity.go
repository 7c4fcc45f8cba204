package server

import (
	"context"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

// IdentityArgs are the arguments of the operations on identities.
type IdentityArgs struct {
	Name        string    `json:"name"`                  // name or id of the principal
	Managed     bool      `json:"managed,omitempty"`     // create: a user-assigned managed identity
	System      bool      `json:"system,omitempty"`      // create: the system-assigned one of this machine
	Machine     *bool     `json:"machine,omitempty"`     // create, machine: programs here may have its tokens
	Secret      string    `json:"secret,omitempty"`      // removeSecret: its id
	Expires     time.Time `json:"expires,omitzero"`      // addSecret; zero: a year
	Certificate string    `json:"certificate,omitempty"` // addCertificate: PEM
}

// Identity is a principal as commands show it.
type Identity struct {
	Name       string           `json:"name"`
	Kind       string           `json:"kind"`
	ObjectID   string           `json:"objectId"`
	ClientID   string           `json:"clientId"`
	TenantID   string           `json:"tenantId"`
	ResourceID string           `json:"resourceId,omitempty"`
	Machine    bool             `json:"machine,omitempty"`
	Created    time.Time        `json:"created"`
	Secret     string           `json:"secret,omitempty"` // create, addSecret: shown this once
	Secrets    []IdentitySecret `json:"secrets,omitempty"`
	Authority  string           `json:"authority,omitempty"` // of the running server
}

// IdentitySecret describes a client secret.
type IdentitySecret struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

func (s *Server) principal(p identity.Principal) Identity {
	i := Identity{
		Name: p.Name, Kind: p.Kind.String(), ObjectID: p.ObjectID, ClientID: p.ClientID, TenantID: p.TenantID,
		ResourceID: p.ResourceID, Machine: p.Machine, Created: p.Created,
	}
	if s.management.l != nil || s.cfg.IdentityURL != "" {
		i.Authority = s.identityURL()
	}
	return i
}

func principalHint(err error) error {
	if fault.Is(err, fault.PrincipalNotFound) {
		return withHint(err, "coffer identity list shows the identities there are")
	}
	return err
}

// identityGroup is where managed identities are that were made without saying where.
const identityGroup = "/subscriptions/" + account.DefaultSubscription + "/resourceGroups/" + account.DefaultGroup +
	"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"

// machineGroup is where this machine is, as a resource.
const machineGroup = "/subscriptions/" + account.DefaultSubscription + "/resourceGroups/" + account.DefaultGroup + "/providers/Microsoft.HybridCompute/machines/"

func (s *Server) opIdentityCreate(ctx context.Context, a IdentityArgs, _ func(Progress)) (Identity, error) {
	ids := s.store.Identity
	if a.System {
		return s.createMachine(ctx, a)
	}
	if !a.Managed {
		if a.Machine != nil && *a.Machine {
			return Identity{}, withHint(fault.New("server.identityCreate", a.Name, fault.InvalidInput, errors.New("only managed identities are for the machine")), "add --managed")
		}
		p, secret, err := ids.CreatePrincipal(ctx, a.Name)
		if err != nil {
			return Identity{}, err
		}
		i := s.principal(p)
		i.Secret = secret
		return i, nil
	}
	if _, err := ids.Principal(ctx, a.Name); err == nil {
		return Identity{}, fault.New("server.identityCreate", a.Name, fault.Exists, nil)
	}
	if strings.Contains(a.Name, "/") {
		return Identity{}, fault.New("server.identityCreate", a.Name, fault.InvalidInput, errors.New("the name of a managed identity has no slash"))
	}
	p, err := ids.CreateIdentity(ctx, identity.UserAssigned, identityGroup+a.Name, a.Name)
	if err == nil && a.Machine != nil {
		p, err = ids.SetMachine(ctx, p.ObjectID, *a.Machine)
	}
	return s.principal(p), err
}

// createMachine makes the system-assigned identity of this machine: the one that programs
// get who name none. There is one at most.
func (s *Server) createMachine(ctx context.Context, a IdentityArgs) (Identity, error) {
	const op = "server.identityCreate"
	list, err := s.store.Identity.Principals(ctx)
	if err != nil {
		return Identity{}, err
	}
	for _, p := range list {
		if p.Kind == identity.SystemAssigned && strings.HasPrefix(p.ResourceID, machineGroup) {
			return Identity{}, fault.New(op, p.Name, fault.Exists, errors.New("the machine has its identity"))
		}
	}
	if strings.Contains(a.Name, "/") {
		return Identity{}, fault.New(op, a.Name, fault.InvalidInput, errors.New("the name of a managed identity has no slash"))
	}
	p, err := s.store.Identity.CreateIdentity(ctx, identity.SystemAssigned, machineGroup+a.Name, a.Name)
	if err == nil {
		p, err = s.store.Identity.SetMachine(ctx, p.ObjectID, true)
	}
	return s.principal(p), err
}

func (s *Server) opIdentityList(ctx context.Context, _ Nothing, _ func(Progress)) ([]Identity, error) {
	list, err := s.store.Identity.Principals(ctx)
	out := []Identity{}
	for _, p := range list {
		out = append(out, s.principal(p))
	}
	return out, err
}

func (s *Server) opIdentityShow(ctx context.Context, a IdentityArgs, _ func(Progress)) (Identity, error) {
	p, err := s.store.Identity.Principal(ctx, a.Name)
	if err != nil {
		return Identity{}, principalHint(err)
	}
	i := s.principal(p)
	secrets, err := s.store.Identity.Secrets(ctx, p.ObjectID)
	for _, x := range secrets {
		i.Secrets = append(i.Secrets, IdentitySecret{ID: x.ID, Created: x.Created, Expires: x.Expires})
	}
	return i, err
}

func (s *Server) opIdentityDelete(ctx context.Context, a IdentityArgs, _ func(Progress)) (Nothing, error) {
	return Nothing{}, principalHint(s.store.Identity.DeletePrincipal(ctx, a.Name))
}

func (s *Server) opIdentityMachine(ctx context.Context, a IdentityArgs, _ func(Progress)) (Identity, error) {
	p, err := s.store.Identity.SetMachine(ctx, a.Name, a.Machine != nil && *a.Machine)
	return s.principal(p), principalHint(err)
}

func (s *Server) opIdentityAddSecret(ctx context.Context, a IdentityArgs, progress func(Progress)) (Identity, error) {
	text, err := s.store.Identity.AddSecret(ctx, a.Name, a.Expires)
	if err != nil {
		return Identity{}, principalHint(err)
	}
	i, err := s.opIdentityShow(ctx, a, progress)
	i.Secret = text
	return i, err
}

func (s *Server) opIdentityRemoveSecret(ctx context.Context, a IdentityArgs, _ func(Progress)) (Nothing, error) {
	return Nothing{}, principalHint(s.store.Identity.RemoveSecret(ctx, a.Name, a.Secret))
}

func (s *Server) opIdentityAddCertificate(ctx context.Context, a IdentityArgs, _ func(Progress)) (Nothing, error) {
	block, _ := pem.Decode([]byte(a.Certificate))
	if block == nil || block.Type != "CERTIFICATE" {
		return Nothing{}, withHint(fault.New("server.identityAddCertificate", a.Name, fault.InvalidInput, errors.New("the file does not begin with a certificate in PEM")),
			"give the certificate alone; its private key stays with the program")
	}
	return Nothing{}, principalHint(s.store.Identity.AddCertificate(ctx, a.Name, block.Bytes))
}

// SigningKey names the key that tokens are signed with.
type SigningKey struct {
	ID string `json:"kid"`
}

func (s *Server) opIdentityRotate(ctx context.Context, _ Nothing, _ func(Progress)) (SigningKey, error) {
	kid, err := s.store.Identity.RotateKey(ctx)
	return SigningKey{kid}, err
}

func (s *Server) opIdentityRevokeDelegations(ctx context.Context, a AccountArgs, _ func(Progress)) (Nothing, error) {
	info, err := s.accountOf(ctx, a.Name)
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, s.store.Identity.RevokeDelegations(ctx, info.ID)
}
