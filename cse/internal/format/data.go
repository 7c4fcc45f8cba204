package format

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Names of the members, and of the ciphers.
const (
	gcmName = "AES_GCM_256"
	cbcName = "AES_CBC_256"

	// maxText bounds the text before it is parsed: blob metadata has 8 KiB in all, a
	// string property of a table 64 KiB.
	maxText = 64 << 10
	// maxWrapped bounds a wrapped key: RSA-16384 wraps into 2 KiB.
	maxWrapped = 2 << 10
)

// Data is the text that describes how one object was encrypted: blob metadata
// "encryptiondata", a member of a queue envelope, or a column of a table entity.
type Data struct {
	Protocol     Protocol
	KeyID        string
	EncryptedKey []byte
	Algorithm    string // of the wrap, as the key knows it
	IV           []byte // 1.0
	RegionLength int64  // 2.x
	Mode         bool   // write EncryptionMode: blobs have it
	Wrapping     map[string]string
	NoWrapping   bool // KeyWrappingMetadata was absent: old Java
}

// Parse reads the text of any writer. Member names match without case, unknown members
// are ignored, and a known member may stand there only once: readers would differ in
// which they take.
func Parse(text string) (*Data, error) {
	if len(text) > maxText {
		return nil, ErrMetadata
	}
	all, err := Members([]byte(text))
	if err != nil {
		return nil, err
	}
	d, top := &Data{}, object(all)
	agent, err := top.object("EncryptionAgent")
	if err != nil {
		return nil, err
	}
	key, err := top.object("WrappedContentKey")
	if err != nil {
		return nil, err
	}
	if err := d.parseProtocol(agent); err != nil {
		return nil, err
	}
	if err := d.parseKey(key); err != nil {
		return nil, err
	}
	if err := d.parseBody(top); err != nil {
		return nil, err
	}
	if err := d.parseWrapping(top); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Data) parseProtocol(agent object) error {
	version, err := agent.text("Protocol")
	if err != nil {
		return err
	}
	cipher, err := agent.text("EncryptionAlgorithm")
	if err != nil {
		return err
	}
	d.Protocol = Protocol(version)
	want := gcmName
	switch d.Protocol {
	case V1:
		want = cbcName
	case V2, V21:
	default:
		return ErrProtocol
	}
	if cipher != want {
		return ErrMetadata
	}
	return nil
}

func (d *Data) parseKey(key object) (err error) {
	if d.KeyID, err = key.text("KeyId"); err != nil {
		return err
	}
	if d.EncryptedKey, err = key.bytes("EncryptedKey"); err != nil {
		return err
	}
	if len(d.EncryptedKey) == 0 || len(d.EncryptedKey) > maxWrapped {
		return ErrMetadata
	}
	if raw, err := key.find("Algorithm"); err != nil || raw == nil {
		return err // the oldest writers let the key choose
	}
	d.Algorithm, err = key.text("Algorithm")
	return err
}

func (d *Data) parseBody(top object) (err error) {
	if raw, err := top.find("EncryptionMode"); err != nil {
		return err
	} else if raw != nil {
		d.Mode = true // its value is never needed and never trusted
	}
	if d.Protocol == V1 {
		if d.IV, err = top.bytes("ContentEncryptionIV"); err != nil {
			return err
		}
		if len(d.IV) != BlockSize {
			return ErrMetadata
		}
		return nil
	}
	region, err := top.object("EncryptedRegionInfo")
	if err != nil {
		return err
	}
	nonce, err := region.number("NonceLength")
	if err != nil {
		return err
	}
	if d.RegionLength, err = region.number("DataLength"); err != nil {
		return err
	}
	if nonce != NonceSize || d.RegionLength < 1 || d.RegionLength > MaxRegion {
		return ErrMetadata
	}
	return nil
}

func (d *Data) parseWrapping(top object) error {
	raw, err := top.find("KeyWrappingMetadata")
	if err != nil {
		return err
	}
	if raw == nil {
		d.NoWrapping = true
		return nil
	}
	all, err := Members(raw)
	if err != nil {
		return err
	}
	d.Wrapping = make(map[string]string, len(all))
	for _, m := range all {
		var s string
		if json.Unmarshal(m.Raw, &s) != nil {
			continue // a map of strings; other readers ignore the rest too
		}
		if _, twice := d.Wrapping[m.Name]; twice {
			return ErrMetadata
		}
		d.Wrapping[m.Name] = s
	}
	return nil
}

// Text writes the members in the order of .NET and Java, compact and in ASCII: the text
// is the value of an HTTP header.
func (d *Data) Text() string {
	var b strings.Builder
	b.WriteByte('{')
	if d.Mode {
		b.WriteString(`"EncryptionMode":"FullBlob",`)
	}
	b.WriteString(`"WrappedContentKey":`)
	b.WriteString(d.wrappedKey())
	cipher := gcmName
	if d.Protocol == V1 {
		cipher = cbcName
	}
	fmt.Fprintf(&b, `,"EncryptionAgent":{"Protocol":%s,"EncryptionAlgorithm":"%s"}`, quote(string(d.Protocol)), cipher)
	if d.Protocol == V1 {
		fmt.Fprintf(&b, `,"ContentEncryptionIV":"%s"`, base64.StdEncoding.EncodeToString(d.IV))
	} else {
		fmt.Fprintf(&b, `,"EncryptedRegionInfo":{"DataLength":%d,"NonceLength":%d}`, d.RegionLength, NonceSize)
	}
	if !d.NoWrapping {
		b.WriteString(`,"KeyWrappingMetadata":{`)
		for i, k := range slices.Sorted(maps.Keys(d.Wrapping)) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quote(k) + ":" + quote(d.Wrapping[k]))
		}
		b.WriteByte('}')
	}
	b.WriteByte('}')
	return b.String()
}

func (d *Data) wrappedKey() string {
	s := fmt.Sprintf(`{"KeyId":%s,"EncryptedKey":"%s"`, quote(d.KeyID), base64.StdEncoding.EncodeToString(d.EncryptedKey))
	if d.Algorithm != "" {
		s += `,"Algorithm":` + quote(d.Algorithm)
	}
	return s + "}"
}

// Rewrapped returns text with the wrapped key of d, and every other member as it was:
// also those that we do not know.
func (d *Data) Rewrapped(text string) (string, error) {
	top, err := Members([]byte(text))
	if err != nil {
		return "", err
	}
	parts := make([]string, 0, len(top))
	for _, m := range top {
		raw := string(m.Raw)
		if strings.EqualFold(m.Name, "WrappedContentKey") {
			raw = d.wrappedKey()
		}
		parts = append(parts, quote(m.Name)+":"+raw)
	}
	return "{" + strings.Join(parts, ",") + "}", nil
}

// quote writes a JSON string in ASCII.
func quote(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= 0x20 && r < 0x7f:
			b = append(b, byte(r))
		default:
			for _, u := range utf16.Encode([]rune{r}) {
				b = append(b, `\u`...)
				b = append(b, fmt.Sprintf("%04x", u)...)
			}
		}
	}
	return string(append(b, '"'))
}

// number reads a whole number.
func number(raw []byte) (int64, error) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0, ErrMetadata
	}
	return n, nil
}
