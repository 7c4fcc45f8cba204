// Package sealedfs is a vfs.FS that encrypts and authenticates every file below the
// LSM and the audit log, names of rows and indexes included.
//
//	Pebble, audit ──> FS (vfsframe: CFV1 frames) ──> lower vfs.FS (disk, or memory in tests)
//	                   │
//	                   └─ HEAD.A / HEAD.B: which logs must be there, and how far they reach
//
// What a frame cannot tell, that a whole file is missing or was put back to an older
// state, HEAD tells: it lists every live WAL, the MANIFEST in force and the newest
// audit file with the last frame that was synced, and is written before the engine
// relies on a new one and before an old one goes.
//
// A failed log, sync of a directory or HEAD cannot be handed to the engine, which
// panics or goes on: Options.Fatal ends the process instead.
// The formats and rules are fixed by spec/sealedfs.md.
package sealedfs

import (
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Keys is what the file system needs of the key hierarchy; keys.Ring implements it.
// All methods are safe in parallel.
type Keys interface {
	// SealVFS returns the Active VFSK.
	SealVFS() (kref [16]byte, k secret.Key, err error)
	// OpenVFS returns the VFSK version that kref names.
	OpenVFS(kref [16]byte) (secret.Key, error)
	// SealStore returns the Active SYSK of the store, for HEAD and other SEAL-1 files.
	SealStore() (kref [16]byte, k secret.Key, err error)
	// OpenStore returns the SYSK version of the store that kref names.
	OpenStore(kref [16]byte) (secret.Key, error)
	// Generation returns number and SHA-256 of the key-store file as last made durable.
	Generation() (gen uint64, sum [32]byte)
	// StoreID returns the id of the store.
	StoreID() [16]byte
}

// Options configure New. The zero value works.
type Options struct {
	Logger *slog.Logger
	// Fatal is called once, with the cause, when a log, a directory sync or HEAD failed
	// after Started. It ends the process; should it return, the goroutine that met the
	// failure stops for ever, or gets an error where that is safe. Default: panic.
	Fatal func(error)
	// Opening reports whether the calling goroutine is the one that opens the store:
	// until then, errors can go back. nil: true until Started.
	Opening func() bool
	// TornTail is told of every append file that ended in a broken tail which was never
	// synced: the normal mark of a power cut.
	TornTail func(name string, lost int64)
}

const (
	// LSMDir and AuditDir are the directories below the data directory that FS covers.
	LSMDir   = "lsm"
	AuditDir = "audit"
)

// FS implements vfs.FS over a lower file system.
type FS struct {
	lower    *tracker
	dir      string // data directory
	lsm      string
	audit    string
	keys     Keys
	opts     Options
	reopen   bool // an open file cannot be renamed here
	logSyncs atomic.Uint64

	mu      sync.Mutex
	writers map[string]*appendFile // class 2 files that are being written, by path
	created map[string][]fileRef   // by directory: new names that no directory sync covers yet
	used    map[[16]byte]*atomic.Uint64
	failed  error
	told    sync.Once
	started bool // the engine is up: failures end the process

	unclosed  []closeError     // see TakeCloseErrors
	unwritten map[string]error // blob files that are not whole, by path; see blobFile

	headMu sync.Mutex // one HEAD write at a time; taken before mu
	head   headState
}

// fileRef is one file that HEAD lists, or is going to list.
type fileRef struct {
	typ EntryType
	n   uint64
}

// New returns the sealed file system of the data directory dir. It touches nothing.
func New(lower vfs.FS, dir string, k Keys, opts Options) *FS {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &FS{
		lower:   newTracker(lower),
		dir:     dir,
		lsm:     lower.PathJoin(dir, LSMDir),
		audit:   lower.PathJoin(dir, AuditDir),
		keys:    k,
		opts:    opts,
		reopen:  runtime.GOOS == "windows",
		writers: make(map[string]*appendFile),
		created: make(map[string][]fileRef),

		unwritten: make(map[string]error),
		used:      make(map[[16]byte]*atomic.Uint64),
		head:      headState{format: Format, listed: make(map[fileRef]uint64), writers: make(map[fileRef]*appendFile)},
	}
}

// Abandon closes what an engine left open that failed to open; its goroutines stop at
// their next operation. Nothing else may be called after it.
func (f *FS) Abandon() { f.lower.abandon() }

// LSM is the path of the directory that the engine opens.
func (f *FS) LSM() string { return f.lsm }

// errFailed is wrapped with the cause after fatal.
var errFailed = errors.New("sealedfs: failed before")

// latch makes every later call fail and tells Options.Fatal, which ends the process.
// It reports whether the error may go back, since nothing was started yet.
func (f *FS) latch(cause error) (back bool) {
	f.mu.Lock()
	if f.failed == nil {
		f.failed = errors.Join(errFailed, cause)
	}
	back = !f.started
	f.mu.Unlock()
	if back && (f.opts.Opening == nil || f.opts.Opening()) {
		return true
	}
	f.told.Do(func() {
		if f.opts.Fatal == nil {
			panic(cause)
		}
		f.opts.Fatal(cause)
	})
	return false
}

// fatal is latch for calls whose failure the engine does not survive: it would panic
// with its locks in a state that no recover mends. So there is no way back to it,
// except into the start.
func (f *FS) fatal(cause error) error {
	if !f.latch(cause) {
		select {}
	}
	return cause
}

func (f *FS) usable() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// id says which file of the format a name is.
func (f *FS) id(n name) vfsframe.ID {
	id := vfsframe.ID{Area: vfsframe.LSM, Number: n.number, Store: f.keys.StoreID()}
	switch n.kind {
	case kindTable, kindBlob:
		id.Kind = vfsframe.Table
	case kindLog:
		id.Kind = vfsframe.Log
	case kindAudit:
		id.Kind, id.Area = vfsframe.Other, vfsframe.Audit
	default:
		id.Kind = vfsframe.Other
	}
	return id
}
