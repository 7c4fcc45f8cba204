package vectortest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
	"github.com/coffer-storage/coffer/internal/secret"
)

// class names the class of an error.
func class(err error) string {
	for name, errs := range map[string][]error{
		Format:   {keywrap.ErrFormat, segment.ErrFormat, envelope.ErrFormat, infraext.ErrFormat, vfsframe.ErrFormat},
		Keyref:   {keywrap.ErrKeyref, envelope.ErrKeyref, errNoKey},
		Open:     {keywrap.ErrOpen, segment.ErrOpen, envelope.ErrOpen, infraext.ErrOpen, vfsframe.ErrOpen},
		Tail:     {vfsframe.ErrTail},
		Mismatch: {errMismatch},
	} {
		for _, e := range errs {
			if errors.Is(err, e) {
				return name
			}
		}
	}
	if err != nil {
		return "another error: " + err.Error()
	}
	return OK
}

// openers open the object of a case and return what is inside.
var openers = map[string]func(t *testing.T, c Case) ([]byte, error){
	"enc":     openEnc,
	"HKDF":    openHKDF,
	"SEAL-1":  openSeal,
	"WRAP-1":  openWrap,
	"KCV":     openKCV,
	"VALUE-1": openValue,
	"INFRA-1": openInfra,
	"ROW":     openRow,
	"FIELDS":  openFields,
	"CFC1":    openChunk,
	"CFX1":    openExtent,
	"CFV1":    openFile,
}

// wants is the field that holds what should be inside.
var wants = map[string]string{
	"enc": "encoded", "HKDF": "okm", "SEAL-1": "plaintext", "WRAP-1": "key", "KCV": "kcv",
	"VALUE-1": "plaintext", "INFRA-1": "inner", "ROW": "row", "FIELDS": "encoded", "CFC1": "plaintext", "CFX1": "chunk", "CFV1": "plaintext",
}

func TestVectors(t *testing.T) {
	seen := map[string]int{}
	for _, dir := range []string{"enc", "keywrap", "segment", "envelope", "vfs", "cfx1"} {
		for _, c := range Load(t, dir) {
			t.Run(dir+"/"+c.Name, func(t *testing.T) {
				format := c.Text("format")
				open := openers[format]
				if open == nil {
					t.Fatalf("format %q has no opener", format)
				}
				seen[format]++
				got, err := open(t, c)
				if have, want := class(err), c.Text("expect"); have != want {
					t.Fatalf("%s (%s): %s, want %s", c.Name, c.Text("comment"), have, want)
				}
				if err != nil {
					if got != nil {
						t.Errorf("failed with %d bytes of plaintext", len(got))
					}
					return
				}
				compare(t, c, wants[format], got)
			})
		}
	}
	for format := range openers {
		if seen[format] == 0 {
			t.Errorf("no vector of %s", format)
		}
	}
}

// compare checks got against a field, or its hash.
func compare(t *testing.T, c Case, field string, got []byte) {
	t.Helper()
	if c.Has(field + "-sha256") {
		sum := sha256.Sum256(got)
		got, field = sum[:], field+"-sha256"
	}
	if want := c.Bytes(t, field); !bytes.Equal(got, want) {
		t.Errorf("%s = %x, want %x", field, got, want)
	}
}

func openEnc(t *testing.T, c Case) ([]byte, error) {
	return enc.Encode(c.Text("label"), c.All(t, "field")...), nil
}

func openHKDF(t *testing.T, c Case) ([]byte, error) {
	n := len(c.Bytes(t, "okm"))
	return enc.Derive(c.Bytes(t, "ikm"), c.Bytes(t, "salt"), c.Bytes(t, "info"), n), nil
}

func openSeal(t *testing.T, c Case) ([]byte, error) {
	return keywrap.Open(secret.New(c.Bytes(t, "key")), c.ID(t, "keyref"), c.Bytes(t, "aad"), c.Bytes(t, "sealed"))
}

func openWrap(t *testing.T, c Case) (out []byte, err error) {
	k, err := keywrap.Unwrap(secret.New(c.Bytes(t, "kek")), c.ID(t, "keyref"), c.Bytes(t, "aad"), c.Bytes(t, "wrap"))
	if err != nil {
		return nil, err
	}
	return out, k.Use(func(b []byte) error { out = bytes.Clone(b); return nil })
}

// errMismatch is what a failed comparison of check values gives; its class is Mismatch.
var errMismatch = errors.New(Mismatch)

func openKCV(t *testing.T, c Case) ([]byte, error) {
	kcv, err := keywrap.KCV(secret.New(c.Bytes(t, "key")), c.ID(t, "chain"), c.Int(t, "version"))
	if err == nil && !bytes.Equal(kcv[:], c.Bytes(t, "kcv")) {
		return nil, errMismatch
	}
	return kcv[:], err
}

