package vault

import (
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/jwk"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
)

// causes give errors from below their kinds.
var causes = []struct {
	err  error
	kind fault.Kind
}{
	{meta.ErrNotFound, fault.VaultKeyNotFound},
	{errRow, fault.Corrupt},
	{jwk.ErrOpen, fault.InvalidInput},
	{jwk.ErrAlgorithm, fault.InvalidInput},
	{jwk.ErrStrict, fault.InvalidInput},
	{jwk.ErrInput, fault.InvalidInput},
	{jwk.ErrKey, fault.InvalidInput},
	{jwk.ErrCurve, fault.InvalidInput},
	{jwk.ErrSize, fault.InvalidInput},
}

// edge turns an error into the fault of this package's callers.
func edge(op string, r Ref, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return fault.New(op, r.what(), c.kind, err)
		}
	}
	return fault.New(op, r.what(), meta.FaultKind(err), err)
}
