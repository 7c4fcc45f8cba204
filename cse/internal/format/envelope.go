package format

import "encoding/base64"

// Envelope is the text of an encrypted queue message.
type Envelope struct {
	Contents []byte // encrypted
	Data     *Data
}

// ParseEnvelope reads a message text. ok is false if the text is no envelope at all, as
// a message that nobody encrypted: not both members, or others beside them, which is how
// the SDKs tell. An envelope with bad content is an error.
func ParseEnvelope(text string) (e Envelope, ok bool, err error) {
	top, err := Members([]byte(text))
	if err != nil || len(top) != 2 {
		return Envelope{}, false, nil
	}
	var contents, data *Member
	for i := range top {
		switch top[i].Name {
		case "EncryptedMessageContents":
			contents = &top[i]
		case "EncryptionData":
			data = &top[i]
		}
	}
	if contents == nil || data == nil {
		return Envelope{}, false, nil
	}
	if e.Data, err = Parse(string(data.Raw)); err != nil {
		return Envelope{}, true, err
	}
	if e.Contents, err = object(top).bytes("EncryptedMessageContents"); err != nil {
		return Envelope{}, true, err
	}
	return e, true, nil
}

// Text writes the envelope: exactly two members, or .NET takes it for plaintext.
func (e Envelope) Text() string {
	return `{"EncryptedMessageContents":"` + base64.StdEncoding.EncodeToString(e.Contents) +
		`","EncryptionData":` + e.Data.Text() + "}"
}
