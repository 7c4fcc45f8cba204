package vault

import (
	"errors"
	"strings"
	"time"
)

// duration is an ISO 8601 duration: P1Y6M, P90D, PT48H. Months have their own lengths, so
// it is added to a date and is no time.Duration.
type duration struct {
	years, months, days int
	rest                time.Duration
}

var errDuration = errors.New("not an ISO 8601 duration, P90D for one")

// designators in the order that they have to come in; the index of the first one of time
// is timeFrom.
const (
	designators = "YMWDHMS"
	timeFrom    = 4
)

func parseDuration(s string) (duration, error) {
	var d duration
	in, ok := strings.CutPrefix(strings.ToUpper(s), "P")
	if !ok || in == "" || len(s) > 32 {
		return d, errDuration
	}
	at, seen, timed := 0, false, false
	for in != "" {
		if in[0] == 'T' {
			if timed || len(in) == 1 {
				return d, errDuration
			}
			at, timed, in = timeFrom, true, in[1:]
		}
		n, digits := 0, 0
		for digits < len(in) && in[digits] >= '0' && in[digits] <= '9' && digits < 6 {
			n = 10*n + int(in[digits]-'0')
			digits++
		}
		if digits == 0 || digits == len(in) {
			return d, errDuration
		}
		end := timeFrom
		if timed {
			end = len(designators)
		}
		i := strings.IndexByte(designators[at:end], in[digits])
		if i < 0 {
			return d, errDuration
		}
		at += i
		d.set(at, n)
		at, seen, in = at+1, true, in[digits+1:]
	}
	if !seen {
		return d, errDuration
	}
	return d, nil
}

func (d *duration) set(at, n int) {
	switch at {
	case 0:
		d.years = n
	case 1:
		d.months = n
	case 2:
		d.days += 7 * n
	case 3:
		d.days += n
	default:
		d.rest += time.Duration(n) * []time.Duration{time.Hour, time.Minute, time.Second}[at-timeFrom]
	}
}

// after is the time d after t.
func (d duration) after(t time.Time) time.Time {
	return t.AddDate(d.years, d.months, d.days).Add(d.rest)
}

// before is the time d before t.
func (d duration) before(t time.Time) time.Time {
	return t.AddDate(-d.years, -d.months, -d.days).Add(-d.rest)
}

// atLeast compares d with a number of days, months being short.
func (d duration) atLeast(days int) bool {
	start := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	return !d.after(start).Before(start.AddDate(0, 0, days))
}
