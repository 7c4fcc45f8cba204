package server

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/server/backup"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// Operations that doctor looks for in the trail.
const (
	auditBackup   = "backup.create"
	auditRestore  = "backup.restore"
	auditDrill    = "keys.drill"
	auditReport   = "verify.report"
	auditRecover  = "recovery.restore"
	auditExpose   = "serve.accept-data-loss"
	auditRollback = "serve.accept-rollback"
)

// BackupFunc is an operation on a backup set that needs no opened store.
type BackupFunc func(ctx context.Context, cfg Config, dir string, kit []string, progress func(Progress)) (BackupReport, error)

var (
	_ BackupFunc = VerifyBackup
	_ BackupFunc = RestoreBackup
)

func (s *Server) opBackupCreate(ctx context.Context, a BackupArgs, progress func(Progress)) (BackupReport, error) {
	begin := time.Now()
	if err := s.store.Audit.Before(ctx, s.record(auditBackup, audit.Begin)); err != nil {
		return BackupReport{}, err
	}
	r, err := backup.Create(ctx, s.store, a.Dir, s.now(), bytesProgress(progress))
	outcome := audit.OK
	if err != nil {
		outcome = fault.KindOf(err).String()
	}
	s.store.Audit.After(s.record(auditBackup, outcome))
	if err != nil {
		return BackupReport{}, withHintFor(err, map[fault.Kind]string{
			fault.Exists:     "name a directory that does not exist or is empty",
			fault.NotAllowed: "name a directory outside the data directory, best on another disk",
		})
	}
	return backupReport(a.Dir, r, begin), nil
}

// withHintFor chooses a hint by the kind of err.
func withHintFor(err error, by map[fault.Kind]string) error {
	if h := by[fault.KindOf(err)]; h != "" {
		return withHint(err, h)
	}
	return err
}

func (s *Server) record(op, outcome string) audit.Record {
	return audit.Record{Actor: operator, Operation: op, Outcome: outcome}
}

func bytesProgress(progress func(Progress)) backup.Progress {
	return func(stage string, done, total int64) {
		if progress != nil {
			progress(Progress{Stage: stage, Done: done, Total: total, Unit: "bytes"})
		}
	}
}

func backupReport(dir string, r backup.Result, begin time.Time) BackupReport {
	return BackupReport{
		Dir: dir, Store: hex.EncodeToString(r.Store[:]), Created: r.Created, Files: int64(len(r.Files)), Bytes: r.Bytes,
		Linked: r.Linked, Sequence: r.Sequence, Generation: r.Generation, DurationMS: time.Since(begin).Milliseconds(),
	}
}

// opener opens the key store of a set: with the key files that cfg names, or with a kit.
func (c *Config) opener(places keyPlaces, kit []string) backup.Opener {
	return func(ctx context.Context, port keys.Port) (*keys.Ring, error) {
		o := keys.Options{Store: port, Service: places.service, Infra: places.infra, Now: c.Now, Dev: c.Dev}
		if len(kit) > 0 {
			return keys.OpenWithKit(ctx, o, keys.RecoverySecret{Shares: kit})
		}
		ring, err := keys.Open(ctx, o)
		return ring, withHint(err, "name the key files of the store with --unseal-key and --infra-key, or give its recovery kit with --kit; a development store also needs --dev")
	}
}

// prepare completes cfg for work on a set.
func (c *Config) prepare() (keyPlaces, error) {
	c.offline = true
	if err := c.complete(); err != nil {
		return keyPlaces{}, err
	}
	return c.keyPlaces()
}

// VerifyBackup authenticates the set in dir.
func VerifyBackup(ctx context.Context, cfg Config, dir string, kit []string, progress func(Progress)) (BackupReport, error) {
	begin := time.Now()
	places, err := cfg.prepare()
	if err != nil {
		return BackupReport{}, err
	}
	r, err := backup.Verify(ctx, vfs.Default, dir, cfg.opener(places, kit), bytesProgress(progress))
	if err != nil {
		return BackupReport{}, withHintFor(err, map[fault.Kind]string{fault.Corrupt: "do not use this set; make another one with coffer backup create"})
	}
	return backupReport(dir, r, begin), nil
}

// RestoreBackup restores the set in dir into the empty data directory of cfg. With a
// kit it makes new key files, for those that were lost.
func RestoreBackup(ctx context.Context, cfg Config, dir string, kit []string, progress func(Progress)) (BackupReport, error) {
	begin := time.Now()
	places, err := cfg.prepare()
	if err != nil {
		return BackupReport{}, err
	}
	r, err := backup.Restore(ctx, vfs.Default, dir, cfg.Data, cfg.opener(places, kit), bytesProgress(progress))
	if err != nil {
		return BackupReport{}, withHintFor(err, map[fault.Kind]string{
			fault.Exists:     "name an empty directory with --data DIR",
			fault.NotAllowed: "name a data directory outside the set with --data DIR",
			fault.Corrupt:    "do not use this set: take an older one, and look at it first with coffer backup verify",
		})
	}
	if err := cfg.finishRestore(ctx, places, kit); err != nil {
		return BackupReport{}, err
	}
	return backupReport(cfg.Data, r, begin), nil
}

// RecoverKeys makes new key files for the store in cfg.Data, whose old ones are lost,
// with a recovery kit. No server may run on it.
func RecoverKeys(ctx context.Context, cfg Config, kit []string) (RecoveryReport, error) {
	if _, err := os.Stat(filepath.Join(cfg.Data, "keystore.A")); err != nil {
		return RecoveryReport{}, fault.New("server.RecoverKeys", cfg.Data, fault.ResourceNotFound, errors.New("there is no store in this directory"))
	}
	places, err := cfg.prepare()
	if err != nil {
		return RecoveryReport{}, err
	}
	if err := store.Rekey(ctx, cfg.Data, cfg.opener(places, kit)); err != nil {
		return RecoveryReport{}, withHintFor(err, map[fault.Kind]string{
			fault.InvalidInput: "check the shares for typing errors and that they belong to this store",
			fault.KeyStore:     "check the shares for typing errors and that they belong to this store",
		})
	}
	// The new files must open it, and the trail must say so.
	s, err := store.Open(ctx, store.Options{
		Dir: cfg.Data, Dev: cfg.Dev, NoCreate: true, Service: places.service, Infra: places.infra, Now: cfg.Now, Logger: cfg.Logger,
	})
	if err != nil {
		return RecoveryReport{}, err
	}
	err = s.Audit.Before(ctx, audit.Record{Actor: operator, Operation: auditRecover, Outcome: audit.OK})
	id := keys.ID(s.Ring.StoreID())
	r := RecoveryReport{Store: id.String(), Slots: slotReports(s.Ring.Slots())}
	r.UnsealKey, r.InfraKey = places.where(id)
	return r, errors.Join(err, s.Close())
}

// finishRestore opens the store once: new key files if the old ones are gone, the record
// of the restore, and no mark that says what the restored data do not name.
func (c *Config) finishRestore(ctx context.Context, places keyPlaces, kit []string) error {
	if len(kit) > 0 {
		if err := store.Rekey(ctx, c.Data, c.opener(places, kit)); err != nil {
			return err
		}
	}
	s, err := store.Open(ctx, store.Options{
		Dir: c.Data, Dev: c.Dev, NoCreate: true, Service: places.service, Infra: places.infra, Now: c.Now, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	err = s.Audit.Before(ctx, audit.Record{Actor: operator, Operation: auditRestore, Outcome: audit.OK})
	if err == nil {
		err = s.Ring.ClearUnreferenced(ctx)
	}
	return errors.Join(err, s.Close())
}
