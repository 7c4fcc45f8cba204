package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// session is one part of a run: its servers, and where its results go.
type session struct {
	fleet
	out     io.Writer
	part    string
	rounds  int
	dur     time.Duration // of a turn with small operations; those of 4 MiB take half as long again
	bigN    int64
	listN   int
	verifyN int64
	growth  []int
	segment string // test program of package segment
	fio     string
	clients map[string]*bench
}

// parts in the order of the table.
var parts = []struct {
	name string
	run  func(*session, context.Context) error
}{
	{"small", (*session).small},
	{"large", (*session).large},
	{"tls", (*session).tlsPart},
	{"list", (*session).list},
	{"segment", (*session).segments},
	{"verify", (*session).verify},
	{"fips", (*session).fipsPart},
	{"growth", (*session).grow},
}

// runAll does some parts and appends their results to a file.
func (s *session) runAll(names []string, file string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	s.out = f
	// An interrupt ends the servers too.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	root := s.root
	for _, n := range names {
		s.root = filepath.Join(root, n)
		if err := os.Mkdir(s.root, 0o700); err != nil {
			return err
		}
		if err := s.run(ctx, n); err != nil {
			return fmt.Errorf("part %s: %w", n, err)
		}
		if err := os.RemoveAll(s.root); err != nil {
			return err
		}
	}
	return nil
}

// run does one part.
func (s *session) run(ctx context.Context, name string) error {
	for _, p := range parts {
		if p.name != name {
			continue
		}
		s.part, s.servers, s.missing = name, map[string]*server{}, map[string]string{}
		s.clients = map[string]*bench{}
		began := time.Now()
		env := environment()
		if err := json.NewEncoder(s.out).Encode(record{Part: name}); err != nil {
			return err
		}
		defer s.fleet.stop()
		if err := p.run(s, ctx); err != nil {
			return err
		}
		env.Missing, env.Minutes = s.missing, time.Since(began).Minutes()
		// What went before counts only with this line behind it.
		return json.NewEncoder(s.out).Encode(record{Part: name, Env: env})
	}
	return fmt.Errorf("no part %q", name)
}

func (s *session) emit(r result) error {
	fmt.Fprintln(os.Stderr, r)
	return json.NewEncoder(s.out).Encode(record{Part: s.part, Result: &r})
}

// compare runs one row; sides whose server is not there are left out.
func (s *session) compare(ctx context.Context, c comparison, sides ...side) error {
	c.rounds = s.rounds
	for _, x := range sides {
		if x.b != nil || x.local != nil {
			c.sides = append(c.sides, x)
		}
	}
	log.Printf("%s: %s, %d in flight", s.part, c.row, c.conc)
	return c.run(ctx, s.emit)
}

// accountName is what the Azure servers are asked under.
const accountName = "devstoreaccount1"

// wellKnownKey is the published key of that account, Coffer's on loopback and Azurite's.
const wellKnownKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

