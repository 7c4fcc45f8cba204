package server

import (
	"runtime/debug"
)

// The memory budget. Everything that keeps memory for long stands here; the sum and the
// buffers of 16 transfers stay under 128 MiB of resident memory in the released build.
//
//	what                         bytes      where it is used
//	block cache of the LSM       24 MiB     less what the memtables take: the engine
//	                                        reserves their 2 x 8 MiB from it
//	buffers of a transfer        <= 1 MiB   each; pooled in object and segment
//	data keys, chunk keys        ~4 MiB     10,000 and 4,096 entries, in their own arena
//	certificates                 ~1 MiB     256
//	Go heap as a whole           96 MiB     the soft limit, --memory-limit
const (
	memTableSize   = 8 << 20
	blockCacheSize = 24 << 20
	gcPercent      = 100 // twice what lives, 10 to 25 MiB in all workloads
)

// limitMemory sets the limits of the process. Servers inside tests leave them alone.
func limitMemory(limit int64) {
	if limit < 0 {
		return
	}
	if limit == 0 {
		limit = DefaultMemoryLimit
	}
	debug.SetMemoryLimit(limit)
	debug.SetGCPercent(gcPercent)
}
