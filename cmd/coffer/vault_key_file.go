package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
)

// What files of keys have at most, in bytes: a private key, a backup of all versions.
const (
	maxKeyFile    = 64 << 10
	maxBackupFile = 4 << 20
)

type vaultKeyImportCmd struct {
	oneKey
	keyDates
	File string   `arg:"" help:"The private key: RSA or EC in PEM, without a password, or a JSON web key; - is stdin. It is not changed: remove it when the vault has the key."`
	Ops  []string `help:"What it is for; what the JSON web key says, or all that its type can do, if not given." placeholder:"OP"`
}

func (c *vaultKeyImportCmd) Run(a *app) error {
	b, err := readFile(a, c.File, maxKeyFile)
	if err != nil {
		return err
	}
	defer clear(b)
	return c.run(a, "vault.key.import", server.VaultKeyArgs{Private: b, Ops: c.Ops, NotBefore: c.NotBefore.at, Expires: c.Expires.at})
}

// readFile reads a file that has some content, most bytes of it at most; - is stdin.
func readFile(a *app, file string, most int64) ([]byte, error) {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0:
		return nil, fmt.Errorf("%s is empty", file)
	case int64(len(b)) > most:
		clear(b)
		return nil, fmt.Errorf("%s has more than %s: that is no such file", file, size(most))
	}
	return b, nil
}

type vaultKeyUpdateCmd struct {
	oneVersion
	keyDates
	Ops []string `help:"What it is for." placeholder:"OP"`
}

func (c *vaultKeyUpdateCmd) Run(a *app) error {
	if c.NotBefore.at == nil && c.Expires.at == nil && len(c.Ops) == 0 {
		return server.WithHint(errors.New("nothing to change was named"), "--expires TIME, --not-before TIME (none takes a date away) or --ops OP,OP")
	}
	return c.run(a, "vault.key.update", server.VaultKeyArgs{Version: c.Version, Ops: c.Ops, NotBefore: c.NotBefore.at, Expires: c.Expires.at})
}

type vaultKeyBackupCmd struct {
	oneKey
	File string `arg:"" help:"File to write; it must not be there yet."`
}

func (c *vaultKeyBackupCmd) Run(a *app) error {
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return server.WithHint(err, "name a file that is not there yet")
	}
	var got server.VaultKeyBackup
	err = c.call(a, "vault.key.backup", server.VaultKeyArgs{Vault: c.Vault, Key: c.Key, HSM: c.HSM}, &got)
	if err == nil {
		_, err = f.Write(got.Value)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(c.File)
		return err
	}
	if a.json {
		a.printJSON(map[string]any{"file": c.File, "bytes": len(got.Value)})
		return nil
	}
	fmt.Fprintf(a.stdout, "wrote %s, %s: only a vault of this store opens it\n", c.File, size(int64(len(got.Value))))
	return nil
}

type vaultKeyRestoreCmd struct {
	storeFlags
	HSM   bool   `name:"hsm" help:"The vault is a Managed HSM."`
	Vault string `arg:"" help:"The vault; the key has the name that it had."`
	File  string `arg:"" help:"What vault key backup wrote."`
}

func (c *vaultKeyRestoreCmd) Run(a *app) error {
	b, err := readFile(a, c.File, maxBackupFile)
	if err != nil {
		return err
	}
	var got server.VaultKey
	if err := c.call(a, "vault.key.restore", server.VaultKeyArgs{Vault: c.Vault, HSM: c.HSM, Backup: b}, &got); err != nil {
		return err
	}
	printVaultKey(a, got)
	return nil
}

type vaultKeyPolicyCmd struct {
	Show vaultKeyPolicyShowCmd `cmd:"" help:"Show the rotation policy of a key."`
	Set  vaultKeyPolicySetCmd  `cmd:"" help:"Set the whole rotation policy of a key: what is not named does not happen."`
}

// policy runs an operation that answers a rotation policy.
func (c *oneKey) policy(a *app, op string, p *server.RotationPolicy) error {
	var got server.RotationPolicy
	if err := c.call(a, op, server.VaultKeyArgs{Vault: c.Vault, Key: c.Key, HSM: c.HSM, Policy: p}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"key", got.Key}, {"new versions live", orDash(got.Expiry)}}
	for _, l := range got.Actions {
		at := l.AfterCreate + " after it was made"
		if l.BeforeExpiry != "" {
			at = l.BeforeExpiry + " before it ends"
		}
		rows = append(rows, []string{strings.ToLower(l.Action), at})
	}
	a.table(append(rows, []string{"set", when(got.Updated)})...)
	return nil
}

type vaultKeyPolicyShowCmd struct{ oneKey }

func (c *vaultKeyPolicyShowCmd) Run(a *app) error { return c.policy(a, "vault.key.policy", nil) }

type vaultKeyPolicySetCmd struct {
	oneKey
	RotateAfter  string `help:"A new version so long after the newest was made, as P90D or P1Y6M; 7 days at least." placeholder:"TIME" xor:"rotate"`
	RotateBefore string `help:"A new version so long before the newest ends." placeholder:"TIME" xor:"rotate"`
	NotifyBefore string `help:"A word in the log and the trail so long before the newest ends." placeholder:"TIME"`
	ExpireAfter  string `help:"How long new versions live; 28 days at least." placeholder:"TIME"`
	Clear        bool   `help:"No rotation, no word and no end."`
}

func (c *vaultKeyPolicySetCmd) Run(a *app) error {
	p := server.RotationPolicy{Expiry: c.ExpireAfter}
	if c.RotateAfter != "" || c.RotateBefore != "" {
		p.Actions = append(p.Actions, server.LifetimeAction{Action: "Rotate", AfterCreate: c.RotateAfter, BeforeExpiry: c.RotateBefore})
	}
	if c.NotifyBefore != "" {
		p.Actions = append(p.Actions, server.LifetimeAction{Action: "Notify", BeforeExpiry: c.NotifyBefore})
	}
	if named := len(p.Actions) > 0 || p.Expiry != ""; named == c.Clear {
		return server.WithHint(errors.New("say what the policy is to be"), "--rotate-after P90D for one, or --clear for none")
	}
	return c.policy(a, "vault.key.setPolicy", &p)
}
