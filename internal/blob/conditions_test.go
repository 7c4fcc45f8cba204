package blob

import (
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
)

const success = fault.KindCount // no refusal

func want(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if kind == success {
		if err != nil {
			t.Errorf("%s = %v, want success", what, err)
		}
		return
	}
	if !fault.Is(err, kind) {
		t.Errorf("%s = %v, want %v", what, err, kind)
	}
}

func TestConditionsCheck(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 999, time.UTC) // the wire shows whole seconds
	second := at.Truncate(time.Second)
	there := state{exists: true, etag: 0x8DABC, modified: at}
	none := state{}
	tests := []struct {
		name                   string
		c                      Conditions
		s                      state
		read, create, changing fault.Kind
	}{
		{"nothing, there", Conditions{}, there, success, success, success},
		{"nothing, not there", Conditions{}, none, fault.BlobNotFound, success, fault.BlobNotFound},

		{"match", Conditions{IfMatch: `"0x8DABC"`}, there, success, success, success},
		{"match without quotes", Conditions{IfMatch: `0x8DABC`}, there, success, success, success},
		{"match star", Conditions{IfMatch: `*`}, there, success, success, success},
		{"match another", Conditions{IfMatch: `"0x8DABD"`}, there, fault.ConditionNotMet, fault.ConditionNotMet, fault.ConditionNotMet},
		{"match weak", Conditions{IfMatch: `W/"0x8DABC"`}, there, fault.ConditionNotMet, fault.ConditionNotMet, fault.ConditionNotMet},
		{"match other case", Conditions{IfMatch: `"0x8dabc"`}, there, fault.ConditionNotMet, fault.ConditionNotMet, fault.ConditionNotMet},
		{"match, not there", Conditions{IfMatch: `"0x8DABC"`}, none, fault.BlobNotFound, fault.ConditionNotMet, fault.BlobNotFound},
		{"match star, not there", Conditions{IfMatch: `*`}, none, fault.BlobNotFound, fault.ConditionNotMet, fault.BlobNotFound},

		{"none match", Conditions{IfNoneMatch: `"0x8DABD"`}, there, success, success, success},
		{"none match, same", Conditions{IfNoneMatch: `"0x8DABC"`}, there, fault.NotModified, fault.ConditionNotMet, fault.ConditionNotMet},
		{"none match star", Conditions{IfNoneMatch: `*`}, there, fault.UnsatisfiableCondition, fault.BlobAlreadyExists, fault.ConditionNotMet},
		{"none match star in quotes", Conditions{IfNoneMatch: `"*"`}, there, fault.UnsatisfiableCondition, fault.BlobAlreadyExists, fault.ConditionNotMet},
		{"none match star, not there", Conditions{IfNoneMatch: `*`}, none, fault.BlobNotFound, success, fault.BlobNotFound},

		{"modified since before", Conditions{IfModifiedSince: second.Add(-time.Second)}, there, success, success, success},
		{"modified since the same second", Conditions{IfModifiedSince: second}, there, fault.NotModified, fault.ConditionNotMet, fault.ConditionNotMet},
		{"modified since after", Conditions{IfModifiedSince: second.Add(time.Second)}, there, fault.NotModified, fault.ConditionNotMet, fault.ConditionNotMet},
		{"modified since, not there", Conditions{IfModifiedSince: second}, none, fault.BlobNotFound, success, fault.BlobNotFound},

		{"unmodified since after", Conditions{IfUnmodifiedSince: second.Add(time.Second)}, there, success, success, success},
		{"unmodified since the same second", Conditions{IfUnmodifiedSince: second}, there, success, success, success},
		{"unmodified since before", Conditions{IfUnmodifiedSince: second.Add(-time.Second)}, there, fault.ConditionNotMet, fault.ConditionNotMet, fault.ConditionNotMet},
		{"unmodified since, not there", Conditions{IfUnmodifiedSince: second}, none, fault.BlobNotFound, success, fault.BlobNotFound},

		{"the ETag decides: match", Conditions{IfMatch: `"0x8DABC"`, IfUnmodifiedSince: second.Add(-time.Hour)}, there, success, success, success},
		{"the ETag decides: none match", Conditions{IfNoneMatch: `"0x8DABD"`, IfModifiedSince: second.Add(time.Hour)}, there, success, success, success},
		{"the ETag decides: same", Conditions{IfNoneMatch: `"0x8DABC"`, IfModifiedSince: second.Add(-time.Hour)}, there, fault.NotModified, fault.ConditionNotMet, fault.ConditionNotMet},

		{"lease", Conditions{LeaseID: "x"}, there, fault.LeaseNotPresent, fault.LeaseNotPresent, fault.LeaseNotPresent},
		{"lease, not there", Conditions{LeaseID: "x"}, none, fault.BlobNotFound, fault.LeaseNotPresent, fault.BlobNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for p, kind := range map[purpose]fault.Kind{reading: tt.read, creating: tt.create, changing: tt.changing} {
				err := tt.c.check("op", "what", p, tt.s, fault.BlobNotFound)
				want(t, [...]string{"reading", "creating", "changing"}[p], err, kind)
			}
		})
	}
}

func TestConditionsForm(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name string
		c    Conditions
		want fault.Kind
	}{
		{"none", Conditions{}, success},
		{"one", Conditions{IfMatch: "*"}, success},
		{"natural pair of matches", Conditions{IfMatch: "*", IfUnmodifiedSince: at}, success},
		{"natural pair of none matches", Conditions{IfNoneMatch: "*", IfModifiedSince: at}, success},
		{"match and none match", Conditions{IfMatch: "*", IfNoneMatch: "*"}, fault.MultipleConditions},
		{"match and modified", Conditions{IfMatch: "*", IfModifiedSince: at}, fault.MultipleConditions},
		{"none match and unmodified", Conditions{IfNoneMatch: "*", IfUnmodifiedSince: at}, fault.MultipleConditions},
		{"both dates", Conditions{IfModifiedSince: at, IfUnmodifiedSince: at}, fault.MultipleConditions},
		{"three", Conditions{IfMatch: "*", IfModifiedSince: at, IfUnmodifiedSince: at}, fault.MultipleConditions},
		{"tags", Conditions{IfTags: `"a"='b'`}, fault.UnsupportedHeader},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { want(t, "form", tt.c.form("op", "what"), tt.want) })
	}
}
