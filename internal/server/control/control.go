// Package control is how commands reach a running server: HTTP over a socket in the data
// directory, for its owner only (the directory is 0700, the socket 0600).
//
// A call is POST /v1/NAME with a JSON body. The answer is a stream of JSON lines: any
// number of {"progress": ..}, then one {"result": ..} or {"error": ..}. A stream that ends
// without one of the last two is an error: the server went away.
//
// A path over the limit for sockets is bound through the directory's descriptor where
// the system has /proc, else in a private directory whose path is left in control.path.
package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

const (
	socketName = "control.sock"
	pathName   = "control.path"
	maxPath    = 100 // bytes: 104 with the terminator on some systems, 108 on others
)

// ErrNoServer says that nobody serves the directory.
var ErrNoServer = errors.New("control: no server is running on this data directory")

// Listen binds the socket of dir. The caller holds the store's lock, so what lies there
// from an earlier process is stale and is replaced. Closing the listener removes it.
func Listen(dir string) (net.Listener, error) {
	for _, n := range []string{socketName, pathName} {
		if err := os.Remove(filepath.Join(dir, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("control: remove the stale socket: %w", err)
		}
	}
	path := filepath.Join(dir, socketName)
	if len(path) <= maxPath {
		return bind(path)
	}
	if via, release, ok := viaDescriptor(dir); ok {
		l, err := bind(via)
		if err == nil {
			return &cleaning{Listener: l, clean: release}, nil
		}
		release()
	}
	return listenElsewhere(dir)
}

// listenElsewhere binds in a fresh private directory and leaves its path in dir.
func listenElsewhere(dir string) (net.Listener, error) {
	private, err := os.MkdirTemp(os.Getenv("XDG_RUNTIME_DIR"), "coffer-")
	if err != nil {
		return nil, fmt.Errorf("control: a place for the socket: %w", err)
	}
	path := filepath.Join(private, socketName)
	l, err := bind(path)
	if err != nil {
		os.RemoveAll(private)
		return nil, err
	}
	pointer := filepath.Join(dir, pathName)
	if err := os.WriteFile(pointer, []byte(path+"\n"), 0o600); err != nil {
		l.Close()
		os.RemoveAll(private)
		return nil, err
	}
	return &cleaning{Listener: l, clean: func() {
		os.Remove(pointer)
		os.RemoveAll(private)
	}}, nil
}

func bind(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control: %w", err)
	}
	return l, nil
}

// Dial connects to the server of dir, or returns ErrNoServer.
func Dial(ctx context.Context, dir string) (net.Conn, error) {
	path := filepath.Join(dir, socketName)
	if b, err := os.ReadFile(filepath.Join(dir, pathName)); err == nil {
		path = strings.TrimSpace(string(b))
	} else if len(path) > maxPath {
		via, release, ok := viaDescriptor(dir)
		if !ok {
			return nil, ErrNoServer
		}
		defer release()
		path = via
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("control: the socket belongs to another user: %w", err)
	default: // not there, or nobody behind it
		return nil, ErrNoServer
	}
}

// cleaning does one more thing after Close.
type cleaning struct {
	net.Listener
	clean func()
}

func (c *cleaning) Close() error {
	err := c.Listener.Close()
	c.clean()
	return err
}
