package wire

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coffer-storage/coffer/internal/fault"
)

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	x := NewWriter(&b)
	x.Start("A", "q", "1\"<&\n")
	x.Elem("B", "")
	x.Elem("C", "x < y & z > \"w\"\n\r\x00\ufffe")
	x.Opt("D", "")
	x.Elem("E", "", "Encoded", "true")
	x.End()
	if err := x.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "\ufeff" + `<?xml version="1.0" encoding="utf-8"?><A q="1&quot;&lt;&amp;&#xA;"><B /><C>x &lt; y &amp; z &gt; "w"` + "\n&#xD;\ufffd\ufffd" + `</C><E Encoded="true" /></A>`
	if b.String() != want {
		t.Errorf("wrote\n%q, want\n%q", b.String(), want)
	}
}

func FuzzWriter(f *testing.F) {
	f.Add("plain", "attr")
	f.Add("<&>\"'\r\n\t", "\x00\ufffe\xff")
	f.Fuzz(func(t *testing.T, text, attr string) {
		var b bytes.Buffer
		x := NewWriter(&b)
		x.Start("A", "q", attr)
		x.Elem("B", text)
		x.End()
		x.Flush()
		var got struct {
			Q string `xml:"q,attr"`
			B string
		}
		if err := xml.Unmarshal(bytes.TrimPrefix(b.Bytes(), []byte(bom)), &got); err != nil {
			t.Fatalf("%q does not parse: %v", b.String(), err)
		}
		if got.B != holdable(text) || got.Q != holdable(attr) {
			t.Errorf("%q, %q came back as %q, %q", text, attr, got.B, got.Q)
		}
	})
}

