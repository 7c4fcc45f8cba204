package object

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

const (
	// verifyRows is how many rows are read in one snapshot.
	verifyRows = 256
	// verifyStaging is how many data keys of staging rows are held at once.
	verifyStaging = 4096
)

// VerifyOptions watch a verification.
type VerifyOptions struct {
	Progress func(VerifyReport) // called now and then; may be nil
	// Damage is called for everything that does not authenticate. A damaged chunk is
	// reported with the row of the content that names it, so that a service can say
	// which of its things it is.
	Damage func(Damage)
}

// VerifyReport counts what was authenticated.
type VerifyReport struct {
	Rows       map[string]int64 // by table
	Contents   int64
	Chunks     int64 // authenticated under their data key
	Bytes      int64 // sealed bytes of those
	TotalBytes int64 // sealed bytes in extents when it began, for progress
	Garbage    int64 // chunks of released contents: checked by CRC only, their keys are gone
	Locked     int64 // contents whose protector may not be used: not verifiable now
	Damaged    int64
	Double     int64        // rows and chunks of class double: both layers were opened
	Versions   []VersionUse // key versions in use
}

// VersionUse is a key version and how much names it.
type VersionUse struct {
	keys.Version
	Wraps   int64 // data keys wrapped under it
	Rows    int64 // rows sealed under it
	Extents int64 // extents whose second layer is under it
}

// Verify authenticates every row of every table and every chunk that a row names. It
// works on a live store: what changes meanwhile is seen before or after.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	v := &verifier{
		s: s, o: o,
		rep:  VerifyReport{Rows: make(map[string]int64)},
		rows: make(map[keys.ID]int64), wraps: make(map[keys.ID]int64), extents: make(map[keys.ID]int64),
		slots: make(chan struct{}, verifyParallel),
	}
	if v.o.Damage == nil {
		v.o.Damage = func(Damage) {}
	}
	if v.o.Progress == nil {
		v.o.Progress = func(VerifyReport) {}
	}
	err := s.extents.List(func(i extent.Info) error {
		v.rep.TotalBytes += i.Size
		if i.Class == extent.Double {
			v.extents[i.Infra]++
		}
		return ctx.Err()
	})
	for _, t := range Tables() {
		if err == nil && t != Map && t != Block { // those are read through the rows that name them
			err = v.table(ctx, t)
		}
	}
	if err == nil {
		err = v.staged(ctx)
	}
	if v.drain(); err == nil {
		err = v.failed
	}
	v.versions()
	return v.rep, classify("object.Verify", err)
}

type verifier struct {
	s     *Store
	o     VerifyOptions
	rep   VerifyReport
	rows  map[keys.ID]int64 // by kref
	wraps map[keys.ID]int64

	extents map[keys.ID]int64

	slots  chan struct{} // held by checks that run
	ahead  []*check      // in the order of what they check
	failed error         // the first error that is not damage
}

// damage reports what was found now, behind what is being checked.
func (v *verifier) damage(t Table, key []byte, chunk keys.ID, err error) {
	v.drain()
	v.found(t, key, chunk, err)
}

func (v *verifier) found(t Table, key []byte, chunk keys.ID, err error) {
	v.rep.Damaged++
	v.o.Damage(Damage{Table: t, Key: key, Chunk: chunk, Err: err})
}

// table verifies the rows of one table and what they name.
func (v *verifier) table(ctx context.Context, t Table) error {
	return v.each(ctx, t, nil, t.end(nil), func(tx *Tx, key []byte, r *Row) (*content, error) {
		return v.row(ctx, tx, t, key, r)
	})
}

// each calls f for the rows in [lo, hi) that open; damaged ones are reported. The content
// that f returns is verified when the snapshot of its row is over.
func (v *verifier) each(ctx context.Context, t Table, lo, hi []byte, f func(*Tx, []byte, *Row) (*content, error)) error {
	for {
		var later []*content
		var next []byte
		n := 0
		err := v.s.View(ctx, func(tx *Tx) error {
			return tx.r.Scan(t.key(lo), hi, false, func(k, value []byte) (bool, error) {
				key := slices.Clone(k[1:])
				if n == verifyRows {
					next = key
					return false, nil
				}
				n++
				r := v.open(t, key, slices.Clone(value))
				if r == nil {
					return true, nil
				}
				c, err := f(tx, key, r)
				if c != nil {
					later = append(later, c)
				}
				return true, err
			})
		})
		for _, c := range later {
			if err == nil {
				err = v.verify(c)
			}
			c.leave()
		}
		if err != nil {
			return err
		}
		v.o.Progress(v.rep)
		if next == nil {
			return ctx.Err()
		}
		lo = next
	}
}

