// Package crypt names what the storage ports accept: sealed bytes, and nothing else.
// The packages below it make them; see spec/ for the formats.
package crypt

import "github.com/coffer-storage/coffer/internal/crypt/internal/sealed"

// Sealed is ciphertext in one of the published formats. Only packages below
// internal/crypt can make a non-empty one.
type Sealed = sealed.Sealed
