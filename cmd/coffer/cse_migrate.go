package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/internal/server"
)

type cseRewrapCmd struct {
	cseTarget
	cseKeys
	Target      string `arg:"" help:"CONTAINER, CONTAINER/PREFIX or, with --blob, CONTAINER/BLOB; or the URL of one with a SAS."`
	Blob        bool   `help:"The target is one blob, not a prefix of names."`
	NewKey      string `help:"Key file of the new key, as --key; --vault-key is the new key if it is not given." placeholder:"FILE"`
	NewKeyID    string `help:"Id of the new key." name:"new-key-id" placeholder:"ID"`
	AllowV1Read bool   `help:"Rewrap version 1.0 as well." name:"allow-v1-read"`
	Concurrency int    `help:"Blobs at once." default:"8"`
	DryRun      bool   `help:"Say what would be done."`
}

func (c *cseRewrapCmd) Run(a *app) error {
	a.json = c.JSON
	o := cse.Options{AllowV1Read: c.AllowV1Read, MaxRegionLength: 1 << 30}
	if err := c.cseKeys.apply(a.ctx, &o); err != nil {
		return err
	}
	fresh, err := c.newKey(&o)
	if err != nil {
		return err
	}
	box, rest, err := c.container(c.Target)
	if err != nil {
		return err
	}
	var report cse.RewrapReport
	if c.Blob {
		b, err := cse.NewBlobClient(box.NewBlockBlobClient(rest), &o)
		if err != nil {
			return err
		}
		r, err := b.Rewrap(a.ctx, fresh, nil)
		if err != nil {
			return err
		}
		if r.Rewrapped {
			report.Rewrapped = 1
		} else {
			report.Already = 1
		}
	} else if report, err = c.all(a, box, rest, fresh, &o); err != nil {
		return err
	}
	c.print(a, report)
	if report.Failed > 0 {
		return exitError(exitFailed)
	}
	return nil
}

// newKey returns the key to wrap by. The others are those that unwrap.
func (c *cseRewrapCmd) newKey(o *cse.Options) (cse.Key, error) {
	if c.NewKey != "" {
		if c.NewKeyID == "" {
			return nil, &cseError{err: errors.New("the new key has no id"), hint: "--new-key-id ID"}
		}
		return c.read(c.NewKeyID, c.NewKey)
	}
	if c.VaultKey == "" {
		return nil, &cseError{err: errors.New("there is no new key"), hint: "--new-key FILE --new-key-id ID, or --vault-key URL"}
	}
	return o.Key, nil
}

func (c *cseRewrapCmd) print(a *app, r cse.RewrapReport) {
	if a.json {
		a.printJSON(map[string]any{
			"rewrapped": r.Rewrapped, "already": r.Already, "notEncrypted": r.Plain, "failed": r.Failed,
			"held": r.Held, "heldUnknown": r.HeldUnknown, "dryRun": c.DryRun,
		})
		return
	}
	verb := "rewrapped"
	if c.DryRun {
		verb = "would be rewrapped"
	}
	fmt.Fprintf(a.stdout, "%d %s, %d were before, %d are not encrypted, %d failed\n", r.Rewrapped, verb, r.Already, r.Plain, r.Failed)
	for _, id := range slices.Sorted(maps.Keys(r.Held)) {
		fmt.Fprintf(a.stdout, "%d snapshots or versions still need key %q\n", r.Held[id], id)
	}
	if r.HeldUnknown != "" {
		fmt.Fprintln(a.stdout, r.HeldUnknown)
	}
}

type cseMigrateCmd struct {
	cseTarget
	cseKeys
	cseWrite
	Target          string `arg:"" help:"CONTAINER, CONTAINER/PREFIX, or the URL of a container with a SAS."`
	To              string `help:"v2: encrypt version 1.0 anew; server: decrypt, so that the server protects it." enum:"v2,server" default:"v2"`
	Plaintext       bool   `help:"With --to v2: encrypt what is not encrypted as well."`
	RequireLength   bool   `help:"Refuse blobs of 2.x whose length is not authenticated: those of other writers."`
	MaxRegionLength int64  `help:"Largest region to read, bytes; 64 MiB if not given, at most 1 GiB." placeholder:"BYTES"`
	Concurrency     int    `help:"Blobs at once; each holds two blocks." default:"8"`
	DryRun          bool   `help:"Say what would be done, and what holds the old form."`
}