// open opens a row, or reports it and returns nil.
func (v *verifier) open(t Table, key, value []byte) *Row {
	v.rep.Rows[t.Name]++
	owner := v.s.id
	if t.Owned {
		if len(key) < 16 {
			v.damage(t, key, keys.ID{}, errSYS)
			return nil
		}
		owner = keys.ID(key[:16])
	}
	r, err := v.s.parseRow(t, owner, key, value, nil)
	if fault.Is(err, fault.KeyGone) {
		v.rep.Locked++
		return nil
	}
	if err != nil {
		v.damage(t, key, keys.ID{}, err)
		return nil
	}
	r.Owner = owner
	v.note(r)
	return r
}

// note counts the keys that a row uses.
func (v *verifier) note(r *Row) {
	v.rows[r.system]++
	if r.class() == extent.Double {
		v.rep.Double++
		v.rows[r.infra]++
	}
	for _, e := range r.DEKs {
		if e.Form == FormWrap {
			v.wraps[e.Kref()]++
		}
	}
}

func (v *verifier) row(ctx context.Context, tx *Tx, t Table, key []byte, r *Row) (*content, error) {
	switch t {
	case Chunk:
		v.chunkRow(key, r)
	case Place:
		return nil, v.placeRow(tx, key, r)
	case Garbage:
		if len(key) > 0 && key[0] == garbagePrefix {
			return nil, v.garbage(tx, key, r)
		}
	default:
		if len(r.DEKs) > 0 {
			return v.content(ctx, t, key, r, r.DEKs), nil
		}
	}
	return nil, nil
}

// chunkRow checks what a chunk row says against what lies in it, without a key.
func (v *verifier) chunkRow(key []byte, r *Row) {
	p, ok := r.Part(PartInline)
	switch {
	case len(key) != 32 || ok != r.chunk.inline():
		v.damage(Chunk, key, keys.ID{}, errSYS)
	case ok && !bytes.Equal(p.VID[:], key[16:]):
		v.damage(Chunk, key, keys.ID(key[16:]), errCRC)
	case ok:
		if err := v.s.checksum(r); err != nil {
			v.damage(Chunk, key, keys.ID(key[16:]), err)
		}
	}
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errCRC     = errors.New("object: stored bytes have another checksum")
	errPlace   = errors.New("object: place and chunk row do not agree")
)

func (v *verifier) placeRow(tx *Tx, key []byte, r *Row) error {
	p, err := parsePlaced(key, r)
	if err != nil {
		v.damage(Place, key, keys.ID{}, err)
		return nil
	}
	c, err := tx.Get(Chunk, p.owner, chunkKey(p.owner, p.chunk))
	switch {
	case errors.Is(err, meta.ErrNotFound) && v.s.Shredded(keys.AccountProtector(p.owner)): // see ForgetPlaces
	case errors.Is(err, meta.ErrNotFound), err == nil && c.chunk.place != p.place:
		v.damage(Place, key, p.chunk, errPlace)
	case err != nil && !fault.Is(err, fault.Corrupt): // that one is reported by its own table
		return err
	}
	return nil
}

// garbage checks chunks whose data keys are gone with their content: by checksum.
func (v *verifier) garbage(tx *Tx, key []byte, r *Row) error {
	g, err := parseGarbage(key, r)
	if err != nil {
		v.damage(Garbage, key, keys.ID{}, err)
		return nil
	}
	check := func(id keys.ID) error {
		row, err := tx.Get(Chunk, g.owner, chunkKey(g.owner, id))
		if errors.Is(err, meta.ErrNotFound) || fault.Is(err, fault.Corrupt) {
			return nil
		}
		if err != nil {
			return err
		}
		v.rep.Garbage++
		if err := v.s.checksum(row); err != nil {
			v.damage(Garbage, key, id, err)
		}
		return nil
	}
	for _, id := range g.chunks {
		if err := check(id); err != nil {
			return err
		}
	}
	if g.how == 0 {
		return nil
	}
	m := &Row{Owner: g.owner, mapped: mapping{id: g.mapID, count: 1}}
	for _, id := range g.deks {
		m.DEKs = append(m.DEKs, DEKEntry{ID: id})
	}
	return tx.Pieces(m, func(p Piece) (bool, error) {
		for _, ref := range p.Refs {
			if g.how == mapWithChunks {
				if err := check(ref.Chunk); err != nil {
					return false, err
				}
			}
		}
		return true, nil
	})
}

