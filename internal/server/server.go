// Package server puts the parts together: it is the one place that names concrete
// drivers, and it owns listeners, certificates, the memory budget, the control socket
// and the order in which a store is opened and closed.
//
//	LOCK -> key store (unseal keys) -> HEAD -> LSM -> rows -> services -> listeners
//
// A store that does not open completely is not served.
package server

import "context"

// Server is one opened store with its services and, after Listen, its endpoints.
type Server struct{}

// Open opens the store that cfg names, or makes it. It does not listen yet.
func Open(ctx context.Context, cfg Config) (*Server, error) { panic("soon") }

// Serve listens and serves until ctx ends, then finishes what is in flight (30 s).
func (s *Server) Serve(ctx context.Context) error { panic("soon") }

// Close gives everything back: requests, store, keys, lock.
func (s *Server) Close() error { panic("soon") }