// holdable is what is left of s in XML.
func holdable(s string) string {
	var b strings.Builder
	for _, r := range s { // every broken byte is a rune of its own
		if !InXML(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

func FuzzEncodeName(f *testing.F) {
	f.Add("a/b c")
	f.Add("b\x01\ufffe/%")
	f.Fuzz(func(t *testing.T, name string) {
		got, encoded := EncodeName(name)
		if !encoded {
			if got != name || holdable(name) != name {
				t.Fatalf("EncodeName(%q) = %q, not encoded", name, got)
			}
			return
		}
		if back, err := url.PathUnescape(got); err != nil || back != name {
			t.Fatalf("EncodeName(%q) = %q, which is %q, %v", name, got, back, err)
		}
	})
}

// tree reads any document of elements a, b and text.
func tree(doc string, limit int64) (string, error) {
	d := NewDecoder(strings.NewReader(doc), limit)
	if err := d.Root("a"); err != nil {
		return "", err
	}
	var out strings.Builder
	var children func() error
	children = func() error {
		return d.Children(func(name string) error {
			out.WriteString(name + "(")
			defer out.WriteString(")")
			switch name {
			case "a":
				return children()
			case "t":
				s, err := d.Text()
				out.WriteString(s)
				return err
			}
			return d.Unknown(name)
		})
	}
	if err := children(); err != nil {
		return "", err
	}
	if err := d.End(); err != nil {
		return "", err
	}
	return out.String(), nil
}

func TestDecoder(t *testing.T) {
	tests := []struct {
		name, doc, want string
		kind            fault.Kind
	}{
		{"plain", "<a><t>x</t><t>y</t></a>", "t(x)t(y)", fault.KindCount},
		{"mark, declaration, blanks, comment", bom + "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- c --><a>\n <t> x </t>\n</a>\n<!-- d -->\n", "t( x )", fault.KindCount},
		{"nested", "<a><a><a/></a></a>", "a(a())", fault.KindCount},
		{"empty element", "<a />", "", fault.KindCount},
		{"entities", "<a><t>&lt;&#65;&#x42;&amp;</t></a>", "t(<AB&)", fault.KindCount},
		{"cdata", "<a><t><![CDATA[<x>]]>y</t></a>", "t(<x>y)", fault.KindCount},
		{"split text", "<a><t>x<!-- c -->y</t></a>", "t(xy)", fault.KindCount},
		{"namespace", `<a xmlns="urn:x"><t>x</t></a>`, "t(x)", fault.KindCount},
		{"empty", "", "", fault.InvalidXMLDocument},
		{"blank", " \n", "", fault.InvalidXMLDocument},
		{"no XML", "hello", "", fault.InvalidXMLDocument},
		{"other root", "<b></b>", "", fault.InvalidXMLDocument},
		{"unknown element", "<a><u/></a>", "", fault.InvalidXMLDocument},
		{"text between", "<a>x<t>y</t></a>", "", fault.InvalidXMLDocument},
		{"element in text", "<a><t>x<t/></t></a>", "", fault.InvalidXMLDocument},
		{"not closed", "<a><t>x</t>", "", fault.InvalidXMLDocument},
		{"wrongly closed", "<a><t>x</a></t>", "", fault.InvalidXMLDocument},
		{"more after it", "<a/><a/>", "", fault.InvalidXMLDocument},
		{"text after it", "<a/>x", "", fault.InvalidXMLDocument},
		{"document type", "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", "", fault.InvalidXMLDocument},
		{"entity of its own", "<!DOCTYPE a [<!ENTITY e \"x\">]><a><t>&e;</t></a>", "", fault.InvalidXMLDocument},
		{"unknown entity", "<a><t>&nbsp;</t></a>", "", fault.InvalidXMLDocument},
		{"too deep", strings.Repeat("<a>", maxDepth+2) + strings.Repeat("</a>", maxDepth+2), "", fault.InvalidXMLDocument},
		{"other encoding", "<?xml version=\"1.0\" encoding=\"utf-16\"?><a/>", "", fault.InvalidXMLDocument},
		{"not UTF-8", "<a><t>\xff</t></a>", "", fault.InvalidXMLDocument},
		{"long name", "<a><" + strings.Repeat("t", maxToken) + "/></a>", "", fault.InvalidXMLDocument},
		{"long text", "<a><t>" + strings.Repeat("t", maxToken) + "</t></a>", "", fault.InvalidXMLDocument},
		{"long text in pieces", "<a><t>" + strings.Repeat(strings.Repeat("t", 1000)+"<!---->", 9) + "</t></a>", "", fault.InvalidXMLDocument},
		{"long attribute", "<a x=\"" + strings.Repeat("t", maxToken) + "\"/>", "", fault.InvalidXMLDocument},
		{"long comment", "<a><!--" + strings.Repeat("t", maxToken) + "--></a>", "", fault.InvalidXMLDocument},
		{"too long", "<a>" + strings.Repeat("<t>x</t>", 9000) + "</a>", "", fault.RequestBodyTooLarge},
	}
	for _, tt := range tests {
		got, err := tree(tt.doc, 64<<10)
		if tt.kind != fault.KindCount {
			if !fault.Is(err, tt.kind) {
				t.Errorf("%s: %q, %v, want %v", tt.name, got, err, tt.kind)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add("<a><t>x</t></a>")
	f.Add(bom + "<?xml version=\"1.0\"?><a><a/><t>&lt;</t></a> ")
	f.Add("<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>")
	f.Add("<a x='1'><t><![CDATA[]]></t></a")
	f.Fuzz(func(t *testing.T, doc string) {
		got, err := tree(doc, 64<<10)
		if err == nil {
			return
		}
		if got != "" {
			t.Errorf("%q with %v", got, err)
		}
		if k := fault.KindOf(err); k != fault.InvalidXMLDocument && k != fault.RequestBodyTooLarge {
			t.Errorf("kind %v", k)
		}
	})
}

// endless is a document that never ends, made of one part again and again.
type endless struct {
	head, part string
	at         int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.head)
	e.head = e.head[n:]
	for n < len(p) {
		c := copy(p[n:], e.part[e.at:])
		n, e.at = n+c, (e.at+c)%len(e.part)
	}
	return n, nil
}

// What a document holds costs no memory until someone asks for it.
func TestDecoderMemory(t *testing.T) {
	limit, most := int64(4<<20), int64(2<<20)
	if testing.Short() {
		limit, most = 1<<20, 512<<10
	}
	for name, src := range map[string]io.Reader{
		"elements":  &endless{head: "<a>", part: "<t>x</t>"},
		"comments":  &endless{head: "<a>", part: "<!-- x -->"},
		"blanks":    &endless{head: "<a>", part: " "},
		"text":      &endless{head: "<a><t>", part: "x"},
		"nesting":   &endless{head: "", part: "<a>"},
		"one tag":   &endless{head: "<a ", part: "x"},
		"attribute": &endless{head: "<a ", part: "x='1' "},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		d := NewDecoder(src, limit)
		err := d.Root("a")
		if err == nil {
			err = d.Children(func(string) error {
				_, err := d.Text()
				return err
			})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > most {
			t.Errorf("%s: heap has grown by %d bytes", name, grown)
		}
		runtime.KeepAlive(d)
	}
}