func (c *cseMigrateCmd) Run(a *app) error {
	a.json = c.JSON
	o := cse.Options{RequireLength: c.RequireLength, MaxRegionLength: c.MaxRegionLength}
	if err := c.cseKeys.apply(a.ctx, &o); err != nil {
		return err
	}
	c.cseWrite.apply(&o)
	box, prefix, err := c.container(c.Target)
	if err != nil {
		return err
	}
	bar := newBar(a)
	failures := []map[string]string{}
	report, err := cse.Migrate(a.ctx, box, &o, &cse.MigrateOptions{
		Target: cse.Target(c.To), Plaintext: c.Plaintext, Prefix: prefix, Concurrency: c.Concurrency, DryRun: c.DryRun,
		Progress: func(p cse.MigrateProgress) {
			bar.show(server.Progress{Stage: "migrate", Done: int64(p.Blobs), Total: int64(p.TotalBlobs), Unit: "blobs"})
		},
		Each: func(r cse.MigrateResult) error {
			if r.Err == nil {
				return nil
			}
			bar.done()
			fmt.Fprintf(a.stderr, "%q: %v\n", r.Name, oneLine(r.Err))
			if len(failures) < 1000 {
				failures = append(failures, map[string]string{"name": r.Name, "error": oneLine(r.Err)})
			}
			return nil
		},
	})
	bar.done()
	if err != nil {
		return err
	}
	c.print(a, report, failures)
	if report.Failed > 0 {
		return exitError(exitFailed)
	}
	return nil
}

func (c *cseMigrateCmd) print(a *app, r cse.MigrateReport, failures []map[string]string) {
	if a.json {
		names := []map[string]string{}
		for _, h := range r.HeldNames {
			names = append(names, map[string]string{"name": h.Name, "snapshot": h.Snapshot, "versionId": h.VersionID, "form": h.Form})
		}
		a.printJSON(map[string]any{
			"to": c.To, "dryRun": c.DryRun, "migrated": r.Migrated, "bytes": r.Bytes, "done": r.Done, "skipped": r.Skipped,
			"failed": r.Failed, "failures": failures, "held": r.Held, "heldNames": names, "heldUnknown": r.HeldUnknown,
		})
		return
	}
	verb := "migrated"
	if c.DryRun {
		verb = "would be migrated"
	}
	fmt.Fprintf(a.stdout, "%d %s (%s), %d were before, %d plaintext left alone, %d failed\n",
		r.Migrated, verb, size(r.Bytes), r.Done, r.Skipped, r.Failed)
	for _, form := range slices.Sorted(maps.Keys(r.Held)) {
		fmt.Fprintf(a.stdout, "%d snapshots or versions still hold %s:\n", r.Held[form], form)
	}
	for i, h := range r.HeldNames {
		if i == 20 {
			fmt.Fprintf(a.stdout, "  and %d more; --json lists up to 1000\n", len(r.HeldNames)-i)
			break
		}
		fmt.Fprintf(a.stdout, "  %s %s%s\n", h.Name, h.Snapshot, h.VersionID)
	}
	if r.HeldUnknown != "" {
		fmt.Fprintln(a.stdout, r.HeldUnknown)
	}
}

func (c *cseRewrapCmd) all(a *app, box *container.Client, prefix string, fresh cse.Key, o *cse.Options) (cse.RewrapReport, error) {
	bar := newBar(a)
	defer bar.done()
	done := int64(0)
	return cse.RewrapAll(a.ctx, box, fresh, o, &cse.RewrapAllOptions{
		Prefix: prefix, Concurrency: c.Concurrency, DryRun: c.DryRun,
		Each: func(name string, _ cse.RewrapResult, err error) error {
			done++
			bar.show(server.Progress{Stage: "rewrap", Done: done, Unit: "blobs"})
			if err != nil {
				bar.done()
				fmt.Fprintf(a.stderr, "%q: %v\n", name, oneLine(err))
			}
			return nil
		},
	})
}

// oneLine is an error of a blob in a list: an error of the service has a page of text,
// with the URL, and the URL may hold a signature.
func oneLine(err error) string {
	if r, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return fmt.Sprintf("%s (status %d)", r.ErrorCode, r.StatusCode)
	}
	return err.Error()
}
