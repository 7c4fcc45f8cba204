package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/coffer-storage/coffer/internal/server"
)

// writeReport verifies, keeps the signed report in a file and returns what was found.
func (c *verifyCmd) writeReport(a *app, args server.VerifyArgs) (server.VerifyReport, error) {
	var signed server.SignedStatement
	// The file first: a report that cannot be kept is not worth the work.
	f, err := os.OpenFile(c.Report, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return server.VerifyReport{}, err
	}
	fail := func(err error) (server.VerifyReport, error) {
		f.Close()
		os.Remove(c.Report)
		return server.VerifyReport{}, err
	}
	if err := c.call(a, "verify.report", args, &signed); err != nil {
		return fail(err)
	}
	b, err := json.MarshalIndent(signed, "", "  ")
	if err != nil {
		return fail(err)
	}
	if _, err = f.Write(append(b, '\n')); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fail(err)
	}
	if err := f.Close(); err != nil {
		return fail(err)
	}
	var st server.Statement
	err = json.Unmarshal(signed.Report, &st)
	return st.Result, err
}

type verifyReportCmd struct {
	File string `arg:"" help:"The report that coffer verify --report wrote."`
	Pin  string `help:"Identity of the store that it has to be from, as coffer keys list shows it." placeholder:"HEX"`
	JSON bool   `help:"Answer as JSON." name:"json"`
}

// Run needs no store. The exit code is that of the verification the report tells of.
func (c *verifyReportCmd) Run(a *app) error {
	a.json = c.JSON
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	st, identity, err := server.VerifyStatement(f, c.Pin)
	if err != nil {
		return damaged(a, err)
	}
	if a.json {
		a.printJSON(map[string]any{"identity": identity, "report": st})
	} else {
		printStatement(a, &st, identity)
		if c.Pin == "" {
			fmt.Fprintln(a.stdout, "compare the identity with that of coffer keys list, or give it as --pin")
		}
	}
	if !st.Clean {
		return exitError(exitDamage)
	}
	return nil
}

func printStatement(a *app, st *server.Statement, identity string) {
	mode := "off"
	if st.Build.FIPS {
		mode = "on"
	}
	a.table(
		[]string{"store", st.Store},
		[]string{"signed by identity", identity},
		[]string{"verified", when(&st.Begun) + " to " + when(&st.Ended)},
		[]string{"build", fmt.Sprintf("%s %s, %s, %s", st.Build.Version, st.Build.Revision, st.Build.Go, st.Build.Platform)},
		[]string{"FIPS 140-3", fmt.Sprintf("mode %s, module %s", mode, st.Build.Module)},
	)
	for _, line := range st.Scope {
		fmt.Fprintln(a.stdout, "  -", line)
	}
	printVerify(a, &st.Result)
}
