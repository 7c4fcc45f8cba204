package localkey

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/coffer-storage/coffer/internal/secret"
)

// ErrForm says that a file is not a key file.
var ErrForm = errors.New("not a key file")

const (
	firstLine  = "coffer key file 1"
	secretSize = 32
	maxFile    = 64 << 10
	maxSecrets = 64
)

// entry is the secret of one slot.
type entry struct {
	slot   [16]byte
	secret secret.Key
}

// file is the content of a key file. The secrets of a replaced slot stay beside the new
// ones until the key store is known to have the new slot.
type file struct {
	store   [16]byte
	root    uint8
	pin     [32]byte
	secrets []entry
}

var rootNames = map[uint8]string{1: "service", 2: "infrastructure"}

// encode returns the text of f; the caller wipes it.
func (f *file) encode() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(maxFile) // one buffer: no copies of secrets are left behind by growing
	fmt.Fprintf(&b, "%s\nstore %x\nroot %s\npin %x\n", firstLine, f.store, rootNames[f.root], f.pin)
	for _, e := range f.secrets {
		fmt.Fprintf(&b, "slot %x\nsecret ", e.slot)
		err := e.secret.Use(func(u []byte) error {
			var text [44]byte
			defer clear(text[:])
			base64.StdEncoding.Encode(text[:], u)
			b.Write(text[:])
			return nil
		})
		if err != nil {
			clear(b.Bytes())
			return nil, err
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// parse reads a key file. It has one spelling.
func parse(b []byte) (*file, error) {
	f := &file{}
	lines := strings.Split(string(b), "\n")
	if len(b) > maxFile || len(lines) < 7 || lines[len(lines)-1] != "" || len(lines)%2 == 0 {
		return nil, ErrForm
	}
	if lines[0] != firstLine {
		if strings.HasPrefix(lines[0], "coffer key file ") {
			return nil, fmt.Errorf("%w that this version knows", ErrForm)
		}
		return nil, ErrForm
	}
	if err := f.parseHead(lines[1:4]); err != nil {
		return nil, err
	}
	for rest := lines[4 : len(lines)-1]; len(rest) > 0; rest = rest[2:] {
		if err := f.parseSecret(rest[0], rest[1]); err != nil {
			f.destroy()
			return nil, err
		}
	}
	if len(f.secrets) > maxSecrets {
		f.destroy()
		return nil, ErrForm
	}
	return f, nil
}

func (f *file) parseHead(lines []string) error {
	if err := hexField(f.store[:], lines[0], "store"); err != nil {
		return err
	}
	for n, name := range rootNames {
		if lines[1] == "root "+name {
			f.root = n
		}
	}
	if f.root == 0 {
		return fmt.Errorf("%w: unknown root", ErrForm)
	}
	return hexField(f.pin[:], lines[2], "pin")
}

func (f *file) parseSecret(slotLine, secretLine string) error {
	var e entry
	if err := hexField(e.slot[:], slotLine, "slot"); err != nil {
		return err
	}
	for _, old := range f.secrets {
		if old.slot == e.slot {
			return fmt.Errorf("%w: a slot stands twice", ErrForm)
		}
	}
	text, ok := strings.CutPrefix(secretLine, "secret ")
	if !ok {
		return fmt.Errorf("%w: no secret", ErrForm)
	}
	u, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(u) != secretSize {
		clear(u)
		return fmt.Errorf("%w: the secret is damaged", ErrForm)
	}
	e.secret = secret.New(u)
	f.secrets = append(f.secrets, e)
	return nil
}

// hexField reads "name hex" of exactly the size of dst, in lower case.
func hexField(dst []byte, line, name string) error {
	text, ok := strings.CutPrefix(line, name+" ")
	if !ok || len(text) != hex.EncodedLen(len(dst)) || strings.ToLower(text) != text {
		return fmt.Errorf("%w: %s is missing or damaged", ErrForm, name)
	}
	if _, err := hex.Decode(dst, []byte(text)); err != nil {
		return fmt.Errorf("%w: %s is damaged", ErrForm, name)
	}
	return nil
}

func (f *file) destroy() {
	for _, e := range f.secrets {
		e.secret.Destroy()
	}
}

func (f *file) find(slot [16]byte) (secret.Key, bool) {
	for _, e := range f.secrets {
		if e.slot == slot {
			return e.secret, true
		}
	}
	return secret.Key{}, false
}