func openValue(t *testing.T, c Case) ([]byte, error) {
	return envelope.OpenValue(secret.New(c.Bytes(t, "key")), c.ID(t, "keyref"), &envelope.Cache{}, c.Bytes(t, "aad"), c.Bytes(t, "sealed"))
}

func openInfra(t *testing.T, c Case) ([]byte, error) {
	return envelope.OpenInfra(secret.New(c.Bytes(t, "key")), c.ID(t, "keyref"), &envelope.Cache{}, c.Bytes(t, "aad"), c.Bytes(t, "sealed"))
}

func openRow(t *testing.T, c Case) ([]byte, error) {
	row := c.Bytes(t, "row")
	sys, rest, err := envelope.SplitRow(row)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(sys, c.Bytes(t, "sys")) || !bytes.Equal(rest, c.Bytes(t, "rest")) {
		t.Errorf("SplitRow = %x, %x", sys, rest)
	}
	return row, nil
}

func openFields(t *testing.T, c Case) ([]byte, error) {
	fs, err := envelope.DecodeFields(c.Bytes(t, "encoded"))
	if err != nil {
		return nil, err
	}
	want := c.All(t, "field")
	if len(fs) != len(want) {
		t.Fatalf("%d fields, want %d", len(fs), len(want))
	}
	for i, f := range fs {
		if f.Tag != want[i][0] || !bytes.Equal(f.Value, want[i][1:]) {
			t.Errorf("field %d = %d %x, want %x", i, f.Tag, f.Value, want[i])
		}
	}
	return envelope.EncodeFields(fs), nil
}

// openChunk opens as a reader does who knows the length from a record: the size must
// fit it. Opening in memory must come to the same content, or fail as well.
func openChunk(t *testing.T, c Case) ([]byte, error) {
	chunk, n := c.Bytes(t, "chunk"), int64(c.Int(t, "n"))
	p := segment.Params{
		DEK: secret.New(c.Bytes(t, "dek")), DEKID: c.ID(t, "dek-id"), Owner: c.ID(t, "owner"),
		Chunk: c.ID(t, "chunk-id"), Lg: uint8(c.Int(t, "lg")),
	}
	got, err := readChunk(p, n, chunk)
	whole, werr := segment.OpenBytes(p, chunk)
	switch {
	case err == nil && (werr != nil || !bytes.Equal(got, whole)):
		t.Errorf("OpenBytes: %v, same content %v", werr, bytes.Equal(got, whole))
	case err != nil && werr == nil && int64(len(whole)) == n:
		t.Errorf("OpenBytes opens what a Reader refuses with %v", err)
	}
	return got, err
}

func readChunk(p segment.Params, n int64, chunk []byte) ([]byte, error) {
	h, err := segment.ParseHeader(chunk)
	if err != nil {
		return nil, err
	}
	if size := segment.SealedSize(n, h.Lg); size != int64(len(chunk)) {
		return nil, segment.ErrFormat
	}
	r, err := segment.NewReader(p, n, bytes.NewReader(chunk))
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return segment.OpenBytes(p, chunk)
	}
	var out bytes.Buffer
	if err := r.WriteRange(&out, 0, n); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// errNoKey is what a ring answers that has no such VFSK.
var errNoKey = errors.New(Keyref)

// openFile reads a whole file of sealedfs.
func openFile(t *testing.T, c Case) ([]byte, error) {
	b := c.Bytes(t, "file")
	id := vfsframe.ID{Kind: vfsframe.Table, Area: vfsframe.Area(c.Int(t, "area")), Number: c.Int(t, "number"), Store: c.ID(t, "store")}
	if c.Int(t, "class") == 2 {
		id.Kind = vfsframe.Log
	}
	codec, err := vfsframe.Open(b[:min(len(b), vfsframe.HeaderSize)], id, func(kref [16]byte) (secret.Key, error) {
		if kref != c.ID(t, "vfsk-kref") {
			return secret.Key{}, errNoKey
		}
		return secret.New(c.Bytes(t, "vfsk")), nil
	})
	if err != nil {
		return nil, err
	}
	if id.Kind == vfsframe.Log {
		return readLog(t, c, codec, b)
	}
	r, err := codec.NewTableReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	out := make([]byte, r.Size())
	if _, err := r.ReadAt(out, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return out, nil
}

// readLog reads a class 2 file and compares how it ends with what the case says.
func readLog(t *testing.T, c Case, codec *vfsframe.Codec, b []byte) ([]byte, error) {
	s := codec.NewScanner(bytes.NewReader(b), int64(len(b)))
	out := []byte{}
	for {
		p, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p...)
	}
	tail := s.Tail()
	got := fmt.Sprint(tail.Seq, tail.Synced, b2i(tail.Ended), tail.Lost)
	if want := fmt.Sprint(c.Int(t, "seq"), c.Int(t, "synced"), c.Int(t, "ended"), c.Int(t, "lost")); got != want {
		t.Errorf("ends with %s, want %s", got, want)
	}
	return out, nil
}
