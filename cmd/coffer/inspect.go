package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

type inspectCmd struct {
	storeFlags
	Target string `arg:"" help:"URL of the blob, or ACCOUNT/CONTAINER/BLOB."`
}

func (c *inspectCmd) Run(a *app) error {
	target, err := parseTarget(c.Target)
	if err != nil {
		return err
	}
	var got server.Inspection
	if err := c.call(a, "inspect", target, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	fmt.Fprintf(a.stdout, "%s/%s/%s\n", got.Account, got.Container, got.Blob)
	a.table(
		[]string{"  length", fmt.Sprintf("%d bytes, %d stored", got.Length, got.StoredSize)},
		[]string{"  protected by", got.Protector},
		[]string{"  key", keyLine(got)},
		[]string{"  provider", got.Provider},
		[]string{"  wrapped", got.Wrapped.UTC().Format(time.RFC3339)},
		[]string{"  layers", strings.Join(got.Layers, "; ")},
		[]string{"  algorithms", strings.Join(got.Algorithms, "; ")},
		[]string{"  data keys", fmt.Sprint(got.DEKs)},
		[]string{"  chunks", fmt.Sprintf("%d, of which %d in metadata rows", got.Chunks, got.Inline)},
		[]string{"  metadata", got.Metadata},
		[]string{"  properties", got.Properties},
		[]string{"  names", got.Names},
	)
	printCustomer(a, got.Customer)
	printTree(a, got.Tree)
	for _, l := range got.Second {
		fmt.Fprintln(a.stdout, "  second layer:", l)
	}
	printTree(a, got.InfraPlaces)
	return nil
}

// printCustomer prints what is known of a customer-managed key.
func printCustomer(a *app, c *server.CustomerKeyReport) {
	if c == nil {
		return
	}
	follow := "this version"
	if c.Follow {
		follow = "takes new versions"
	}
	state := c.State
	if c.Reason != "" {
		state += " (" + c.Reason + ": " + c.Cause + ")"
	}
	a.table(
		[]string{"  customer's key", c.Address + ", " + follow},
		[]string{"  its state", state},
		[]string{"  last opened", when(c.LastSuccess) + ", usable until " + when(c.Deadline)},
		[]string{"  taken on", when(c.Rotated) + ", expires " + when(c.Expires)},
		[]string{"  timers", "cache " + c.Cache + ", version check " + c.VersionCheck + ", without the vault " + c.Stale},
	)
}

// printTree prints one level a line, each further in.
func printTree(a *app, levels []server.KeyLevel) {
	for i, l := range levels {
		fmt.Fprintf(a.stdout, "  %s%s %s, wrapped by %s\n", strings.Repeat("  ", i), l.Level, l.Name, l.By)
	}
}

// keyLine is the key version in force; a customer's key is not among ours.
func keyLine(got server.Inspection) string {
	if got.Key.Version == 0 {
		return got.State
	}
	return fmt.Sprintf("%s version %d (%s), %s; protector %s", got.Key.Chain, got.Key.Version, got.Key.Ref, got.Key.State, got.State)
}

// parseTarget reads ACCOUNT/CONTAINER/BLOB or the URL of a blob, path-style or
// host-style.
func parseTarget(s string) (server.Target, error) {
	path := s
	if u, err := url.Parse(s); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		path = strings.TrimPrefix(u.EscapedPath(), "/")
		if labels := strings.Split(u.Hostname(), "."); len(labels) > 2 && strings.HasPrefix(labels[1], "blob") {
			path = strings.TrimSuffix(labels[0], "-secondary") + "/" + path
		}
		if path, err = url.PathUnescape(path); err != nil {
			return server.Target{}, err
		}
	}
	parts := strings.SplitN(path, "/", 3)
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return server.Target{}, server.WithHint(fmt.Errorf("%q names no blob", s),
			"name it as ACCOUNT/CONTAINER/BLOB, as in devstoreaccount1/tour/hello.txt, or by its URL")
	}
	return server.Target{Account: parts[0], Container: parts[1], Blob: parts[2]}, nil
}
