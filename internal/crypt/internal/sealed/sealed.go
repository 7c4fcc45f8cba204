// Package sealed holds the type that storage ports accept. Because it lies in an
// internal directory below crypt, only the crypt packages can make one: encryption
// cannot be left out by forgetting it.
package sealed

// Sealed is ciphertext in one of the published formats, ready to be stored.
type Sealed struct{ b []byte }

// Make wraps bytes that the caller has just sealed, or has checked to be sealed.
func Make(b []byte) Sealed { return Sealed{b} }

// Bytes returns the stored form. The caller must not change it.
func (s Sealed) Bytes() []byte { return s.b }

// Len returns the number of bytes of the stored form.
func (s Sealed) Len() int { return len(s.b) }
