package secret

// Methods of protection, from the best to none.
const (
	MethodSecret = "memfd_secret" // not even mapped by the kernel
	MethodLocked = "mlock"        // own pages, never written to swap
	MethodPages  = "mmap"         // own pages, but swap may get them
	MethodHeap   = "heap"         // the Go heap
)

// Protection says what was achieved for the memory of keys.
type Protection struct {
	Method    string   // the weakest in use
	Locked    bool     // never written to swap
	NoDump    bool     // left out of core dumps
	Keys      int      // keys that live now
	Bytes     int      // what they take in the arena
	Mapped    int      // bytes of all slabs
	Shortfall []string // what the system refused, for doctor
}

// Status reports how key memory is protected: by the pages in use, or when there are
// none by a try.
func Status() Protection { return keys.status() }

func (a *arena) status() Protection {
	a.alloc(minCell).release() // keeps one slab
	a.mu.Lock()
	defer a.mu.Unlock()
	p := Protection{Method: MethodSecret, Locked: true, NoDump: true, Keys: a.cells, Bytes: a.bytes}
	p.Shortfall = append(p.Shortfall, a.lacks...)
	for _, s := range a.all {
		if rank(s.pages.method) > rank(p.Method) {
			p.Method = s.pages.method
		}
		p.Locked = p.Locked && s.pages.locked
		p.NoDump = p.NoDump && s.pages.noDump
		p.Mapped += len(s.pages.mem)
	}
	return p
}

// rank orders the methods.
func rank(method string) int {
	for i, m := range []string{MethodSecret, MethodLocked, MethodPages} {
		if m == method {
			return i
		}
	}
	return 3
}

// pages is mapped memory and how it is protected.
type pages struct {
	mem    []byte
	method string
	locked bool
	noDump bool
	lacks  []string
	unmap  func()
}

// heapPages is the last resort.
func heapPages(n int, lacks ...string) pages {
	return pages{mem: make([]byte, n), method: MethodHeap, lacks: lacks, unmap: func() {}}
}
