package keys

import (
	"bytes"
	"time"

	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// timeOf is a time of the file; zero stays zero.
func timeOf(ns uint64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns)).UTC()
}

func versionOf(c *cfks.Chain, k *cfks.Key) Version {
	return Version{
		Chain: c.ID, Number: k.Number, Kref: k.Kref, State: k.State, Kind: c.Kind, Owner: c.Owner, Protector: c.Protector,
		Created: timeOf(k.Created), Activated: timeOf(k.Activated), Deactivated: timeOf(k.Deactivated),
		Unreferenced: timeOf(k.Unreferenced), Destroyed: timeOf(k.Destroyed),
		DestroyedBy: k.DestroyedBy, PublicKey: bytes.Clone(k.Public),
	}
}

// Lookup describes the version that kref names, without opening it.
func (r *Ring) Lookup(kref ID) (Version, bool) {
	at, ok := r.cur.Load().byKref[kref]
	if !ok {
		return Version{}, false
	}
	return versionOf(at.chain, at.key), true
}

// Chains lists every key with its versions, in the order of their ids.
func (r *Ring) Chains() []ChainInfo {
	s := r.cur.Load()
	out := make([]ChainInfo, 0, len(s.body.Chains))
	for i := range s.body.Chains {
		c := &s.body.Chains[i]
		info := ChainInfo{
			ID: c.ID, Kind: c.Kind, Owner: c.Owner, Protector: c.Protector,
			Cryptoperiod: time.Duration(c.Period) * time.Second,
		}
		for j := range c.Keys {
			info.Versions = append(info.Versions, versionOf(c, &c.Keys[j]))
		}
		out = append(out, info)
	}
	return out
}

// Protectors lists every protector.
func (r *Ring) Protectors() []ProtectorInfo {
	s := r.cur.Load()
	out := make([]ProtectorInfo, 0, len(s.body.Protectors))
	for i := range s.body.Protectors {
		out = append(out, s.protectorInfo(&s.body.Protectors[i]))
	}
	return out
}

// Protector describes one protector.
func (r *Ring) Protector(p Protector) (ProtectorInfo, bool) {
	s := r.cur.Load()
	rec := s.protectors[p]
	if rec == nil {
		return ProtectorInfo{}, false
	}
	return s.protectorInfo(rec), true
}

func (s *state) protectorInfo(p *cfks.ProtectorRecord) ProtectorInfo {
	info := ProtectorInfo{
		Protector: p.Protector, Owner: p.Owner, Chain: p.Chain, Admin: p.Admin,
		Double: p.Double, Epoch: p.Epoch, Managed: "service",
	}
	if p.Current() != nil {
		info.Managed = "customer"
	}
	c := s.byID[p.Chain]
	if k := active(c); k != nil {
		info.Active = versionOf(c, k)
	}
	return info
}

// Retention is the declared life of backups: how long a key stays after its use ended.
func (r *Ring) Retention() time.Duration {
	return time.Duration(r.cur.Load().body.Retention) * time.Second
}