// server gives the side of a server as its official client sees it. kind is empty, or
// "plain" (the plain HTTP client, reading anonymously), "tls" (the SDK with its own
// transport) or "http" (the same without TLS), or "tls-anonymous".
func (s *session) server(ctx context.Context, label, name, kind string) (side, error) {
	srv := s.servers[name]
	if srv == nil {
		return side{label: label}, nil
	}
	id := name + "/" + kind
	if b := s.clients[id]; b != nil {
		b.label = label
		return side{label: label, b: b}, nil
	}
	c := config{kind: "azure", endpoint: "http://" + srv.addr + "/" + accountName, account: accountName, key: wellKnownKey, container: "bench", block: 8 << 20,
		public: name == "coffer"}
	switch name {
	case "minio":
		c = config{kind: "s3", endpoint: "http://" + srv.addr, account: minioUser, key: minioSecret, container: "bench", block: 8 << 20}
	case "nginx":
		c.kind, c.endpoint = "http", "http://"+srv.addr
	}
	b, err := newBench(label, c, srv.pids())
	if err != nil {
		return side{}, err
	}
	reads := c
	switch kind {
	case "plain":
		reads.kind = "http"
	case "tls", "http":
		reads.stock = true
	case "tls-anonymous":
		reads.kind, reads.stock, reads.anonymous = "azure", true, true
	}
	if strings.HasPrefix(kind, "tls") {
		reads.endpoint = strings.Replace(strings.Replace(c.endpoint, "http://", "https://", 1), srv.addr, srv.tls, 1)
	}
	if kind != "" {
		d, err := newDriver(reads)
		if err != nil {
			return side{}, err
		}
		if kind == "tls" || kind == "http" {
			b.d = d
		} else {
			b.d = split{driver: d, writer: b.d}
		}
	}
	b.bigN, b.listN, b.tmp = s.bigN, s.listN, shm
	if err := setup(ctx, b.d); err != nil {
		if name == "coffer" || name == "fips" || name == "null" {
			return side{}, fmt.Errorf("%s: %w", label, err)
		}
		log.Printf("%s is left out: %v", label, err)
		s.missing[name] = err.Error()
		return side{label: label}, nil
	}
	s.clients[id] = b
	return side{label: label, b: b}, nil
}

// setup tries for half a minute: a server that listens may say that it is not ready yet.
func setup(ctx context.Context, d driver) (err error) {
	for end := time.Now().Add(30 * time.Second); ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		if err = d.Setup(ctx); err == nil || time.Now().After(end) {
			return err
		}
	}
	return ctx.Err()
}

// shm holds the client's own big files.
const shm = "/dev/shm"

