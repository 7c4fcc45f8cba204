package cfks

import (
	"bytes"
	"math"
	"slices"
)

// maxSeconds bounds periods, so that they fit a time.Duration: 272 years.
const maxSeconds = 1 << 33

// Check tests the rules between the records of a body: order, states, and that what is
// named exists. Writers call it too, so that a body that does not open is never stored.
func (b *Body) Check() error {
	if b.Retention > maxSeconds {
		return formf("retention of %d seconds", b.Retention)
	}
	krefs := map[ID]bool{}
	chains := map[ID]*Chain{}
	identities := 0
	for i := range b.Chains {
		ch := &b.Chains[i]
		if i > 0 && bytes.Compare(b.Chains[i-1].ID[:], ch.ID[:]) >= 0 {
			return formf("chains are not in order")
		}
		if err := ch.check(krefs); err != nil {
			return err
		}
		if ch.Kind == Identity {
			identities++
		}
		chains[ch.ID] = ch
	}
	if identities != 1 {
		return formf("%d identity chains", identities)
	}
	if err := b.checkProtectors(chains); err != nil {
		return err
	}
	for i := range b.Facts {
		if b.Facts[i].Proved > math.MaxInt64 {
			return formf("time of a proof out of range")
		}
		if i > 0 && bytes.Compare(b.Facts[i-1].Slot[:], b.Facts[i].Slot[:]) >= 0 {
			return formf("slot facts are not in order")
		}
	}
	return nil
}

func (c *Chain) check(krefs map[ID]bool) error {
	if c.ID.IsZero() || c.Owner.IsZero() {
		return formf("chain without id or owner")
	}
	if (c.Kind == KEK) == c.Protector.IsZero() {
		return formf("chain %v: protector does not fit its kind", c.ID)
	}
	if c.Period > maxSeconds {
		return formf("chain %v: cryptoperiod of %d seconds", c.ID, c.Period)
	}
	if len(c.Keys) == 0 {
		return formf("chain %v is empty", c.ID)
	}
	active := 0
	for i := range c.Keys {
		k := &c.Keys[i]
		if k.Number != uint64(i)+1 {
			return formf("chain %v: version %d at place %d", c.ID, k.Number, i)
		}
		if k.Kref.IsZero() || krefs[k.Kref] {
			return formf("chain %v version %d: kref is zero or not unique", c.ID, k.Number)
		}
		krefs[k.Kref] = true
		if k.State == Active {
			active++
		}
		if err := k.check(c); err != nil {
			return err
		}
	}
	if active > 1 {
		return formf("chain %v has %d active versions", c.ID, active)
	}
	return nil
}

func (k *Key) check(c *Chain) error {
	for _, t := range k.times() {
		if *t > math.MaxInt64 {
			return formf("chain %v version %d: time out of range", c.ID, k.Number)
		}
	}
	gone := k.State == Destroyed
	if gone != (k.Destroyed != 0) || gone != (len(k.Secrets) == 0) || !gone && k.DestroyedBy != "" {
		return formf("chain %v version %d: state and facts disagree", c.ID, k.Number)
	}
	if c.Kind != KEK && len(k.Secrets) > 1 {
		return formf("chain %v version %d: %d secrets", c.ID, k.Number, len(k.Secrets))
	}
	for i := range k.Secrets {
		s := &k.Secrets[i]
		fits := s.Form == UnderSK && c.Kind != IDK || s.Form == UnderIK && c.Kind == IDK || s.Form == UnderCMK && c.Kind == KEK
		if !fits || (s.Form == UnderCMK) == s.W.IsZero() {
			return formf("chain %v version %d: form %d does not fit", c.ID, k.Number, s.Form)
		}
		if i > 0 && !k.Secrets[i-1].before(s) {
			return formf("chain %v version %d: secrets are not in order", c.ID, k.Number)
		}
	}
	return nil
}

func (s *Secret) before(t *Secret) bool {
	if s.Form != t.Form {
		return s.Form < t.Form
	}
	return bytes.Compare(s.W[:], t.W[:]) < 0
}

func (b *Body) checkProtectors(chains map[ID]*Chain) error {
	used := map[ID]bool{}
	for i := range b.Protectors {
		p := &b.Protectors[i]
		if i > 0 {
			a, z := b.Protectors[i-1].Protector.Bytes(), p.Protector.Bytes()
			if bytes.Compare(a[:], z[:]) >= 0 {
				return formf("protectors are not in order")
			}
		}
		c := chains[p.Chain]
		if c == nil || c.Kind != KEK || c.Protector != p.Protector || c.Owner != p.Owner || p.Protector.Kind == ProtectCPK {
			return formf("protector %v: its chain does not fit", p.Protector)
		}
		used[p.Chain] = true
		if err := p.checkWrappings(c); err != nil {
			return err
		}
	}
	for id, c := range chains {
		if c.Kind == KEK && !used[id] {
			return formf("chain %v has no protector", id)
		}
	}
	return nil
}

func (p *ProtectorRecord) checkWrappings(c *Chain) error {
	ws, roles := map[ID]bool{}, map[Role]bool{}
	for i := range p.Wrappings {
		w := &p.Wrappings[i]
		if i > 0 && bytes.Compare(p.Wrappings[i-1].W[:], w.W[:]) >= 0 {
			return formf("protector %v: wrappings are not in order", p.Protector)
		}
		if w.W.IsZero() || roles[w.Role] || w.KeyURI == "" || len(w.Blob) == 0 {
			return formf("protector %v: wrapping without id, key or its own role", p.Protector)
		}
		ws[w.W], roles[w.Role] = true, true
	}
	for i := range c.Keys {
		for _, s := range c.Keys[i].Secrets {
			if s.Form == UnderCMK && !ws[s.W] {
				return formf("protector %v: secret under an unknown wrapping", p.Protector)
			}
		}
	}
	return nil
}

// Current is the wrapping in force, or nil when the key is service-managed.
func (p *ProtectorRecord) Current() *Wrapping { return p.inRole(Current) }

// Pending is the wrapping of a switch that is not finished, or nil.
func (p *ProtectorRecord) Pending() *Wrapping { return p.inRole(Pending) }

// Previous is the wrapping that was in force before, or nil.
func (p *ProtectorRecord) Previous() *Wrapping { return p.inRole(Previous) }

func (p *ProtectorRecord) inRole(r Role) *Wrapping {
	for i := range p.Wrappings {
		if p.Wrappings[i].Role == r {
			return &p.Wrappings[i]
		}
	}
	return nil
}

// Has reports whether k has a secret in that form, under that wrapping.
func (k *Key) Has(f Form, w ID) bool {
	return slices.ContainsFunc(k.Secrets, func(s Secret) bool { return s.Form == f && s.W == w })
}

// SetSecret adds a secret in its place, instead of the one of its form and wrapping.
func (k *Key) SetSecret(s Secret) {
	secrets := slices.DeleteFunc(slices.Clone(k.Secrets), func(t Secret) bool { return s.Form == t.Form && s.W == t.W })
	k.Secrets = append(secrets, s)
	slices.SortFunc(k.Secrets, func(a, b Secret) int {
		if a.before(&b) {
			return -1
		}
		return 1
	})
}
