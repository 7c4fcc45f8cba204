package main

import (
	"fmt"
	"path/filepath"

	"github.com/coffer-storage/coffer/internal/server"
)

type backupCmd struct {
	Create  backupCreateCmd  `cmd:"" help:"Back up data and keys into a new directory, also while serving."`
	Verify  backupVerifyCmd  `cmd:"" help:"Authenticate a backup set."`
	Restore backupRestoreCmd `cmd:"" help:"Restore a backup set into an empty data directory."`
}

type backupCreateCmd struct {
	storeFlags
	Dir string `arg:"" help:"Directory to make; it must not exist or be empty."`
}

func (c *backupCreateCmd) Run(a *app) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	var got server.BackupReport
	if err := c.call(a, "backup.create", server.BackupArgs{Dir: dir}, &got); err != nil {
		return err
	}
	a.printBackup("backed up", got)
	if !a.json {
		if got.Linked > 0 {
			fmt.Fprintf(a.stdout, "%d files share their blocks with the store: copy the set to another disk.\n", got.Linked)
		}
		fmt.Fprintln(a.stdout, "It opens with the unseal keys or the recovery kit of this store, which are not in it.")
	}
	return nil
}

// setFlags name a backup set and what opens it.
type setFlags struct {
	storeFlags
	Dir string   `arg:"" help:"The backup set."`
	Kit []string `help:"File with shares of the recovery kit, when the key files are lost; may be repeated." placeholder:"FILE"`
}

type backupVerifyCmd struct{ setFlags }

func (c *backupVerifyCmd) Run(a *app) error { return c.run(a, "whole", server.VerifyBackup) }

type backupRestoreCmd struct{ setFlags }

func (c *backupRestoreCmd) Run(a *app) error { return c.run(a, "restored", server.RestoreBackup) }

// run needs no server: a set is closed in itself.
func (f *setFlags) run(a *app, did string, do server.BackupFunc) error {
	a.json = f.JSON
	cfg, err := f.config()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(f.Dir)
	if err != nil {
		return err
	}
	var kit []string
	if len(f.Kit) > 0 {
		if kit, err = readKit(f.Kit); err != nil {
			return err
		}
	}
	bar := newBar(a)
	got, err := do(a.ctx, cfg, dir, kit, bar.show)
	bar.done()
	if err != nil {
		return err
	}
	a.printBackup(did, got)
	return nil
}

func (a *app) printBackup(did string, r server.BackupReport) {
	if a.json {
		a.printJSON(r)
		return
	}
	fmt.Fprintf(a.stdout, "%s: %s\n  store %s, made %s, %d files, %s, commit %d, key store generation %d\n",
		did, r.Dir, r.Store, when(&r.Created), r.Files, size(r.Bytes), r.Sequence, r.Generation)
}
