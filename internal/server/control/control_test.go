package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func serve(t *testing.T, dir string) {
	t.Helper()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	find := func(name string) Func {
		switch name {
		case "echo":
			return func(_ context.Context, args json.RawMessage, progress func(any)) (any, error) {
				progress(1)
				progress(2)
				return args, nil
			}
		case "fail":
			return func(context.Context, json.RawMessage, func(any)) (any, error) { return nil, errors.New("no") }
		case "panic":
			return func(context.Context, json.RawMessage, func(any)) (any, error) { panic(http.ErrAbortHandler) }
		}
		return nil
	}
	srv := &http.Server{Handler: Handler(find, func(err error) *Error { return &Error{Message: err.Error(), Hint: "try"} })}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
}

func TestCall(t *testing.T) {
	// The second directory is too long for a socket's path.
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{t.TempDir(), long} {
		if err := Call(t.Context(), dir, "echo", nil, nil, nil); !errors.Is(err, ErrNoServer) {
			t.Errorf("Call without a server = %v, want ErrNoServer", err)
		}
		// A stale socket from a process that was killed.
		os.WriteFile(filepath.Join(dir, socketName), nil, 0o600)
		if err := Call(t.Context(), dir, "echo", nil, nil, nil); !errors.Is(err, ErrNoServer) {
			t.Errorf("Call on a stale socket = %v, want ErrNoServer", err)
		}
		serve(t, dir)
		if st, err := os.Stat(filepath.Join(dir, socketName)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("socket: %v, %v, want mode 0600", st, err)
		}
		var got map[string]int
		var progress []string
		err := Call(t.Context(), dir, "echo", map[string]int{"a": 7}, &got, func(p json.RawMessage) { progress = append(progress, string(p)) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"a": 7}, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"1", "2"}, progress); diff != "" {
			t.Error(diff)
		}
		err = Call(t.Context(), dir, "fail", nil, nil, nil)
		if e, ok := errors.AsType[*Error](err); !ok || e.Message != "no" || e.Hint != "try" {
			t.Errorf("Call(fail) = %v, want the server's error", err)
		}
		if err := Call(t.Context(), dir, "panic", nil, nil, nil); err == nil {
			t.Error("an answer that breaks off was taken as success")
		}
		if err := Call(t.Context(), dir, "unknown", nil, nil, nil); err == nil {
			t.Error("an unknown operation was taken as success")
		}
	}
}

func TestCloseRemovesTheSocket(t *testing.T) {
	dir := t.TempDir()
	for _, listen := range []func(string) (interface{ Close() error }, error){
		func(d string) (interface{ Close() error }, error) { return Listen(d) },
		func(d string) (interface{ Close() error }, error) { return listenElsewhere(d) },
	} {
		l, err := listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Dial(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("Close left %v", left)
		}
		if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNoServer) {
			t.Errorf("Dial after Close = %v, want ErrNoServer", err)
		}
	}
}