// checksum reads a whole chunk and compares its CRC-32C. It needs no key.
func (s *Store) checksum(r *Row) error {
	c := r.chunk
	if c.inline() {
		p, _ := r.Part(PartInline)
		b, err := s.inlineChunk(r, p)
		if err == nil && crc32.Checksum(b, castagnoli) != c.crc {
			err = errCRC
		}
		return err
	}
	sum := crc32.New(castagnoli)
	buf := aheadBuffers.Get().(*[aheadBuffer]byte)
	defer aheadBuffers.Put(buf)
	_, err := io.CopyBuffer(sum, io.NewSectionReader(placeReader{s.extents, c.place}, 0, int64(c.stored)), buf[:])
	if err == nil && sum.Sum32() != c.crc {
		err = errCRC
	}
	return err
}

// locked reports whether err says that a content cannot be opened now and is not damaged:
// its protector is suspended, or only its customer has the key.
func locked(err error) bool {
	return fault.Is(err, fault.KeyGone) || fault.Is(err, fault.UsesCustomerSpecifiedEncryption)
}

// wrapsOpen opens every data key, those that no chunk needs included.
func (v *verifier) wrapsOpen(rd *Reader) error {
	for _, e := range rd.row.DEKs {
		if _, err := rd.dek(e.ID); err != nil {
			return err
		}
	}
	return nil
}

// staged verifies staged blocks, whose data keys are wrapped in staging rows: as many
// of those at a time as may be held in memory.
func (v *verifier) staged(ctx context.Context) error {
	seen := int64(0)
	var lo []byte
	for {
		deks, next, err := v.stagingKeys(ctx, lo)
		if err != nil {
			return err
		}
		seen = 0 // every round goes over all blocks
		err = v.each(ctx, Block, nil, Block.end(nil), func(_ *Tx, key []byte, r *Row) (*content, error) {
			seen++
			var es []DEKEntry
			for _, p := range r.pieces {
				for _, ref := range p.Refs {
					if e, ok := deks[ref.DEKID]; ok && !slices.ContainsFunc(es, func(o DEKEntry) bool { return o.ID == e.ID }) {
						es = append(es, e)
					}
				}
			}
			if len(es) == 0 {
				return nil, nil
			}
			return v.content(ctx, Block, key, r, es), nil
		})
		if err != nil || next == nil {
			v.rep.Rows[Block.Name] = seen
			return err
		}
		lo = next
	}
}

// stagingKeys reads data keys of staging rows, from lo on.
func (v *verifier) stagingKeys(ctx context.Context, lo []byte) (deks map[keys.ID]DEKEntry, next []byte, err error) {
	deks = make(map[keys.ID]DEKEntry)
	err = v.s.View(ctx, func(tx *Tx) error {
		return tx.r.Scan(Staging.key(lo), Staging.end(nil), false, func(k, value []byte) (bool, error) {
			key := slices.Clone(k[1:])
			if len(deks) >= verifyStaging {
				next = key
				return false, nil
			}
			if len(key) < 16 {
				return true, nil
			}
			r, err := v.s.parseRow(Staging, keys.ID(key[:16]), key, slices.Clone(value), nil)
			if err != nil {
				return true, nil // reported by its own table
			}
			for _, e := range r.DEKs {
				deks[e.ID] = e
			}
			return true, nil
		})
	})
	return deks, next, err
}

// versions fills in the key versions in use, those of KEKs first.
func (v *verifier) versions() {
	known := v.s.versions()
	for kref := range v.rows {
		v.use(known, kref)
	}
	for kref := range v.wraps {
		if _, ok := v.rows[kref]; !ok {
			v.use(known, kref)
		}
	}
	for kref := range v.extents {
		if _, ok := v.rows[kref]; !ok {
			v.use(known, kref)
		}
	}
	slices.SortFunc(v.rep.Versions, func(a, b VersionUse) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), bytes.Compare(a.Chain[:], b.Chain[:]), cmp.Compare(a.Number, b.Number))
	})
}

func (v *verifier) use(known map[keys.ID]keys.Version, kref keys.ID) {
	ver, ok := known[kref]
	if !ok {
		ver = keys.Version{Kref: kref}
	}
	v.rep.Versions = append(v.rep.Versions, VersionUse{Version: ver, Wraps: v.wraps[kref], Rows: v.rows[kref], Extents: v.extents[kref]})
}
