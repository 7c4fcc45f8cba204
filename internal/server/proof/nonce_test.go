package proof

import (
	"crypto/fips140"
	"fmt"
	"sync"
	"testing"
	"testing/cryptotest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/recordtest"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
	"github.com/coffer-storage/coffer/internal/secret"
)

// sealing is every function that draws nonces, as something to be called again and again
// under the same keys.
type sealing struct {
	dek, kek secret.Key
	salter   envelope.Salter
	plain    []byte // one chunk
}

func newSealing(plain int) *sealing {
	return &sealing{dek: secret.Random(32), kek: secret.Random(32), plain: make([]byte, plain)}
}

// functions by name. Each call of chunk seals under one and the same derived key as long
// as the number is the same.
func (s *sealing) functions() map[string]func(number byte) error {
	return map[string]func(byte) error{
		"chunk": s.chunk,
		"value": func(byte) error {
			_, err := envelope.SealValue(s.kek, [16]byte{1}, &s.salter, nil, s.plain[:40])
			return err
		},
		"value under a new salt": func(byte) error {
			_, err := envelope.SealValue(s.dek, [16]byte{2}, nil, nil, s.plain[:40])
			return err
		},
		"infra": func(byte) error {
			_, err := envelope.SealInfra(s.kek, [16]byte{3}, &s.salter, nil, s.plain[:100])
			return err
		},
		"seal": func(byte) error {
			_, err := keywrap.Seal(s.kek, [16]byte{4}, nil, s.plain[:40])
			return err
		},
		"wrap": func(byte) error {
			_, err := keywrap.Wrap(s.kek, [16]byte{5}, nil, s.dek)
			return err
		},
		"table":  s.table,
		"append": s.appends,
	}
}

func (s *sealing) chunk(number byte) error {
	p := segment.Params{DEK: s.dek, Chunk: [16]byte{number}, Lg: segment.MinLg}
	w, err := segment.NewWriter(p, int64(len(s.plain)), func(crypt.Sealed) error { return nil })
	if err != nil {
		return err
	}
	if _, err := w.Write(s.plain); err != nil {
		return err
	}
	return w.Close()
}

func (s *sealing) table(byte) error {
	c, _, err := vfsframe.Create(s.kek, [16]byte{6}, vfsframe.ID{Kind: vfsframe.Table, Area: vfsframe.LSM, Number: 1})
	if err != nil {
		return err
	}
	w := c.NewTableWriter(func([]byte) error { return nil })
	if _, err := w.Write(s.plain[:min(len(s.plain), 40_000)]); err != nil {
		return err
	}
	return w.Close()
}

func (s *sealing) appends(byte) error {
	c, _, err := vfsframe.Create(s.kek, [16]byte{6}, vfsframe.ID{Kind: vfsframe.Log, Area: vfsframe.LSM, Number: 2})
	if err != nil {
		return err
	}
	a := c.NewAppender()
	for range 10 {
		if _, err := a.Seal(nil, s.plain[:30]); err != nil {
			return err
		}
	}
	_, err = a.End(nil)
	return err
}

// TestNoncesNeverRepeat hears all pairs of key and nonce of a long run, of which most are
// under few keys: 2^17 segments of a chunk of the largest size under one.
func TestNoncesNeverRepeat(t *testing.T) {
	segments := sized(20_000, 100_000, 10_000_000)
	const perChunk = 1 << 17 // 64 MiB
	audit := recordtest.AuditNonces(t)
	s := newSealing(512 * min(segments, perChunk))
	var wg sync.WaitGroup
	turn := make(chan byte)
	for range 4 {
		wg.Go(func() {
			for n := range turn {
				for name, f := range s.functions() {
					times := 50
					if name == "chunk" {
						times = 1
					}
					for range times {
						if err := f(n); err != nil {
							t.Errorf("%s: %v", name, err)
						}
					}
				}
			}
		})
	}
	for n := range (segments + perChunk - 1) / perChunk {
		turn <- byte(n)
	}
	close(turn)
	wg.Wait()
	seals, repeats := audit.Count()
	t.Logf("C9: %d seals, %d repeats", seals, repeats)
	if seals < segments || repeats != 0 {
		t.Errorf("%d of %d seals repeat a nonce under its key; want 0 of at least %d", repeats, seals, segments)
	}
}

// TestNoncesOfAStore hears a whole store: rotations, compaction, clean stop and restart.
func TestNoncesOfAStore(t *testing.T) {
	audit := recordtest.AuditNonces(t)
	fs, sec := vfs.NewMem(), newSecrets()
	st := mustOpen(t, fs, sec)
	for i := range sized(10, 40, 400) {
		if err := put(st, fmt.Sprint("b", i), content(fmt.Sprint(i), i%40*4_000)); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			if err := rotateAll(t, st); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := st.Meta.CompactAll(ctx); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, fs, sec).Close(); err != nil {
		t.Fatal(err)
	}
	seals, repeats := audit.Count()
	t.Logf("C9: %d seals of a store, %d repeats", seals, repeats)
	if seals < 100 || repeats != 0 {
		t.Errorf("%d of %d seals repeat a nonce under its key", repeats, seals)
	}
}

// TestRepeatsAreHeard is the control: a source of randomness that begins again must be
// reported, for every function that seals. It proves at the same time that a broken source
// would not be covered by anything else.
func TestRepeatsAreHeard(t *testing.T) {
	if fips140.Version() == "v1.0.0" {
		t.Skip("the frozen module cannot be given a source of randomness")
	}
	s := newSealing(600)
	for name, f := range s.functions() {
		t.Run(name, func(t *testing.T) {
			audit := recordtest.AuditNonces(t)
			for range 2 {
				s.salter = envelope.Salter{}
				cryptotest.SetGlobalRandom(t, 1)
				if err := f(1); err != nil {
					t.Fatal(err)
				}
			}
			if seals, repeats := audit.Count(); repeats == 0 || 2*repeats != seals {
				t.Errorf("%d of %d seals are reported as repeats, want half of them", repeats, seals)
			}
		})
	}
}
