package proof

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// value is what one thing holds; a nil data is no thing.
type value struct {
	data []byte
	meta string
}

func (v value) equal(w value) bool {
	return (v.data == nil) == (w.data == nil) && bytes.Equal(v.data, w.data) && v.meta == w.meta
}

func (v value) String() string { return describe(v.data) + " metadata " + v.meta }

// A thing is named CONTAINER/BLOB; "CONTAINER/" is the container itself, and a blob name
// with stagedSuffix stands for the uncommitted blocks of that blob.
const stagedSuffix = "?blocks"

// change is one operation: what it will leave, all of it or nothing.
type change map[string]value

// promise is what was acknowledged, the operations under way, and the backups of them.
type promise struct {
	acked  map[string]value
	during []change
	sets   []set
}

// ledger is kept by the workload and copied at a power cut.
type ledger struct {
	mu    sync.Mutex
	acked map[string]value
	next  int
	open  map[int]change
	sets  map[string]set // by directory
}

func newLedger() *ledger {
	return &ledger{acked: map[string]value{}, open: map[int]change{}, sets: map[string]set{}}
}

// frozen calls f while no operation begins or is acknowledged.
func (l *ledger) frozen(f func(promise)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := promise{acked: maps.Clone(l.acked)}
	for _, id := range slices.Sorted(maps.Keys(l.open)) {
		p.during = append(p.during, l.open[id])
	}
	for _, dir := range slices.Sorted(maps.Keys(l.sets)) {
		s := l.sets[dir]
		if !s.made {
			s.has = maps.Clone(s.has)
		}
		p.sets = append(p.sets, s)
	}
	f(p)
}

func (l *ledger) snapshot() (p promise) {
	l.frozen(func(now promise) { p = now })
	return p
}

func (l *ledger) get(thing string) value {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked[thing]
}

// under lists what there is in a container, the container itself included.
func (l *ledger) under(prefix string) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, v := range l.acked {
		if strings.HasPrefix(k, prefix) && v.data != nil {
			list = append(list, k)
		}
	}
	return list
}

// do runs one operation that makes c. What failed stays under way: it may have come
// through or not.
func (l *ledger) do(c change, f func() error) error {
	l.mu.Lock()
	id := l.next
	l.next++
	l.open[id] = c
	for _, s := range l.sets {
		if !s.made {
			s.miss(c)
		}
	}
	l.mu.Unlock()
	if err := f(); err != nil {
		return fmt.Errorf("%v: %w", slices.Sorted(maps.Keys(c)), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, id)
	maps.Copy(l.acked, c)
	return nil
}

// split takes the name of a thing apart.
func split(thing string) (c name.Container, b string) {
	box, b, _ := strings.Cut(thing, "/")
	return name.Container(box), b
}

func refOf(thing string) blob.Ref {
	c, b := split(thing)
	return blob.Ref{Account: account, Container: c, Blob: name.Blob(b)}
}

// look reads what a thing is now.
func look(st *store.Store, thing string) (value, error) {
	c, b := split(thing)
	switch {
	case b == "":
		_, err := st.Blobs.GetContainer(ctx, owner, account, c, blob.Conditions{})
		if fault.Is(err, fault.ContainerNotFound) {
			return value{}, nil
		}
		return value{data: []byte{}}, err
	case strings.HasSuffix(b, stagedSuffix):
		return lookStaged(st, strings.TrimSuffix(thing, stagedSuffix))
	}
	d, err := st.Blobs.Open(ctx, owner, refOf(thing), blob.ReadOptions{})
	if missing(err) {
		return value{}, nil
	}
	if err != nil {
		return value{}, err
	}
	defer d.Close()
	buf := bytes.NewBuffer(make([]byte, 0, d.N))
	if _, err := d.WriteTo(buf); err != nil {
		return value{}, err
	}
	v := value{data: buf.Bytes()}
	for _, p := range d.Metadata {
		v.meta = p.Value
	}
	return v, nil
}

func missing(err error) bool {
	return fault.Is(err, fault.BlobNotFound) || fault.Is(err, fault.ContainerNotFound)
}

func lookStaged(st *store.Store, thing string) (value, error) {
	list, err := st.Blobs.GetBlockList(ctx, owner, refOf(thing), blob.WhichUncommitted, blob.Conditions{})
	if missing(err) || err == nil && len(list.Uncommitted) == 0 {
		return value{}, nil
	}
	if err != nil {
		return value{}, err
	}
	return value{data: []byte{}, meta: blocksText(list.Uncommitted)}, nil
}

// blocksText writes the uncommitted blocks of a blob as the meta of a value.
func blocksText(blocks []blob.BlockInfo) string {
	var out []string
	for _, b := range blocks {
		out = append(out, fmt.Sprintf("%s:%d", b.ID, b.Size))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// kept checks that a store holds what was promised: every acknowledged change, and each
// one under way wholly or not at all.
func (p promise) kept(st *store.Store) error {
	now := map[string]value{}
	for thing := range p.all() {
		v, err := look(st, thing)
		if err != nil {
			return fmt.Errorf("%s: %w", thing, err)
		}
		now[thing] = v
	}
	if err := p.listed(st, now); err != nil {
		return err
	}
	pending := map[string]bool{}
	for _, c := range p.during {
		if err := p.whole(c, now); err != nil {
			return err
		}
		for thing := range c {
			pending[thing] = true
		}
	}
	for thing, want := range p.acked {
		if got := now[thing]; !pending[thing] && !got.equal(want) {
			return fmt.Errorf("%s = %v, want %v", thing, got, want)
		}
	}
	return nil
}

// whole checks that a change under way happened in full, or not.
func (p promise) whole(c change, now map[string]value) error {
	before, after := true, true
	for thing, v := range c {
		before = before && now[thing].equal(p.acked[thing])
		after = after && now[thing].equal(v)
	}
	if before || after {
		return nil
	}
	var text []string
	for thing, v := range c {
		text = append(text, fmt.Sprintf("%s = %v, want %v or %v", thing, now[thing], p.acked[thing], v))
	}
	return errors.New(strings.Join(text, "; "))
}

// listed compares the lists of containers and blobs with what reads said.
func (p promise) listed(st *store.Store, now map[string]value) error {
	boxes, err := st.Blobs.ListContainers(ctx, owner, account, blob.ListContainersOptions{})
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, c := range boxes.Items {
		there[string(c.Name)+"/"] = true
		list, err := namesIn(st, name.Container(c.Name))
		if err != nil {
			return err
		}
		for _, b := range list {
			there[string(c.Name)+"/"+b] = true
		}
	}
	for thing := range there {
		if _, ok := now[thing]; !ok {
			return fmt.Errorf("%s is listed, and was never made", thing)
		}
	}
	for thing, v := range now {
		if !strings.HasSuffix(thing, stagedSuffix) && there[thing] != (v.data != nil) {
			return fmt.Errorf("%s: listed %v, read %v", thing, there[thing], v)
		}
	}
	return nil
}

func (p promise) all() map[string]bool {
	all := map[string]bool{string(box) + "/": true}
	for k := range p.acked {
		all[k] = true
	}
	for _, c := range p.during {
		for k := range c {
			all[k] = true
		}
	}
	return all
}
