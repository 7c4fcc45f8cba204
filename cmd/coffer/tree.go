package main

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
)

// treeLine is one node of a tree as text.
type treeLine struct {
	prefix, text string
	depth, up    int // up: index of the parent's line
	state        string
}

// treeLines lays a tree out, a line for each node.
func treeLines(t *server.KeyTree) []treeLine {
	var lines []treeLine
	var walk func(n *server.KeyTree, own, below string, depth, up int)
	walk = func(n *server.KeyTree, own, below string, depth, up int) {
		at := len(lines)
		lines = append(lines, treeLine{own, nodeText(n), depth, up, n.State})
		for i, c := range n.Children {
			if i == len(n.Children)-1 {
				walk(c, below+"'- ", below+"   ", depth+1, at)
			} else {
				walk(c, below+"|- ", below+"|  ", depth+1, at)
			}
		}
	}
	walk(t, "", "", 0, -1)
	return lines
}

func nodeText(n *server.KeyTree) string {
	s := n.Name
	if n.State != "" {
		s += ", " + n.State
	}
	if n.Double {
		s += ", two layers"
	}
	if n.Contents > 0 {
		s += fmt.Sprintf(": %d contents", n.Contents)
	}
	return s
}

// Sizes of the drawing, in its units.
const (
	svgRow, svgIndent, svgMargin, svgChar = 26, 28, 16, 7.2
)

// treeSVG draws a tree: a box for each node, joined to its parent.
func treeSVG(t *server.KeyTree) string {
	lines := treeLines(t)
	width := 0.0
	for _, l := range lines {
		width = max(width, 2*svgMargin+float64(l.depth*svgIndent)+svgChar*float64(len(l.text))+20)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="monospace" font-size="12">`+"\n",
		width, 2*svgMargin+svgRow*len(lines))
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for i, l := range lines {
		x, y := svgMargin+l.depth*svgIndent, svgMargin+svgRow*i
		if l.up >= 0 {
			px, py := svgMargin+lines[l.up].depth*svgIndent+10, svgMargin+svgRow*l.up+svgRow-4
			fmt.Fprintf(&b, `<path d="M%d %dV%dH%d" fill="none" stroke="#888"/>`+"\n", px, py, y+svgRow/2-2, x)
		}
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.0f" height="%d" rx="4" fill="%s" stroke="#555"/>`+"\n",
			x, y, svgChar*float64(len(l.text))+16, svgRow-4, fill(l.state))
		fmt.Fprintf(&b, `<text x="%d" y="%d">`, x+8, y+svgRow-11)
		xml.EscapeText(&b, []byte(l.text)) // a strings.Builder does not fail
		b.WriteString("</text>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// fill colours a node by its state; the text says it too.
func fill(state string) string {
	switch {
	case strings.HasPrefix(state, "destroyed"):
		return "#dddddd"
	case strings.HasPrefix(state, "disabled"):
		return "#ffe0c0"
	case strings.HasPrefix(state, "active"), strings.HasPrefix(state, "enabled"):
		return "#d8f0d8"
	}
	return "#f4f4f4"
}
