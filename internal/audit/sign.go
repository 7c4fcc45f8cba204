package audit

import "time"

const (
	// CheckpointEvery and CheckpointAfter say how many records, and how much time after
	// the first of them, may be without a signature.
	CheckpointEvery = 1000
	CheckpointAfter = time.Minute
)

// unsigned tells when the next checkpoint is due.
func (l *Log) dueIn() (time.Duration, bool) {
	if l.o.Sign == nil || l.unsigned == 0 {
		return 0, false
	}
	if l.unsigned >= CheckpointEvery {
		return 0, true
	}
	return time.Until(l.since.Add(CheckpointAfter)), true
}

// noteWritten counts records that have no signature yet.
func (l *Log) noteWritten(n int) {
	if l.unsigned == 0 {
		l.since = time.Now()
	}
	l.unsigned += n
}

// signIfDue makes a checkpoint when one is due.
func (l *Log) signIfDue() {
	if d, any := l.dueIn(); any && d <= 0 {
		l.sign()
	}
}

// rest waits for work, or until a checkpoint is due.
func (l *Log) rest() {
	d, any := l.dueIn()
	if !any {
		<-l.wake
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.wake:
	case <-t.C:
		l.sign()
	}
}

// sign writes a checkpoint for the last durable entry and gives it to the anchor. What
// does not work now is tried again a minute later; State tells.
func (l *Log) sign() {
	l.since = time.Now()
	c, err := l.o.Sign(l.pos)
	if err == nil {
		err = l.writeCheckpoint(c)
	}
	l.mu.Lock()
	l.state.SignErr = err
	if err == nil {
		l.state.Signed = c.Seq
	}
	l.mu.Unlock()
	if err != nil {
		return
	}
	if l.o.Anchor != nil {
		err = l.o.Anchor(c)
		l.mu.Lock()
		l.state.AnchorErr = err
		if err == nil {
			l.state.Anchored = c.Seq
		}
		l.mu.Unlock()
	}
	if err == nil {
		l.unsigned = 0
	}
}

func (l *Log) writeCheckpoint(c Checkpoint) error {
	err := l.ready()
	if err == nil {
		err = l.file.Append(c.encode())
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.abandon(l.pos)
	}
	return err
}
