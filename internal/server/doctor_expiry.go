package server

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/name"
)

// maxExpiring bounds how many containers of an account doctor looks at.
const maxExpiring = 5000

// checkPolicies looks for stored access policies of containers that end soon: with them
// ends every SAS that names them.
func checkPolicies(s *Server, ctx context.Context) []Advice {
	const check = "SAS policies"
	accounts, err := s.store.Accounts.List(ctx)
	if err != nil {
		return one("note", check, err.Error(), "")
	}
	var out []Advice
	for _, a := range accounts {
		as := ownerOf(a.Name)
		page, err := s.store.Blobs.ListContainers(ctx, as, a.Name, blob.ListContainersOptions{MaxResults: maxExpiring})
		if err != nil {
			continue // an account whose keys are destroyed
		}
		for _, c := range page.Items {
			acl, err := s.store.Blobs.GetContainerACL(ctx, as, a.Name, name.Container(c.Name), blob.Conditions{})
			if err != nil {
				continue
			}
			out = append(out, s.endingPolicies(string(a.Name)+"/"+c.Name, acl.Policies)...)
		}
	}
	if len(out) == 0 {
		return one("ok", check, "none ends within 30 days", "")
	}
	return out
}

// endingPolicies speaks of policies that end soon. One that ended is what its owner wanted.
func (s *Server) endingPolicies(where string, policies []blob.Policy) []Advice {
	var out []Advice
	for _, p := range policies {
		if p.Expiry.IsZero() || p.Expiry.Before(s.now()) {
			continue
		}
		if level := expiryLevel(s.now(), p.Expiry); level != "" {
			out = append(out, one(level, "SAS policies", fmt.Sprintf("%s: policy %q ends on %s", where, p.ID, p.Expiry.UTC().Format(time.DateTime)),
				"set a later end with Set Container ACL, or let it end")...)
		}
	}
	return out
}

// checkCertificate looks at the certificate that was given with --cert.
func checkCertificate(s *Server, _ context.Context) []Advice {
	const check = "certificate (--cert)"
	if s.cfg.CertFile == "" {
		return nil
	}
	b, err := os.ReadFile(s.cfg.CertFile)
	if err != nil {
		return one("danger", check, err.Error(), "put the file back: the next start needs it")
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return one("danger", check, "the file holds no certificate", "put the right file back: the next start needs it")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return one("danger", check, err.Error(), "put the right file back: the next start needs it")
	}
	found := "valid until " + leaf.NotAfter.UTC().Format(time.DateTime)
	if level := expiryLevel(s.now(), leaf.NotAfter); level != "" {
		return one(level, check, found, "renew it, and restart the server")
	}
	return one("ok", check, found, "")
}
