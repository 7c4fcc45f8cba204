package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
)

type recoveryCmd struct {
	Create  recoveryCreateCmd  `cmd:"" help:"Make a recovery kit: it opens both roots when the key files are lost."`
	Prove   recoveryProveCmd   `cmd:"" help:"Give the kit back and open the roots with it."`
	Restore recoveryRestoreCmd `cmd:"" help:"Make new key files with the kit, for a store whose key files are lost."`
}

type recoveryCreateCmd struct {
	storeFlags
	Name      string `help:"Name of the kit." default:"recovery kit"`
	Shares    int    `help:"Number of shares." default:"1"`
	Threshold int    `help:"Shares that are needed." default:"1"`
	Out       string `help:"Write the kit to this new file (0600) and not to the terminal." placeholder:"FILE"`
}

func (c *recoveryCreateCmd) Run(a *app) error {
	var got server.RecoveryReport
	args := server.RecoveryArgs{Name: c.Name, Shares: c.Shares, Threshold: c.Threshold}
	var out *os.File
	if c.Out != "" { // before the kit is made: a kit that cannot be written is lost
		f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	if err := c.call(a, "recovery.create", args, &got); err != nil {
		if out != nil {
			os.Remove(c.Out)
		}
		return err
	}
	if out != nil {
		if err := writeKit(out, got, c.Threshold); err != nil {
			return fmt.Errorf("%s: %w; the kit is lost, make another one", c.Out, err)
		}
		got.Shares = nil
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	if out == nil {
		if err := writeKit(a.stdout, got, c.Threshold); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(a.stdout, "the kit is in", c.Out)
	}
	fmt.Fprintln(a.stdout, "\nKeep it away from this machine, then prove it: coffer recovery prove")
	return nil
}

func writeKit(w io.Writer, r server.RecoveryReport, threshold int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Coffer recovery kit. Whoever has it and a copy of the data can read everything.\n")
	fmt.Fprintf(&b, "# store %s\n# pin   %s\n# %d of %d shares are needed; give each to another person.\n", r.Store, r.Pin, threshold, len(r.Shares))
	for _, s := range r.Shares {
		b.WriteString(s + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if f, ok := w.(*os.File); ok && f != os.Stdout {
		return f.Sync()
	}
	return nil
}

type recoveryProveCmd struct {
	storeFlags
	Kit []string `help:"File with shares of the kit; may be repeated. Without it shares are read from stdin, one a line." placeholder:"FILE"`
}

func (c *recoveryProveCmd) Run(a *app) error {
	given, err := giveShares(a, c.Kit)
	if err != nil {
		return err
	}
	var got server.RecoveryReport
	if err := c.call(a, "recovery.prove", server.RecoveryArgs{Given: given}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	fmt.Fprintln(a.stdout, "the kit opens this store:")
	a.table(slotRows(got.Slots)...)
	return nil
}

type recoveryRestoreCmd struct {
	storeFlags
	Kit []string `help:"File with shares of the kit; may be repeated. Without it shares are read from stdin, one a line." placeholder:"FILE"`
}

func (c *recoveryRestoreCmd) Run(a *app) error {
	a.json = c.JSON
	cfg, err := c.config()
	if err != nil {
		return err
	}
	given, err := giveShares(a, c.Kit)
	if err != nil {
		return err
	}
	got, err := server.RecoverKeys(a.ctx, cfg, given)
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	fmt.Fprintf(a.stdout, "new key files open the store; the old ones no longer do:\n  %s\n  %s\n", got.UnsealKey, got.InfraKey)
	return nil
}

// giveShares reads shares from files, or from the person who runs the command.
func giveShares(a *app, files []string) ([]string, error) {
	if len(files) == 0 {
		if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
			fmt.Fprintln(a.stderr, "type the shares of the kit, one a line; an empty line ends")
		}
		return readShares(a.stdin)
	}
	return readKit(files)
}

// readKit reads the shares in all files.
func readKit(files []string) ([]string, error) {
	var all []string
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		got, err := readShares(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, got...)
	}
	return all, nil
}

// readShares reads lines up to an empty one; lines that begin with # are for people.
func readShares(r io.Reader) ([]string, error) {
	var out []string
	for in := bufio.NewScanner(io.LimitReader(r, 1<<20)); in.Scan(); {
		line := strings.TrimSpace(in.Text())
		if line == "" && len(out) > 0 {
			break
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no shares were given")
	}
	return out, nil
}
