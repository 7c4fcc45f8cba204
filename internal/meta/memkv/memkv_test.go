package memkv_test

import (
	"testing"

	"github.com/coffer-storage/coffer/internal/meta/memkv"
	"github.com/coffer-storage/coffer/internal/meta/metatest"
)

func TestConformance(t *testing.T) {
	metatest.Run(t, func(t testing.TB) metatest.Opened {
		s := memkv.New()
		t.Cleanup(func() { _ = s.Close() })
		return metatest.Opened{Store: s}
	})
}
