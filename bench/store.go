package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// segments compares the sealing and opening of segments with the cipher alone, one core.
func (s *session) segments(ctx context.Context) error {
	if s.segment == "" {
		return errors.New("segment needs -segment, the test program of that package")
	}
	return alternate(s.rounds, 1, func(_, round int) error {
		// One call runs all four, so that a pair lies within a few seconds.
		out, err := exec.CommandContext(ctx, s.segment, "-test.run=^$", "-test.bench=(Writer|Reader)/^1MiB/lg16|Raw(Open)?/^64KiB", "-test.benchtime=300ms", "-test.cpu=1").Output()
		if err != nil {
			return fmt.Errorf("%s: %w", s.segment, err)
		}
		for name, to := range map[string]result{
			"Writer/1MiB/lg16": {Work: rowSeal, Label: "coffer"}, "Raw/64KiB": {Work: rowSeal, Label: labelRaw},
			"Reader/1MiB/lg16": {Work: rowOpen, Label: "coffer"}, "RawOpen/64KiB": {Work: rowOpen, Label: labelRaw},
		} {
			rate := 0.0
			goRates(string(out), "Benchmark", func(n string, x float64) {
				if n == name {
					rate = x
				}
			})
			if rate == 0 {
				return fmt.Errorf("%s has no benchmark %s", s.segment, name)
			}
			to.Round, to.Conc, to.Value, to.Unit = round, 1, rate/1e9, "GB/s"
			if err := s.emit(to); err != nil {
				return err
			}
		}
		return nil
	})
}

// verify reads a whole store, against fio over the same files, the cache dropped before
// each.
func (s *session) verify(ctx context.Context) error {
	if s.fio == "" {
		s.missing["fio"] = "not installed"
	}
	if err := s.start(ctx, "coffer"); err != nil {
		return err
	}
	x, err := s.server(ctx, "coffer", "coffer", "")
	if err != nil {
		return err
	}
	for i := int64(0); i*s.bigN < s.verifyN; i++ {
		if err := x.b.d.PutBig(ctx, fmt.Sprintf("verify/%d", i), newSource(x.b.body, s.bigN), s.bigN, 8); err != nil {
			return err
		}
	}
	srv := s.servers["coffer"]
	srv.stop()
	delete(s.servers, "coffer")
	links, size, err := linkFiles(filepath.Join(srv.dir, "data", "extents"), filepath.Join(s.root, "links"))
	if err != nil {
		return err
	}
	mib := float64(size) / (1 << 20)
	log.Printf("verify: %.0f MiB in extents", mib)
	read := func() (result, error) {
		t := time.Now()
		c := exec.CommandContext(ctx, s.peers.coffer, "verify", "--data", filepath.Join(srv.dir, "data"), "--unseal-key", filepath.Join(srv.dir, "unseal.key"))
		if out, err := c.CombinedOutput(); err != nil {
			return result{}, fmt.Errorf("verify: %w: %s", err, out)
		}
		sec := time.Since(t).Seconds()
		use := c.ProcessState.SysUsage().(*syscall.Rusage)
		return result{Label: "coffer", Seconds: sec, MiBS: mib / sec, PerGiB: (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds() / (mib / 1024),
			RSSMiB: float64(use.Maxrss) / 1024}, nil
	}
	raw := func() (result, error) {
		out, err := exec.CommandContext(ctx, s.fio, "--name=read", "--rw=read", "--bs=1M", "--direct=1", "--opendir="+links, "--file_service_type=sequential",
			"--readonly", "--output-format=json").Output()
		if err != nil {
			return result{}, fmt.Errorf("fio: %w", err)
		}
		n, ms, err := fioRead(out)
		if err != nil {
			return result{}, err
		}
		if got := float64(n) / float64(size); got < 0.95 {
			return result{}, fmt.Errorf("fio read %.0f %% of the files", got*100)
		}
		sec := float64(ms) / 1000
		return result{Label: labelFio, Seconds: sec, MiBS: float64(n) / (1 << 20) / sec}, nil
	}
	sides := []func() (result, error){read}
	if s.fio != "" {
		sides = append(sides, raw)
	}
	return alternate(s.rounds, len(sides), func(i, round int) error {
		syscall.Sync()
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return fmt.Errorf("the cache cannot be dropped: %w", err)
		}
		r, err := sides[i]()
		if err != nil {
			return err
		}
		r.Work, r.Conc, r.Ops, r.Round = rowVerify, 1, 1, round
		return s.emit(r)
	})
}

