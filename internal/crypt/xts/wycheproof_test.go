package xts

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// wycheproofCases is how many cases the file has, so that a lost one shows.
const wycheproofCases = 21

// TestWycheproof runs the vectors of Project Wycheproof with all engines. Their tweaks
// have 1 to 16 bytes; ours are 8 bytes and zeros.
func TestWycheproof(t *testing.T) {
	b, err := os.ReadFile("../wycheprooftest/testdata/aes_xts.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		TestGroups []struct {
			Tests []struct {
				ID               int `json:"tcId"`
				Key, IV, Msg, CT string
				Result           string
			}
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	bin := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	eachEngine(t, func(t *testing.T, e func(*[32]byte) (engine, error)) {
		count := 0
		for _, g := range file.TestGroups {
			for _, v := range g.Tests {
				count++
				key := [KeySize]byte(bin(v.Key))
				c := cipherOf(t, &key, e)
				var tweak [blockSize]byte
				copy(tweak[:], bin(v.IV))
				c.tweak.Encrypt(tweak[:], tweak[:])
				msg, ct := bin(v.Msg), bin(v.CT)
				got := make([]byte, len(msg))
				enc, dec := tweak, tweak
				c.blocks.encrypt(&enc, got, msg)
				if same := bytes.Equal(got, ct); same != (v.Result == "valid") {
					t.Errorf("case %d: encrypts to %x, want %x", v.ID, got, ct)
				}
				c.blocks.decrypt(&dec, got, ct)
				if !bytes.Equal(got, msg) {
					t.Errorf("case %d: decrypts to %x, want %x", v.ID, got, msg)
				}
			}
		}
		if count != wycheproofCases {
			t.Errorf("%d cases, want %d", count, wycheproofCases)
		}
	})
}
