package cfks

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrForm is any breach of the format's rules; ErrNewer a version that this program
// does not know.
var (
	ErrForm  = errors.New("key store: malformed")
	ErrNewer = errors.New("key store: written by a newer version")
)

func formf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrForm, fmt.Sprintf(format, args...))
}

// cursor reads fields in order. The first fault sticks, and everything after it reads
// as zero, so callers check err once.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = formf(format, args...)
	}
	c.b = nil
}

// take returns the next n bytes, not copied; nil after a fault.
func (c *cursor) take(n int, what string) []byte {
	if c.err != nil {
		return nil
	}
	if n > len(c.b) {
		c.fail("%s: %d bytes wanted, %d left", what, n, len(c.b))
		return nil
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) u8(what string) uint8 {
	if p := c.take(1, what); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16(what string) uint16 {
	if p := c.take(2, what); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32(what string) uint32 {
	if p := c.take(4, what); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) u64(what string) uint64 {
	if p := c.take(8, what); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (c *cursor) id(what string) (id ID) {
	copy(id[:], c.take(len(id), what))
	return id
}

// bytes reads a field with a u32 length of at most limit, as a copy; nil when empty.
func (c *cursor) bytes(limit uint32, what string) []byte {
	n := c.u32(what)
	if n > limit {
		c.fail("%s: %d bytes, limit %d", what, n, limit)
		return nil
	}
	return append([]byte(nil), c.take(int(n), what)...)
}

// flag reads a byte that is 0 or 1.
func (c *cursor) flag(what string) bool {
	v := c.u8(what)
	if v > 1 {
		c.fail("%s: %d", what, v)
	}
	return v == 1
}

// enum reads a byte from 1 to last.
func (c *cursor) enum(last uint8, what string) uint8 {
	v := c.u8(what)
	if c.err == nil && (v < 1 || v > last) {
		c.fail("%s: unknown value %d", what, v)
	}
	return v
}

// count reads a u32 number of entries of at least size bytes each.
func (c *cursor) count(size int, what string) int {
	n := c.u32(what)
	if int64(n)*int64(size) > int64(len(c.b)) {
		c.fail("%s: %d entries do not fit", what, n)
		return 0
	}
	return int(n)
}

func appendBytes(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
	return append(b, field...)
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
