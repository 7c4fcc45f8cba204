package keys

import (
	"errors"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// class names the class of a failure.
func class(err error) string {
	for _, c := range []struct {
		is   error
		name string
	}{
		{cfks.ErrForm, vectortest.Format}, {cfks.ErrNewer, vectortest.Format},
		{slot.ErrFormat, vectortest.Format}, {keywrap.ErrFormat, vectortest.Format},
		{errPin, vectortest.Mismatch}, {errKCV, vectortest.Mismatch},
		{keywrap.ErrKeyref, vectortest.Keyref},
		{slot.ErrOpen, vectortest.Open}, {keywrap.ErrOpen, vectortest.Open}, {errSignature, vectortest.Open},
	} {
		if errors.Is(err, c.is) {
			return c.name
		}
	}
	if err != nil {
		return "another error: " + err.Error()
	}
	return vectortest.OK
}

func TestVectors(t *testing.T) {
	for _, c := range vectortest.Load(t, "keystore") {
		t.Run(c.Name, func(t *testing.T) {
			n, err := openVector(t, c)
			if got, want := class(err), c.Text("expect"); got != want {
				t.Errorf("%s: %s, want %s", c.Text("comment"), got, want)
			}
			if err == nil && n < 7 {
				t.Errorf("only %d keys opened", n)
			}
		})
	}
}

// openVector opens a file and every key in it.
func openVector(t *testing.T, c vectortest.Case) (int, error) {
	f, err := cfks.Parse(c.Bytes(t, "file"))
	if err != nil {
		return 0, err
	}
	srk, err := slotRoot(f, SRK, c.Bytes(t, "service-secret"))
	if err != nil {
		return 0, err
	}
	s, err := openFile(f, srk, [32]byte(c.Bytes(t, "pin")))
	if err != nil {
		return 0, err
	}
	if s.irk, err = slotRoot(f, IRK, c.Bytes(t, "infra-secret")); err != nil {
		return 0, err
	}
	if s.ik, err = slot.SealKey(s.irk, f.Store, uint8(IRK), f.IRKRef); err != nil {
		return 0, err
	}
	n := 0
	s.unlocked = map[ID]secret.Key{}
	for p, rec := range s.protectors {
		cur := rec.Current()
		if cur == nil {
			continue
		}
		value, err := vaultOpens(vaultKeyOf(t, c), cur.Blob)
		if err != nil {
			return 0, err
		}
		if s.unlocked[cur.W], err = s.deriveCustomer(p, cur, secret.New(value)); err != nil {
			return 0, err
		}
	}
	for i := range s.body.Chains {
		c := &s.body.Chains[i]
		for j := range c.Keys {
			if c.Keys[j].State == cfks.Destroyed {
				continue
			}
			if _, err := s.open(c, &c.Keys[j]); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

func slotRoot(f *cfks.File, root Root, u []byte) (secret.Key, error) {
	for _, s := range f.Slots {
		if s.Root == root {
			return slot.Unwrap(secret.New(u), placeOf(f, s), s.Blob)
		}
	}
	return secret.Key{}, errNoSlot
}

func FuzzOpen(f *testing.F) {
	var good vectortest.Case
	for _, c := range refCases() {
		if c.Text("expect") == vectortest.OK {
			good = c
		}
	}
	var pin [32]byte
	copy(pin[:], newRefStore().pin())
	u := newRefStore().uS
	f.Add(newRefStore().make())
	f.Add([]byte(good.Text("file")))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := cfks.Parse(b)
		if err != nil {
			return
		}
		root, err := slotRoot(file, SRK, append([]byte(nil), u...))
		if err != nil {
			return
		}
		if s, err := openFile(file, root, pin); err == nil && len(s.body.Chains) != 7 {
			t.Error("another store opens with the pin")
		}
	})
}
