package wire

import (
	"io"
	"testing"
)

// BenchmarkWriter writes one blob of a listing.
func BenchmarkWriter(b *testing.B) {
	b.ReportAllocs()
	x := NewWriter(io.Discard)
	for b.Loop() {
		x.Start("Blob")
		x.Elem("Name", "photos/2026/11/a picture & another.jpg")
		x.Start("Properties")
		for range 16 {
			x.Elem("Last-Modified", "Wed, 25 Nov 2026 12:00:00 GMT")
		}
		x.End()
		x.End()
	}
}
