package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/search"
)

// maxFindings bounds each list of a report; what is beyond is damaged all the same, and
// said to be.
const maxFindings = 1000

// opVerify authenticates every stored byte and, if asked, searches every byte for
// strings that must not be there.
func (s *Server) opVerify(ctx context.Context, a VerifyArgs, progress func(Progress)) (VerifyReport, error) {
	begin := time.Now()
	v := &verifier{s: s, progress: progress}
	v.report.Data = s.cfg.Data
	if err := v.rows(ctx); err != nil {
		return v.report, err
	}
	if err := v.sealedFiles(ctx); err != nil {
		return v.report, err
	}
	if err := v.smallFiles(); err != nil {
		return v.report, err
	}
	if len(a.Search) > 0 {
		if err := v.search(ctx, a.Search); err != nil {
			return v.report, err
		}
	}
	v.report.DurationMS = time.Since(begin).Milliseconds()
	return v.report, nil
}

type verifier struct {
	s        *Server
	progress func(Progress)

	mu     sync.Mutex
	report VerifyReport
}

func (v *verifier) damaged(where, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch n := len(v.report.Damage); {
	case n < maxFindings:
		v.report.Damage = append(v.report.Damage, Finding{where, what})
	case n == maxFindings:
		v.report.Damage = append(v.report.Damage, Finding{"and more", "only the first are listed"})
	}
}

// rows authenticates every row, every wrap and every chunk under its keys.
func (v *verifier) rows(ctx context.Context) error {
	got, err := v.s.store.Objects.Verify(ctx, object.VerifyOptions{
		Progress: func(r object.VerifyReport) {
			v.progress(Progress{Stage: "content", Done: r.Bytes, Total: r.TotalBytes, Unit: "bytes"})
		},
		Damage: func(d object.Damage) { v.damaged(v.s.whose(ctx, d), d.Err.Error()) },
	})
	if err != nil {
		return err
	}
	for _, n := range got.Rows {
		v.report.Rows += n
	}
	v.report.Chunks, v.report.Bytes, v.report.Suspended = got.Chunks, got.Bytes, got.Locked
	v.report.Double = got.Double
	names, err := v.s.ownerNames(ctx)
	if err != nil {
		return err
	}
	for _, u := range got.Versions {
		v.report.Keys = append(v.report.Keys, KeyUse{
			KeyName: KeyName{Chain: u.Chain.String(), Version: u.Number, Ref: u.Kref.String(), State: u.State.String()},
			Kind:    u.Kind.String(), Owner: ownerName(names, u.Owner), Uses: u.Wraps + u.Rows + u.Extents,
		})
	}
	return nil
}

func ownerName(names map[keys.ID]string, id keys.ID) string {
	if n := names[id]; n != "" {
		return n
	}
	return id.String()
}

// sealedFiles reads every frame of every file of the LSM and of the audit trail.
func (v *verifier) sealedFiles(ctx context.Context) error {
	f := v.s.store.Meta.FS()
	list, err := f.List(f.LSM())
	if err != nil {
		return err
	}
	for i, base := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		v.progress(Progress{Stage: "index files", Done: int64(i), Total: int64(len(list)), Unit: "files"})
		if base == "LOCK" || strings.HasPrefix(base, "marker.") {
			continue
		}
		n, err := readAll(f, f.PathJoin(f.LSM(), base))
		if errors.Is(err, fs.ErrNotExist) {
			continue // compacted away meanwhile
		}
		v.file("lsm/"+base, n, err)
	}
	if err := v.fileKeys(f); err != nil {
		return err
	}
	return v.trail()
}

// fileKeys counts the files under each version of the file key.
func (v *verifier) fileKeys(f *sealedfs.FS) error {
	uses, err := f.Krefs()
	if err != nil {
		return err
	}
	for _, c := range v.s.store.Ring.Chains() {
		for _, n := range c.Versions {
			if files := uses[n.Kref]; files > 0 && c.Kind == keys.VFSK {
				v.report.Keys = append(v.report.Keys, KeyUse{
					KeyName: KeyName{Chain: c.ID.String(), Version: n.Number, Ref: n.Kref.String(), State: n.State.String()},
					Kind:    c.Kind.String(), Owner: "store", Uses: int64(files),
				})
			}
		}
	}
	return nil
}

