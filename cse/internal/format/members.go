package format

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"
)

// Member is one member of a JSON object, its value as it was written.
type Member struct {
	Name string
	Raw  json.RawMessage
}

// object is members in the order they were written. encoding/json into a struct
// would take the last of two members of one name, and not say so.
type object []Member

// maxMembers is far above what any writer writes.
const maxMembers = 256

// Members splits a JSON object.
func Members(text []byte) ([]Member, error) {
	if !utf8.Valid(text) {
		return nil, ErrMetadata
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, ErrMetadata
	}
	var all []Member
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || len(all) == maxMembers {
			return nil, ErrMetadata
		}
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return nil, ErrMetadata
		}
		all = append(all, Member{name, raw})
	}
	if _, err := dec.Token(); err != nil {
		return nil, ErrMetadata
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, ErrMetadata
	}
	return all, nil
}

// find returns the value of a member, nil if it is absent or null.
func (o object) find(name string) (json.RawMessage, error) {
	var found json.RawMessage
	for _, m := range o {
		if !strings.EqualFold(m.Name, name) {
			continue
		}
		if found != nil {
			return nil, ErrMetadata
		}
		found = m.Raw
	}
	if string(found) == "null" {
		return nil, nil
	}
	return found, nil
}

func (o object) object(name string) (object, error) {
	raw, err := o.find(name)
	if err != nil || raw == nil {
		return nil, ErrMetadata
	}
	return Members(raw)
}

func (o object) text(name string) (string, error) {
	raw, err := o.find(name)
	if err != nil || raw == nil {
		return "", ErrMetadata
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", ErrMetadata
	}
	return s, nil
}

func (o object) number(name string) (int64, error) {
	raw, err := o.find(name)
	if err != nil || raw == nil {
		return 0, ErrMetadata
	}
	return number(raw)
}

// bytes reads base64: standard alphabet, padded, no line breaks.
func (o object) bytes(name string) ([]byte, error) {
	s, err := o.text(name)
	if err != nil {
		return nil, err
	}
	return decodeBase64(s)
}

func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, ErrMetadata
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, ErrMetadata
	}
	return b, nil
}
