package cfks

import "fmt"

// ParseBody reads the plaintext of a body and checks its rules.
func ParseBody(b []byte) (*Body, error) {
	c := &cursor{b: b}
	if v := c.u8("body version"); c.err == nil && v != bodyVersion {
		if v > bodyVersion {
			return nil, fmt.Errorf("%w: body version %d", ErrNewer, v)
		}
		c.fail("body version %d", v)
	}
	flags := c.u8("body flags")
	if flags&^(flagInitialized|flagPurge) != 0 {
		c.fail("body flags %#x", flags)
	}
	body := &Body{
		Initialized:  flags&flagInitialized != 0,
		PurgePending: flags&flagPurge != 0,
		Retention:    c.u64("retention"),
	}
	for n := c.count(chainSize, "chains"); n > 0 && c.err == nil; n-- {
		body.Chains = append(body.Chains, parseChain(c))
	}
	for n := c.count(protectorSize, "protectors"); n > 0 && c.err == nil; n-- {
		body.Protectors = append(body.Protectors, parseProtectorRecord(c))
	}
	for n := c.count(factSize, "slot facts"); n > 0 && c.err == nil; n-- {
		body.Facts = append(body.Facts, Fact{
			Slot:      c.id("slot id"),
			Name:      string(c.bytes(maxText, "slot name")),
			Proved:    c.u64("proved"),
			ProvedRef: c.id("proved root"),
		})
	}
	if len(c.b) != 0 {
		c.fail("%d bytes after the body", len(c.b))
	}
	if c.err != nil {
		return nil, c.err
	}
	if err := body.Check(); err != nil {
		return nil, err
	}
	return body, nil
}

func parseChain(c *cursor) Chain {
	ch := Chain{
		ID:        c.id("chain id"),
		Kind:      Kind(c.enum(uint8(Audit), "kind of a chain")),
		Owner:     c.id("owner of a chain"),
		Protector: parseProtector(c, true),
		Period:    c.u64("cryptoperiod"),
	}
	for n := c.count(keySize, "versions"); n > 0 && c.err == nil; n-- {
		ch.Keys = append(ch.Keys, parseKey(c, ch.Kind))
	}
	return ch
}

// parseProtector reads 17 bytes; zeros are a zero Protector where that is allowed.
func parseProtector(c *cursor, orZero bool) Protector {
	b := c.take(17, "protector")
	if b == nil || orZero && [17]byte(b) == [17]byte{} {
		return Protector{}
	}
	p, err := ParseProtector(b)
	if err != nil {
		c.fail("%v", err)
	}
	return p
}

func parseKey(c *cursor, kind Kind) Key {
	k := Key{
		Number: c.u64("version number"),
		Kref:   c.id("kref"),
		State:  State(c.enum(uint8(Destroyed), "state")),
	}
	for _, t := range k.times() {
		*t = c.u64("time")
	}
	k.DestroyedBy = string(c.bytes(maxText, "destroyed by"))
	if kind.signs() {
		k.Public = c.bytes(32, "public key")
		if c.err == nil && len(k.Public) != 32 {
			c.fail("public key of %d bytes", len(k.Public))
		}
	}
	copy(k.KCV[:], c.take(len(k.KCV), "KCV"))
	for n := c.u8("secrets"); n > 0 && c.err == nil; n-- {
		s := Secret{Form: Form(c.enum(uint8(UnderCMK), "form of a secret")), W: c.id("wrapping of a secret")}
		copy(s.Wrap[:], c.take(wrapSize, "secret"))
		k.Secrets = append(k.Secrets, s)
	}
	return k
}

func parseProtectorRecord(c *cursor) ProtectorRecord {
	p := ProtectorRecord{
		Protector: parseProtector(c, false),
		Owner:     c.id("owner of a protector"),
		Chain:     c.id("chain of a protector"),
		Admin:     AdminState(c.enum(uint8(Shredded), "admin state")),
		Double:    c.flag("double"),
		Epoch:     c.u64("epoch"),
	}
	for n := c.count(wrappingSize, "wrappings"); n > 0 && c.err == nil; n-- {
		w := Wrapping{
			W:               c.id("w"),
			Role:            Role(c.enum(uint8(Previous), "role")),
			KeyURI:          string(c.bytes(maxText, "key URI")),
			FollowLatest:    c.flag("follow latest"),
			Identity:        string(c.bytes(maxText, "identity")),
			FederatedClient: string(c.bytes(maxText, "federated client id")),
		}
		copy(w.R[:], c.take(wrapSize, "R"))
		w.Blob = c.bytes(MaxWrap, "wrapped P")
		w.Created = c.u64("created")
		w.Demoted = c.u64("demoted")
		p.Wrappings = append(p.Wrappings, w)
	}
	return p
}
