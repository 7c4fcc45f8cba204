package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"Show what was done with keys, by whom, and what was refused."`
	Verify auditVerifyCmd `cmd:"" help:"Check the chain, the signatures and the anchor of the audit trail, or an export of it."`
	Export auditExportCmd `cmd:"" help:"Write the audit trail to a file that can be verified without the store."`
}

type auditListCmd struct {
	storeFlags
	From      uint64 `help:"First entry." placeholder:"N"`
	Since     string `help:"From this time on: RFC 3339, a date, or how long ago (24h)." placeholder:"TIME"`
	Until     string `help:"Before this time." placeholder:"TIME"`
	Operation string `help:"Operations with this beginning: keys.rotate, vault." placeholder:"TEXT"`
	What      string `help:"Only about things with this text in their name." placeholder:"TEXT"`
	Actor     string `help:"Only what this actor asked for." placeholder:"NAME"`
	Refused   bool   `help:"Only what was refused or failed."`
	Last      int    `help:"How many, the last ones; 0 is all." default:"100"`
}

func (c *auditListCmd) Run(a *app) error {
	args := server.AuditListArgs{
		From: c.From, Operation: c.Operation, What: c.What, Actor: c.Actor, Refused: c.Refused, Last: c.Last,
	}
	var err error
	if args.Since, err = readTime(c.Since, time.Now()); err != nil {
		return err
	}
	if args.Until, err = readTime(c.Until, time.Now()); err != nil {
		return err
	}
	var got []server.AuditRecord
	if err := c.call(a, "audit.list", args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"ENTRY", "TIME", "BY", "OPERATION", "WHAT", "OUTCOME", "KEY VERSION", "REQUEST"}}
	for _, r := range got {
		rows = append(rows, []string{
			fmt.Sprint(r.Seq), when(&r.Time), r.Actor, r.Operation, orDash(r.What), r.Outcome, orDash(r.Key), orDash(r.RequestID),
		})
	}
	a.table(rows...)
	return nil
}

// readTime reads a time as people write it.
func readTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	if t, ok := parseTime(s); ok {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2006-01-02, 2006-01-02T15:04:05Z, or 24h for a day ago", s)
}

// parseTime reads a point in time; what names no zone is UTC.
func parseTime(s string) (t time.Time, ok bool) {
	for _, form := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

type auditVerifyCmd struct {
	storeFlags
	Anchor string `help:"Compare with the checkpoints in this file; that of the running server if not given." placeholder:"FILE"`
	Export string `help:"Verify this export instead; no store is needed." placeholder:"FILE"`
	Pin    string `help:"Identity of the store that the export has to be from, as coffer keys list shows it." placeholder:"HEX"`
}

func (c *auditVerifyCmd) Run(a *app) error {
	if c.Export != "" {
		return c.export(a)
	}
	args := server.AuditVerifyArgs{}
	if c.Anchor != "" {
		var err error
		if args.Anchor, err = filepath.Abs(c.Anchor); err != nil {
			return err
		}
	}
	var got server.AuditReport
	if err := c.call(a, "audit.verify", args, &got); err != nil {
		return damaged(a, err)
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	fmt.Fprintf(a.stdout, "entries %d to %d in %d files: the chain is whole\n", got.First, got.End, got.Files)
	fmt.Fprintf(a.stdout, "%d signed checkpoints, up to entry %d\n", got.Checkpoints, got.Signed)
	if got.Anchor == "" {
		fmt.Fprintln(a.stdout, "no anchor: log and HEAD cut together would go unseen (coffer serve --audit-anchor FILE)")
	} else {
		fmt.Fprintf(a.stdout, "anchor %s: %d checkpoints agree\n", got.Anchor, got.Anchored)
	}
	fmt.Fprintf(a.stdout, "last link %s\n", got.Hash)
	return nil
}

// damaged prints an error of something that was verified; the exit code says so.
func damaged(a *app, err error) error {
	if server.IsDamage(err) {
		a.report(err)
		return exitError(exitDamage)
	}
	return err
}

func (c *auditVerifyCmd) export(a *app) error {
	a.json = c.JSON
	f, err := os.Open(c.Export)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := server.VerifyAuditExport(f, c.Pin)
	if err != nil {
		return damaged(a, err)
	}
	printExport(a, got)
	if c.Pin == "" && !a.json {
		fmt.Fprintln(a.stdout, "compare the identity with that of coffer keys list, or give it as --pin")
	}
	return nil
}

func printExport(a *app, e server.AuditExport) {
	if a.json {
		a.printJSON(e)
		return
	}
	fmt.Fprintf(a.stdout, "audit trail of store %s, entries %d to %d, as of %s\n", e.Store, e.First, e.Last, when(&e.At))
	fmt.Fprintf(a.stdout, "the chain is whole; %d signed checkpoints, up to entry %d\n", e.Checkpoints, e.Signed)
	fmt.Fprintf(a.stdout, "signed by identity %s\n", e.Identity)
}

type auditExportCmd struct {
	storeFlags
	File string `arg:"" help:"File to write; it must not be there yet."`
	From uint64 `help:"First entry; all if not given." placeholder:"N"`
}

func (c *auditExportCmd) Run(a *app) error {
	if c.File == "" {
		return errors.New("name a file")
	}
	path, err := filepath.Abs(c.File)
	if err != nil {
		return err
	}
	var got server.AuditExport
	if err := c.call(a, "audit.export", server.AuditExportArgs{File: path, From: c.From}, &got); err != nil {
		return err
	}
	printExport(a, got)
	return nil
}
