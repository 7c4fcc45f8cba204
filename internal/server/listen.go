package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/server/control"
	"github.com/coffer-storage/coffer/internal/server/dualconn"
	"github.com/coffer-storage/coffer/internal/wire"
	"github.com/coffer-storage/coffer/internal/wire/blobhttp"
)

const (
	headTimeout = 30 * time.Second // for a whole request head, and a TLS handshake
	idleTimeout = 2 * time.Minute
	drainTime   = 30 * time.Second // for requests in flight at the end
	maxHead     = 64 << 10
)

// Listen binds all endpoints, starts background work and writes the ready file.
func (s *Server) Listen() error {
	var err error
	if s.blob.l, err = listen(s.cfg.Host, s.cfg.BlobPort, "--blob-port"); err != nil {
		return err
	}
	if s.vault.l, err = listen(s.cfg.Host, s.cfg.VaultPort, "--vault-port"); err != nil {
		return err
	}
	if s.management.l, err = listen(s.cfg.Host, s.cfg.ManagementPort, "--management-port"); err != nil {
		return err
	}
	if s.control.l, err = control.Listen(s.cfg.Data); err != nil {
		return err
	}
	s.blob.s = s.httpServer(s.blobHandler())
	s.blob.s.ConnContext = dualconn.ConnContext
	s.vault.s = s.httpServer(s.vaultHandler())
	s.vault.s.ConnContext = dualconn.ConnContext
	s.management.s = s.httpServer(s.managementHandler())
	s.management.s.ConnContext = dualconn.ConnContext
	s.control.s = s.httpServer(control.Handler(s.find, toControl))

	s.workCtx, s.stop = context.WithCancel(context.Background())
	s.store.Janitor.Start()
	s.work.Go(func() { s.runVaults(s.workCtx) })
	s.ready.Store(true)
	s.addNotices()
	if s.cfg.ReadyFile != "" {
		return s.writeReady(s.cfg.ReadyFile)
	}
	return nil
}

func listen(host string, port int, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, withHint(err, "choose another address with --host, or another port with "+flag+" (0 takes a free one)")
	}
	return l, nil
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            headTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHead,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" too is one head, one handler
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Serve serves until ctx ends or an endpoint fails, then finishes what is in flight.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 4)
	serve := func(e endpoint, l net.Listener) {
		s.work.Go(func() {
			if err := e.s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	serve(s.blob, &dualconn.Listener{Listener: s.blob.l, TLS: s.tls, Timeout: headTimeout})
	serve(s.vault, &dualconn.Listener{Listener: s.vault.l, TLS: s.tls, Timeout: headTimeout})
	serve(s.management, &dualconn.Listener{Listener: s.management.l, TLS: s.tls, Timeout: headTimeout})
	serve(s.control, s.control.l)
	s.log.Info("serving", "blob", s.Status().Blob, "management", s.Status().Management, "version", s.cfg.Version)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.ready.Store(false)
	s.log.Info("stopping")
	return errors.Join(err, s.drain())
}

// drain closes the listeners and lets requests in flight end.
func (s *Server) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var errs []error
	for _, e := range []endpoint{s.blob, s.vault, s.control, s.management} {
		err := e.s.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) { // cut, and not an error of ours
			s.log.Warn("requests were cut off at the end", "after", drainTime)
			err = e.s.Close()
		}
		errs = append(errs, err)
	}
	if s.cfg.ReadyFile != "" {
		os.Remove(s.cfg.ReadyFile)
	}
	return errors.Join(errs...)
}

// blobHandler is the outermost handler of the blob endpoint.
func (s *Server) blobHandler() http.Handler {
	h := blobhttp.New(blobhttp.Options{
		Blobs: s.store.Blobs, Accounts: s.store.Accounts, Logger: s.log, Observe: s.metrics.observe, Now: s.now,
		TrustProxy: s.cfg.TrustProxy, Identity: s.store.Identity, Authority: s.authorityURL, Resource: s.resource,
		KeyVersion: func(_ keys.Protector, kref keys.ID) uint64 {
			v, _ := s.store.Ring.Lookup(kref)
			return v.Number
		},
	})
	plainEverywhere := s.cfg.Dev || s.cfg.AllowHTTP
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names := dualconn.Names(r) // also settles r.TLS
		if r.TLS == nil && !plainEverywhere && !localPeer(r) && !s.proxyEndedTLS(r) {
			refusePlain(w)
			return
		}
		if names != nil {
			r = r.WithContext(wire.WithRawHeader(r.Context(), names))
		}
		h.ServeHTTP(w, r)
	})
}

// localPeer reports whether a request came over loopback.
func localPeer(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && isLoopback(host)
}

// proxyEndedTLS reports whether the proxy that is trusted says that the client spoke TLS.
func (s *Server) proxyEndedTLS(r *http.Request) bool {
	lines := r.Header.Values("X-Forwarded-Proto")
	if !s.cfg.TrustProxy || len(lines) == 0 {
		return false
	}
	last := lines[len(lines)-1] // the nearest proxy's, whatever the client sent before
	last = last[strings.LastIndexByte(last, ',')+1:]
	return strings.EqualFold(strings.TrimSpace(last), "https")
}

// refusePlain answers plain HTTP from elsewhere as the service does for accounts that
// require TLS.
func refusePlain(w http.ResponseWriter) {
	w.Header().Set("x-ms-error-code", "AccountRequiresHttps")
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(w, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AccountRequiresHttps</Code>"+
		"<Message>The account being accessed does not support http.</Message></Error>")
}

// Status says what runs and where.
func (s *Server) Status() Status {
	id := keys.ID(s.store.Ring.StoreID())
	st := Status{
		PID: os.Getpid(), Version: s.cfg.Version, Data: s.cfg.Data, Store: id.String(), Dev: s.cfg.Dev,
		Blob: s.url(s.blob.l), Vault: s.vaultURL(), VaultDomain: s.cfg.VaultDomain, Management: s.url(s.management.l), Authority: s.authorityURL(),
		TLSCA: s.path(caFile), TLSBundle: s.path(bundleFile),
	}
	st.UnsealKey, st.InfraKey = s.keys.where(id)
	if s.defaultKey != "" {
		st.Account, st.Key = string(account.DefaultName), s.defaultKey
	}
	return st
}

// url is how this machine reaches a listener.
func (s *Server) url(l net.Listener) string {
	if l == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = DefaultHost
	}
	return "http://" + net.JoinHostPort(host, port)
}

// ConnectionString is for the Azure SDKs; scheme is http or https.
func (st Status) ConnectionString(scheme string) string {
	base := scheme + strings.TrimPrefix(st.Blob, "http")
	return fmt.Sprintf("DefaultEndpointsProtocol=%s;AccountName=%s;AccountKey=%s;BlobEndpoint=%s/%s;",
		scheme, st.Account, st.Key, base, st.Account)
}

// writeReady writes the ready file: private, and whole or not at all.
func (s *Server) writeReady(path string) error {
	b, err := json.MarshalIndent(s.Status(), "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".coffer-ready-*") // 0600
	if err != nil {
		return withHint(err, "name a file in a directory that you may write: --ready-file FILE")
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

func (s *Server) addNotices() {
	if s.cfg.AllowUnsigned {
		s.notices = append(s.notices, unsignedNotice)
	}
	if s.cfg.temporary {
		s.notices = append(s.notices, "this store is temporary: it is removed at the end")
		return
	}
	if !s.cfg.Dev && !s.store.Ring.RecoveryProved() {
		s.notices = append(s.notices,
			"no recovery kit was proved: when the key files above are lost, all data are. coffer recovery create, then coffer recovery prove")
	}
}