// sides are the official clients of several servers.
func (s *session) sides(ctx context.Context, names ...string) (out []side, err error) {
	for _, n := range names {
		x, err := s.server(ctx, n, n, "")
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// plain are Coffer, read anonymously, and nginx, by the same plain HTTP client.
func (s *session) plain(ctx context.Context) ([]side, error) {
	a, err := s.server(ctx, "coffer", "coffer", "plain")
	if err != nil {
		return nil, err
	}
	b, err := s.server(ctx, "nginx", "nginx", "plain")
	return []side{a, b}, err
}

// everybody starts every server: all are asked by their own SDK, plain by plain HTTP.
func (s *session) everybody(ctx context.Context) (all, plain []side, err error) {
	if err := s.start(ctx, "coffer", "null", "nginx", "minio", "azurite"); err != nil {
		return nil, nil, err
	}
	if all, err = s.sides(ctx, "coffer", "null", "minio", "azurite"); err != nil {
		return nil, nil, err
	}
	plain, err = s.plain(ctx)
	return all, plain, err
}

func (s *session) small(ctx context.Context) error {
	all, plain, err := s.everybody(ctx)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		comparison
		sides []side
	}{
		{comparison{row: rowGet4k, work: "get4k", conc: 8}, all},
		{comparison{row: rowGet4kPlain, work: "get4k", conc: 8}, plain},
		{comparison{row: rowRange, work: "range64k", conc: 8}, all},
		{comparison{row: rowRangePlain, work: "range64k", conc: 8}, plain},
		{comparison{row: rowPut4k, work: "put4k", conc: 8}, all},
		{comparison{row: rowPut4k, work: "put4k", conc: 32}, all},
	} {
		c.dur = s.dur
		if err := s.compare(ctx, c.comparison, c.sides...); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) large(ctx context.Context) error {
	all, plain, err := s.everybody(ctx)
	if err != nil {
		return err
	}
	body := newBody()
	seal, open := side{label: partSeal, local: gcm(body, false)}, side{label: partOpen, local: gcm(body, true)}
	sum := side{label: partMD5, local: hash(body)}
	disk := func(size int) side {
		before, work := writeSync(filepath.Join(s.root, "disk"), body, size, s.bigN)
		return side{label: partWrite, local: work, before: before}
	}
	dur := s.dur * 3 / 2
	for _, c := range []struct {
		comparison
		sides []side
	}{
		{comparison{row: rowGet4m, work: "get4m", conc: 8, dur: dur}, append(all[:4:4], open)},
		{comparison{row: rowGet4mPlain, work: "get4m", conc: 8, dur: dur}, plain},
		{comparison{row: rowGet1g, work: "get1g", conc: 8}, all},
		{comparison{row: rowGet1gPlain, work: "get1g", conc: 8}, plain},
		{comparison{row: rowPut4m, work: "put4m", conc: 8, dur: dur}, append(all[:4:4], seal, sum, disk(4<<20))},
		{comparison{row: rowPut1g, work: "put1g", conc: 8}, append(all[:3:3], seal, disk(8<<20))},
	} {
		if err := s.compare(ctx, c.comparison, c.sides...); err != nil {
			return err
		}
	}
	return nil
}

// tlsPart: every side through the SDK's own transport.
func (s *session) tlsPart(ctx context.Context) error {
	if err := s.start(ctx, "coffer", "nginx"); err != nil {
		return err
	}
	cas := []string{s.servers["coffer"].ca}
	if n := s.servers["nginx"]; n != nil {
		cas = append(cas, n.ca)
	}
	if err := trust(filepath.Join(s.root, "trust.pem"), cas...); err != nil {
		return err
	}
	ours, err := s.server(ctx, "coffer", "coffer", "tls-anonymous")
	if err != nil {
		return err
	}
	nginx, err := s.server(ctx, "nginx", "nginx", "tls-anonymous")
	if err != nil {
		return err
	}
	over, err := s.server(ctx, "coffer", "coffer", "tls")
	if err != nil {
		return err
	}
	clear, err := s.server(ctx, labelHTTP, "coffer", "http")
	if err != nil {
		return err
	}
	dur := s.dur * 3 / 2
	for _, c := range []struct {
		comparison
		sides []side
	}{
		{comparison{row: rowGet4mTLS, work: "get4m", conc: 8, dur: dur}, []side{ours, nginx}},
		{comparison{row: rowGet1gTLS, work: "get1g", conc: 8}, []side{ours, nginx}},
		{comparison{row: rowPut4mTLS, work: "put4m", conc: 8, dur: dur}, []side{over, clear}},
	} {
		if err := s.compare(ctx, c.comparison, c.sides...); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) list(ctx context.Context) error {
	if err := s.start(ctx, "coffer", "minio"); err != nil {
		return err
	}
	all, err := s.sides(ctx, "coffer", "minio")
	if err != nil {
		return err
	}
	for _, c := range []comparison{
		{row: rowList64, work: "list", conc: 1, reps: 3},
		{row: rowList32k, work: "list32k", conc: 1, reps: 3},
	} {
		if err := s.compare(ctx, c, all...); err != nil {
			return err
		}
	}
	return nil
}

// fipsPart: the build with the frozen module against the ordinary one. Twice the rounds,
// each half as long: the two are close.
func (s *session) fipsPart(ctx context.Context) error {
	if s.peers.fips == "" {
		s.missing["fips"] = "not built"
		return nil
	}
	if err := s.start(ctx, "coffer", "fips"); err != nil {
		return err
	}
	fips, err := s.server(ctx, "coffer", "fips", "")
	if err != nil {
		return err
	}
	ordinary, err := s.server(ctx, labelOrdinary, "coffer", "")
	if err != nil {
		return err
	}
	s.rounds *= 2
	defer func() { s.rounds /= 2 }()
	for _, c := range []comparison{
		{row: rowGet4k + fipsBuild, work: "get4k", conc: 8, dur: s.dur / 2},
		{row: rowPut4k + fipsBuild, work: "put4k", conc: 8, dur: s.dur / 2},
		{row: rowGet4m + fipsBuild, work: "get4m", conc: 8, dur: s.dur / 2},
		{row: rowPut4m + fipsBuild, work: "put4m", conc: 8, dur: s.dur},
	} {
		if err := s.compare(ctx, c, fips, ordinary); err != nil {
			return err
		}
	}
	return nil
}
