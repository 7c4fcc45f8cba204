package xts

import (
	"testing"
)

// benchSize is an extent's batch: 16 sectors.
const benchSize = 16 * SectorSize

// Each engine beside x/crypto, in one run.
func BenchmarkXTS(b *testing.B) {
	key := [KeySize]byte{1}
	buf := make([]byte, benchSize)
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchSize)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	o := oracleOf(b, key[:])
	run("seal/x-crypto", func() {
		for at := 0; at < benchSize; at += SectorSize {
			o.Encrypt(buf[at:at+SectorSize], buf[at:at+SectorSize], uint64(at))
		}
	})
	run("open/x-crypto", func() {
		for at := 0; at < benchSize; at += SectorSize {
			o.Decrypt(buf[at:at+SectorSize], buf[at:at+SectorSize], uint64(at))
		}
	})
	for _, name := range []string{"portable", "AES-NI", "VAES"} {
		e := engines()[name]
		if e == nil {
			continue
		}
		c := cipherOf(b, &key, e)
		run("seal/"+name, func() { c.Encrypt(buf, buf, 7) })
		run("open/"+name, func() { c.Decrypt(buf, buf, 7) })
	}
}
