package server

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
)

// backup makes a set of a running server and keeps writing meanwhile.
func (r *running) backup(p place, dir string) BackupReport {
	r.t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				r.do("PUT", "/box/later", bytes.NewReader(contents["/box/middle"]), int64(len(contents["/box/middle"])), "x-ms-blob-type", "BlockBlob")
				r.do("DELETE", "/box/later", nil, 0)
			}
		}
	}()
	var got BackupReport
	p.call(r.t, "backup.create", BackupArgs{Dir: dir}, &got)
	close(stop)
	<-done
	return got
}

func TestBackupAndRestore(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.fill()
	kit := p.recovery(t)
	p.call(t, "recovery.prove", RecoveryArgs{Given: kit}, nil)
	p.call(t, "keys.rotate", RotateArgs{What: "account", Account: "devstoreaccount1", Wait: true}, nil)
	set := filepath.Join(t.TempDir(), "set")
	made := r.backup(p, set)
	if made.Files < 10 || made.Bytes == 0 {
		t.Errorf("backup = %+v", made)
	}
	r.put("/box/after", []byte("not in the set"))
	r.stop()

	checked, err := VerifyBackup(t.Context(), p.config(), set, nil, nil)
	if err != nil || checked.Files != made.Files || checked.Store != made.Store {
		t.Fatalf("VerifyBackup = %+v, %v", checked, err)
	}

	t.Run("with the key files", func(t *testing.T) {
		q := place{data: filepath.Join(t.TempDir(), "restored"), key: p.key, log: &logBuffer{}}
		if _, err := RestoreBackup(t.Context(), q.config(), set, nil, nil); err != nil {
			t.Fatal(err)
		}
		q.mustBeWhole(t)
	})
	t.Run("with the kit", func(t *testing.T) {
		dir := t.TempDir()
		q := place{data: filepath.Join(dir, "restored"), key: filepath.Join(dir, "new.key"), log: &logBuffer{}}
		if _, err := VerifyBackup(t.Context(), q.config(), set, nil, nil); err == nil {
			t.Fatal("a set opened without its keys")
		}
		if _, err := RestoreBackup(t.Context(), q.config(), set, kit, nil); err != nil {
			t.Fatal(err)
		}
		q.mustBeWhole(t)
	})
	t.Run("into a directory with something in it", func(t *testing.T) {
		if _, err := RestoreBackup(t.Context(), p.config(), set, nil, nil); fault.KindOf(err) != fault.Exists || Hint(err) == "" {
			t.Errorf("RestoreBackup = %v, want Exists and a hint", err)
		}
	})
}

// mustBeWhole verifies a restored store and reads everything from it.
func (p place) mustBeWhole(t *testing.T) {
	t.Helper()
	var v VerifyReport
	p.call(t, "verify", VerifyArgs{}, &v)
	if !v.Clean() {
		t.Errorf("verify after the restore: %+v", v.Damage)
	}
	var list KeysReport
	p.call(t, "keys.list", Nothing{}, &list)
	for _, c := range list.Chains {
		for _, ver := range c.Versions {
			if ver.Unreferenced != nil {
				t.Errorf("%s version %d is still marked unreferenced", c.Kind, ver.Number)
			}
		}
	}
	r := p.serve(t)
	r.mustHoldAll()
	if status, _ := r.do("GET", "/box/after", nil, 0); status != 404 {
		t.Errorf("a blob that was written after the backup: status %d", status)
	}
	r.put("/box/new", []byte("new"))
	r.stop()
	p.serve(t).mustHold("/box/new", []byte("new"))
}

// A set with one byte changed in any of its files, a file less or a file more is refused.
func TestDamagedSetIsRefused(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.fill()
	set := filepath.Join(t.TempDir(), "set")
	r.backup(p, set)
	r.stop()
	refused := func(what string) {
		t.Helper()
		if _, err := VerifyBackup(t.Context(), p.config(), set, nil, nil); err == nil {
			t.Errorf("%s: VerifyBackup accepts the set", what)
		} else if Hint(err) == "" {
			t.Errorf("%s: no hint for %v", what, err)
		}
		q := place{data: filepath.Join(t.TempDir(), "restored"), key: p.key, log: &logBuffer{}}
		if _, err := RestoreBackup(t.Context(), q.config(), set, nil, nil); err == nil {
			t.Errorf("%s: RestoreBackup accepts the set", what)
		}
		if left, _ := os.ReadDir(q.data); len(left) == 0 {
			return // refused before anything was written
		}
		if s, err := Open(t.Context(), q.config()); err == nil {
			t.Errorf("%s: what a refused restore left behind opens", what)
			s.Close()
		}
	}
	n := 0
	err := filepath.WalkDir(set, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(set, path)
		if rel == "keystore.B" || strings.HasPrefix(rel, "audit") && n > 50 {
			return nil
		}
		info, _ := d.Info()
		if info.Size() == 0 {
			return nil
		}
		n++
		restore := damage(t, path, info.Size()/2)
		refused("byte changed in " + rel)
		restore()
		return nil
	})
	if err != nil || n < 8 {
		t.Fatalf("changed %d files: %v", n, err)
	}
	extra := filepath.Join(set, "extents", "extra")
	os.WriteFile(extra, []byte("x"), 0o600)
	refused("file more")
	os.Remove(extra)
	for _, gone := range []string{"manifest", "HEAD.A", "tls/ca.key"} {
		path := filepath.Join(set, gone)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		refused(gone + " removed")
		os.WriteFile(path, b, 0o600)
	}
	if _, err := VerifyBackup(t.Context(), p.config(), set, nil, nil); err != nil {
		t.Errorf("the untouched set: %v", err)
	}
}

// damage flips one bit of a file, without touching hard links of it.
func damage(t *testing.T, path string, at int64) (restore func()) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(b)
	bad[at] ^= 0x10
	write := func(b []byte) {
		if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(bad)
	return func() { write(b) }
}

// verify names what is damaged, and finds plaintext that somebody left in the directory.
func TestVerifyFindsDamageAndPlaintext(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.fill()
	r.stop()
	planted := []byte("a planted canary")
	search := VerifyArgs{Search: [][]byte{[]byte("smallsmallsmall"), planted}}
	var v VerifyReport
	p.call(t, "verify", search, &v)
	if !v.Clean() {
		t.Fatalf("before: %+v %+v", v.Damage, v.Plaintext)
	}
	note := filepath.Join(p.data, "extents", "note.txt")
	os.WriteFile(note, append([]byte("....."), planted...), 0o600)
	p.call(t, "verify", search, &v)
	if len(v.Plaintext) != 1 || v.Plaintext[0].String != 2 || v.Plaintext[0].File != "extents/note.txt" || v.Plaintext[0].Offset != 5 {
		t.Errorf("plaintext = %+v, want string 2 in extents/note.txt at 5", v.Plaintext)
	}
	os.Remove(note)

	var extents []string
	filepath.WalkDir(filepath.Join(p.data, "extents"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			extents = append(extents, path)
		}
		return err
	})
	if len(extents) < 2 {
		t.Fatalf("%d extents", len(extents))
	}
	for _, e := range extents {
		info, _ := os.Stat(e)
		restore := damage(t, e, info.Size()/2)
		v = VerifyReport{}
		p.call(t, "verify", VerifyArgs{}, &v)
		restore()
		if len(v.Damage) == 0 {
			t.Errorf("a changed byte in %s was not found", e)
			continue
		}
		if !strings.HasPrefix(v.Damage[0].Where, "devstoreaccount1/box/") {
			t.Errorf("damage is at %q, want the blob's name", v.Damage[0].Where)
		}
	}
}
