package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/server"
)

func TestTree(t *testing.T) {
	tree := &server.KeyTree{Name: "store", Contents: 3, Children: []*server.KeyTree{
		{Name: "service root", State: "opened by key file", Children: []*server.KeyTree{
			{Name: "account <a&b>", Children: []*server.KeyTree{{Name: "version 1", State: "active", Contents: 3}}},
			{Name: "scope s", State: "disabled", Double: true},
		}},
		{Name: "infrastructure root"},
	}}
	var text strings.Builder
	for _, l := range treeLines(tree) {
		text.WriteString(l.prefix + l.text + "\n")
	}
	want := `store: 3 contents
|- service root, opened by key file
|  |- account <a&b>
|  |  '- version 1, active: 3 contents
|  '- scope s, disabled, two layers
'- infrastructure root
`
	if text.String() != want {
		t.Errorf("tree:\n%s\nwant\n%s", text.String(), want)
	}
	svg := treeSVG(tree)
	d := xml.NewDecoder(strings.NewReader(svg))
	texts := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the drawing is no XML: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "text" {
			texts++
		}
	}
	if texts != 6 || !strings.Contains(svg, "account &lt;a&amp;b&gt;") {
		t.Errorf("%d texts in\n%s", texts, svg)
	}
}
