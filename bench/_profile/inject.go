package main

// This file is laid over the program's own source by bench/profile.sh and is
// part of no ordinary build: the released program has no profiler.

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// SIGUSR1 begins a CPU profile in the file that BENCH_PROFILE_FILE names,
// SIGUSR2 ends it and makes FILE.done, so that who asked knows it is whole.
func init() {
	name := os.Getenv("BENCH_PROFILE_FILE")
	if name == "" {
		return
	}
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		var f *os.File
		for s := range c {
			var err error
			if s == syscall.SIGUSR1 {
				if f, err = os.Create(name); err == nil {
					err = pprof.StartCPUProfile(f)
				}
			} else {
				pprof.StopCPUProfile()
				if err = f.Close(); err == nil {
					err = os.WriteFile(name+".done", []byte("done\n"), 0o644)
				}
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "profile:", err)
			}
		}
	}()
}
