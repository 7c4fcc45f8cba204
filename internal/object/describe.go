package object

import (
	"context"
	"time"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

// describeChunks bounds the chunks that Describe lists; it counts all of them.
const describeChunks = 1000

// Protection says how a content is protected. It holds no secret.
type Protection struct {
	Owner   keys.ID
	Class   string  // "single" or "double"
	Layers  []Layer // from the content outwards
	Keys    []KeyUse
	System  SystemUse
	Infra   SystemUse // around system properties, metadata and small contents; zero in class single
	Length  int64
	Pieces  int
	Count   int // chunks
	Stored  int64
	Chunks  []ChunkUse // the first of them
	Extents []ExtentUse
}

// Layer is one layer of encryption.
type Layer struct{ What, Algorithm, Key string }

// KeyUse is a data key of the content, and what it is wrapped under.
type KeyUse struct {
	DEK       keys.ID
	Protector keys.Protector
	Managed   string // "service", "customer", or for CPK who brings the key
	Chain     keys.ID
	Version   uint64
	Kref      keys.ID
	State     string
	Created   time.Time // of the version
	WrappedAt time.Time
	Algorithm string // of the wrap
	Metadata  bool   // user metadata is under this key
	Chunks    int    // references under this key
}

// SystemUse is the key of the content's system properties.
type SystemUse struct {
	Kref    keys.ID
	Chain   keys.ID
	Version uint64
	State   string
}

// ChunkUse is a chunk of the content.
type ChunkUse struct {
	ID, DEK keys.ID
	Length  int64
	Stored  int64
	CRC32C  uint32
	State   string
	Inline  bool
	Extent  keys.ID
	Offset  uint64
}

// ExtentUse is an extent in which chunks of the content lie.
type ExtentUse struct {
	ID        keys.ID
	Size      int64
	Shared    bool
	Chunks    int
	Infra     SystemUse // class double: the key of its second layer
	Algorithm string    // and how it seals
}

var chunkStates = map[ChunkState]string{ChunkLive: "live", ChunkQuarantined: "quarantined", ChunkDead: "dead"}

// Describe says how the content of r is protected. It needs no data key, so it works
// while a protector is disabled.
func (s *Store) Describe(ctx context.Context, r *Row) (Protection, error) {
	p := Protection{
		Owner:  r.Owner,
		Class:  "single",
		Length: r.Length(),
		Pieces: r.PieceCount(),
		Layers: []Layer{
			{"content", "AES-256-GCM in segments of 64 KiB (CFC1), key by HKDF-SHA-256 for each chunk", "data key"},
			{"user metadata", "AES-256-GCM (VALUE-1)", "data key"},
			{"data key", "AES-256-GCM with key commitment (WRAP-1)", "key encryption key of the protector"},
			{"system properties", "AES-256-GCM (VALUE-1)", "system key of the owner"},
			{"rows and names", "AES-256-GCM in frames (CFV1)", "file keys of the store"},
		},
	}
	versions := s.versions()
	p.System = systemUse(versions, r.system)
	if r.class() == extent.Double {
		p.Class = "double"
		p.Infra = systemUse(versions, r.infra)
		p.Layers = append(p.Layers[:len(p.Layers)-1:len(p.Layers)-1],
			Layer{"second layer of values", "A256CBC-HS512 (INFRA-1)", "infrastructure key"},
			Layer{"second layer of extents", "AES-256-XTS, in FIPS mode A256CBC-HS512 (CFX1)", "infrastructure key"},
			p.Layers[len(p.Layers)-1])
	}
	d := describer{s: s, versions: versions, r: r, p: &p, uses: make(map[keys.ID]int), extents: make(map[keys.ID]int)}
	if err := s.View(ctx, d.chunks); err != nil {
		return Protection{}, err
	}
	part, hasMeta := r.Part(PartMeta)
	for _, e := range r.DEKs {
		u := KeyUse{
			DEK: e.ID, Protector: e.Protector, Kref: e.Kref(), WrappedAt: e.WrappedAt,
			Algorithm: "WRAP-1: AES-256-GCM, key by HKDF-SHA-256, committed",
			Metadata:  hasMeta && part.Keyref == e.ID,
			Chunks:    d.uses[e.ID],
		}
		if info, ok := s.ring.Protector(e.Protector); ok {
			u.Managed = info.Managed
		}
		if e.Form == FormCPK {
			u.Managed = "customer, with each request"
			u.Algorithm = "salt, verifier and WRAP-1 under a key derived from the customer's by HKDF-SHA-256"
		}
		if v, ok := versions[u.Kref]; ok {
			u.Chain, u.Version, u.State, u.Created = v.Chain, v.Number, v.State.String(), v.Created
		}
		p.Keys = append(p.Keys, u)
	}
	return p, nil
}

// systemUse describes the version that kref names.
func systemUse(versions map[keys.ID]keys.Version, kref keys.ID) SystemUse {
	u := SystemUse{Kref: kref}
	if v, ok := versions[kref]; ok {
		u = SystemUse{kref, v.Chain, v.Number, v.State.String()}
	}
	return u
}

// versions are all key versions by what data name them.
func (s *Store) versions() map[keys.ID]keys.Version {
	m := make(map[keys.ID]keys.Version)
	for _, c := range s.ring.Chains() {
		for _, v := range c.Versions {
			m[v.Kref] = v
		}
	}
	return m
}

// describer goes over the chunks of a content.
type describer struct {
	s       *Store
	r       *Row
	p       *Protection
	uses    map[keys.ID]int
	extents map[keys.ID]int // index in p.Extents

	versions map[keys.ID]keys.Version
}

func (d *describer) chunks(tx *Tx) error {
	return tx.Pieces(d.r, func(p Piece) (bool, error) {
		for _, ref := range p.Refs {
			d.uses[ref.DEKID]++
			row, err := tx.Get(Chunk, d.r.Owner, chunkKey(d.r.Owner, ref.Chunk))
			if err != nil {
				return false, classify("object.Describe", err)
			}
			d.chunk(ref, row.chunk)
		}
		return true, nil
	})
}

func (d *describer) chunk(ref Ref, c *chunkInfo) {
	d.p.Count++
	d.p.Stored += int64(c.stored)
	if len(d.p.Chunks) < describeChunks {
		d.p.Chunks = append(d.p.Chunks, ChunkUse{
			ID: ref.Chunk, DEK: ref.DEKID, Length: int64(c.length), Stored: int64(c.stored), CRC32C: c.crc,
			State: chunkStates[c.state], Inline: c.inline(), Extent: c.place.Extent, Offset: c.place.Offset,
		})
	}
	if !c.inline() {
		d.extent(c.place)
	}
}

func (d *describer) extent(p extent.Place) {
	i, ok := d.extents[p.Extent]
	if !ok && len(d.p.Extents) < describeChunks {
		i = len(d.p.Extents)
		d.extents[p.Extent] = i
		u := ExtentUse{ID: p.Extent}
		if info, err := d.s.extents.Stat(p.Extent); err == nil {
			u.Size, u.Shared = info.Size, info.Shared
			if info.Class == extent.Double {
				u.Infra, u.Algorithm = systemUse(d.versions, info.Infra), info.Algorithm
			}
		}
		d.p.Extents = append(d.p.Extents, u)
		ok = true
	}
	if ok {
		d.p.Extents[i].Chunks++
	}
}
