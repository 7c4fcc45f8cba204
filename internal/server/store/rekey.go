package store

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/filestore"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
)

// Rekey makes new unseal secrets for the key store in dir, which open opens another way.
// HEAD need not follow: a key store that is newer than the data is right.
func Rekey(ctx context.Context, dir string, open func(context.Context, keys.Port) (*keys.Ring, error)) error {
	lock, err := sealedfs.Lock(vfs.Default, dir)
	if err != nil {
		return err
	}
	return errors.Join(rekey(ctx, dir, open), lock.Close())
}

func rekey(ctx context.Context, dir string, open func(context.Context, keys.Port) (*keys.Ring, error)) error {
	port, err := filestore.New(vfs.Default, dir)
	if err != nil {
		return err
	}
	ring, err := open(ctx, port)
	if err != nil {
		return err
	}
	defer ring.Close()
	return ring.NewUnsealKeys(ctx)
}
