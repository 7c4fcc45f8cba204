package keys

import (
	"context"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
)

// maxEarly bounds what is kept until there is a recorder.
const maxEarly = 1000

// SetAudit gives the ring its audit log, which can be opened only after the ring. What
// happened before is recorded now.
func (r *Ring) SetAudit(a audit.Recorder) {
	r.mu.Lock()
	early := r.early
	r.recorder, r.early = a, nil
	r.mu.Unlock()
	for _, rec := range early {
		a.After(rec)
	}
}

// note records what happened, for whom the context names.
func (r *Ring) note(ctx context.Context, operation, what string, kref ID, outcome string) {
	by := audit.By(ctx)
	r.record(audit.Record{
		Time: r.o.Now().UTC(), Actor: by.Actor, RequestID: by.RequestID, Operation: operation, What: what, Kref: kref, Outcome: outcome,
	})
}

func (r *Ring) record(rec audit.Record) {
	r.mu.Lock()
	a := r.recorder
	if a == nil && len(r.early) < maxEarly {
		r.early = append(r.early, rec)
	}
	r.mu.Unlock()
	if a != nil {
		a.After(rec)
	}
}

// granted runs a change that grants or destroys: its record is durable first, and the
// change does not happen without it.
func (r *Ring) granted(ctx context.Context, operation, what string, kref ID, change func() error) error {
	by := audit.By(ctx)
	rec := audit.Record{
		Time: r.o.Now().UTC(), Actor: by.Actor, RequestID: by.RequestID,
		Operation: operation, What: what, Kref: kref, Outcome: audit.Begin,
	}
	r.mu.Lock()
	a := r.recorder
	r.mu.Unlock()
	if a == nil {
		r.record(rec)
	} else if err := a.Before(ctx, rec); err != nil {
		return fault.New(operation, what, fault.Unavailable, err)
	}
	err := change()
	rec.Time, rec.Outcome = r.o.Now().UTC(), outcome(err)
	r.record(rec)
	return err
}

// changed runs a change that neither grants nor destroys, and records how it went.
func (r *Ring) changed(ctx context.Context, operation, what string, change func() error) error {
	err := change()
	by := audit.By(ctx)
	r.record(audit.Record{
		Time: r.o.Now().UTC(), Actor: by.Actor, RequestID: by.RequestID,
		Operation: operation, What: what, Outcome: outcome(err),
	})
	return err
}

// outcome is a word for the trail; texts of errors stay out of it.
func outcome(err error) string {
	if err == nil {
		return audit.OK
	}
	return fault.KindOf(err).String()
}
