package blob

import (
	"encoding/base64"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Limits of blocks.
const (
	MaxBlock       = 4000 << 20 // bytes of one block
	MaxPut         = 5000 << 20 // bytes of one Put Blob
	MaxBlocks      = 50000      // of one block list
	MaxUncommitted = 100000     // staged blocks of one blob
	maxBlockID     = 64         // bytes, decoded
)

// checkBlockID returns the decoded length of a block id: base64 of 1 to 64 bytes.
// Ids are compared as they were sent.
func checkBlockID(op, what, id string) (int, error) {
	raw, err := base64.StdEncoding.DecodeString(id)
	if err != nil || strings.ContainsAny(id, "\r\n") || len(raw) == 0 || len(raw) > maxBlockID {
		return 0, fault.New(op, what, fault.InvalidQueryParameter, nil,
			fault.Detail{Name: "QueryParameterName", Value: "blockid"},
			fault.Detail{Name: "QueryParameterValue", Value: clip(id)},
			fault.Detail{Name: "Reason", Value: "Not a valid base64 string."})
	}
	return len(raw), nil
}

func clip(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most]
	}
	return s
}
