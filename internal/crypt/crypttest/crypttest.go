// Package crypttest makes values for the tests of the storage ports, which take
// nothing but sealed bytes. It panics in any other binary.
package crypttest

import (
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/internal/sealed"
)

// Sealed passes b off as sealed.
func Sealed(b []byte) crypt.Sealed {
	if !testing.Testing() {
		panic("crypttest: not a test binary")
	}
	return sealed.Make(b)
}
