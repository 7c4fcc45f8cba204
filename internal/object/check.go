package object

import (
	"context"
	"errors"
	"io"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

const (
	// verifyParallel is how many chunks Verify reads at once: one stream waits for the
	// disk most of its time. Each holds the buffers of a segment.Reader, below 512 KiB.
	verifyParallel = 4
	// verifyAhead is how many checks may wait for an earlier one, so that a large chunk
	// does not hold up the small ones behind it.
	verifyAhead = 32
)

// content is one content that is being verified. Only the goroutine of Verify uses it; the
// checks under way have its Reader, which stays open until the last of them is settled.
type content struct {
	t      Table
	key    []byte
	rd     *Reader
	users  int  // checks not settled, and one for who verifies it
	locked bool // its data keys do not open now: checksums only
}

// content opens a content in its snapshot. leave is required.
func (v *verifier) content(ctx context.Context, t Table, key []byte, r *Row, deks []DEKEntry) *content {
	v.rep.Contents++
	row := *r
	row.DEKs = deks
	rd := &Reader{s: v.s, ctx: ctx, row: &row, end: row.Length(), fresh: true, deks: make(map[keys.ID]*DEK, 1),
		release: v.s.held.holdDEKs(dekIDs(deks))}
	return &content{t: t, key: key, rd: rd, users: 1}
}

func (c *content) leave() {
	if c.users--; c.users == 0 {
		c.rd.Close()
	}
}

// verify authenticates metadata and begins the checks of the chunks. The error is one of
// the ports or the end of the context; damage is reported.
func (v *verifier) verify(c *content) error {
	rd := c.rd
	err := v.wrapsOpen(rd)
	if err == nil {
		_, err = v.s.OpenMeta(rd.ctx, rd.row)
	}
	if locked(err) {
		v.lock(c)
		err = nil
	}
	if err := v.contentError(c, err); err != nil {
		return err
	}
	for rd.off < rd.end {
		if err := rd.fill(); err != nil {
			return v.contentError(c, err)
		}
		for _, sp := range rd.queue {
			rd.off += sp.hi - sp.lo
			if err := v.begin(c, sp); err != nil {
				return err
			}
		}
		rd.queue = nil
	}
	return nil
}

// contentError reports damage that is not of one chunk and returns other errors.
func (v *verifier) contentError(c *content, err error) error {
	if fault.Is(err, fault.Corrupt) {
		v.damage(c.t, c.key, keys.ID{}, err)
		return nil
	}
	return err
}

// lock counts a content whose data keys do not open now.
func (v *verifier) lock(c *content) {
	if !c.locked {
		c.locked = true
		v.rep.Locked++
	}
}

// check is one chunk that is being verified: all of it, even if only a range is in use.
type check struct {
	c     *content
	chunk keys.ID
	open  *openChunk // nil: only the checksum is compared
	done  chan struct{}

	// Valid when done is closed.
	damage error
	err    error
}

// begin checks a chunk beside those before it. The error is that of an earlier one.
func (v *verifier) begin(c *content, sp span) error {
	for len(v.ahead) > 0 && (len(v.ahead) == verifyAhead || v.ahead[0].ended()) {
		v.settle()
	}
	if v.failed != nil {
		return v.failed
	}
	k := &check{c: c, chunk: sp.ref.Chunk, done: make(chan struct{})}
	c.users++
	v.ahead = append(v.ahead, k)
	if !c.locked {
		k.open, k.err = c.rd.resolve(sp)
		if k.err == nil && !k.open.info.inline() {
			v.run(k, k.authenticate)
			return nil
		}
		if k.err == nil {
			k.authenticate()
		}
		close(k.done)
		return nil
	}
	v.run(k, func() { k.damage, k.err = v.s.chunkSum(c.rd.ctx, c.rd.row.Owner, k.chunk) })
	return nil
}

// run runs f when there is room.
func (v *verifier) run(k *check, f func()) {
	v.slots <- struct{}{}
	go func() {
		defer func() { <-v.slots }()
		defer close(k.done)
		f()
	}()
}

func (k *check) ended() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

func (k *check) authenticate() {
	defer k.open.done()
	k.err = k.open.write(io.Discard, span{k.open.ref, 0, int64(k.open.info.length)})
}

// settle waits for the oldest check and takes its result.
func (v *verifier) settle() {
	k := v.ahead[0]
	v.ahead = v.ahead[1:]
	<-k.done
	c := k.c
	defer c.leave()
	switch {
	case locked(k.err):
		v.lock(c)
		k.damage, k.err = v.s.chunkSum(c.rd.ctx, c.rd.row.Owner, k.chunk)
	case fault.Is(k.err, fault.Corrupt):
		k.damage, k.err = k.err, nil
	case k.err == nil && k.open != nil:
		v.rep.Chunks++
		v.rep.Bytes += int64(k.open.info.stored)
		if c.rd.row.class() == extent.Double {
			v.rep.Double++
		}
	}
	if k.damage != nil {
		v.found(c.t, c.key, k.chunk, k.damage)
	}
	if v.failed == nil {
		v.failed = k.err
	}
}

// drain settles all that is under way.
func (v *verifier) drain() {
	for len(v.ahead) > 0 {
		v.settle()
	}
}

// chunkSum compares the checksum of a chunk: that needs no data key.
func (s *Store) chunkSum(ctx context.Context, owner, chunk keys.ID) (damage, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		row, err := tx.Get(Chunk, owner, chunkKey(owner, chunk))
		if errors.Is(err, meta.ErrNotFound) {
			damage = errors.New("object: a chunk of the content is missing")
			return nil
		}
		if err == nil {
			err = s.checksum(row)
		}
		if isDamage(err) {
			damage = err
			return nil
		}
		return err
	})
	return damage, err
}
