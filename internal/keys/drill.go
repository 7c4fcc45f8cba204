package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// DrillResult says of one protector whether its keys open.
type DrillResult struct {
	Protector Protector
	Versions  int    // that opened and passed their check
	Skipped   string // why nothing was tried: suspended, destroyed
	Err       error
}

// DrillReport is the outcome of a drill.
type DrillReport struct {
	Generation uint64
	Roots      []Root // that opened
	Results    []DrillResult
	Others     int // further key versions that opened
	Failed     int // results and others that did not
	Errs       []error
}

// Drill opens a copy of the key store in memory, as a restore would, and every key in
// it. check, which may be nil, goes on from there for each protector whose keys opened:
// package object opens one data key.
func Drill(ctx context.Context, b []byte, o Options, check func(context.Context, *Ring, Protector) error) (DrillReport, error) {
	o.Store, o.Audit, o.Usage = NewMemory(b), nil, nil
	r, err := Open(ctx, o)
	if err != nil {
		return DrillReport{}, err
	}
	defer r.Close()
	s := r.cur.Load()
	rep := DrillReport{Generation: s.file.Generation, Roots: []Root{SRK}}
	if !s.ik.IsZero() {
		rep.Roots = append(rep.Roots, IRK)
	}
	for i := range s.body.Protectors {
		p := &s.body.Protectors[i]
		res := r.drillProtector(ctx, s, p)
		if res.Err == nil && res.Skipped == "" && check != nil {
			res.Err = check(ctx, r, p.Protector)
		}
		if res.Err != nil {
			rep.Failed++
		}
		rep.Results = append(rep.Results, res)
		if err := ctx.Err(); err != nil {
			return rep, err
		}
	}
	r.drillOthers(s, &rep)
	return rep, nil
}

func (r *Ring) drillProtector(ctx context.Context, s *state, p *cfks.ProtectorRecord) DrillResult {
	res := DrillResult{Protector: p.Protector}
	switch {
	case p.Admin != cfks.Enabled:
		res.Skipped = p.Admin.String()
		return res
	case p.Current() != nil && r.Vault() == nil:
		res.Skipped = "under a customer's key, and there is no way to its vault"
		return res
	case p.Current() != nil:
		if err := r.Usable(ctx, p.Protector); err != nil {
			res.Skipped = err.Error()
			return res
		}
	}
	c := s.byID[p.Chain]
	for i := range c.Keys {
		if c.Keys[i].State == cfks.Destroyed {
			continue
		}
		if _, _, err := r.KEKByVersion(ctx, p.Protector, c.Keys[i].Number); err != nil {
			res.Err = errors.Join(res.Err, fmt.Errorf("version %d: %w", c.Keys[i].Number, err))
			continue
		}
		res.Versions++
	}
	return res
}

// drillOthers opens the keys that belong to no protector.
func (r *Ring) drillOthers(s *state, rep *DrillReport) {
	for i := range s.body.Chains {
		c := &s.body.Chains[i]
		if c.Kind == cfks.KEK || c.Kind == cfks.IDK && s.ik.IsZero() {
			continue
		}
		for j := range c.Keys {
			if c.Keys[j].State == cfks.Destroyed {
				continue
			}
			if _, err := r.key(unrecorded, c.Keys[j].Kref); err != nil {
				rep.Failed++
				rep.Errs = append(rep.Errs, fmt.Errorf("%v %v version %d: %w", c.Kind, c.ID, c.Keys[j].Number, err))
				continue
			}
			rep.Others++
		}
	}
}
