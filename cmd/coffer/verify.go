package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

type verifyCmd struct {
	storeFlags
	Search string `help:"File with strings, one a line, that must not be on disk (raw, hex, base64, UTF-16); - is stdin." placeholder:"FILE"`
	Report string `help:"Write what was found to this file, dated and signed by the store; it must not be there yet." placeholder:"FILE"`
}

// maxSearch bounds the file of strings.
const maxSearch = 16 << 20

func (c *verifyCmd) Run(a *app) error {
	a.json = c.JSON
	var args server.VerifyArgs
	if c.Search != "" {
		needles, err := readNeedles(a, c.Search)
		if err != nil {
			return err
		}
		args.Search = needles
	}
	var got server.VerifyReport
	var err error
	if c.Report != "" {
		got, err = c.writeReport(a, args)
	} else {
		err = c.call(a, "verify", args, &got)
	}
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
	} else {
		printVerify(a, &got)
	}
	if !got.Clean() {
		return exitError(exitDamage)
	}
	return nil
}

func readNeedles(a *app, file string) ([][]byte, error) {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSearch+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSearch {
		return nil, fmt.Errorf("%s is over %s: search for fewer strings at a time", file, size(maxSearch))
	}
	var out [][]byte
	for line := range bytes.Lines(b) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no string to search for", file)
	}
	return out, nil
}

func printVerify(a *app, r *server.VerifyReport) {
	p := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	p("authenticated: %d rows, %d chunks with %s of content, %d files with %s, in %s",
		r.Rows, r.Chunks, size(r.Bytes), r.Files, size(r.FileBytes), time.Duration(r.DurationMS)*time.Millisecond)
	if r.Double > 0 {
		p("of these with both layers: %d rows and chunks", r.Double)
	}
	if r.Suspended > 0 {
		p("not verifiable while their key is away: %d", r.Suspended)
	}
	rows := [][]string{{"KEY", "VERSION", "REF", "OF", "USES"}}
	for _, k := range r.Keys {
		rows = append(rows, []string{k.Kind, fmt.Sprint(k.Version), k.Ref, k.Owner, fmt.Sprint(k.Uses)})
	}
	a.table(rows...)
	if r.Searched > 0 {
		p("searched for %d strings in %d encodings: %d hits", r.Searched, len(r.Encodings), len(r.Plaintext))
	}
	for _, h := range r.Plaintext {
		p("PLAINTEXT: string %d as %s in %s at %d", h.String, h.Encoding, h.File, h.Offset)
	}
	for _, d := range r.Damage {
		p("DAMAGE: %s: %s", d.Where, d.What)
	}
	if r.Clean() {
		p("clean")
		return
	}
	p("NOT clean")
	if len(r.Damage) > 0 {
		p("  next: coffer backup restore, from the newest backup that coffer backup verify accepts")
	}
}
