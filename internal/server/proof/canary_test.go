package proof

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/recordtest"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// mark begins every canary, so that one search finds them all.
const mark = "kanariafcoff"

// canary is text of 24 bytes that is found nowhere else: the mark, a letter for the
// field, and 11 random digits.
func canary(field string) string {
	b := make([]byte, 6)
	rand.Read(b)
	return fmt.Sprintf("%s%s%s", mark, field, hex.EncodeToString(b))[:24]
}

// encodings are the forms in which plaintext might lie on a disk. Base64 shifts with the
// position in its group of three bytes, so there are three; the edges that depend on the
// neighbours are cut off.
func encodings(s string) map[string][]byte {
	out := map[string][]byte{
		"raw":   []byte(s),
		"hex":   []byte(hex.EncodeToString([]byte(s))),
		"HEX":   []byte(strings.ToUpper(hex.EncodeToString([]byte(s)))),
		"utf16": nil,
	}
	for _, u := range utf16.Encode([]rune(s)) {
		out["utf16"] = append(out["utf16"], byte(u), byte(u>>8))
	}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), s...))
		start, end := (shift*8+5)/6, len(text)-4
		out[fmt.Sprintf("base64+%d", shift)] = []byte(text[start:end])
	}
	return out
}

// recording keeps the canaries in the plaintext that enters the sealing functions, by
// kind; of logs and tables, whose records cut and shorten them, all bytes as well.
type recording struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
	all  map[string]*bytes.Buffer
}

func newRecording() *recording {
	r := &recording{seen: map[string]map[string]bool{}, all: map[string]*bytes.Buffer{}}
	for _, kind := range []string{recordtest.WAL, recordtest.SST, recordtest.VFS, recordtest.Value, recordtest.Chunk} {
		r.seen[kind], r.all[kind] = map[string]bool{}, new(bytes.Buffer)
	}
	return r
}

func (r *recording) hear(kind string, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kind == recordtest.WAL || kind == recordtest.SST {
		r.all[kind].Write(p)
	}
	for seen := r.seen[kind]; ; p = p[1:] {
		i := bytes.Index(p, []byte(mark))
		if i < 0 || len(p)-i < 24 {
			return
		}
		if p = p[i:]; !seen[string(p[:24])] {
			seen[string(p[:24])] = true
		}
	}
}

func (r *recording) has(kind, s string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.all[kind].Bytes()
	return r.seen[kind][s] || bytes.Contains(b, []byte(s)) || kind == recordtest.WAL && acrossBlocks(b, s)
}

// acrossBlocks reports whether s lies across the end of a block of the log: every 32 KiB the
// engine puts a header between two parts of a record.
func acrossBlocks(b []byte, s string) bool {
	for k := 1; k < len(s); k++ {
		head, tail := []byte(s[:k]), []byte(s[k:])
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], head)
			if i < 0 {
				break
			}
			at += i
			for _, header := range []int{7, 11, 19} { // the engine's formats of a chunk
				if at+k+header <= len(b) && bytes.HasPrefix(b[at+k+header:], tail) {
					return true
				}
			}
		}
	}
	return false
}

// planted are the canaries of a run, by the place where the control must hear them.
type planted struct {
	names    []string // WAL and SST, in the plain of the file system
	values   []string // metadata and properties
	contents []string
}

func (p *planted) all() []string {
	return append(append(append([]string(nil), p.names...), p.values...), p.contents...)
}

// TestNoPlaintextOnDisk stores objects with canaries in every field and searches every
// byte of the data directory, logs included, in four encodings. The control is that the
// same canaries are heard where plaintext enters the sealing functions, for log, table
// and chunk apart; compression is off, so what looks random is ciphertext.
//
// All of it twice: with an account of one layer and with one of two.
func TestNoPlaintextOnDisk(t *testing.T) {
	t.Run("single", func(t *testing.T) { noPlaintext(t, account, sized(100, 1_000, 10_000)) })
	t.Run("double", func(t *testing.T) { noPlaintext(t, "twice", sized(100, 500, 10_000)) })
}

