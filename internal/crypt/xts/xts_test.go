package xts

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	oracle "golang.org/x/crypto/xts"
)

// long: the sizes of the long run, as `make long` sets it.
var long = os.Getenv("COFFER_LONG") != ""

func random(rng *rand.Rand, b []byte) []byte {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// eachEngine runs f with every engine of this machine.
func eachEngine(t *testing.T, f func(t *testing.T, newEngine func(*[32]byte) (engine, error))) {
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) { f(t, e) })
	}
}

// cipherOf is a cipher over one engine.
func cipherOf(t testing.TB, key *[KeySize]byte, newEngine func(*[32]byte) (engine, error)) *Cipher {
	t.Helper()
	e, err := newEngine((*[32]byte)(key[:32]))
	if err != nil {
		t.Fatal(err)
	}
	tweak, err := aes.NewCipher(key[32:])
	if err != nil {
		t.Fatal(err)
	}
	return &Cipher{tweak, e}
}

func oracleOf(t testing.TB, key []byte) *oracle.Cipher {
	t.Helper()
	o, err := oracle.NewCipher(aes.NewCipher, key)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// unit runs one data unit of any multiple of 16 bytes.
func (c *Cipher) unit(n uint64, do func(*[blockSize]byte, []byte, []byte), dst, src []byte) {
	var t [blockSize]byte
	binary.LittleEndian.PutUint64(t[:], n)
	c.tweak.Encrypt(t[:], t[:])
	do(&t, dst, src)
}

// edges of sector numbers.
var edges = []uint64{0, 1, 2, 7, 255, 256, 1<<16 - 1, 1 << 16, 1<<18 - 1, 1<<31 - 1, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}

// TestEveryLength compares every multiple of 16 bytes up to two sectors, at the edges
// of the tweak, with the oracle; apart and in place.
func TestEveryLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := [KeySize]byte(random(rng, make([]byte, KeySize)))
	o := oracleOf(t, key[:])
	step := 1
	if testing.Short() {
		step = 7
	}
	eachEngine(t, func(t *testing.T, e func(*[32]byte) (engine, error)) {
		c := cipherOf(t, &key, e)
		for blocks := 1; blocks <= 512; blocks += step {
			n := edges[blocks%len(edges)]
			plain := random(rng, make([]byte, blocks*blockSize))
			want, got := make([]byte, len(plain)), make([]byte, len(plain)+1)
			got[len(plain)] = 0xA5 // nothing is written behind the end
			o.Encrypt(want, plain, n)
			c.unit(n, c.blocks.encrypt, got[:len(plain)], plain)
			if !bytes.Equal(got[:len(plain)], want) || got[len(plain)] != 0xA5 {
				t.Fatalf("%d blocks of unit %d: not the ciphertext of the oracle", blocks, n)
			}
			c.unit(n, c.blocks.decrypt, got[:len(plain)], want)
			if !bytes.Equal(got[:len(plain)], plain) || got[len(plain)] != 0xA5 {
				t.Fatalf("%d blocks of unit %d do not decrypt", blocks, n)
			}
			c.unit(n, c.blocks.encrypt, got[:len(plain)], got[:len(plain)])
			c.unit(n, c.blocks.decrypt, got[:len(plain)], got[:len(plain)])
			if !bytes.Equal(got[:len(plain)], plain) {
				t.Fatalf("%d blocks of unit %d: not the same in place", blocks, n)
			}
		}
	})
}

