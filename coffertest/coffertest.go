// Package coffertest runs a Coffer server inside a Go test.
//
//	func TestUpload(t *testing.T) {
//		srv := coffertest.New(t)
//		client, err := azblob.NewClientFromConnectionString(srv.ConnectionString, nil)
//		...
//	}
//
// The store is encrypted like any other; its root keys live in memory and end with the
// test, its data in a temporary directory.
package coffertest

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

// Server is a running server. Its fields do not change.
type Server struct {
	ConnectionString    string // for every Azure SDK, over http
	TLSConnectionString string // the same over https; see Client
	Account             string // name of the default account
	Key                 string // its first key, base64
	BlobURL             string // http://127.0.0.1:PORT/ACCOUNT
	ManagementURL       string // http://127.0.0.1:PORT with /healthz, /readyz, /metrics
	CAFile              string // certificate authority of the server, PEM
	DataDir             string // where the sealed data lie, until the test ends
}

// Options change what New does. Nil and the zero value work.
type Options struct {
	Logger  *slog.Logger // of the server; nil discards
	Domains []string     // names below which the server has certificates
}

// New starts a server and stops it when the test ends. Options may be left out.
func New(t testing.TB, options ...*Options) *Server {
	t.Helper()
	var o Options
	for _, given := range options {
		if given != nil {
			o = *given
		}
	}
	s, err := server.Open(context.Background(), server.Config{
		Version: "coffertest", Data: t.TempDir(), KeyMemory: true,
		Domains: o.Domains, Logger: o.Logger, MemoryLimit: -1,
		Fatal: func(err error) { panic("coffertest: the store failed: " + err.Error()) },
	})
	if err != nil {
		t.Fatalf("coffertest: %v", err)
	}
	if err := s.Listen(); err != nil {
		s.Close()
		t.Fatalf("coffertest: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("coffertest: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("coffertest: %v", err)
		}
	})
	st := s.Status()
	return &Server{
		ConnectionString:    st.ConnectionString("http"),
		TLSConnectionString: st.ConnectionString("https"),
		Account:             st.Account,
		Key:                 st.Key,
		BlobURL:             st.Blob + "/" + st.Account,
		ManagementURL:       st.Management,
		CAFile:              st.TLSCA,
		DataDir:             st.Data,
	}
}

// Client returns an HTTP client that trusts the server's certificates.
func (s *Server) Client() *http.Client {
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(s.CAFile); err == nil {
		roots.AppendCertsFromPEM(pem)
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig.RootCAs = roots
	return &http.Client{Transport: tr, Timeout: time.Minute}
}
