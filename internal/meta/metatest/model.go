package metatest

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coffer-storage/coffer/internal/meta"
)

// model is the same thing in the simplest form.
type model map[string]string

func (m model) rows(lo, hi string, reverse bool) []string {
	out := []string{}
	for k, v := range m {
		if k >= lo && (hi == "" || k < hi) {
			out = append(out, k+"="+v)
		}
	}
	slices.Sort(out) // no key has a byte below '='
	if reverse {
		slices.Reverse(out)
	}
	return out
}

// step draws one operation of a transaction and runs it on both.
func (m model) step(t *rapid.T, tb testing.TB, tx meta.Tx) {
	key := rapid.StringMatching(`[a-e]{1,2}`)
	switch rapid.IntRange(0, 6).Draw(t, "op") {
	case 0, 1, 2:
		k, v := key.Draw(t, "key"), rapid.StringN(0, 8, 24).Draw(t, "value")
		tx.Put([]byte(k), value(v))
		m[k] = v
	case 3:
		k := key.Draw(t, "key")
		tx.Delete([]byte(k))
		delete(m, k)
	case 4:
		lo, hi := key.Draw(t, "lo"), key.Draw(t, "hi")
		tx.DeleteRange([]byte(lo), []byte(hi))
		for k := range m {
			if k >= lo && k < hi {
				delete(m, k)
			}
		}
	case 5:
		k := key.Draw(t, "key")
		wanted, ok := m[k]
		if !ok {
			wanted = "<none>"
		}
		if g := get(tb, tx, k); g != wanted {
			t.Fatalf("Get(%q) = %q, want %q", k, g, wanted)
		}
	case 6:
		lo, hi := key.Draw(t, "lo"), rapid.SampledFrom([]string{"", "a", "bb", "d", "e"}).Draw(t, "hi")
		reverse := rapid.Bool().Draw(t, "reverse")
		if diff := cmp.Diff(m.rows(lo, hi, reverse), rows(tb, tx, lo, hi, reverse)); diff != "" {
			t.Fatalf("Scan(%q, %q, %v) (-want +got):\n%s", lo, hi, reverse, diff)
		}
	}
}

// testModel compares random transactions, committed and not, with a map.
func testModel(t *testing.T, o Opened) {
	s := o.Store
	abort := errors.New("abort")
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		update(t, s, func(tx meta.Tx) error { tx.DeleteRange(nil, nil); return nil })
		state := model{}
		for range rapid.IntRange(1, 4).Draw(rt, "transactions") {
			next := model{}
			for k, v := range state {
				next[k] = v
			}
			fail := rapid.IntRange(0, 3).Draw(rt, "abort") == 0
			err := s.Update(t.Context(), func(tx meta.Tx) error {
				for range rapid.IntRange(1, 12).Draw(rt, "steps") {
					next.step(rt, t, tx)
				}
				if fail {
					return abort
				}
				return nil
			})
			switch {
			case fail && err != abort, !fail && err != nil:
				rt.Fatalf("Update: %v", err)
			case !fail:
				state = next
			}
		}
		if runs++; o.Reopen != nil && runs%25 == 0 {
			s = o.Reopen(t)
		}
		err := s.View(t.Context(), func(r meta.Reader) error {
			for _, reverse := range []bool{false, true} {
				if diff := cmp.Diff(state.rows("", "", reverse), rows(t, r, "", "", reverse)); diff != "" {
					rt.Fatalf("rows (-want +got):\n%s", diff)
				}
			}
			return nil
		})
		if err != nil {
			rt.Fatalf("View: %v", err)
		}
	})
}
