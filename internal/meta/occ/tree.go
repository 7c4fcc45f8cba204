package occ

import (
	"bytes"
	"hash/maphash"
)

// Tree is an immutable ordered map from keys to values: a treap whose priorities are
// hashes of the keys under a seed of the process. Every change returns a new Tree
// that shares all but O(log n) nodes with the old one, so a snapshot costs nothing.
// The zero Tree is empty. Keys and values are not copied.
type Tree[V any] struct{ root *node[V] }

type node[V any] struct {
	left, right *node[V]
	pri         uint64
	n           int
	key         []byte
	value       V
}

var seed = maphash.MakeSeed()

// Len is the number of keys.
func (t Tree[V]) Len() int { return t.root.len() }

func (n *node[V]) len() int {
	if n == nil {
		return 0
	}
	return n.n
}

func (n *node[V]) with(left, right *node[V]) *node[V] {
	c := *n
	c.left, c.right = left, right
	c.n = 1 + left.len() + right.len()
	return &c
}

// Get returns the value of key.
func (t Tree[V]) Get(key []byte) (v V, ok bool) {
	for n := t.root; n != nil; {
		switch c := bytes.Compare(key, n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n.value, true
		}
	}
	return v, false
}

// Set returns a Tree in which key has value v.
func (t Tree[V]) Set(key []byte, v V) Tree[V] {
	before, rest := split(t.root, key, false)
	_, after := split(rest, key, true)
	mid := &node[V]{pri: maphash.Bytes(seed, key), n: 1, key: key, value: v}
	return Tree[V]{merge(merge(before, mid), after)}
}

// Delete returns a Tree without key.
func (t Tree[V]) Delete(key []byte) Tree[V] {
	if _, ok := t.Get(key); !ok {
		return t
	}
	before, rest := split(t.root, key, false)
	_, after := split(rest, key, true)
	return Tree[V]{merge(before, after)}
}

// DeleteSpan returns a Tree without the keys of s.
func (t Tree[V]) DeleteSpan(s Span) Tree[V] {
	before, rest := split(t.root, s.Lo, false)
	var after *node[V]
	if s.Hi != nil {
		if bytes.Compare(s.Hi, s.Lo) <= 0 {
			return t
		}
		_, after = split(rest, s.Hi, false)
	}
	return Tree[V]{merge(before, after)}
}

// split divides n into the keys below key and the rest; with inclusive, key itself
// goes to the first part.
func split[V any](n *node[V], key []byte, inclusive bool) (a, b *node[V]) {
	if n == nil {
		return nil, nil
	}
	c := bytes.Compare(n.key, key)
	if c < 0 || inclusive && c == 0 {
		l, r := split(n.right, key, inclusive)
		return n.with(n.left, l), r
	}
	l, r := split(n.left, key, inclusive)
	return l, n.with(r, n.right)
}

// merge joins two treaps; all keys of a are below all of b.
func merge[V any](a, b *node[V]) *node[V] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.pri >= b.pri:
		return a.with(a.left, merge(a.right, b))
	default:
		return b.with(merge(a, b.left), b.right)
	}
}

// Scan calls f for the keys of s in order (descending with reverse) until f returns
// false. It reports whether it reached the end.
func (t Tree[V]) Scan(s Span, reverse bool, f func(key []byte, v V) bool) bool {
	c := t.Cursor(s, reverse)
	for c.Valid() {
		if !f(c.Key(), c.Value()) {
			return false
		}
		c.Next()
	}
	return true
}

// Cursor walks the keys of a Span in one direction.
type Cursor[V any] struct {
	stack   []*node[V] // the path to the current node; its top is current
	span    Span
	reverse bool
}

// Cursor stands on the first key of s in the direction of the walk.
func (t Tree[V]) Cursor(s Span, reverse bool) *Cursor[V] {
	c := &Cursor[V]{span: s, reverse: reverse}
	for n := t.root; n != nil; {
		if reverse {
			if s.Hi == nil || bytes.Compare(n.key, s.Hi) < 0 {
				c.stack = append(c.stack, n)
				n = n.right
			} else {
				n = n.left
			}
			continue
		}
		if bytes.Compare(n.key, s.Lo) >= 0 {
			c.stack = append(c.stack, n)
			n = n.left
		} else {
			n = n.right
		}
	}
	return c
}

// Valid reports whether the cursor stands on a key of its span.
func (c *Cursor[V]) Valid() bool {
	return len(c.stack) > 0 && c.span.Contains(c.stack[len(c.stack)-1].key)
}

// Key returns the current key.
func (c *Cursor[V]) Key() []byte { return c.stack[len(c.stack)-1].key }

// Value returns the value of the current key.
func (c *Cursor[V]) Value() V { return c.stack[len(c.stack)-1].value }

// Next goes on to the following key of the walk.
func (c *Cursor[V]) Next() {
	top := c.stack[len(c.stack)-1]
	c.stack = c.stack[:len(c.stack)-1]
	n := top.right
	if c.reverse {
		n = top.left
	}
	for n != nil {
		c.stack = append(c.stack, n)
		if c.reverse {
			n = n.right
		} else {
			n = n.left
		}
	}
}
