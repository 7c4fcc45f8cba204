package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"
)

// checkIdentities finds credentials that end soon, and the switch that makes all of them
// worth nothing.
func checkIdentities(s *Server, ctx context.Context) []Advice {
	const check = "identities"
	var list []Advice
	if s.cfg.AllowUnsigned {
		list = append(list, Advice{Level: "danger", Check: check, Found: "tokens that anybody made up are accepted", Do: "start the server without --allow-unsigned-tokens"})
	}
	principals, err := s.store.Identity.Principals(ctx)
	if err != nil {
		return append(list, Advice{Level: "danger", Check: check, Found: err.Error(), Do: "run coffer verify, then restore the newest backup"})
	}
	if err := s.store.Identity.Damaged(); err != nil {
		return append(list, Advice{Level: "danger", Check: check, Found: "damaged: no token and no role counts", Do: "run coffer verify, then restore the newest backup"})
	}
	for _, p := range principals {
		secrets, certs, err := s.store.Identity.Credentials(ctx, p.ObjectID)
		if err != nil || len(secrets)+len(certs) == 0 {
			continue
		}
		// The one that lives longest counts: others may be on their way out.
		var last time.Time
		for _, x := range secrets {
			last = later(last, x.Expires)
		}
		for _, c := range certs {
			last = later(last, certEnd(c))
		}
		if level := expiryLevel(s.now(), last); level != "" {
			list = append(list, one(level, check, "the last credential of "+p.Name+" ends "+last.UTC().Format(time.DateTime),
				"coffer identity secret "+p.Name+", give it to the program, then remove the old one; or delete the identity")...)
		}
	}
	if len(list) == 0 {
		return one("ok", check, fmt.Sprintf("%d, none with credentials that end soon", len(principals)), "")
	}
	return list
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func certEnd(der []byte) time.Time {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return time.Time{}
	}
	return c.NotAfter
}
