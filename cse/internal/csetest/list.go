package csetest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// list answers List Blobs: names in order, snapshots in front of their blob.
func (s *Server) list(w http.ResponseWriter, container string, q url.Values) {
	most := 5000
	if n, err := strconv.Atoi(q.Get("maxresults")); err == nil {
		most = n
	}
	include := strings.Split(q.Get("include"), ",")
	var out bytes.Buffer
	fmt.Fprintf(&out, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="%s"><Blobs>`, container)
	next, n := "", 0
	for _, key := range slices.SortedFunc(maps.Keys(s.blobs), byName) {
		name, ok := strings.CutPrefix(key, container+"/")
		name, snap, isSnap := strings.Cut(name, "?")
		if !ok || !strings.HasPrefix(name, q.Get("prefix")) || key < q.Get("marker") ||
			isSnap && !slices.Contains(include, "snapshots") {
			continue
		}
		if n == most {
			next = key
			break
		}
		n++
		s.entry(&out, s.blobs[key], name, snap, slices.Contains(include, "metadata"))
	}
	fmt.Fprintf(&out, `</Blobs><NextMarker>%s</NextMarker></EnumerationResults>`, escape(next))
	w.Header().Set("Content-Type", "application/xml")
	w.Write(out.Bytes())
}

// byName puts the snapshots of a blob behind it: their keys are longer.
func byName(a, b string) int { return strings.Compare(a, b) }

func (s *Server) entry(out *bytes.Buffer, b *Blob, name, snap string, withMetadata bool) {
	fmt.Fprintf(out, "<Blob><Name>%s</Name>", escape(name))
	if snap != "" {
		fmt.Fprintf(out, "<Snapshot>%s</Snapshot>", snap)
	}
	fmt.Fprintf(out, "<Properties><Etag>%s</Etag><Content-Length>%d</Content-Length><BlobType>%s</BlobType></Properties>",
		escape(b.ETag), len(b.Body), b.Type)
	if withMetadata {
		out.WriteString("<Metadata>")
		for k, v := range b.Metadata {
			fmt.Fprintf(out, "<%s>%s</%s>", k, escape(v), k)
		}
		out.WriteString("</Metadata>")
	}
	out.WriteString("</Blob>")
}

func escape(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s))
	return b.String()
}
