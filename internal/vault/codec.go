package vault

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

var errRow = errors.New("vault: row has a wrong form")

// writer makes the inside of fields: integers big-endian, strings and lists after their
// u16 length.
type writer struct{ b []byte }

func (w *writer) byte(v byte)      { w.b = append(w.b, v) }
func (w *writer) u16(v int)        { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *writer) time(t time.Time) { w.b = append(w.b, stamp(t)...) }

func (w *writer) str(s string) {
	w.u16(len(s))
	w.b = append(w.b, s...)
}

func (w *writer) list(l []string) {
	w.u16(len(l))
	for _, s := range l {
		w.str(s)
	}
}

// reader takes it apart. After a wrong form it gives zero values, and end says so.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte { return r.take(1)[0] }
func (r *reader) u16() int   { return int(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) time() time.Time {
	return unstamp(r.take(8))
}

func (r *reader) bytes() []byte {
	n := r.u16()
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	return r.take(n)
}

func (r *reader) str() string { return string(r.bytes()) }

func (r *reader) list() []string {
	n := r.u16()
	var l []string
	for i := 0; i < n && !r.bad; i++ {
		l = append(l, r.str())
	}
	return l
}

// end is nil if all was read and had its form.
func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errRow
	}
	return nil
}

// stamp is the stored form of a time; a zero one is 0.
func stamp(t time.Time) []byte {
	if t.IsZero() {
		return make([]byte, 8)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano()))
}

func unstamp(b []byte) time.Time {
	n := binary.BigEndian.Uint64(b)
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

// encodeTags returns a field for each tag, in the order of their names.
func encodeTags(tags map[string]string) [][]byte {
	var out [][]byte
	for _, n := range slices.Sorted(maps.Keys(tags)) {
		var w writer
		w.str(n)
		w.str(tags[n])
		out = append(out, w.b)
	}
	return out
}

func decodeTags(fields [][]byte) (map[string]string, error) {
	var tags map[string]string
	before := ""
	for i, f := range fields {
		r := reader{b: f}
		n, v := r.str(), r.str()
		if r.end() != nil || i > 0 && n <= before {
			return nil, errRow
		}
		if tags == nil {
			tags = make(map[string]string, len(fields))
		}
		tags[n], before = v, n
	}
	return tags, nil
}
