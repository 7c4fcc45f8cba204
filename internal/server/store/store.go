// Package store opens one store: the key store, the sealed metadata engine, extents and
// the services over them, in the order in which they depend on each other, and closes
// them in the reverse order. It has no listeners; package server adds them, commands and
// whole-store tests use it as it is.
//
//	LOCK, leftovers removed
//	key store read, roots opened by the key providers, pin and signature checked
//	HEAD: store, format, generation; every live log reaches what HEAD promises
//	LSM; copies of the key store repaired; a purge write finished
//	protector rows mirrored; extents; services
//
// A failure on the way refuses the store and changes nothing that matters.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/extent/fileextent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/janitor"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/filestore"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/resource"
	"github.com/coffer-storage/coffer/internal/scope"
	"github.com/coffer-storage/coffer/internal/vault"
)

// Options say what to open. Dir, Service and Infra are required.
type Options struct {
	FS  vfs.FS // real or crashable; nil is the operating system's
	Dir string // the data directory

	Service keyprovider.Provider // opens the service root
	Infra   keyprovider.Provider // opens the infrastructure root

	// KeyStoreCopy is a directory that keeps a further copy of the key store; it has to
	// exist. "" is none.
	KeyStoreCopy string

	// AuditAnchor is a file, best on another machine, to which checkpoints of the audit
	// trail are appended; a store that is older than it says is refused. "" is none.
	AuditAnchor string

	Dev            bool          // development store: must match what the store says
	NoCreate       bool          // refuse an empty directory
	AcceptRollback bool          // go on where HEAD and logs do not agree
	AllowXTS       bool          // in FIPS mode: open double extents that another build wrote
	Layout         object.Layout // for tests: how contents are cut

	MemTable   int64 // bytes; 0 is the engine's default
	BlockCache int64 // bytes; 0 is the engine's default

	FreeSpace func() (uint64, error) // nil asks the file system
	MinFree   uint64                 // 0 is the engine's default
	Reserve   int64                  // bytes of the reserve file; 0 the default, negative none

	Now    func() time.Time
	Logger *slog.Logger // nil discards
	// Fatal is told that the log was lost. It must not return. nil: exit code 3.
	Fatal     func(error)
	OnCorrupt func(object.Damage)
	// OnAlarm is told what the blob service finds alarming, after it is in the trail.
	OnAlarm func(blob.Alarm)
	Hooks   pebblekv.Hooks
	// Vault is where customers keep their keys; it may be given later, to Ring.SetVault.
	Vault    keys.Vault
	Customer keys.CustomerOptions
	// Identity configures the identity service; clock, trail and log are the store's.
	Identity identity.Options
	// Vaults configures the vault service in the same way.
	Vaults vault.Options
}

// Store is an opened store. Its fields are set once and may be used in parallel.
type Store struct {
	FS       vfs.FS // what Dir lies on
	Dir      string
	Ring     *keys.Ring
	Meta     *pebblekv.Store
	Extents  extent.Store
	Objects  *object.Store
	Accounts *account.Service
	Scopes   *scope.Service
	Identity *identity.Service
	Vaults   *vault.Service
	// Resources is the management plane over the services above.
	Resources *resource.Service
	Blobs     *blob.Service
	Audit     *audit.Log
	Janitor   *janitor.Janitor // rests until Start
	Created   bool             // this Open made the store

	closers []func() error // in the order of opening
}

// Open opens the store in o.Dir, or makes one there.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{FS: o.FS, Dir: o.Dir}
	if err := s.open(ctx, &o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, o *Options) error {
	if err := s.openLock(o); err != nil {
		return err
	}
	if err := s.openKeys(ctx, o); err != nil {
		return err
	}
	if err := s.openMeta(ctx, o); err != nil {
		return err
	}
	if err := s.openAudit(o); err != nil {
		return err
	}
	if err := s.finishKeys(ctx); err != nil {
		return err
	}
	return s.openServices(ctx, o)
}

// later notes what Close has to do; it is done in reverse order.
func (s *Store) later(f func() error) { s.closers = append(s.closers, f) }

// openLock makes the directory and takes it.
func (s *Store) openLock(o *Options) error {
	if o.NoCreate {
		if _, err := o.FS.Stat(o.Dir); err != nil {
			return err
		}
	}
	if err := mkdirSynced(o.FS, o.Dir); err != nil {
		return err
	}
	lock, err := sealedfs.Lock(o.FS, o.Dir)
	if err != nil {
		return err
	}
	s.later(lock.Close)
	return nil
}

