package server

import (
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/blob"
)

func TestEndingPolicies(t *testing.T) {
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	s := &Server{now: func() time.Time { return now }}
	for _, tt := range []struct {
		in   time.Duration
		want string // "" is not a word
	}{{-time.Hour, ""}, {time.Hour, "danger"}, {3 * 24 * time.Hour, "warning"}, {20 * 24 * time.Hour, "note"}, {40 * 24 * time.Hour, ""}} {
		got := s.endingPolicies("acct/box", []blob.Policy{{ID: "p", Expiry: now.Add(tt.in)}, {ID: "for ever"}})
		level := ""
		if len(got) > 0 {
			level = got[0].Level
		}
		if level != tt.want || len(got) > 1 {
			t.Errorf("a policy that ends in %v: %v, want level %q", tt.in, got, tt.want)
		}
	}
}
