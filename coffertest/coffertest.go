// Package coffertest runs a Coffer server inside a Go test.
//
//	func TestUpload(t *testing.T) {
//		srv := coffertest.New(t)
//		client, err := azblob.NewClientFromConnectionString(srv.ConnectionString, nil)
//		...
//	}
//
// The store is encrypted like any other; its root keys live in memory and end with the test.
package coffertest

import "testing"

// Server is a running server. Its fields do not change.
type Server struct {
	ConnectionString string // for every Azure SDK
	Account          string // name of the default account
	Key              string // its first key, base64
	BlobURL          string // http://127.0.0.1:PORT/ACCOUNT
}

// New starts a server and stops it when the test ends.
func New(t testing.TB) *Server { panic("soon") }
