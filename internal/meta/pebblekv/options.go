package pebblekv

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/coffer-storage/coffer/internal/fault"
)

// engineFormats are Pebble's formats of stores by sealedfs.Format. They are fixed: a new
// version of the library does not change what lies on disk.
var engineFormats = [...]pebble.FormatMajorVersion{1: pebble.FormatTableFormatV6, 2: engineFormat}

const engineFormat = pebble.FormatValueSeparation // of sealedfs.Format

const (
	defaultMemTable   = 4 << 20
	defaultBlockCache = 24 << 20 // memtables are reserved from it: 8 MiB would leave nothing
	maxOpenFiles      = 2048     // a store of 10^6 small blobs has 1,200; opening one costs more than reading it
	maxManifest       = 4 << 20  // opening reads it all; more than a million tables need a larger one

	// A commit that comes sooner after a sync waits for others to share the next one. Who
	// commits alone is hardly ever back so soon.
	minSyncInterval = 200 * time.Microsecond
)

// separation keeps contents out of the tables: those stay small enough for their index to
// be cached, and compactions do not write the contents again. A file of values goes when
// a third of it is garbage.
var separation = pebble.ValueSeparationPolicy{
	Enabled:               true,
	MinimumSize:           1 << 10,
	MaxBlobReferenceDepth: 10,
	RewriteMinimumAge:     5 * time.Minute,
	TargetGarbageRatio:    0.33,
}

// pebbleOptions are for a small machine and a small memory: two cores, 128 MiB for the
// whole server.
func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          s.fs,
		Logger:                      logger{s},
		ReadOnly:                    s.opts.ReadOnly,
		ErrorIfNotExists:            !s.opts.Create,
		FormatMajorVersion:          engineFormat,
		MemTableSize:                uint64(orDefault(s.opts.MemTable, defaultMemTable)),
		MemTableStopWritesThreshold: 2,
		CacheSize:                   orDefault(s.opts.BlockCache, defaultBlockCache),
		MaxOpenFiles:                openFiles(),
		MaxManifestFileSize:         maxManifest,
		L0CompactionThreshold:       8, // four layers: small contents are rewritten less often
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               32 << 20,
		BytesPerSync:                math.MaxInt32, // without a descriptor it would be a full sync
		NoSyncOnClose:               true,          // every Close of sealedfs syncs
		WALMinSyncInterval:          func() time.Duration { return minSyncInterval },
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		EventListener:               &pebble.EventListener{},
	}
	// WAL failover stays off: sealedfs has no rule for its files. Logs that Pebble would
	// recycle are new files with new keys there.
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy { return separation }
	o.Experimental.L0CompactionConcurrency = math.MaxInt32
	o.Experimental.FileCacheShards = 2
	for i := range o.Levels {
		// Rows are ciphertext, and keys share their prefixes already. Old tables are still read.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // most lookups before a create find nothing
		o.Levels[i].BlockSize = 8 << 10
		o.Levels[i].IndexBlockSize = 64 << 10 // one index for most tables, not two levels
	}
	// A damaged table fails the read that meets it. Ending the process would not mend
	// it, and everything else can still be served.
	o.EventListener.DataCorruption = func(i pebble.DataCorruptionInfo) {
		s.log.Error("stored metadata is damaged", "file", i.Path, "cause", fmt.Sprint(i.Details))
	}
	var flush atomic.Pointer[error] // what the last flush ended with, an empty one too
	o.EventListener.FlushEnd = func(i pebble.FlushInfo) { flush.Store(&i.Err) }
	o.EventListener.BackgroundError = func(err error) {
		s.log.Error("background work of the metadata engine failed; it is tried again", "cause", err.Error())
		// The engine tries for ever, also while somebody waits. To be up it needs only the
		// flush of the old log.
		if f := flush.Load(); !s.opening.Load() || f != nil && *f != nil && errors.Is(err, *f) {
			select {
			case s.stuck <- err:
			default:
			}
		}
	}
	return o
}

func orDefault(n, def int64) int64 {
	if n > 0 {
		return n
	}
	return def
}

// checkEngineFormat refuses a store of format whose marker of the engine's format was
// removed or put back: Pebble would take it for a new or an older one. While a store is
// brought up to date the marker runs ahead of HEAD.
func (s *Store) checkEngineFormat(format uint32) error {
	value, err := s.fs.Marker("format-version")
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n < uint64(engineFormats[format]) || n > uint64(engineFormat) {
		return fault.New("pebblekv.Open", "marker", fault.Rollback, errors.New(
			"the marker of the engine's format is missing or not the one that was written; put the files back or restore a backup"))
	}
	return nil
}
