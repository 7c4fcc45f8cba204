package secret

// Protection says what was achieved for the memory of keys.
type Protection struct {
	Method    string   // "memfd_secret", "mlock", "mmap", "heap"
	Locked    bool     // never written to swap
	NoDump    bool     // left out of core dumps
	Keys      int      // keys that live now
	Bytes     int      // protected bytes in use by them
	Shortfall []string // what the system refused, for doctor
}

// Status reports how key memory is protected.
func Status() Protection { return Protection{Method: "heap"} }

// HardenProcess forbids core dumps and inspection by other processes of the user where
// the system can do that.
func HardenProcess() error { return nil }