// linkFiles links every file of a folder into another; fio opens all that lies there. It
// cannot read in whole MiB what is smaller than one.
func linkFiles(dir, to string) (string, int64, error) {
	var size int64
	n := 0
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", 0, err
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() < 1<<20 {
			return err
		}
		n++
		size += info.Size()
		return os.Link(p, filepath.Join(to, fmt.Sprint(n)))
	})
	if err == nil && n == 0 {
		err = errors.New("no file of a MiB or more")
	}
	return to, size, err
}

// fioRead gives bytes and milliseconds of the one job of a run.
func fioRead(out []byte) (n, ms int64, err error) {
	// Notes may stand before the object.
	i := strings.IndexByte(string(out), '{')
	if i < 0 {
		return 0, 0, errors.New("fio says nothing")
	}
	var got struct {
		Jobs []struct {
			Error int
			Read  struct {
				Bytes   int64 `json:"io_bytes"`
				Runtime int64
			}
		}
	}
	if err := json.Unmarshal(out[i:], &got); err != nil {
		return 0, 0, err
	}
	if len(got.Jobs) != 1 || got.Jobs[0].Error != 0 || got.Jobs[0].Read.Runtime == 0 {
		return 0, 0, errors.New("fio read nothing")
	}
	return got.Jobs[0].Read.Bytes, got.Jobs[0].Read.Runtime, nil
}

// grow fills one container through the API, and measures at each stage.
func (s *session) grow(ctx context.Context) error {
	if err := s.start(ctx, "coffer"); err != nil {
		return err
	}
	x, err := s.server(ctx, "coffer", "coffer", "")
	if err != nil {
		return err
	}
	b := x.b
	b.dur = s.dur
	first := map[string][]result{}
	made := 0
	put := workload{op: func(*bench, int) (operation, func(), error) {
		return func(ctx context.Context, _ *rand.Rand) (int64, error) {
			// Names of this kind are no part of what GET reads.
			return small, b.d.Put(ctx, growName(-int(b.seq.Add(1))), b.body[:small])
		}, noAfter, nil
	}}
	get := workload{op: func(*bench, int) (operation, func(), error) {
		return func(ctx context.Context, r *rand.Rand) (int64, error) {
			return b.exact(ctx, growName(r.IntN(made)), 0, 0, small)
		}, noAfter, nil
	}}
	page := workload{whole: true, op: func(b *bench, _ int) (operation, func(), error) {
		return func(ctx context.Context, r *rand.Rand) (int64, error) { return 0, listPage(ctx, b.d.(*azure)) }, noAfter, nil
	}}
	b.reps = 5
	for stage, n := range s.growth {
		filled, err := s.fillTo(ctx, b, made, n)
		if err != nil {
			return err
		}
		made = n
		if err := s.emit(filled); err != nil {
			return err
		}
		for _, m := range []struct {
			row  string
			load workload
			conc int
		}{{rowGrowGet, get, 8}, {rowGrowPut, put, 8}, {rowGrowList, page, 1}} {
			for round := range s.rounds {
				r, err := b.one(ctx, m.row, m.load, m.conc)
				if err == nil && (r.Errors > 0 || r.Ops == 0) {
					err = fmt.Errorf("%s: %d operations, %d failed", m.row, r.Ops, r.Errors)
				}
				if err != nil {
					return err
				}
				r.Work, r.Label, r.Round = among(m.row, n), "coffer", round
				if err := s.emit(r); err != nil {
					return err
				}
				if stage == 0 {
					first[m.row] = append(first[m.row], r)
					continue
				}
				against := first[m.row][round]
				against.Work, against.Label = r.Work, labelFirst
				if err := s.emit(against); err != nil {
					return err
				}
			}
		}
		if err := s.emit(result{Work: among(rowGrowDisk, n), Label: "coffer", Conc: 1, Value: float64(diskUse(filepath.Join(s.root, "coffer", "data"))) / float64(n+int(b.seq.Load())), Unit: "bytes"}); err != nil {
			return err
		}
	}
	return s.restarts(ctx, b, made)
}

