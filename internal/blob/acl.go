package blob

import (
	"context"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// Limits of stored access policies.
const (
	MaxPolicies = 5
	maxPolicyID = 64
	// policyLetters are the permissions that a stored policy may carry.
	policyLetters = "racwdxyltmeopif"
)

// GetContainerACL returns the public access and the stored policies of a container.
func (s *Service) GetContainerACL(ctx context.Context, c *access.Caller, a name.Account, n name.Container, cond Conditions) (ACL, error) {
	box, err := s.readContainer(ctx, "blob.GetContainerACL", c, boxRef(a, n), needReadACL, cond)
	if err != nil {
		return ACL{}, err
	}
	return ACL{
		ETag: formatETag(box.etag), LastModified: box.modified,
		PublicAccess: publicNames[box.public], Policies: box.policies,
	}, nil
}

// SetContainerACL replaces the public access and the stored policies of a container.
func (s *Service) SetContainerACL(ctx context.Context, c *access.Caller, a name.Account, n name.Container, o ACLOptions) (Written, error) {
	k, err := s.begin(ctx, "blob.SetContainerACL", c, boxRef(a, n), needWriteACL)
	if err != nil {
		return Written{}, err
	}
	public, err := k.public(o.PublicAccess)
	if err != nil {
		return Written{}, err
	}
	if err := k.checkPolicies(o.Policies); err != nil {
		return Written{}, err
	}
	return k.changeContainer(ctx, o.Conditions, func(box *container) {
		box.public, box.policies = public, o.Policies
	})
}

func (k *call) checkPolicies(ps []Policy) error {
	if len(ps) > MaxPolicies {
		return k.fault(fault.InvalidXMLDocument)
	}
	seen := make(map[string]bool, len(ps))
	for _, p := range ps {
		if p.ID == "" || len(p.ID) > maxPolicyID || seen[p.ID] {
			return k.fault(fault.InvalidXMLNodeValue, fault.Detail{Name: "XmlNodeName", Value: "Id"},
				fault.Detail{Name: "XmlNodeValue", Value: clip(p.ID)})
		}
		seen[p.ID] = true
		if len(p.Permission) > len(policyLetters) || strings.Trim(p.Permission, policyLetters) != "" {
			return k.fault(fault.InvalidXMLNodeValue, fault.Detail{Name: "XmlNodeName", Value: "Permission"},
				fault.Detail{Name: "XmlNodeValue", Value: clip(p.Permission)})
		}
	}
	return nil
}

// Policy returns a stored access policy of a container, for wire/auth, which merges it
// into a SAS before there is a Caller. A policy or container that is not there answers
// AuthenticationFailed: nobody learns more with a signature that does not hold.
func (s *Service) Policy(ctx context.Context, a name.Account, n name.Container, id string) (Policy, error) {
	const op = "blob.Policy"
	box, err := s.lookContainer(ctx, op, a, n)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return Policy{}, err
	}
	if box != nil {
		for _, p := range box.policies {
			if p.ID == id {
				return p, nil
			}
		}
	}
	return Policy{}, fault.New(op, boxRef(a, n).String(), fault.AuthenticationFailed, errors.New("no such stored access policy"))
}

// PublicAccess returns the public access of a container: "", "blob" or "container".
func (s *Service) PublicAccess(ctx context.Context, a name.Account, n name.Container) (string, error) {
	const op = "blob.PublicAccess"
	box, err := s.lookContainer(ctx, op, a, n)
	if errors.Is(err, meta.ErrNotFound) {
		return "", fault.New(op, boxRef(a, n).String(), fault.ContainerNotFound, nil)
	}
	if err != nil {
		return "", err
	}
	return publicNames[box.public], nil
}

// lookContainer reads a container for the server itself, without a caller.
func (s *Service) lookContainer(ctx context.Context, op string, a name.Account, n name.Container) (*container, error) {
	acct, err := s.accounts.Get(ctx, a)
	if err != nil {
		return nil, err
	}
	var box *container
	err = s.store.View(ctx, func(tx *object.Tx) (err error) {
		box, err = getContainer(tx, acct.ID, n)
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		return nil, err
	}
	return box, edge(op, boxRef(a, n).String(), err)
}
