// Command coffer is an Azure-Storage-compatible server in which encryption at rest
// cannot be turned off, and the tools for its keys and data.
//
//	coffer serve       everything on loopback, durable, encrypted from the first byte
//	coffer inspect     how one blob is protected
//	coffer verify      prove it
//
// Commands reach a running server through the socket in its data directory, and open
// the store themselves, under its lock, when no server runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/server"
)

// version is set by the linker.
var version = ""

// Exit codes. verify uses damage for damage or plaintext found, and failed for a run
// that could not be made.
const (
	exitDamage = 1
	exitFailed = 2
)

// commands is the whole command line.
type commands struct {
	Serve        serveCmd        `cmd:"" help:"Serve the storage endpoints."`
	Env          envCmd          `cmd:"" help:"Print connection strings and CA settings of the running server, to paste into a shell."`
	Inspect      inspectCmd      `cmd:"" help:"Show how one blob is protected."`
	Verify       verifyCmd       `cmd:"" help:"Authenticate every stored byte; search for plaintext."`
	VerifyReport verifyReportCmd `cmd:"" help:"Check a report that verify --report wrote; no store is needed."`
	Backup       backupCmd       `cmd:"" help:"Back up data and keys, verify and restore backups."`
	Keys         keysCmd         `cmd:"" help:"List, rotate and drill keys."`
	Recovery     recoveryCmd     `cmd:"" help:"Make a recovery kit and prove that it works."`
	Account      accountCmd      `cmd:"" help:"Create, list and delete storage accounts; show and renew their keys."`
	Scope        scopeCmd        `cmd:"" help:"Create, list, disable and enable encryption scopes: keys of their own inside an account."`
	Group        groupCmd        `cmd:"" help:"Create, list, change and delete resource groups, which accounts, vaults and identities are in."`
	Container    containerCmd    `cmd:"" help:"Create, list, change and delete containers."`
	Vault        vaultCmd        `cmd:"" help:"Create vaults and Managed HSMs, and the keys in them."`
	Audit        auditCmd        `cmd:"" help:"Show, verify and export the trail of what was done with keys."`
	Identity     identityCmd     `cmd:"" help:"Create identities: programs with a secret or a certificate, and managed ones."`
	Role         roleCmd         `cmd:"" help:"Say who may do what: built-in roles on accounts, containers and vaults."`
	Doctor       doctorCmd       `cmd:"" help:"Show what could lose your data or your keys, and what to do about it."`
	Cse          cseCmd          `cmd:"" help:"Encrypt and decrypt on the client, as the .NET, Java and Python SDKs do; migrate from version 1.0."`
	Version      versionCmd      `cmd:"" help:"Show version and cryptographic module."`
}

// app is what commands run in.
type app struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	json           bool
}

// exitError ends the program with a code, after everything was said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func main() {
	// Before any key is made. What the system refuses, doctor shows.
	_ = secret.HardenProcess()
	privateFiles(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr}
	if msg := emulatorFlag(args); msg != "" {
		fmt.Fprintln(stderr, "coffer: "+msg)
		return exitFailed
	}
	var cli commands
	exited := -1
	parser, err := kong.New(&cli,
		kong.Name("coffer"),
		kong.Description("Azure-Storage-compatible server; encryption at rest cannot be turned off."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(a),
	)
	if err != nil {
		fmt.Fprintln(stderr, "coffer:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "coffer: %v\n  next: coffer --help, or coffer COMMAND --help\n", err)
		return exitFailed
	}
	return a.report(parsed.Run(a))
}

// report prints an error with what to do next, and chooses the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	hint := server.Hint(err)
	if h := cseHint(err); h != "" {
		hint = h
	}
	if errors.Is(err, context.Canceled) {
		hint = "it was interrupted; run it again"
	}
	if a.json {
		a.printJSON(map[string]any{"error": map[string]string{"message": err.Error(), "next": hint}})
	}
	fmt.Fprintf(a.stderr, "coffer: %v\n", err)
	if hint != "" {
		fmt.Fprintf(a.stderr, "  next: %s\n", hint)
	}
	return exitFailed
}
