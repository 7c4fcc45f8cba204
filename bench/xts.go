package main

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// compareXTS measures, in turn, the kernels of package xts and x/crypto, which are in its
// benchmark, and openssl: one core, sectors of 4 KiB.
func compareXTS(w io.Writer, program, openssl string, rounds int) error {
	rates := map[string][]float64{} // operation/who, bytes/s of each round
	var order []string
	add := func(name string, rate float64) {
		if rates[name] == nil {
			order = append(order, name)
		}
		rates[name] = append(rates[name], rate)
	}
	for range rounds {
		out, err := exec.Command(program, "-test.run=^$", "-test.bench=XTS", "-test.benchtime=200ms", "-test.cpu=1").Output()
		if err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		if n := goRates(string(out), "BenchmarkXTS/", add); n == 0 {
			return fmt.Errorf("%s measured nothing", program)
		}
		if openssl == "" {
			continue
		}
		for _, op := range []string{"seal", "open"} {
			rate, err := opensslRate(openssl, op)
			if err != nil {
				return err
			}
			add(op+"/OpenSSL", rate)
		}
	}
	fmt.Fprint(w, "| AES-256-XTS, 4 KiB sectors, one core | GB/s | / x-crypto | / OpenSSL |\n| --- | --- | --- | --- |\n")
	for _, name := range order {
		op, _, _ := strings.Cut(name, "/")
		fmt.Fprintf(w, "| %s | %.2f | %s | %s |\n", name, median(rates[name])/1e9,
			quotient(rates[name], rates[op+"/x-crypto"]), quotient(rates[name], rates[op+"/OpenSSL"]))
	}
	return nil
}

// goRates reads the lines of a Go benchmark that begin with prefix:
// "BenchmarkXTS/seal/VAES  .. 123 MB/s".
func goRates(out, prefix string, add func(string, float64)) (n int) {
	for l := range strings.Lines(out) {
		f := strings.Fields(l)
		name, ok := "", false
		if len(f) > 0 {
			name, ok = strings.CutPrefix(f[0], prefix)
		}
		for i := 1; ok && i < len(f); i++ {
			if f[i] != "MB/s" {
				continue
			}
			if x, err := strconv.ParseFloat(f[i-1], 64); err == nil {
				add(name, x*1e6)
				n++
			}
		}
	}
	return n
}

// opensslRate reads the last line of openssl speed: "AES-256-XTS  1234.5k".
func opensslRate(program, op string) (float64, error) {
	args := []string{"speed", "-evp", "aes-256-xts", "-bytes", "4096", "-seconds", "1"}
	if op == "open" {
		args = append(args, "-decrypt")
	}
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		return 0, fmt.Errorf("%s speed: %w", program, err)
	}
	f := strings.Fields(string(out))
	if len(f) == 0 {
		return 0, fmt.Errorf("%s speed says nothing", program)
	}
	x, err := strconv.ParseFloat(strings.TrimSuffix(f[len(f)-1], "k"), 64)
	if err != nil {
		return 0, fmt.Errorf("%s speed says %q", program, f[len(f)-1])
	}
	return x * 1000, nil
}

// quotient is the median of the rounds' quotients.
func quotient(a, b []float64) string {
	if len(b) != len(a) {
		return "-"
	}
	q := make([]float64, len(a))
	for i := range a {
		q[i] = a[i] / b[i]
	}
	return fmt.Sprintf("%.2f", median(q))
}
