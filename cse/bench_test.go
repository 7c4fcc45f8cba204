package cse_test

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// BenchmarkSeal seals regions as an upload does, and BenchmarkRawGCM is what the machine
// gives: the bar is 0.85 of it.
func BenchmarkSeal(b *testing.B) {
	for _, size := range []int64{4 << 10, 64 << 10, 4 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r, err := format.NewRegions(make([]byte, 32), size)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, r.Sealed())
			b.SetBytes(size)
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				r.Seal(buf, buf[format.NonceSize:len(buf)-format.TagSize], i)
				i++
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range []int64{4 << 10, 64 << 10, 4 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r, err := format.NewRegions(make([]byte, 32), size)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, r.Sealed())
			r.Seal(buf, buf[format.NonceSize:len(buf)-format.TagSize], 0)
			out := make([]byte, 0, size)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Open(out, buf, 0, format.NewOrder()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRawGCM(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 4 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			block, err := aes.NewCipher(make([]byte, 32))
			if err != nil {
				b.Fatal(err)
			}
			aead, err := cipher.NewGCM(block)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 12+size+16)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				aead.Seal(buf[12:12], buf[:12], buf[12:12+size], nil)
			}
		})
	}
}
