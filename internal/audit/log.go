package audit

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// MaxFile is the size at which the log goes on in a new file.
	MaxFile = 64 << 20

	maxQueue = 10_000 // records that wait, before new ones of After are only counted
	retry    = time.Second
)

// ErrClosed is returned by Before after Close.
var ErrClosed = errors.New("audit: the log is closed")

// Options configure Open. The zero value works.
type Options struct {
	Now     func() time.Time // nil: time.Now
	MaxFile int64            // 0: MaxFile
	// Sign makes a checkpoint of the last durable entry; nil: there are none. It and
	// Anchor are called by one goroutine.
	Sign func(Position) (Checkpoint, error)
	// Anchor keeps a checkpoint elsewhere. May be nil.
	Anchor func(Checkpoint) error
}

// Log writes the trail. One goroutine appends; records that wait together share a sync.
type Log struct {
	files Files
	o     Options
	wake  chan struct{}
	done  chan struct{}

	mu     sync.Mutex
	queue  []waiting
	taken  int    // of the queue, and being written
	lost   uint64 // records of After that found the queue full
	closed bool
	state  State

	// The rest belongs to the goroutine.
	next     uint64 // number of the next file
	file     File   // nil: make one
	pos      Position
	unsigned int       // records after the last checkpoint
	since    time.Time // of the first of them
}

// State is how the log fares, for doctor and metrics.
type State struct {
	Position Position // last durable entry
	Lost     uint64   // records that were dropped because nothing could be written for long
	Err      error    // why the last write failed; nil when it did not

	Signed    uint64 // last entry with a checkpoint of this process
	SignErr   error  // why the last checkpoint was not made
	Anchored  uint64 // last entry whose checkpoint was given to the anchor
	AnchorErr error  // why the last one was not
}

type waiting struct {
	rec  Record
	done chan error // nil: nobody waits
}

var _ Recorder = (*Log)(nil)

// Open goes on after the last entry of the files, in a new file: an audit file is never
// opened for writing again. Acts that a crash cut off are recorded as interrupted.
func Open(f Files, o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxFile == 0 {
		o.MaxFile = MaxFile
	}
	numbers, err := f.Audits()
	if err != nil {
		return nil, err
	}
	pos, cut, err := end(f, numbers)
	if err != nil {
		return nil, err
	}
	l := &Log{files: f, o: o, wake: make(chan struct{}, 1), done: make(chan struct{}), next: 1, pos: pos}
	if len(numbers) > 0 {
		l.next = numbers[len(numbers)-1] + 1
	}
	l.state.Position = pos
	for _, r := range cut {
		r.Time, r.Outcome = time.Time{}, Interrupted
		l.queue = append(l.queue, waiting{rec: r})
	}
	l.signal()
	go l.run()
	return l, nil
}

// Before makes a record durable and returns then. On an error the caller must not act:
// the record may or may not be there.
func (l *Log) Before(ctx context.Context, r Record) error {
	w := waiting{rec: r, done: make(chan error, 1)}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.queue = append(l.queue, w)
	l.mu.Unlock()
	l.signal()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// After records what happened already. It never blocks: while nothing can be written,
// records wait in memory, and those beyond a bound are counted.
func (l *Log) After(r Record) {
	l.mu.Lock()
	if l.closed || len(l.queue)+l.taken >= maxQueue {
		l.lost++
		l.state.Lost++
	} else {
		l.queue = append(l.queue, waiting{rec: r})
	}
	l.mu.Unlock()
	l.signal()
}

// State tells how the log fares.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Close writes what waits and ends the file.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.mu.Unlock()
	l.signal()
	<-l.done
	return l.State().Err
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Log) run() {
	defer close(l.done)
	for {
		batch, closed := l.take()
		if len(batch) == 0 {
			if closed {
				if l.o.Sign != nil && l.unsigned > 0 {
					l.sign()
				}
				l.endFile()
				return
			}
			l.rest()
			continue
		}
		err := l.write(batch)
		l.settle(batch, err)
		if err == nil {
			l.noteWritten(len(batch))
			l.signIfDue()
			continue
		}
		if closed {
			return
		}
		l.pause()
	}
}

// pause waits before the next try: a full disk does not get better by asking all the
// time. Who waits for an answer need not wait for all of it.
func (l *Log) pause() {
	time.Sleep(retry / 20)
	t := time.NewTimer(retry)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.wake:
	}
}

// take returns everything that waits.
func (l *Log) take() ([]waiting, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.queue
	l.queue, l.taken = nil, len(batch)
	if l.lost > 0 {
		batch = append(batch, waiting{rec: lostRecord(l.lost)})
		l.lost = 0
	}
	return batch, l.closed
}

// settle answers those who wait, and keeps the others after a failure.
func (l *Log) settle(batch []waiting, err error) {
	var again []waiting
	for _, w := range batch {
		switch {
		case w.done != nil:
			w.done <- err
		case err != nil:
			again = append(again, w)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Err, l.taken = err, 0
	if err == nil {
		l.state.Position = l.pos
		return
	}
	l.queue = append(again, l.queue...)
}

// write appends a batch and syncs it once. After a failure the file is given up: the
// next one begins after the last entry that is known to be durable.
func (l *Log) write(batch []waiting) error {
	durable := l.pos
	for _, w := range batch {
		if err := l.append(w.rec); err != nil {
			l.abandon(durable)
			return err
		}
	}
	if err := l.file.Sync(); err != nil {
		l.abandon(durable)
		return err
	}
	return nil
}

func (l *Log) abandon(durable Position) {
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file, l.pos = nil, durable
}

func (l *Log) append(r Record) error {
	if err := l.ready(); err != nil {
		return err
	}
	r.Seq = l.pos.Seq + 1
	if r.Time.IsZero() {
		r.Time = l.o.Now().UTC()
	}
	b := r.encode()
	h := link(l.pos.Hash, b)
	if err := l.file.Append(append(b, h[:]...)); err != nil {
		return err
	}
	l.pos = Position{Seq: r.Seq, Hash: h}
	return nil
}

// ready sees to a file with room.
func (l *Log) ready() error {
	if l.file != nil && l.file.Size() >= l.o.MaxFile {
		err := l.file.Close()
		l.file = nil
		if err != nil {
			return err
		}
	}
	if l.file != nil {
		return nil
	}
	n := l.next
	l.next++ // a number is used once, whatever comes of it
	f, err := l.files.CreateAudit(n)
	if err != nil {
		return err
	}
	if err := f.Append(head{file: n, first: l.pos.Seq + 1, before: l.pos.Hash}.encode()); err != nil {
		_ = f.Close()
		return err
	}
	l.file = f
	return nil
}

func (l *Log) endFile() {
	if l.file == nil {
		return
	}
	if err := l.file.Close(); err != nil {
		l.mu.Lock()
		l.state.Err = err
		l.mu.Unlock()
	}
}
