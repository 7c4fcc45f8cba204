package server

import (
	"context"
	"fmt"
	"time"

	"github.com/coffer-storage/coffer/internal/vault"
)

// checkVaults says what the vaults of this store protect from, and finds those that could
// lose keys, and keys that end soon.
func checkVaults(s *Server, ctx context.Context) []Advice {
	const check = "vaults"
	var list []Advice
	n := 0
	for _, kind := range []vault.Kind{vault.Standard, vault.HSM} {
		vs, err := s.store.Vaults.Vaults(ctx, kind)
		if err != nil {
			return one("danger", check, err.Error(), "run coffer verify, then restore the newest backup")
		}
		n += len(vs)
		for _, v := range vs {
			list = append(list, s.checkVault(ctx, v)...)
		}
	}
	if n == 0 {
		return nil
	}
	return append(one("note", check, fmt.Sprintf("%d in this process: they separate duties and record every use of a key; who has the unseal key, or this machine, has their private keys too", n),
		"against the operator of this server: a vault on another machine, with another unseal key, or the cloud's"), list...)
}

func (s *Server) checkVault(ctx context.Context, v vault.Vault) (list []Advice) {
	const check = "vaults"
	name, flag := v.Kind.String()+" "+v.Name, ""
	if v.Kind == vault.HSM {
		flag = " --hsm"
	}
	if !v.PurgeProtection {
		list = one("warning", check, name+" has no purge protection: one who may purge can destroy its keys, and all that they protect", "coffer vault protect"+flag+" "+v.Name)
	}
	keys, err := all(func(from string) (vault.Page, error) {
		return s.store.Vaults.ListKeys(ctx, vault.Operator(), vault.Ref{Kind: v.Kind, Vault: v.Name}, from, 0)
	})
	if err != nil {
		return append(list, one("danger", check, name+": "+err.Error(), "run coffer verify, then restore the newest backup")...)
	}
	for _, k := range keys {
		if level := expiryLevel(s.now(), k.Expires); k.Enabled && !k.Expires.IsZero() && level != "" {
			list = append(list, one(level, check, name+": the key "+k.Name()+" ends "+k.Expires.UTC().Format(time.DateTime)+" and protects nothing new after that",
				"coffer vault key rotate"+flag+" "+v.Name+" "+k.Name())...)
		}
	}
	return list
}
