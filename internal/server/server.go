// Package server puts the parts together: it is the one place that names concrete
// drivers, and it owns listeners, certificates, the memory budget, the control socket
// and the operations that commands ask for.
//
//	key places -> store (package store) -> CA -> default account -> listeners
//
// A store that does not open completely is not served.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/server/certs"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// Server is one opened store with its services and, after Listen, its endpoints.
type Server struct {
	cfg   Config
	log   *slog.Logger
	now   func() time.Time
	keys  keyPlaces
	store *store.Store

	authority  *certs.Authority
	tls        *tls.Config
	metrics    *metrics
	defaultKey string // first key of the default account, "" when it is not served
	notices    []string

	blob, vault, management, control endpoint
	ready                            atomic.Bool

	workCtx context.Context // of background work, ended by stop
	stop    context.CancelFunc
	work    sync.WaitGroup
	closed  sync.Once
}

// endpoint is one listener with its HTTP server.
type endpoint struct {
	l net.Listener
	s *http.Server
}

// Open opens the store that cfg names, or makes it. It does not listen yet.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, now: cfg.Now, metrics: newMetrics()}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	if !s.cfg.offline {
		limitMemory(s.cfg.MemoryLimit)
	}
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if s.cfg.offline {
		return nil
	}
	if err := s.checkExposure(ctx); err != nil {
		return err
	}
	if s.cfg.AcceptRollback {
		if err := s.store.Audit.Before(ctx, s.record(auditRollback, audit.OK)); err != nil {
			return err
		}
	}
	if err := s.openTLS(); err != nil {
		return err
	}
	if err := s.openCustomer(); err != nil {
		return err
	}
	return s.openDefaultAccount(ctx)
}

func (s *Server) openStore(ctx context.Context) error {
	if err := makePrivate(s.cfg.Data); err != nil {
		return err
	}
	var err error
	if s.keys, err = s.cfg.keyPlaces(); err != nil {
		return err
	}
	s.store, err = store.Open(ctx, store.Options{
		Dir: s.cfg.Data, Dev: s.cfg.Dev, NoCreate: s.cfg.offline,
		Service: s.keys.service, Infra: s.keys.infra, KeyStoreCopy: s.cfg.KeyStoreCopy,
		AuditAnchor: s.cfg.AuditAnchor, AcceptRollback: s.cfg.AcceptRollback, AllowXTS: s.cfg.AllowXTS,
		MemTable: memTableSize, BlockCache: blockCacheSize,
		Now: s.now, Logger: s.log, Fatal: s.cfg.Fatal,
		Identity: s.identityOptions(), Vaults: s.vaultOptions(),
		OnCorrupt: s.metrics.corrupt(s.log), Hooks: s.metrics.hooks(), OnAlarm: s.metrics.alarm(s.log),
	})
	if err != nil {
		return err
	}
	s.metrics.watch(s.store)
	if err := s.dropReadyFile(); err != nil {
		return err
	}
	return s.store.Blobs.FinishShred(ctx)
}

// dropReadyFile removes what a killed server left: who waits for the file waits for us.
func (s *Server) dropReadyFile() error {
	if s.cfg.ReadyFile == "" || s.cfg.offline {
		return nil
	}
	if err := os.Remove(s.cfg.ReadyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "name a file that you may write: --ready-file FILE")
	}
	return nil
}

// makePrivate makes the data directory, for its owner only.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return withHint(err, "choose a directory that you may write with --data DIR")
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" { // has no such bits
		if err := checkOurs(dir); err != nil {
			return err
		}
		return withHint(os.Chmod(dir, 0o700), "make the data directory yours: chown it, or choose another with --data DIR")
	}
	return nil
}

// checkOurs refuses a directory that holds other things: to close it to others would be
// wrong, /tmp for one.
func checkOurs(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return withHint(err, "choose a directory that you may read with --data DIR")
	}
	for _, e := range list {
		if slices.Contains(keyStoreFiles, e.Name()) {
			return nil
		}
	}
	if len(list) == 0 || len(list) == 1 && list[0].Name() == "lost+found" { // a fresh file system
		return nil
	}
	return withHint(fault.New("server.Open", dir, fault.NotAllowed,
		errors.New("others may enter this directory, and it holds things that are not Coffer's")),
		"name a directory of its own with --data DIR; it is made if it is not there")
}

// checkExposure keeps a store that could be lost, or whose key everybody knows, on
// loopback.
func (s *Server) checkExposure(ctx context.Context) error {
	const op = "server.Open"
	if !s.exposed() {
		return nil
	}
	if !s.store.Ring.RecoveryProved() {
		if !s.cfg.AcceptDataLoss {
			return withHint(fault.New(op, s.cfg.Host, fault.NotAllowed,
				errors.New("no recovery kit of this store was proved, and the address is not loopback")),
				"make one with: coffer recovery create, then coffer recovery prove; or accept the loss with --accept-data-loss")
		}
		if err := s.store.Audit.Before(ctx, s.record(auditExpose, audit.OK)); err != nil {
			return err
		}
		s.notices = append(s.notices, "no recovery kit was proved: when the key files are lost, the data are (--accept-data-loss)")
	}
	return s.checkDefaultKey(ctx)
}

// exposed reports whether others than this machine reach the server, and may not use a
// published key.
func (s *Server) exposed() bool { return !s.cfg.offline && !s.cfg.Dev && !s.cfg.loopback() }

// checkDefaultKey refuses accounts that have the published key of the default account.
func (s *Server) checkDefaultKey(ctx context.Context) error {
	infos, err := s.store.Accounts.List(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		pair, err := s.store.Accounts.Keys(ctx, info.Name)
		if err != nil {
			return err
		}
		for i, k := range pair {
			if k == account.DefaultKey {
				return withHint(fault.New("server.Open", string(info.Name), fault.NotAllowed,
					errors.New("this account has the published key of the emulator, and the address is not loopback")),
					fmt.Sprintf("replace the key with: coffer account regenerate %s %d, or delete the account", info.Name, i+1))
			}
		}
	}
	return nil
}

// openDefaultAccount makes the emulator's account where only this machine can use it.
func (s *Server) openDefaultAccount(ctx context.Context) error {
	if !s.cfg.Dev && !s.cfg.loopback() {
		return nil
	}
	if _, err := s.store.Accounts.EnsureDefault(ctx); err != nil {
		return err
	}
	pair, err := s.store.Accounts.Keys(ctx, account.DefaultName)
	if err != nil {
		return err
	}
	s.defaultKey = pair[0]
	return nil
}

// exists reports whether an account of that name is served.
func (s *Server) exists(label string) bool {
	n, err := name.ParseAccount(label)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = s.store.Accounts.Get(ctx, n)
	return err == nil
}

// Notices are lines that a person should read at start.
func (s *Server) Notices() []string { return s.notices }

// Close gives everything back: background work, store, keys, lock. Serve closes the
// endpoints.
func (s *Server) Close() error {
	var err error
	s.closed.Do(func() { err = s.close() })
	return err
}

func (s *Server) close() error {
	s.ready.Store(false)
	var errs []error
	for _, e := range []*endpoint{&s.control, &s.blob, &s.vault, &s.management} {
		errs = append(errs, e.close())
	}
	if s.stop != nil {
		s.stop()
	}
	s.work.Wait()
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.cfg.temporary {
		errs = append(errs, os.RemoveAll(s.cfg.Data))
	}
	return errors.Join(errs...)
}

func (e *endpoint) close() error {
	var errs []error
	if e.s != nil {
		errs = append(errs, e.s.Close())
	}
	if e.l != nil {
		if err := e.l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