// growName is a name of 40 bytes; neighbours in number are none in order.
func growName(i int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d", i))
	return hex.EncodeToString(h[:20])
}

// fillTo puts blobs until there are n, 64 in flight, and says at what rate.
func (s *session) fillTo(ctx context.Context, b *bench, made, n int) (result, error) {
	log.Printf("growth: %d blobs", n)
	resetPeak(b.pids)
	s0, t := readProcs(b.pids), time.Now()
	err := b.parallel(n-made, 64, func(i int) error { return b.d.Put(ctx, growName(made+i), b.body[:small]) })
	sec, s1 := time.Since(t).Seconds(), readProcs(b.pids)
	return result{Work: among(rowGrowFill, n), Label: "coffer", Conc: 64, Ops: n - made, Seconds: sec, OpsS: float64(n-made) / sec, MiBS: float64(n-made) * small / sec / (1 << 20),
		PerOp: (s1.CPU - s0.CPU) / float64(n-made) * 1e6, RSSMiB: float64(s1.PeakRSS) / (1 << 20)}, err
}

// listPage lists the first two pages of 5000.
func listPage(ctx context.Context, a *azure) error {
	size := int32(5000)
	p := a.cont.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{MaxResults: &size})
	for range 2 {
		page, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		if n := len(page.Segment.BlobItems); n == 0 {
			return errors.New("an empty page")
		}
		if !p.More() {
			return nil
		}
	}
	return nil
}

// restarts measures from the start of the process to the first blob that it gives, three
// times after an orderly end and three times after a kill under writes.
func (s *session) restarts(ctx context.Context, b *bench, made int) error {
	dir := filepath.Join(s.root, "coffer")
	for _, kill := range []bool{false, true} {
		row := rowRestart
		if kill {
			row = rowRestartKill
		}
		for round := range 3 {
			srv := s.servers["coffer"]
			if kill {
				d := b.d
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						for k := 0; d.Put(ctx, growName(-1_000_000*(i+1+8*round)-k), b.body[:small]) == nil; k++ {
						}
					})
				}
				time.Sleep(2 * time.Second)
				srv.kill()
				wg.Wait()
			} else {
				srv.stop()
			}
			t := time.Now()
			srv, err := startCoffer("coffer", s.peers.coffer, dir)
			if err != nil {
				return err
			}
			s.servers["coffer"] = srv
			d, err := newAzure(config{endpoint: "http://" + srv.addr + "/" + accountName, account: accountName, key: wellKnownKey, container: "bench"})
			if err != nil {
				return err
			}
			if n, err := d.Get(ctx, growName(made-1), 0, 0, io.Discard); err != nil || n != small {
				return fmt.Errorf("after the start: %d bytes, %w", n, err)
			}
			sec := time.Since(t).Seconds()
			b.d, b.pids = d, srv.pids()
			if err := s.emit(result{Work: row, Label: "coffer", Conc: 1, Round: round, Value: sec, Unit: "s", RSSMiB: float64(readProcs(b.pids).PeakRSS) / (1 << 20)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// diskUse is what the files of a folder take on disk, as du says it.
func diskUse(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is gone already
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				n += st.Blocks * 512
			}
		}
		return nil
	})
	return n
}
