// Command bench compares a store with its peers, in turns: throughput, the server's CPU
// time and memory, as ratios.
//
//	bench -part small,large -coffer PROGRAM -null PROGRAM -nginx PROGRAM -json out.jsonl
//	bench -report out.jsonl
//	bench -label coffer -endpoint URL -account A -pid PID -work put4k
//	bench -kinds account,scope,cpk -scope NAME ... -bars scope=0.97,cpk=0.97
//	bench -xts TEST-PROGRAM -openssl openssl
//
// -part starts the servers itself and measures a part of the table, which -report prints.
// -label drives one server that is there; profile.sh does so. -kinds compares kinds of keys
// of one server with the first of them; -xts compares the XTS kernels.
//
// The account key comes from BENCH_ACCOUNT_KEY. Client and server share the
// machine, so absolute figures say little; what counts is the ratio to a peer
// that ran in turn with it, and the server's CPU time for a unit of work.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	var c config
	flag.StringVar(&c.kind, "driver", "azure", "azure or http")
	flag.StringVar(&c.endpoint, "endpoint", "", "account URL (azure) or server URL (http)")
	flag.StringVar(&c.account, "account", "devstoreaccount1", "account name")
	flag.StringVar(&c.container, "container", "bench", "container, or first folder")
	flag.BoolVar(&c.insecure, "insecure", false, "accept any server certificate")
	flag.BoolVar(&c.stock, "stock", false, "azure: the SDK's own transport")
	flag.Int64Var(&c.block, "block", 8<<20, "block size of big transfers")
	label := flag.String("label", "", "name printed with every line")
	works := flag.String("work", "put4k,get4k,put4m,get4m,range64k,put1g,get1g,stream1g,list", "workloads, in order")
	concs := flag.String("conc", "1,8,32", "operations in flight; for big transfers, blocks in flight")
	dur := flag.Duration("dur", 2*time.Second, "length of one timed workload")
	reps := flag.Int("reps", 1, "repetitions of each big transfer and listing")
	pids := flag.String("pid", "", "server process ids, comma separated")
	part := flag.String("part", "", "measure these parts of the table: small, large, tls, list, segment, verify, fips, growth")
	out := flag.String("json", "", "with -part: append results to this file, one JSON object a line")
	tableOf := flag.String("report", "", "print the table of the results in this file and exit")
	var s session
	flag.StringVar(&s.peers.coffer, "coffer", "", "with -part: the program under test")
	flag.StringVar(&s.peers.fips, "fips", "", "with -part: its FIPS build")
	flag.StringVar(&s.peers.null, "null", "", "with -part: the null server")
	flag.StringVar(&s.peers.nginx, "nginx", "", "with -part: nginx")
	flag.StringVar(&s.peers.minio, "minio", "", "with -part: minio")
	flag.StringVar(&s.peers.azurite, "azurite", "", "with -part: azurite-blob, run by node")
	flag.StringVar(&s.fio, "fio", "", "with -part: fio")
	flag.StringVar(&s.segment, "segment", "", "with -part: the test program of package segment")
	flag.StringVar(&s.root, "dir", "", "with -part: an empty folder for everything that the servers store")
	flag.Int64Var(&s.verifyN, "verify", 4<<30, "with -part: bytes that verify reads")
	growth := flag.String("growth", "10000,100000,1000000", "with -part: numbers of blobs at which growth is measured")
	big := flag.Int64("big", 1<<30, "size of the big blob")
	listN := flag.Int("list", 10000, "blobs to list")
	tmp := flag.String("tmp", "/dev/shm", "folder for the client's own big file")
	profile := flag.Bool("profile", false, "tell the server to profile the timed part (only one built by profile.sh understands)")
	kinds := flag.String("kinds", "", "compare kinds of keys: account, scope, cpk, double, cmk; the first is what the others are divided by")
	rounds := flag.Int("rounds", 10, "turns of each with -part, -kinds and -xts")
	bars := flag.String("bars", "", "with -kinds: least ratio of rates, as scope=0.97 or double/get4m=0.85")
	flag.StringVar(&c.scope, "scope", "", "with -kinds: the scope of kind scope")
	double := flag.String("double", "", "with -kinds: the account of kind double; its key comes from BENCH_DOUBLE_KEY")
	cmk := flag.String("cmk", "", "with -kinds: the account of kind cmk; its key comes from BENCH_CMK_KEY")
	kernel := flag.String("xts", "", "the test program of package xts, to measure its kernels and exit")
	openssl := flag.String("openssl", "", "with -xts: this openssl, as a peer")
	flag.Parse()
	if *kernel != "" {
		if err := compareXTS(os.Stdout, *kernel, *openssl, *rounds); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *tableOf != "" {
		f, err := os.Open(*tableOf)
		if err == nil {
			err = report(os.Stdout, f)
		}
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	if *part != "" {
		s.rounds, s.dur, s.bigN, s.big, s.listN, s.growth = *rounds, *dur, *big, *big, *listN, numbers(*growth)
		if err := s.runAll(strings.Split(*part, ","), *out); err != nil {
			log.Fatal(err)
		}
		return
	}
	c.key = os.Getenv("BENCH_ACCOUNT_KEY")
	if *kinds != "" {
		others := map[string]login{"double": {*double, os.Getenv("BENCH_DOUBLE_KEY")}, "cmk": {*cmk, os.Getenv("BENCH_CMK_KEY")}}
		p := pairs{c: c, others: others, rounds: *rounds, dur: *dur, conc: numbers(*concs), pids: numbers(*pids)}
		if err := p.run(os.Stdout, strings.Split(*kinds, ","), strings.Split(*works, ","), *bars); err != nil {
			log.Fatal(err)
		}
		return
	}
	d, err := newDriver(c)
	if err != nil {
		log.Fatal(err)
	}
	b := &bench{d: d, label: *label, dur: *dur, reps: *reps, bigN: *big, listN: *listN, tmp: *tmp,
		run: strconv.FormatInt(time.Now().UnixNano(), 36), body: newBody(), pids: numbers(*pids), profile: *profile}
	ctx := context.Background()
	if err := d.Setup(ctx); err != nil {
		log.Fatalf("setup: %v", err)
	}
	fmt.Println(header)
	if failed := b.all(ctx, strings.Split(*works, ","), numbers(*concs)); failed > 0 {
		log.Fatalf("%d operations failed", failed)
	}
}

// numbers parses a comma separated list; what is no positive number is a usage error.
func numbers(s string) []int {
	var ns []int
	for p := range strings.SplitSeq(s, ",") {
		if p == "" {
			continue
		}
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 {
			log.Fatalf("%q is not a list of positive numbers", s)
		}
		ns = append(ns, n)
	}
	return ns
}
