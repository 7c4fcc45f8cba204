package main

import (
	"crypto/fips140"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct {
	JSON bool `help:"Answer as JSON." name:"json"`
}

// versionText is the version of this build.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// outside lists what the program uses that is not in the validated module.
var outside = []string{
	"Content-MD5 and ETag checks (MD5, no security use)",
	"CRC-64 and CRC-32C checksums (no security use)",
	"Shamir shares of recovery kits (no standard; refused in FIPS mode)",
}

func (c *versionCmd) Run(a *app) error {
	a.json = c.JSON
	v := struct {
		Version string   `json:"version"`
		Go      string   `json:"go"`
		OS      string   `json:"os"`
		Arch    string   `json:"arch"`
		Module  string   `json:"crypto_module"`
		FIPS    bool     `json:"fips_mode"`
		Outside []string `json:"outside_module"`
	}{versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH, fips140.Version(), fips140.Enabled(), outside}
	if a.json {
		a.printJSON(v)
		return nil
	}
	fmt.Fprintf(a.stdout, "coffer %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
	mode := "off"
	if v.FIPS {
		mode = "on"
	}
	fmt.Fprintf(a.stdout, "cryptographic module: Go, %s; FIPS 140-3 mode %s\n", v.Module, mode)
	fmt.Fprintln(a.stdout, "outside of the module:")
	for _, o := range outside {
		fmt.Fprintln(a.stdout, "  -", o)
	}
	return nil
}