// trail checks every entry of the audit log and the chain through them.
func (v *verifier) trail() error {
	files := v.s.store.AuditFiles()
	audits, err := files.Audits()
	if err != nil {
		return err
	}
	for _, a := range audits {
		var n int64
		err := files.ReadAudit(a, func(p []byte) error { n += int64(len(p)); return nil })
		v.file(fmt.Sprintf("audit/%06d.aud", a), n, err)
	}
	if _, err := v.s.auditCheck().Files(files); err != nil {
		v.damaged("audit", err.Error())
	}
	return nil
}

func readAll(f vfs.FS, path string) (int64, error) {
	r, err := f.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(io.Discard, struct{ io.Reader }{r})
}

func (v *verifier) file(name string, n int64, err error) {
	if err != nil {
		v.damaged(name, err.Error())
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Files++
	v.report.FileBytes += n
}

// smallFiles opens the sealed small files, HEAD and both copies of the key store.
func (v *verifier) smallFiles() error {
	ring := v.s.store.Ring
	sealed := map[string]string{"HEAD.A": "HEAD", "HEAD.B": "HEAD", caKeyFile: caKeyFile}
	for file, path := range sealed {
		b, err := os.ReadFile(v.s.path(file))
		if errors.Is(err, fs.ErrNotExist) && file == caKeyFile {
			continue // never served
		}
		n := int64(len(b))
		if err == nil {
			_, err = sealedfs.OpenFile(ring, path, b)
		}
		v.file(file, n, err)
	}
	current := ring.Snapshot()
	for _, file := range []string{"keystore.A", "keystore.B"} {
		b, err := os.ReadFile(v.s.path(file))
		if err == nil {
			err = v.keyStoreCopy(b, current)
		}
		v.file(file, int64(len(b)), err)
	}
	if err := ring.Unsettled(); err != nil {
		v.damaged("key store", "a copy is behind: "+err.Error())
	}
	return nil
}

// keyStoreCopy checks one copy of the key store as a start would.
func (v *verifier) keyStoreCopy(b, current []byte) error {
	if string(b) == string(current) {
		return nil // it was opened, or written, by this process
	}
	r, err := keys.Open(context.Background(), keys.Options{
		Store: keys.NewMemory(b), Service: v.s.keys.service, Infra: v.s.keys.infra, Now: v.s.now, Dev: v.s.store.Ring.Dev(),
	})
	if err != nil {
		return err
	}
	r.Close()
	return nil
}

// search looks for strings in every file of the data directory, names included.
func (v *verifier) search(ctx context.Context, needles [][]byte) error {
	sr, err := search.New(needles)
	if err != nil {
		return withHint(fault.New("server.verify", "", fault.InvalidInput, err), "give longer strings, one a line")
	}
	v.report.Searched, v.report.Encodings = len(needles), search.Encodings
	total, err := treeSize(v.s.cfg.Data)
	if err != nil {
		return err
	}
	var done int64
	return filepath.WalkDir(v.s.cfg.Data, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		rel, _ := filepath.Rel(v.s.cfg.Data, path)
		hit := func(h search.Hit) { v.hit(h, filepath.ToSlash(rel)) }
		if _, err := sr.Reader(strings.NewReader(rel), hit); err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		n, err := searchFile(ctx, sr, path, hit, func(n int64) {
			v.progress(Progress{Stage: "search", Done: done + n, Total: total, Unit: "bytes"})
		})
		done += n
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func (v *verifier) hit(h search.Hit, file string) {
	if len(v.report.Plaintext) < maxFindings {
		v.report.Plaintext = append(v.report.Plaintext, PlaintextHit{String: h.Needle + 1, Encoding: h.Encoding, File: file, Offset: h.Offset})
	}
}

func searchFile(ctx context.Context, sr *search.Searcher, path string, hit func(search.Hit), progress func(int64)) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return sr.Reader(&watchedReader{ctx: ctx, r: f, progress: progress}, hit)
}

// watchedReader counts, and ends when its context does.
type watchedReader struct {
	ctx      context.Context
	r        io.Reader
	n        int64
	progress func(int64)
}

func (w *watchedReader) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	w.n += int64(n)
	w.progress(w.n)
	return n, err
}

func treeSize(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && d.Type().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total, err
}
