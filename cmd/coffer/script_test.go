package main

import (
	"context"
	"crypto/fips140"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/coffer-storage/coffer/internal/server"
	"github.com/coffer-storage/coffer/internal/wire/auth/authtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"coffer": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
			stop()
			os.Exit(code)
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("GODEBUG", os.Getenv("GODEBUG")) // the program runs in FIPS mode if the test does
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "fips":
				return fips140.Enabled(), nil
			case "strict":
				return fips140.Enforced(), nil
			}
			return false, fmt.Errorf("no condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"waitfor": waitFor, "http": doHTTP, "flip": flip, "stop": stop, "connection": connection,
			"sub": substitute, "cptree": copyTree,
		},
	})
}

// waitFor waits until a file is there: the ready file of a server.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for range 300 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s does not come", args[0])
}

// doHTTP sends a signed request: http READY METHOD PATH STATUS [BODY-FILE] [NAME:VALUE]..
// with those headers. The body of the answer is its output. "http !READY .." sends it
// without a signature.
func doHTTP(ts *testscript.TestScript, _ bool, args []string) {
	name, unsigned := strings.CutPrefix(args[0], "!")
	var st server.Status
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(name)), &st))
	var body string
	headers := args[4:]
	if len(headers) > 0 && !strings.Contains(headers[0], ":") {
		body, headers = ts.ReadFile(headers[0]), headers[1:]
	}
	// @name/.. is another account, with the same key.
	account, url := st.Account, st.Blob+args[2]
	if other, ok := strings.CutPrefix(args[2], "@"); ok {
		account, _, _ = strings.Cut(other, "/")
		url = st.Blob + "/" + other
	} else if !strings.HasPrefix(args[2], "//") {
		url = st.Blob + "/devstoreaccount1" + args[2]
	}
	req, err := http.NewRequest(args[1], url, strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("x-ms-version", "2025-01-05")
	if args[1] == "PUT" && !strings.Contains(args[2], "?") {
		req.Header.Set("x-ms-blob-type", "BlockBlob")
		req.Header.Set("x-ms-meta-Note", "canary in metadata")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Set(name, value)
	}
	if !unsigned {
		key, err := base64.StdEncoding.DecodeString(st.Key)
		ts.Check(err)
		authtest.Credential{Account: account, Key: key}.Sign(req, req.URL.EscapedPath(), time.Now())
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), string(b))
	if fmt.Sprint(resp.StatusCode) != args[3] {
		ts.Fatalf("%s %s: %s, want %s: %s", args[1], args[2], resp.Status, args[3], b)
	}
}

// stop asks the server of a ready file to end, as a service manager does.
func stop(ts *testscript.TestScript, _ bool, args []string) {
	var st server.Status
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &st))
	p, err := os.FindProcess(st.PID)
	ts.Check(err)
	ts.Check(p.Signal(syscall.SIGTERM))
}

// substitute replaces the first of two texts in a file by the second.
func substitute(ts *testscript.TestScript, _ bool, args []string) {
	path, b := ts.MkAbs(args[0]), ts.ReadFile(args[0])
	if !strings.Contains(b, args[1]) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, []byte(strings.Replace(b, args[1], args[2], 1)), 0o600))
}

// copyTree copies a directory.
func copyTree(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// flip changes a bit in the middle of a file.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.WriteFile(path, b, 0o600))
}
