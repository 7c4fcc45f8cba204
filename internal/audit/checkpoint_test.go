package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// notary signs checkpoints as a store does.
type notary struct {
	private ed25519.PrivateKey
	key     Key
	store   [16]byte
	commit  uint64
}

func newNotary(t testing.TB) *notary {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &notary{private: priv, key: Key{Kref: [16]byte{7}, Public: pub}, store: [16]byte{1}}
}

func (n *notary) sign(p Position) (Checkpoint, error) {
	c := Checkpoint{Store: n.store, Seq: p.Seq, Hash: p.Hash, Generation: 3, Commit: n.commit, Kref: n.key.Kref}
	copy(c.Signature[:], ed25519.Sign(n.private, c.Text()))
	return c, nil
}

func (n *notary) check() Check { return Check{Store: n.store, Keys: []Key{n.key}} }

// signedLog writes n records over two starts and returns the anchored checkpoints.
func signedLog(t testing.TB, n *notary, records int) (*fakeFiles, []Checkpoint) {
	t.Helper()
	f := &fakeFiles{}
	var anchored []Checkpoint
	o := Options{Sign: n.sign, Anchor: func(c Checkpoint) error { anchored = append(anchored, c); return nil }}
	for range 2 {
		l, err := Open(f, o)
		if err != nil {
			t.Fatal(err)
		}
		for range records {
			if err := l.Before(t.Context(), Record{Operation: "x", What: "ü", Outcome: OK}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return f, anchored
}

func TestCheckpointsCoverTheLog(t *testing.T) {
	n := newNotary(t)
	f, anchored := signedLog(t, n, CheckpointEvery+5)
	c := n.check()
	c.Anchors = anchored
	rep, err := c.Files(f)
	if err != nil {
		t.Fatal(err)
	}
	const last = 2 * (CheckpointEvery + 5)
	if rep.Records != last || rep.Signed != last || rep.Checkpoints < 4 || rep.Anchors != uint64(len(anchored)) {
		t.Errorf("report %+v with %d anchors", rep, len(anchored))
	}
	if err := Reaches(f, anchored[len(anchored)-1]); err != nil {
		t.Error(err)
	}
	if err := Reaches(f, anchored[0]); err != nil {
		t.Error(err)
	}
}

func TestCheckpointAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotary(t)
		var at []uint64
		l, err := Open(&fakeFiles{}, Options{Sign: n.sign, Anchor: func(c Checkpoint) error { at = append(at, c.Seq); return nil }})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := l.Before(t.Context(), Record{Operation: "x", Outcome: OK}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(CheckpointAfter + time.Second)
		}
		time.Sleep(time.Hour) // nothing new: no checkpoint
		synctest.Wait()
		if d := cmp.Diff([]uint64{1, 2, 3}, at); d != "" {
			t.Errorf("checkpoints (-want +got):\n%s", d)
		}
		if st := l.State(); st.Signed != 3 || st.Anchored != 3 || st.SignErr != nil {
			t.Errorf("state %+v", st)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// An anchor that cannot be written is said to, and tried again.
func TestAnchorFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotary(t)
		var up atomic.Bool
		l, err := Open(&fakeFiles{}, Options{Sign: n.sign, Anchor: func(Checkpoint) error {
			if !up.Load() {
				return errDisk
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Before(t.Context(), Record{Operation: "x", Outcome: OK}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(CheckpointAfter + time.Second)
		if st := l.State(); !errors.Is(st.AnchorErr, errDisk) || st.Anchored != 0 {
			t.Errorf("state %+v", st)
		}
		up.Store(true)
		time.Sleep(CheckpointAfter + time.Second)
		if st := l.State(); st.AnchorErr != nil || st.Anchored != 1 {
			t.Errorf("state %+v", st)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestForgedCheckpoints(t *testing.T) {
	n, other := newNotary(t), newNotary(t)
	f, anchored := signedLog(t, n, 3)
	tests := []struct {
		name string
		edit func(*Check)
		want error
	}{
		{"another key", func(c *Check) { c.Keys = []Key{other.key} }, ErrSignature},
		{"another store", func(c *Check) { c.Store[0]++ }, ErrSignature},
		{"key that was not yet in use", func(c *Check) { c.Keys[0].From = time.Now().Add(time.Hour) }, ErrSignature},
		{"key that was out of use", func(c *Check) { c.Keys[0].Until = time.Now().Add(-time.Hour) }, ErrSignature},
		{"anchor of a longer log", func(c *Check) {
			p, _ := n.sign(Position{Seq: 9, Hash: Hash{1}})
			c.Anchors = append(anchored, p)
		}, ErrAnchor},
		{"anchor of another log", func(c *Check) {
			p, _ := n.sign(Position{Seq: 2, Hash: Hash{1}})
			c.Anchors = []Checkpoint{p}
		}, ErrAnchor},
		{"anchor with another signature", func(c *Check) {
			p := anchored[0]
			p.Commit++
			c.Anchors = []Checkpoint{p}
		}, ErrSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := n.check()
			tt.edit(&c)
			if _, err := c.Files(f); !errors.Is(err, tt.want) {
				t.Errorf("Files = %v, want %v", err, tt.want)
			}
		})
	}
	p, _ := n.sign(Position{Seq: 7, Hash: Hash{1}})
	if err := Reaches(f, p); !errors.Is(err, ErrAnchor) {
		t.Errorf("Reaches a later entry = %v", err)
	}
	p, _ = n.sign(Position{Seq: 4, Hash: Hash{1}})
	if err := Reaches(f, p); !errors.Is(err, ErrAnchor) {
		t.Errorf("Reaches another entry = %v", err)
	}
}

func TestReadAnchor(t *testing.T) {
	n := newNotary(t)
	_, anchored := signedLog(t, n, 1)
	var b strings.Builder
	for _, c := range anchored {
		b.WriteString(c.Line() + "\n")
	}
	got, err := ReadAnchor(strings.NewReader(b.String() + "17 AAAA")) // cut by a crash
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(anchored, got); d != "" {
		t.Error(d)
	}
	if last, err := Newest(n.store, []Key{n.key}, got); err != nil || last != anchored[len(anchored)-1] {
		t.Errorf("Newest = %+v, %v", last, err)
	}
	for _, bad := range []string{"x\n", "1 AAAA\n", strings.Replace(b.String(), "1 ", "2 ", 1), strings.Replace(b.String(), " ", "  ", 1)} {
		if _, err := ReadAnchor(strings.NewReader(bad)); !errors.Is(err, ErrForm) {
			t.Errorf("ReadAnchor(%q) = %v", bad, err)
		}
	}
}

func TestExport(t *testing.T) {
	n := newNotary(t)
	f, _ := signedLog(t, n, 4)
	o := ExportOptions{
		Store: n.store, Keys: []Key{n.key}, At: time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC), Identity: n.key.Public,
		Sign: func(text []byte) ([]byte, error) { return ed25519.Sign(n.private, text), nil },
	}
	var b bytes.Buffer
	if _, err := Export(f, &b, o); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	var seen int
	rep, err := VerifyExport(strings.NewReader(whole), func(r Record) error { seen++; return nil })
	if err != nil || rep.Records != 8 || rep.Signed != 8 || rep.Last != 8 || seen != 8 || rep.Pin == ([32]byte{}) {
		t.Fatalf("VerifyExport = %+v, %v", rep, err)
	}
	lines := strings.SplitAfter(whole, "\n")
	for name, bad := range map[string]string{
		"a line is gone":    strings.Join(append(append([]string(nil), lines[:2]...), lines[3:]...), ""),
		"lines changed":     lines[0] + lines[2] + lines[1] + strings.Join(lines[3:], ""),
		"a word is changed": strings.Replace(whole, `"outcome":"ok"`, `"outcome":"no"`, 1),
		"a member more":     strings.Replace(whole, `"outcome":"ok"`, `"outcome":"ok","and":1`, 1),
		"another store":     strings.Replace(whole, `"store":"01`, `"store":"02`, 1),
		"no head":           strings.Join(lines[1:], ""),
		"empty":             "",
	} {
		if _, err := VerifyExport(strings.NewReader(bad), nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	o.From = 6
	b.Reset()
	if _, err := Export(f, &b, o); err != nil {
		t.Fatal(err)
	}
	if rep, err := VerifyExport(&b, nil); err != nil || rep.Head.First != 6 || rep.Records != 3 {
		t.Errorf("export from 6: %+v, %v", rep, err)
	}
}

func FuzzParseLine(f *testing.F) {
	n := newNotary(f)
	c, _ := n.sign(Position{Seq: 5, Hash: Hash{9}})
	f.Add(c.Line())
	f.Add("5 AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseLine(s)
		if err != nil {
			return
		}
		if c.Line() != s {
			t.Errorf("ParseLine(%q).Line() = %q", s, c.Line())
		}
	})
}

func FuzzVerifyExport(f *testing.F) {
	n := newNotary(f)
	files, _ := signedLog(f, n, 2)
	var b bytes.Buffer
	_, err := Export(files, &b, ExportOptions{Store: n.store, Keys: []Key{n.key}, Identity: n.key.Public,
		Sign: func(text []byte) ([]byte, error) { return ed25519.Sign(n.private, text), nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, p []byte) {
		rep, err := VerifyExport(bytes.NewReader(p), nil)
		if err == nil && rep.Last != rep.Head.First-1+rep.Records {
			t.Errorf("report %+v", rep)
		}
	})
}
