package object

import (
	"context"

	"github.com/coffer-storage/coffer/internal/keys"
)

type Protection struct{}

func (s *Store) Describe(ctx context.Context, r *Row) (Protection, error) { panic("soon") }
func (s *Store) Sweep(ctx context.Context, p keys.Protector) error        { panic("soon") }
