package main

import (
	"fmt"

	"github.com/coffer-storage/coffer/internal/server"
)

type doctorCmd struct{ storeFlags }

func (c *doctorCmd) Run(a *app) error {
	var got server.DoctorReport
	if err := c.call(a, "doctor", server.Nothing{}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"", "CHECK", "FOUND", "WHAT TO DO"}}
	for _, f := range got.Advice {
		rows = append(rows, []string{f.Level, f.Check, f.Found, orDash(f.Do)})
	}
	a.table(rows...)
	fmt.Fprintf(a.stdout, "\nworst: %s\n", got.Worst())
	return nil
}
