package blob

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// ticksAtEpoch is 1970 in the unit of ETags: 100 ns since year 1, so that our ETags
// have the look of the service's ("0x8D..").
const ticksAtEpoch = 621355968000000000

// stamper gives out ETags and times of writes. No two calls of one process give the
// same ETag, and of two writes of one row the later has the greater, even if the
// clock was set back in between.
type stamper struct {
	now  func() time.Time
	last atomic.Uint64
}

// next returns an ETag above old and the time that goes with it.
func (s *stamper) next(old uint64) (etag uint64, at time.Time) {
	at = s.now().UTC()
	tick := uint64(at.UnixNano()/100 + ticksAtEpoch)
	for {
		last := s.last.Load()
		etag = max(tick, last+1, old+1)
		if s.last.CompareAndSwap(last, etag) {
			return etag, at
		}
	}
}

// formatETag is the quoted form of the wire.
func formatETag(etag uint64) string { return fmt.Sprintf("\"0x%X\"", etag) }

// matchETag compares an ETag of a request with a stored one. The quotes may be
// missing; weak ETags match nothing, for there are none here.
func matchETag(sent string, etag uint64) bool {
	sent = strings.TrimSpace(sent)
	if len(sent) >= 2 && sent[0] == '"' && sent[len(sent)-1] == '"' {
		sent = sent[1 : len(sent)-1]
	}
	return sent == fmt.Sprintf("0x%X", etag)
}
