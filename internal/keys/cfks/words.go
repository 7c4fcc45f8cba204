package cfks

import "fmt"

// Kind says what the keys of a chain are for.
type Kind uint8

// The kinds; the numbers are in files.
const (
	KEK      Kind = 1 + iota // wraps data keys of one protector
	SYSK                     // seals system properties of one owner
	VFSK                     // file keys of sealedfs
	IDK                      // infrastructure (second) layer
	Identity                 // signs the key store
	Audit                    // signs audit checkpoints
)

var kindNames = [...]string{"", "KEK", "SYSK", "VFSK", "IDK", "identity", "audit"}

func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// State is where a key version stands in its life.
type State uint8

// The states; the numbers are in files.
const (
	PreActive   State = 1 + iota
	Active            // seals and opens
	Deactivated       // opens only
	Compromised       // opens only
	Destroyed         // no secret; a tombstone, kept for ever
)

var stateNames = [...]string{"", "pre-active", "active", "deactivated", "compromised", "destroyed"}

func (s State) String() string {
	if s == 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", uint8(s))
	}
	return stateNames[s]
}

// AdminState is what an administrator decided about a protector.
type AdminState uint8

// The states; the numbers are in files.
const (
	Enabled AdminState = 1 + iota
	Disabled
	Shredded // all its keys are destroyed
)

var adminNames = [...]string{"", "enabled", "disabled", "destroyed"}

func (s AdminState) String() string {
	if s == 0 || int(s) >= len(adminNames) {
		return fmt.Sprintf("AdminState(%d)", uint8(s))
	}
	return adminNames[s]
}

// Root is one of the two root keys.
type Root uint8

// The roots; the numbers are in files.
const (
	SRK Root = 1 + iota // service root
	IRK                 // infrastructure root
)

func (r Root) String() string {
	switch r {
	case SRK:
		return "service"
	case IRK:
		return "infrastructure"
	}
	return fmt.Sprintf("Root(%d)", uint8(r))
}