func noPlaintext(t *testing.T, acct name.Account, objects int) {
	dir := filepath.Join(t.TempDir(), dataDir)
	rec := newRecording()
	recordtest.Listen(t, rec.hear)

	var log bytes.Buffer
	sec := newSecrets()
	o := sec.options(vfs.Default)
	o.Dir = dir
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	st, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := furnish(st); err != nil {
		t.Fatal(err)
	}
	if acct != account {
		if _, err := st.Accounts.CreateDouble(ctx, acct, [2][]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	p := plant(t, st, acct, objects)
	search(t, dir, p, "serving")
	if err := st.Meta.CompactAll(ctx); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	search(t, dir, p, "stopped")
	for _, c := range p.all() {
		if bytes.Contains(log.Bytes(), []byte(c)) {
			t.Errorf("the log tells %q", c)
		}
	}
	control(t, rec, p)
}

// plant stores objects in ten containers.
func plant(t *testing.T, st *store.Store, account name.Account, objects int) *planted {
	t.Helper()
	owner := callerOf(account)
	p := new(planted)
	var container name.Container
	for i := range objects {
		if i%(objects/10) == 0 {
			container = name.Container(canary("c"))
			p.names = append(p.names, string(container))
			if _, err := st.Blobs.CreateContainer(ctx, owner, account, container, blob.ContainerOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		n, meta, typ, body := canary("n"), canary("m"), canary("p"), canary("b")
		p.names = append(p.names, n)
		p.values = append(p.values, meta, typ)
		p.contents = append(p.contents, body)
		size := 100
		switch {
		case i%50 == 0:
			size = 1_500_000
		case i%10 == 0:
			size = 100_000
		}
		data := bytes.Repeat([]byte(body), size/len(body)+1)
		_, err := st.Blobs.PutBlob(ctx, owner, blob.Ref{Account: account, Container: container, Blob: name.Blob(n)}, blob.PutOptions{
			Headers:  blob.Headers{ContentType: "text/" + typ},
			Metadata: blob.Metadata{{Name: "note", Value: meta}},
			Length:   int64(len(data)), Body: bytes.NewReader(data),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// search looks at every file below dir.
func search(t *testing.T, dir string, p *planted, when string) {
	t.Helper()
	// All canaries of a field begin alike; so does every encoding of them.
	needles := map[string][]byte{}
	for form, b := range encodings(mark) {
		needles[form] = b
	}
	var total int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		total += int64(len(data))
		for form, needle := range needles {
			if n := bytes.Count(data, needle); n > 0 {
				t.Errorf("%s: %s holds a canary %d times (%s)", when, path, n, form)
			}
		}
		for _, c := range p.all()[:min(30, len(p.all()))] {
			for form, needle := range encodings(c) {
				if bytes.Contains(data, needle) {
					t.Errorf("%s: %s holds %q (%s)", when, path, c, form)
				}
			}
		}
		if strings.Contains(path, mark) {
			t.Errorf("%s: the file name %s holds a canary", when, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: searched %d bytes for %d canaries", when, total, len(p.all()))
	if total < 1<<19 {
		t.Errorf("%s: only %d bytes searched", when, total)
	}
}

// control finds every canary in what entered the sealing functions.
func control(t *testing.T, rec *recording, p *planted) {
	t.Helper()
	heard := func(list []string, kinds ...string) {
		for _, kind := range kinds {
			found := 0
			for _, c := range list {
				if rec.has(kind, c) {
					found++
				}
			}
			t.Logf("control: heard %d of %d at %s", found, len(list), kind)
			if found != len(list) {
				t.Errorf("control: heard %d of %d canaries at %s", found, len(list), kind)
			}
		}
	}
	heard(p.names, recordtest.WAL)
	// Tables leave out what a key shares with its neighbour: the random end is there.
	ends := make([]string, len(p.names))
	for i, c := range p.names {
		ends[i] = c[len(c)-7:]
	}
	heard(ends, recordtest.SST)
	heard(p.values, recordtest.Value)
	heard(p.contents, recordtest.Chunk)
}

// TestSearchFinds is the control of the search: each encoding is found in a file.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	c := canary("x")
	for shift := range 4 {
		plain := append(bytes.Repeat([]byte("-"), shift), c...)
		forms := map[string][]byte{
			"raw": plain, "hex": []byte(hex.EncodeToString(plain)),
			"base64": []byte(base64.StdEncoding.EncodeToString(append(plain, "tail"...))),
		}
		for name, data := range forms {
			found := false
			for _, needle := range encodings(c) {
				found = found || bytes.Contains(data, needle)
			}
			if !found {
				t.Errorf("%s shifted by %d is not found", name, shift)
			}
		}
	}
}
