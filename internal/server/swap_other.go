//go:build !linux

package server

import "errors"

// plainSwap does not know other systems.
func plainSwap() ([]string, error) { return nil, errors.ErrUnsupported }
