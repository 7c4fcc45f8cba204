package server

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
)

// CustomerKeyReport is the key of a customer's vault that a protector's key is under.
type CustomerKeyReport struct {
	Address      string     `json:"address"` // with the version in use
	Identity     string     `json:"identity,omitempty"`
	Follow       bool       `json:"follows_new_versions"`
	State        string     `json:"state"`            // unused, active, degraded, suspended
	Reason       string     `json:"reason,omitempty"` // key, vault, token
	Cause        string     `json:"cause,omitempty"`
	LastSuccess  *time.Time `json:"last_success,omitempty"`
	Deadline     *time.Time `json:"deadline,omitempty"` // until when it may be used without asking
	Rotated      *time.Time `json:"rotated,omitempty"`  // when the version in use was taken
	Expires      *time.Time `json:"expires,omitempty"`
	Previous     string     `json:"previous,omitempty"`
	Unprotected  bool       `json:"unprotected,omitempty"` // no soft delete or no purge protection
	Own          bool       `json:"own_vault,omitempty"`   // in a vault of this server
	Cache        string     `json:"cache"`
	VersionCheck string     `json:"version_check"`
	Stale        string     `json:"stale"`
}

// RecoverKeyArgs name whose previous customer's key comes back into force.
type RecoverKeyArgs struct {
	What string `json:"what"` // account or scope
	Name string `json:"name"`
}

// RecoverKeyReport says which key is in force now.
type RecoverKeyReport struct {
	What     string             `json:"what"`
	Customer *CustomerKeyReport `json:"customer"`
}

// customerReport describes the customer's key of a protector, or is nil.
func (s *Server) customerReport(p keys.Protector) *CustomerKeyReport {
	i, ok := s.store.Ring.CustomerKey(p)
	if !ok {
		return nil
	}
	c := &CustomerKeyReport{
		Address: i.Ref.String(), Identity: i.Ref.Identity, Follow: i.Follow, State: i.State.String(), Cause: i.Cause,
		LastSuccess: optional(i.LastSuccess), Deadline: optional(i.Deadline), Rotated: optional(i.LastRotation),
		Expires: optional(i.Expires), Previous: i.Previous, Unprotected: i.Unprotected, Own: s.ourVault(i.Ref.URI),
		Cache: i.Cache.String(), VersionCheck: i.VersionCheck.String(), Stale: i.Stale.String(),
	}
	if i.Reason != 0 {
		c.Reason = i.Reason.String()
	}
	return c
}

// ourVault reports whether a vault is one of ours.
func (s *Server) ourVault(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && slices.ContainsFunc(s.cfg.vaultDomains(), func(d string) bool { return strings.HasSuffix(u.Hostname(), "."+d) })
}

// line is the key in short.
func (c *CustomerKeyReport) line() string {
	state := c.State
	if c.Reason != "" {
		state += ": " + c.Reason
	}
	if c.Deadline != nil && c.State != "suspended" {
		state += " until " + c.Deadline.Format(time.TimeOnly)
	}
	return "customer's key " + c.Address + " (" + state + ")"
}

// protectorState is the state of a protector with that of its customer's key.
func (s *Server) protectorState(p keys.ProtectorInfo) string {
	if c := s.customerReport(p.Protector); c != nil {
		return p.Admin.String() + ", " + c.line()
	}
	return p.Admin.String()
}

// describeCustomer puts the customer's key where the service root stands otherwise.
func (r *Inspection) describeCustomer() {
	r.Provider = "vault " + r.Customer.Address
	for i := range r.Tree {
		if r.Tree[i].Level == "KEK" {
			r.Tree[i].By = "key derived from what the vault unwraps and what the service root seals"
			r.Tree = slices.Insert(r.Tree, i+1, KeyLevel{"customer's key", r.Customer.Address, "the vault"})
			return
		}
	}
}

// expiries are the days before an end from which doctor speaks up, and how.
var expiries = []struct {
	days  int
	level string
}{{1, "danger"}, {7, "warning"}, {30, "note"}}

// expiryLevel is how doctor speaks of something that ends at a time; "" not at all.
func expiryLevel(now, end time.Time) string {
	for _, e := range expiries {
		if !end.After(now.Add(time.Duration(e.days) * 24 * time.Hour)) {
			return e.level
		}
	}
	return ""
}

// checkCustomers looks at the keys of customers.
func checkCustomers(s *Server, ctx context.Context) []Advice {
	var out []Advice
	names, _ := s.ownerNames(ctx)
	own := 0
	for _, p := range s.store.Ring.Protectors() {
		c := s.customerReport(p.Protector)
		if c == nil {
			continue
		}
		if c.Own {
			own++
		}
		out = append(out, s.checkCustomer(p.Protector.Kind.String()+" "+names[p.Protector.ID], c)...)
	}
	if own > 0 {
		out = append(out, one("note", "customers' keys", fmt.Sprintf("%d lie in vaults of this server: they are a switch, and no protection beyond the root key", own),
			"for separation, keep them in a vault of another machine (--vault-suffix)")...)
	}
	return out
}

func (s *Server) checkCustomer(name string, c *CustomerKeyReport) []Advice {
	const check = "customers' keys"
	var out []Advice
	timers := fmt.Sprintf("; a revocation counts after %s + 15s, a vault out of reach after %s", c.Cache, c.Stale)
	switch c.State {
	case "suspended":
		out = one("danger", check, name+" is suspended ("+c.Reason+"): "+c.Cause, "let its owner enable the key, its permission or its vault: it comes back within 10 s of the next use")
	case "degraded":
		out = one("warning", check, name+": its vault cannot be reached, it is used until "+c.Deadline.Format(time.DateTime), "bring the vault back")
	default:
		out = one("ok", check, name+": "+c.line()+timers, "")
	}
	if c.Unprotected {
		out = append(out, one("danger", check, name+": its vault has no soft delete or no purge protection: one mistake and all its data are lost", "switch both on in the vault")...)
	}
	if c.Expires != nil {
		if level := expiryLevel(s.now(), *c.Expires); level != "" {
			out = append(out, one(level, check, name+": the version in use expires on "+c.Expires.Format(time.DateTime), "make a new version in the vault, or extend it")...)
		}
	}
	return out
}