// TestTweaks goes through all single-bit tweaks and those with long carries, so that
// every multiplication by x meets a carry at every place; the next tweak must be right.
func TestTweaks(t *testing.T) {
	var tweaks [][blockSize]byte
	for i := range 128 {
		var one, ones [blockSize]byte
		one[i/8] = 1 << (i % 8)
		for j := range i + 1 {
			ones[j/8] |= 1 << (j % 8)
		}
		tweaks = append(tweaks, one, ones)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	key := [32]byte(random(rng, make([]byte, 32)))
	want, err := newPortable(&key)
	if err != nil {
		t.Fatal(err)
	}
	eachEngine(t, func(t *testing.T, newEngine func(*[32]byte) (engine, error)) {
		e, err := newEngine(&key)
		if err != nil {
			t.Fatal(err)
		}
		for _, tweak := range tweaks {
			for _, blocks := range []int{1, 9, 32, 75, 256} {
				plain := random(rng, make([]byte, blocks*blockSize))
				ct, ours := make([]byte, len(plain)), make([]byte, len(plain))
				after, t1, t2 := tweak, tweak, tweak
				want.encrypt(&after, ct, plain)
				e.encrypt(&t1, ours, plain)
				if !bytes.Equal(ours, ct) || t1 != after {
					t.Fatalf("tweak %x, %d blocks: wrong ciphertext or next tweak", tweak, blocks)
				}
				e.decrypt(&t2, ours, ct)
				if !bytes.Equal(ours, plain) || t2 != after {
					t.Fatalf("tweak %x, %d blocks: wrong plaintext or next tweak", tweak, blocks)
				}
			}
		}
	})
}

// TestRandomSectors compares random sectors with random keys and numbers with the
// oracle: 10^4, and 10^6 in the long run.
func TestRandomSectors(t *testing.T) {
	total := 10_000
	switch {
	case long:
		total = 1_000_000
	case testing.Short():
		total = 1_000
	}
	const perKey = 50
	eachEngine(t, func(t *testing.T, e func(*[32]byte) (engine, error)) {
		rng := rand.NewChaCha8([32]byte{5})
		n := make([]byte, 8)
		plain, want, got := make([]byte, SectorSize), make([]byte, SectorSize), make([]byte, SectorSize)
		for range total / perKey {
			var key [KeySize]byte
			rng.Read(key[:])
			o, c := oracleOf(t, key[:]), cipherOf(t, &key, e)
			for range perKey {
				rng.Read(n)
				sector := binary.LittleEndian.Uint64(n)
				rng.Read(plain)
				o.Encrypt(want, plain, sector)
				c.Encrypt(got, plain, sector)
				if !bytes.Equal(got, want) {
					t.Fatalf("sector %d: not the ciphertext of the oracle", sector)
				}
				c.Decrypt(got, got, sector)
				if !bytes.Equal(got, plain) {
					t.Fatalf("sector %d does not decrypt", sector)
				}
			}
		}
		t.Logf("%d sectors", total)
	})
}

// TestConsecutive: many sectors at once are each with its own number.
func TestConsecutive(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	key := [KeySize]byte(random(rng, make([]byte, KeySize)))
	o := oracleOf(t, key[:])
	c, err := New(&key)
	if err != nil {
		t.Fatal(err)
	}
	const count = 9
	plain := random(rng, make([]byte, count*SectorSize))
	for _, first := range edges {
		want, got := make([]byte, len(plain)), make([]byte, len(plain))
		for i := range count {
			at := i * SectorSize
			o.Encrypt(want[at:at+SectorSize], plain[at:at+SectorSize], first+uint64(i))
		}
		c.Encrypt(got, plain, first)
		if !bytes.Equal(got, want) {
			t.Errorf("%d sectors from %d on: not those of the oracle", count, first)
		}
		c.Decrypt(got, got, first)
		if !bytes.Equal(got, plain) {
			t.Errorf("%d sectors from %d on do not decrypt", count, first)
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := New(new([KeySize]byte)); err != ErrKey {
		t.Errorf("New with equal halves: error = %v, want ErrKey", err)
	}
	key := [KeySize]byte{1}
	c, err := New(&key)
	if err != nil {
		t.Fatal(err)
	}
	for _, sizes := range [][2]int{{SectorSize, SectorSize - 1}, {SectorSize - 1, SectorSize}, {SectorSize, 2 * SectorSize}, {0, SectorSize}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Encrypt of %d bytes to %d did not panic", sizes[1], sizes[0])
				}
			}()
			c.Encrypt(make([]byte, sizes[0]), make([]byte, sizes[1]), 0)
		}()
	}
	c.Encrypt(nil, nil, 0)
}

// FuzzXTS compares all engines with the oracle.
func FuzzXTS(f *testing.F) {
	f.Add(bytes.Repeat([]byte{1, 2}, 32), uint64(0), make([]byte, 16))
	f.Add(bytes.Repeat([]byte{1, 2, 3, 4}, 16), uint64(math.MaxUint64), bytes.Repeat([]byte{7}, SectorSize))
	f.Add(bytes.Repeat([]byte{0, 2}, 32), uint64(1<<32), bytes.Repeat([]byte{9}, 39*16))
	f.Fuzz(func(t *testing.T, k []byte, n uint64, plain []byte) {
		if len(k) < KeySize || len(plain) < blockSize {
			return
		}
		key := [KeySize]byte(k)
		plain = plain[:len(plain)/blockSize*blockSize]
		want := make([]byte, len(plain))
		oracleOf(t, key[:]).Encrypt(want, plain, n)
		for name, e := range engines() {
			c := cipherOf(t, &key, e)
			got := make([]byte, len(plain))
			c.unit(n, c.blocks.encrypt, got, plain)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: not the ciphertext of the oracle", name)
			}
			c.unit(n, c.blocks.decrypt, got, got)
			if !bytes.Equal(got, plain) {
				t.Errorf("%s: does not decrypt", name)
			}
		}
	})
}