// mkdirSynced makes a directory that is still there after a power cut: whatever of the
// path did not exist is named in a synced parent. Without this a whole new store could
// vanish, and the next start would make another one.
func mkdirSynced(f vfs.FS, dir string) error {
	if _, err := f.Stat(dir); err == nil {
		return nil
	}
	parent := f.PathDir(dir)
	if parent != dir {
		if _, err := f.Stat(parent); errors.Is(err, fs.ErrNotExist) {
			if err := mkdirSynced(f, parent); err != nil {
				return err
			}
		}
	}
	if err := f.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	d, err := f.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openKeys opens the key store, or makes it in a directory that holds nothing of ours.
func (s *Store) openKeys(ctx context.Context, o *Options) error {
	port, err := keyStorePort(o)
	if err != nil {
		return err
	}
	ko := keys.Options{Store: port, Service: o.Service, Infra: o.Infra, Now: o.Now, Dev: o.Dev, Vault: o.Vault, Customer: o.Customer}
	exists, err := filestore.Exists(o.FS, o.Dir)
	if err == nil && !exists && o.KeyStoreCopy != "" {
		exists, err = filestore.Exists(o.FS, o.KeyStoreCopy)
	}
	if err != nil {
		return err
	}
	if exists {
		s.Ring, err = keys.Open(ctx, ko)
	} else {
		if err := mayCreate(o); err != nil {
			return err
		}
		s.Created = true
		s.Ring, err = keys.Create(ctx, ko)
	}
	if err != nil {
		return err
	}
	s.later(func() error { s.Ring.Close(); return nil })
	return nil
}

// keyStorePort is the key store in the data directory, and in the second place if there
// is one. A place that is missing, a disk that is not mounted, is refused: silently going
// on without it would leave the copy behind.
func keyStorePort(o *Options) (*filestore.Store, error) {
	if o.KeyStoreCopy == "" {
		return filestore.New(o.FS, o.Dir)
	}
	const op = "store.Open"
	if _, err := o.FS.Stat(o.KeyStoreCopy); err != nil {
		return nil, fault.New(op, o.KeyStoreCopy, fault.InvalidInput, fmt.Errorf("the place of the second copy of the key store (--keystore-copy): %w", err))
	}
	return filestore.New(o.FS, o.Dir, o.KeyStoreCopy)
}

// remains are names that only a store leaves: a directory with one of them and without
// a key store has lost it.
var remains = []string{"lsm", "extents", "audit", "tls", "HEAD.A", "HEAD.B"}

func mayCreate(o *Options) error {
	const op = "store.Open"
	if o.NoCreate {
		return fault.New(op, o.Dir, fault.ResourceNotFound, errors.New("there is no store in this directory"))
	}
	for _, n := range remains {
		switch _, err := o.FS.Stat(o.FS.PathJoin(o.Dir, n)); {
		case err == nil:
			return fault.New(op, o.Dir, fault.KeyStore,
				errors.New("keystore.A and keystore.B are gone, and "+n+" is there: restore the key store from a backup"))
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// openMeta opens the engine; HEAD is checked against the key store in it.
func (s *Store) openMeta(ctx context.Context, o *Options) error {
	var err error
	s.Meta, err = pebblekv.Open(ctx, pebblekv.Options{
		FS: o.FS, Dir: o.Dir, Keys: s.Ring,
		MemTable: o.MemTable, BlockCache: o.BlockCache,
		Logger: o.Logger, OnFatal: o.Fatal,
		FreeSpace: o.FreeSpace, MinFree: o.MinFree, Reserve: o.Reserve,
		Create: !s.Ring.Initialized(), AcceptRollback: o.AcceptRollback,
		Hooks: o.Hooks,
	})
	if err != nil {
		return err
	}
	s.later(s.Meta.Close)
	return nil
}

// usage is the number of bytes sealed under a key version since the start.
func (s *Store) usage(kref keys.ID) uint64 {
	n := s.Meta.FS().Usage(kref)
	if e, ok := s.Extents.(interface{ Usage([16]byte) uint64 }); ok {
		n += e.Usage(kref)
	}
	return n
}

// finishKeys completes what the last run left: creation, copies, a purge write. From
// here on HEAD follows every change of the key store.
func (s *Store) finishKeys(ctx context.Context) error {
	s.Ring.OnSwap(s.Meta.AfterSwap)
	s.Ring.SetUsage(s.usage)
	// A copy that cannot be repaired is no reason to refuse: doctor shows it.
	_ = s.Ring.Repair(ctx)
	if !s.Ring.Initialized() {
		if err := s.Ring.Initialize(ctx); err != nil {
			return err
		}
	}
	if s.Ring.PurgePending() {
		if err := s.Ring.FinishPurge(ctx); err != nil {
			return err
		}
	}
	return s.Ring.FinishSwitches(ctx)
}

// minFree is what both engines leave of the disk.
const minFree = 64 << 20

func (s *Store) openServices(ctx context.Context, o *Options) error {
	free, least := o.FreeSpace, o.MinFree
	if free == nil {
		free = func() (uint64, error) {
			u, err := o.FS.GetDiskUsage(o.Dir)
			return u.AvailBytes, err
		}
	}
	if least == 0 {
		least = minFree
	}
	ext, err := fileextent.Open(fileextent.Options{
		FS: o.FS, Dir: o.FS.PathJoin(o.Dir, "extents"), FreeSpace: free, MinFree: least,
		Infra: s.Ring.Infra(), AllowXTS: o.AllowXTS,
	})
	if err != nil {
		return err
	}
	s.Extents = ext
	s.later(ext.Close)

	s.Objects, err = object.New(ctx, object.Options{
		Meta: s.Meta, Extents: ext, Ring: s.Ring, Now: o.Now, Logger: o.Logger, OnCorrupt: o.OnCorrupt, Layout: o.Layout,
	})
	if err != nil {
		return err
	}
	s.later(func() error { s.Objects.Close(); return nil })

	s.Accounts = account.New(s.Objects, s.Ring, account.Options{Now: o.Now})
	s.later(func() error { s.Accounts.Close(); return nil })
	s.Scopes = scope.New(s.Objects, s.Ring, o.Now)
	if err := s.openIdentity(ctx, o); err != nil {
		return err
	}
	s.openVaults(o)
	s.Resources = resource.New(resource.Options{
		Store: s.Objects, Accounts: s.Accounts, Scopes: s.Scopes, Ring: s.Ring, Identities: s.Identity, Now: o.Now,
	})
	s.Blobs = blob.New(s.Objects, s.Accounts, s.Scopes, blob.Options{Now: o.Now, OnAlarm: s.alarm(o.OnAlarm)})
	s.Janitor = janitor.New(janitor.Options{
		Store: s.Objects, Ring: s.Ring, Collectors: []janitor.Collector{s.Blobs.Collect}, Now: o.Now, Logger: o.Logger,
	})
	s.later(func() error { s.Janitor.Close(); return nil })
	return nil
}

// openIdentity reads principals, roles and signing keys. When a row of theirs is damaged
// the rest of the store is served all the same: then nobody has tokens or roles.
func (s *Store) openIdentity(ctx context.Context, o *Options) error {
	io := o.Identity
	io.Now, io.Logger, io.Audit = o.Now, o.Logger, s.Audit
	s.Identity = identity.New(s.Objects, io)
	s.later(func() error { s.Identity.Close(); return nil })
	err := s.Identity.Load(ctx)
	if fault.Is(err, fault.Corrupt) {
		o.Logger.Error("identity is damaged: no token and no role counts until it is restored", "err", err)
		return nil
	}
	return err
}

// alarm puts an alarm into the trail and passes it on.
func (s *Store) alarm(next func(blob.Alarm)) func(blob.Alarm) {
	return func(a blob.Alarm) {
		s.Audit.After(audit.Record{
			Actor: "server", Operation: "blob.alarm.rekeyed", Outcome: audit.OK,
			What: fmt.Sprintf("account %s: %d blobs overwritten under a new customer-provided key within %v", a.Account, a.Count, a.Within),
		})
		if next != nil {
			next(a)
		}
	}
}

// Close closes everything; HEAD then says that the store was stopped cleanly. Nothing
// may use the store any more. Closing again does nothing.
func (s *Store) Close() error {
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	s.closers = nil
	return errors.Join(errs...)
}
