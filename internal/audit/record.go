// Package audit is the trail of what was done with keys and by whom: its records, the
// hash chain that orders them, and the writer that keeps the order rules.
//
//	h(0) = 32 zeros    h(n) = SHA-256(enc("coffer/audit/v1", h(n-1), record))
//
// What grants access or destroys something has its durable record first (Before), and
// does not happen when that fails. What reduces access acts first and is recorded as
// soon as possible (After). The format is fixed by spec/audit.md.
package audit

import (
	"context"
	"strconv"
	"time"
)

// Record is one entry. Seq, and Time if zero, are set by the log.
type Record struct {
	Seq       uint64
	Time      time.Time
	Actor     string   // "server", "operator", "account NAME", "principal ID"; never a key or token
	Operation string   // "keys.rotate"
	What      string   // what it was done to
	Kref      [16]byte // key version concerned, or zero
	Outcome   string   // "begin", "ok", or the kind of failure
	RequestID string
}

// Recorder takes records.
type Recorder interface {
	// Before makes r durable. On an error the caller must not do what r describes.
	Before(ctx context.Context, r Record) error
	// After records what happened already, as soon as it can.
	After(r Record)
}

// lostRecord says that records are missing.
func lostRecord(n uint64) Record {
	return Record{Actor: "server", Operation: "audit.lost", What: strconv.FormatUint(n, 10) + " records", Outcome: OK}
}
