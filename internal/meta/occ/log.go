package occ

// Bounds of the log. A transaction whose snapshot is older than the log reaches is
// told to try again, so they only cost time, never correctness.
const (
	maxCommits = 4096
	maxBytes   = 4 << 20
)

// log remembers what recent commits wrote.
type log struct {
	commits  []commit // ascending, without gaps
	horizon  uint64   // everything after this commit is in the log
	bytes    int
	last     map[string]uint64 // key -> last commit of the log that wrote it
	spanning int               // commits with spans
}

type commit struct {
	seq   uint64
	keys  [][]byte
	spans []Span
	bytes int
}

// add notes the writes of commit seq.
func (l *log) add(seq uint64, w *Writes) {
	if l.last == nil {
		l.last = make(map[string]uint64)
	}
	c := commit{seq: seq, spans: w.Spans, keys: make([][]byte, 0, w.Keys.Len())}
	w.Keys.Scan(Span{}, false, func(k []byte, _ Value) bool {
		c.keys = append(c.keys, k)
		c.bytes += len(k) + 64
		l.last[string(k)] = seq
		return true
	})
	for _, s := range c.spans {
		c.bytes += len(s.Lo) + len(s.Hi) + 64
	}
	if len(c.spans) > 0 {
		l.spanning++
	}
	l.commits = append(l.commits, c)
	l.bytes += c.bytes
	for len(l.commits) > maxCommits || l.bytes > maxBytes {
		l.drop()
	}
}

func (l *log) drop() {
	c := l.commits[0]
	l.commits[0] = commit{}
	l.commits = l.commits[1:]
	l.horizon = c.seq
	l.bytes -= c.bytes
	if len(c.spans) > 0 {
		l.spanning--
	}
	for _, k := range c.keys {
		if l.last[string(k)] == c.seq {
			delete(l.last, string(k))
		}
	}
}

// conflicts reports whether a commit after since wrote something that r read, or
// whether that cannot be told any more.
func (l *log) conflicts(since uint64, r *Reads) bool {
	if r.empty() {
		return false
	}
	if since < l.horizon {
		return true
	}
	for k := range r.keys {
		if l.last[k] > since {
			return true
		}
	}
	if len(r.spans) == 0 && l.spanning == 0 {
		return false
	}
	for i := len(l.commits) - 1; i >= 0 && l.commits[i].seq > since; i-- {
		if l.commits[i].hits(r) {
			return true
		}
	}
	return false
}

func (c *commit) hits(r *Reads) bool {
	for _, s := range r.spans {
		for _, k := range c.keys {
			if s.Contains(k) {
				return true
			}
		}
		for _, w := range c.spans {
			if s.Overlaps(w) {
				return true
			}
		}
	}
	for _, w := range c.spans {
		for k := range r.keys {
			if w.Contains([]byte(k)) {
				return true
			}
		}
	}
	return false
}
