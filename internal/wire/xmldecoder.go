package wire

import (
	"bufio"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Bounds of a document that a client sends.
const (
	maxToken = 8 << 10 // bytes of one tag, text, comment or instruction
	maxDepth = 8
)

var (
	errToken     = errors.New("wire: XML token too long")
	errDocument  = errors.New("wire: XML document too long")
	errDirective = errors.New("wire: XML with a document type")
	errEncoding  = errors.New("wire: XML that is not UTF-8")
	errTrailing  = errors.New("wire: more after the XML document")
)

// Decoder reads the XML of a request element by element, in memory that does not depend
// on the document: tokens, depth and size are bounded, document types are refused, and
// nothing outside the document is ever read.
type Decoder struct {
	d     *xml.Decoder
	in    *tokenReader
	depth int
}

// NewDecoder reads a document of at most limit bytes from r.
func NewDecoder(r io.Reader, limit int64) *Decoder {
	in := &tokenReader{r: bufio.NewReaderSize(r, 4<<10), left: limit}
	if b, err := in.r.Peek(3); err == nil && string(b) == bom {
		in.r.Discard(3)
	}
	d := xml.NewDecoder(in)
	d.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		return nil, errEncoding
	}
	return &Decoder{d: d, in: in}
}

// tokenReader bounds the bytes of one token and of the whole.
type tokenReader struct {
	r     *bufio.Reader
	token int
	left  int64
}

// ReadByte makes the XML decoder read through us byte by byte, without a buffer of its own.
func (t *tokenReader) ReadByte() (byte, error) {
	if t.token++; t.token > maxToken {
		return 0, errToken
	}
	b, err := t.r.ReadByte()
	if err != nil {
		return 0, err
	}
	if t.left--; t.left < 0 {
		return 0, errDocument
	}
	return b, nil
}

func (t *tokenReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := t.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// Root reads the start tag of the document and checks its name. An empty document, or
// another root, is InvalidXMLDocument.
func (d *Decoder) Root(name string) error {
	start, _, err := d.next()
	if err != nil {
		return err
	}
	if start == nil || start.Name.Local != name {
		return d.bad(nil)
	}
	return nil
}

// Children calls f with the name of each child element of the current element, in
// order, until its end. f must read the child with Text, Children or Skip.
func (d *Decoder) Children(f func(name string) error) error {
	if d.depth > maxDepth {
		return d.bad(nil)
	}
	for {
		start, text, err := d.next()
		if err != nil {
			return err
		}
		if text != "" && strings.TrimSpace(text) != "" {
			return d.bad(nil)
		}
		if text != "" {
			continue
		}
		if start == nil {
			return nil
		}
		if err := f(start.Name.Local); err != nil {
			return err
		}
	}
}

// Text reads the text of the current element to its end; child elements are refused.
func (d *Decoder) Text() (string, error) {
	var b strings.Builder
	for {
		start, text, err := d.next()
		if err != nil {
			return "", err
		}
		if start != nil {
			return "", d.bad(nil)
		}
		if text == "" {
			return b.String(), nil
		}
		if b.Len()+len(text) > maxToken {
			return "", d.bad(errToken)
		}
		b.WriteString(text)
	}
}

// Bool reads the text of the current element as true or false.
func (d *Decoder) Bool(element string) (bool, error) {
	s, err := d.Text()
	if err != nil {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, BadNode(element, s)
}

// Int reads the text of the current element as a number from 0 up.
func (d *Decoder) Int(element string) (int, error) {
	s, err := d.Text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0, BadNode(element, s)
	}
	return int(n), nil
}

// Time reads the text of the current element as a time; an empty one is the zero time.
func (d *Decoder) Time(element string) (time.Time, error) {
	s, err := d.Text()
	if err != nil {
		return time.Time{}, err
	}
	t, ok := ParseISOTime(strings.TrimSpace(s))
	if !ok {
		return time.Time{}, BadNode(element, s)
	}
	return t, nil
}

// BadNode is the error for an element whose text is wrong by form.
func BadNode(element, value string) error {
	return fault.New("wire.Decoder", "", fault.InvalidXMLNodeValue, nil,
		fault.Detail{Name: "XmlNodeName", Value: element}, fault.Detail{Name: "XmlNodeValue", Value: value})
}

// Unknown is the error for an element that does not belong where it stands.
func (d *Decoder) Unknown(name string) error {
	return fault.New("wire.Decoder", "", fault.InvalidXMLDocument, nil)
}

// End checks that nothing follows the document.
func (d *Decoder) End() error {
	for {
		d.in.token = 0
		tok, err := d.d.RawToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return d.bad(err)
		}
		switch tok := tok.(type) {
		case xml.Comment:
		case xml.CharData:
			if strings.TrimSpace(string(tok)) != "" {
				return d.bad(errTrailing)
			}
		default:
			return d.bad(errTrailing)
		}
	}
}

// next returns a start tag, or text that is not empty, or neither at an end tag.
func (d *Decoder) next() (*xml.StartElement, string, error) {
	for {
		d.in.token = 0
		tok, err := d.d.Token() // checks nesting and closing tags
		if err != nil {
			return nil, "", d.bad(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			d.depth++
			return &tok, "", nil
		case xml.EndElement:
			d.depth--
			return nil, "", nil
		case xml.CharData:
			if len(tok) > 0 && d.depth > 0 {
				return nil, string(tok), nil
			}
			if strings.TrimSpace(string(tok)) != "" {
				return nil, "", d.bad(nil)
			}
		case xml.Directive:
			return nil, "", d.bad(errDirective)
		}
	}
}

// bad is the error for a document that does not parse; a body that could not be read
// keeps its own error.
func (d *Decoder) bad(cause error) error {
	if e, ok := errors.AsType[*fault.Error](cause); ok {
		return e
	}
	if errors.Is(cause, errDocument) {
		return fault.New("wire.Decoder", "", fault.RequestBodyTooLarge, cause)
	}
	return fault.New("wire.Decoder", "", fault.InvalidXMLDocument, cause)
}
