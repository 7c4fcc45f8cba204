package pebblekv

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
)

const (
	pollEvery      = 250 * time.Millisecond
	bigCommit      = 1 << 20 // looked at just before it is written
	defaultMinFree = 64 << 20
	defaultReserve = 16 << 20
)

// space watches the free space, so that writes are refused before the engine meets a
// full disk in the middle of its log.
//
// Far below the limit, when others have filled the disk, the reserve file is given up:
// what deletes need to write, and the tables that compactions write before they free
// others, fits into it. It is made again when there is room.
type space struct {
	lower   vfs.FS
	path    string // of the reserve file
	ask     func() (uint64, error)
	minFree uint64
	reserve int64

	free atomic.Uint64
	full atomic.Bool

	mu   sync.Mutex // one look at a time
	held bool       // the reserve file is there; under mu

	quit chan struct{} // nil: not started
	done chan struct{}
}

func newSpace(fs *sealedfs.FS, o *Options) *space {
	sp := &space{
		lower:   o.FS,
		path:    o.FS.PathJoin(o.Dir, "reserve"),
		ask:     o.FreeSpace,
		minFree: o.MinFree,
		reserve: o.Reserve,
	}
	if sp.minFree == 0 {
		sp.minFree = defaultMinFree
	}
	if sp.reserve == 0 {
		sp.reserve = defaultReserve
	}
	if sp.ask == nil {
		sp.ask = func() (uint64, error) {
			u, err := o.FS.GetDiskUsage(o.Dir)
			return u.AvailBytes, err
		}
	}
	return sp
}

func (sp *space) start() {
	if info, err := sp.lower.Stat(sp.path); err == nil {
		sp.held = info.Size() >= sp.reserve
	}
	sp.look()
	sp.quit, sp.done = make(chan struct{}), make(chan struct{})
	go sp.watch()
}

func (sp *space) stop() {
	if sp.quit == nil {
		return
	}
	close(sp.quit)
	<-sp.done
}

func (sp *space) watch() {
	defer close(sp.done)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-sp.quit:
			return
		case <-tick.C:
			sp.look()
		}
	}
}

// look asks for the free space and acts on it. A file system that does not know is
// taken to have room.
func (sp *space) look() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	free, err := sp.ask()
	if err != nil {
		free = 1 << 62
	}
	if sp.reserve > 0 {
		switch {
		case sp.held && free < sp.minFree/2:
			if err := sp.lower.Remove(sp.path); err == nil || errors.Is(err, os.ErrNotExist) {
				sp.held = false
				free += uint64(sp.reserve)
			}
		case !sp.held && free > 2*sp.minFree+uint64(sp.reserve):
			sp.held = sp.makeReserve() == nil
		}
	}
	sp.free.Store(free)
	sp.full.Store(free < sp.minFree)
}

// makeReserve writes the reserve file: zeros, so that its blocks are really taken.
func (sp *space) makeReserve() error {
	f, err := sp.lower.Create(sp.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	for left := sp.reserve; left > 0 && err == nil; {
		// A fresh slice each time: a lower file system may change what it was given.
		b := make([]byte, min(left, 256<<10))
		_, err = f.Write(b)
		left -= int64(len(b))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = sp.lower.Remove(sp.path)
	}
	return err
}

// admit refuses a commit of size bytes when the disk is nearly full.
func (sp *space) admit(ctx context.Context, size int) error {
	if size >= bigCommit {
		sp.look()
	}
	if meta.IsReclaim(ctx) {
		return nil
	}
	if sp.full.Load() || size >= bigCommit && sp.free.Load() < sp.minFree+uint64(size)*2 {
		return meta.ErrFull
	}
	return nil
}
