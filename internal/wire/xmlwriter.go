package wire

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// Writer writes XML in the spelling of the service: byte order mark, declaration, no
// blanks between elements, empty elements closed as "<A />". It streams; errors stick
// and come back from Flush.
type Writer struct {
	w    *bufio.Writer
	open []string
}

// NewWriter writes the head of a document to w.
func NewWriter(w io.Writer) *Writer {
	x := &Writer{w: bufio.NewWriterSize(w, 32<<10)}
	x.w.WriteString(bom + declaration)
	return x
}

// Start opens an element; attrs are names and values in turn.
func (x *Writer) Start(name string, attrs ...string) {
	x.tag(name, attrs)
	x.w.WriteByte('>')
	x.open = append(x.open, name)
}

// End closes the innermost open element.
func (x *Writer) End() {
	name := x.open[len(x.open)-1]
	x.open = x.open[:len(x.open)-1]
	x.close(name)
}

func (x *Writer) close(name string) {
	x.w.WriteString("</")
	x.w.WriteString(name)
	x.w.WriteByte('>')
}

// Elem writes an element with text, or an empty one.
func (x *Writer) Elem(name, text string, attrs ...string) {
	x.tag(name, attrs)
	if text == "" {
		x.w.WriteString(" />")
		return
	}
	x.w.WriteByte('>')
	x.text(text)
	x.close(name)
}

// Opt writes an element if there is something to write.
func (x *Writer) Opt(name, text string) {
	if text != "" {
		x.Elem(name, text)
	}
}

func (x *Writer) tag(name string, attrs []string) {
	x.w.WriteByte('<')
	x.w.WriteString(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		x.w.WriteByte(' ')
		x.w.WriteString(attrs[i])
		x.w.WriteString(`="`)
		x.escape(attrs[i+1], true)
		x.w.WriteByte('"')
	}
}

func (x *Writer) text(s string) { x.escape(s, false) }

// plain says which bytes of a text stand for themselves.
var plain = func() (t [256]bool) {
	for c := byte(' '); c < 0x7f; c++ {
		t[c] = c != '&' && c != '<' && c != '>' && c != '"'
	}
	return t
}()

// escape writes runs of plain bytes at once and everything else rune by rune.
func (x *Writer) escape(s string, attribute bool) {
	for len(s) > 0 {
		n := 0
		for n < len(s) && plain[s[n]] {
			n++
		}
		x.w.WriteString(s[:n])
		s = s[n:]
		n = 0
		for n < len(s) && !plain[s[n]] {
			n++
		}
		x.escapeRunes(s[:n], attribute)
		s = s[n:]
	}
}

func (x *Writer) escapeRunes(s string, attribute bool) {
	for _, r := range s {
		if attribute {
			switch r {
			case '"':
				x.w.WriteString("&quot;")
				continue
			case '\n':
				x.w.WriteString("&#xA;")
				continue
			case '\t':
				x.w.WriteString("&#x9;")
				continue
			}
		}
		switch r {
		case '&':
			x.w.WriteString("&amp;")
		case '<':
			x.w.WriteString("&lt;")
		case '>':
			x.w.WriteString("&gt;")
		case '\r': // a parser would turn it into a line feed
			x.w.WriteString("&#xD;")
		default:
			if !InXML(r) {
				r = utf8.RuneError
			}
			x.w.WriteRune(r)
		}
	}
}

// Buffered returns how many bytes wait for Flush.
func (x *Writer) Buffered() int { return x.w.Buffered() }

// Flush writes what is buffered and returns the first error there was.
func (x *Writer) Flush() error { return x.w.Flush() }

// InXML reports whether XML 1.0 can hold r.
func InXML(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r':
		return true
	case r < 0x20, r == 0xfffe, r == 0xffff, 0xd800 <= r && r <= 0xdfff, r > utf8.MaxRune:
		return false
	}
	return true
}

func allPlain(s string) bool {
	for i := range len(s) {
		if !plain[s[i]] {
			return false
		}
	}
	return true
}

// EncodeName returns name as an element of a list holds it: percent-encoded as a whole,
// with encoded true, if XML cannot hold one of its characters.
func EncodeName(name string) (_ string, encoded bool) {
	if allPlain(name) {
		return name, false
	}
	if strings.IndexFunc(name, func(r rune) bool { return !InXML(r) }) < 0 && utf8.ValidString(name) {
		return name, false
	}
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String(), true
}
