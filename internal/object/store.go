package object

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

// InlineMax is the longest content that lies in the row of its chunk.
const InlineMax = 32 << 10

// Options open a Store.
type Options struct {
	Meta    meta.Store
	Extents extent.Store
	Ring    *keys.Ring
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: none
	// VerifyOneIn is how many chunks are written for each one that is read back before
	// the answer; 1 is all, 0 the default of 64.
	VerifyOneIn int
	// OnCorrupt is told of bytes that did not authenticate. It must not block.
	OnCorrupt func(Damage)
}

// Damage is something that did not authenticate. It names no user data.
type Damage struct {
	Table string
	Key   string // hexadecimal
	Chunk keys.ID
	Err   error
}

// Store is the barrier. All methods are safe in parallel.
type Store struct{}

// New opens the store and sets the protector rows from the key store.
func New(ctx context.Context, o Options) (*Store, error) { panic("soon") }

// Close zeroes the cached keys.
func (s *Store) Close() {}

// StoreID is the id of the store, owner of its own rows.
func (s *Store) StoreID() keys.ID { panic("soon") }

// Mirror sets the protector rows from the key store: after every change of a protector
// or KEK.
func (s *Store) Mirror(ctx context.Context) error { panic("soon") }

// View runs f over one snapshot. Chunks that f finds are not removed while it runs; a
// Reader opened in f keeps its own afterwards.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error { panic("soon") }

// Update runs f in a serializable transaction. f may run several times.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error { panic("soon") }

// Tx is a transaction, or in View a snapshot. It is used by one goroutine, in f only.
type Tx struct{}

func (tx *Tx) Get(t Table, owner keys.ID, key []byte) (*Row, error) { panic("soon") }
func (tx *Tx) Put(t Table, key []byte, r *Row) error                { panic("soon") }
func (tx *Tx) Delete(t Table, key []byte)                           { panic("soon") }
func (tx *Tx) DeleteRange(t Table, lo, hi []byte)                   { panic("soon") }
func (tx *Tx) Scan(t Table, owner keys.ID, lo, hi []byte, reverse bool, f func(key []byte, r *Row) (bool, error)) error {
	panic("soon")
}
func (tx *Tx) Wrap(d *DEK) (DEKEntry, error)                       { panic("soon") }
func (tx *Tx) Attach(c *Content) ([]Ref, error)                    { panic("soon") }
func (tx *Tx) SetPieces(r *Row, ps []Piece) error                  { panic("soon") }
func (tx *Tx) Pieces(r *Row, f func(Piece) (bool, error)) error    { panic("soon") }
func (tx *Tx) Release(r *Row, keep func(chunk keys.ID) bool) error { panic("soon") }
func (tx *Tx) ReleaseRefs(owner keys.ID, refs []Ref) error         { panic("soon") }

// DEK is an opened data key.
type DEK struct{}

func (d *DEK) ID() keys.ID               { panic("soon") }
func (d *DEK) Owner() keys.ID            { panic("soon") }
func (d *DEK) Protector() keys.Protector { panic("soon") }
func (d *DEK) Close()                    { panic("soon") }

func (s *Store) NewDEK(owner keys.ID, p keys.Protector) (*DEK, error)                 { panic("soon") }
func (s *Store) OpenDEK(ctx context.Context, owner keys.ID, e DEKEntry) (*DEK, error) { panic("soon") }
func (s *Store) SealMeta(d *DEK, p keys.Protector, plaintext []byte) (Part, error)    { panic("soon") }
func (s *Store) OpenMeta(ctx context.Context, r *Row) ([]byte, error)                 { panic("soon") }

// Content is sealed and durable, and no row names it yet.
type Content struct {
	DEK    *DEK
	Length int64
}

// Discard gives up a content that was not committed.
func (c *Content) Discard() { panic("soon") }

func (s *Store) Write(ctx context.Context, d *DEK, class extent.Class, length int64, src io.Reader) (*Content, error) {
	panic("soon")
}
func (s *Store) Hold() (release func())                                          { panic("soon") }
func (s *Store) Open(ctx context.Context, r *Row, off, n int64) (*Reader, error) { panic("soon") }

// Reader reads a range of a content.
type Reader struct{}

func (r *Reader) WriteTo(w io.Writer) (int64, error) { panic("soon") }
func (r *Reader) Close() error                       { panic("soon") }

// Protection says how a content is protected.
type Protection struct{}

func (s *Store) Describe(ctx context.Context, r *Row) (Protection, error) { panic("soon") }
func (s *Store) Sweep(ctx context.Context, p keys.Protector) error        { panic("soon") }
