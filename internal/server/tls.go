package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/server/certs"
)

// Files of the CA, relative to the data directory. bundle is the system's roots and our
// CA, for programs that take one file only.
const (
	caFile     = "tls/ca.pem"
	caKeyFile  = "tls/ca.key"
	bundleFile = "tls/bundle.pem"
)

// renewCA is how long before its end the CA is replaced.
const renewCA = 30 * 24 * time.Hour

func (s *Server) openTLS() error {
	if err := os.MkdirAll(s.path("tls"), 0o700); err != nil {
		return err
	}
	a, err := s.loadAuthority()
	if err != nil {
		return err
	}
	s.authority = a
	if err := s.writeBundle(); err != nil {
		return err
	}
	s.tls = &tls.Config{
		MinVersion: tls.VersionTLS12,
		// HTTP/2 would put all transfers of a client on one connection, at half the speed.
		NextProtos: []string{"http/1.1"},
	}
	if s.cfg.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
		if err != nil {
			return withHint(fmt.Errorf("own certificate: %w", err), "give PEM files that belong together: --cert CHAIN --key KEY")
		}
		s.tls.Certificates = []tls.Certificate{pair}
		return nil
	}
	issuer, err := certs.NewIssuer(a, append(s.cfg.vaultDomains(), s.cfg.Domains...), s.hostStyle, s.now)
	if err != nil {
		return err
	}
	s.tls.GetCertificate = issuer.GetCertificate
	return nil
}

// hostStyle reports whether a server name is ACCOUNT.blob.ANYTHING of an account here.
func (s *Server) hostStyle(host string) bool {
	labels := strings.SplitN(host, ".", 3)
	if len(labels) != 3 || labels[1] != "blob" {
		return false
	}
	return s.exists(strings.TrimSuffix(labels[0], "-secondary")) || s.exists(labels[0])
}

// loadAuthority reads the CA, or makes it. The private key lies sealed on disk.
func (s *Server) loadAuthority() (*certs.Authority, error) {
	pem, pemErr := os.ReadFile(s.path(caFile))
	sealed, keyErr := os.ReadFile(s.path(caKeyFile))
	if errors.Is(keyErr, fs.ErrNotExist) {
		return s.makeAuthority()
	}
	if err := errors.Join(pemErr, keyErr); err != nil {
		return nil, withHint(err, "restore tls/ from a backup, or remove tls/ca.pem and tls/ca.key: a new CA is made then")
	}
	der, err := sealedfs.OpenFile(s.store.Ring, caKeyFile, sealed)
	if err != nil {
		return nil, withHint(fault.New("server.Open", caKeyFile, fault.Corrupt, err),
			"restore tls/ from a backup, or remove tls/ca.pem and tls/ca.key: a new CA is made then")
	}
	defer clear(der)
	a, err := certs.ParseAuthority(pem, der)
	if err != nil {
		return nil, err
	}
	if s.now().Add(renewCA).After(a.Certificate.NotAfter) {
		s.notices = append(s.notices, "the CA was at its end and was replaced: trust the new one, see coffer env")
		return s.makeAuthority()
	}
	return a, nil
}

// makeAuthority makes a new CA. The certificate goes first: without the key beside it,
// which is what a crash in between leaves, both are made again.
func (s *Server) makeAuthority() (*certs.Authority, error) {
	id := s.store.Ring.StoreID()
	a, err := certs.NewAuthority(fmt.Sprintf("%x", id[:4]), s.now())
	if err != nil {
		return nil, err
	}
	der, err := a.KeyDER()
	if err != nil {
		return nil, err
	}
	defer clear(der)
	sealed, err := sealedfs.SealFile(s.store.Ring, caKeyFile, der)
	if err != nil {
		return nil, err
	}
	if err := sealedfs.WriteAtomic(vfs.Default, s.path(caFile), a.PEM()); err != nil {
		return nil, err
	}
	return a, sealedfs.WriteAtomic(vfs.Default, s.path(caKeyFile), sealed)
}

// systemRoots are where systems keep their roots in one file.
var systemRoots = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7
	"/etc/ssl/cert.pem",                                 // macOS, BSD
}

// writeBundle writes the system's roots and our CA into one file.
func (s *Server) writeBundle() error {
	var roots []byte
	for _, p := range systemRoots {
		if b, err := os.ReadFile(p); err == nil {
			roots = append(b, '\n')
			break
		}
	}
	return sealedfs.WriteAtomic(vfs.Default, s.path(bundleFile), append(roots, s.authority.PEM()...))
}

func (s *Server) path(rel string) string { return filepath.Join(s.cfg.Data, filepath.FromSlash(rel)) }
