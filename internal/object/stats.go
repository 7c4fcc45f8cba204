package object

import "sync/atomic"

type counters struct {
	ChunkBytes, MovedBytes, InlineRows, SealedBytes, OpenedBytes atomic.Int64
	DEKHits, DEKMisses, Wraps, Rewraps                           atomic.Int64
	Quarantined, Verified                                        atomic.Int64
	written                                                      atomic.Uint64 // chunks, for the sample
}

// Stats count what the store did since it was opened.
type Stats struct {
	ChunkBytes  int64 // sealed bytes of content written to extents
	MovedBytes  int64 // sealed bytes that compaction copied
	InlineRows  int64 // rows with inline content written
	SealedBytes int64 // plaintext bytes of content sealed
	OpenedBytes int64 // plaintext bytes of content given out
	DEKHits     int64 // data keys found in the cache
	DEKMisses   int64
	Wraps       int64 // wraps made for new data keys
	Rewraps     int64 // wraps made anew by sweeps
	Quarantined int64 // chunks found damaged
	Verified    int64 // chunks read back before the answer
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	c := &s.counters
	return Stats{
		ChunkBytes:  c.ChunkBytes.Load(),
		MovedBytes:  c.MovedBytes.Load(),
		InlineRows:  c.InlineRows.Load(),
		SealedBytes: c.SealedBytes.Load(),
		OpenedBytes: c.OpenedBytes.Load(),
		DEKHits:     c.DEKHits.Load(),
		DEKMisses:   c.DEKMisses.Load(),
		Wraps:       c.Wraps.Load(),
		Rewraps:     c.Rewraps.Load(),
		Quarantined: c.Quarantined.Load(),
		Verified:    c.Verified.Load(),
	}
}
