package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

func (a *app) printJSON(v any) {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	enc.Encode(v)
}

// table prints rows with aligned columns; the first row is the head.
func (a *app) table(rows ...[]string) {
	w := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	w.Flush()
}

// bar is the progress bar on a terminal's stderr, and nothing elsewhere.
type bar struct {
	w     io.Writer // nil: no terminal
	last  time.Time
	shown bool
}

func newBar(a *app) *bar {
	if f, ok := a.stderr.(*os.File); ok && isTerminal(f) {
		return &bar{w: f}
	}
	return &bar{}
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

func (b *bar) show(p server.Progress) {
	if b.w == nil || time.Since(b.last) < 100*time.Millisecond && p.Done != p.Total {
		return
	}
	b.last, b.shown = time.Now(), true
	const width = 30
	done, unit := amount(p.Done, p.Unit), p.Unit
	if p.Unit == "bytes" {
		unit = ""
	}
	if p.Total <= 0 {
		fmt.Fprintf(b.w, "\r\x1b[K%s: %s %s", p.Stage, done, unit)
		return
	}
	n := int(min(p.Done*width/p.Total, width))
	fmt.Fprintf(b.w, "\r\x1b[K%s [%s%s] %s of %s %s", p.Stage,
		strings.Repeat("#", n), strings.Repeat("-", width-n), done, amount(p.Total, p.Unit), unit)
}

func (b *bar) done() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

func amount(n int64, unit string) string {
	if unit == "bytes" {
		return size(n)
	}
	return fmt.Sprint(n)
}

// size writes a number of bytes for people.
func size(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/step, 0
	for v >= step && i < 3 {
		v, i = v/step, i+1
	}
	return fmt.Sprintf("%.1f %s", v, [...]string{"KiB", "MiB", "GiB", "TiB"}[i])
}

func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
