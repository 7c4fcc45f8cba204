// Package csetest is the test kit of package cse: a small blob service in memory, the
// vectors, and a writer of version 1.0, which nothing else may write.
//
// The service knows what package cse asks of one, and lets a test see, count, delay,
// fail and falsify requests. It checks no signatures.
package csetest

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Blob is what the service holds of one blob.
type Blob struct {
	Body     []byte
	Metadata map[string]string
	Headers  http.Header // Content-* as they are returned
	Type     string
	ETag     string
	Tags     string
	Tier     string
	Writes   int // times the content was replaced
	Requests []string
	blocks   map[string][]byte
}

// Hook sees a request before the service does. true: it has answered.
type Hook func(w http.ResponseWriter, r *http.Request) bool

// Server is the service.
type Server struct {
	URL string // of the service; append a container

	hook atomic.Pointer[Hook]

	mu    sync.Mutex
	blobs map[string]*Blob // by CONTAINER/BLOB, or CONTAINER/BLOB?SNAPSHOT
	etags int
	snaps int
}

// NewServer starts a service and stops it when the test ends.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{blobs: map[string]*Blob{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// SetHook replaces the hook; nil takes it away.
func (s *Server) SetHook(h Hook) { s.hook.Store(&h) }

// Put stores a blob as it is.
func (s *Server) Put(path string, b Blob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.Type == "" {
		b.Type = "BlockBlob"
	}
	s.store(path, &b)
}

// Get returns a copy of what is stored, and whether there is any.
func (s *Server) Get(path string) (Blob, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[path]
	if !ok {
		return Blob{}, false
	}
	c := *b
	c.Body = bytes.Clone(b.Body)
	c.Metadata = maps.Clone(b.Metadata)
	return c, true
}

// Change alters a blob in place, its ETag too.
func (s *Server) Change(path string, f func(b *Blob)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blobs[path]
	f(b)
	s.etags++
	b.ETag = fmt.Sprintf(`"0x%X"`, s.etags)
}

// Names lists the blobs of a container, without snapshots.
func (s *Server) Names(container string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for k := range s.blobs {
		if name, ok := strings.CutPrefix(k, container+"/"); ok && !strings.Contains(name, "?") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Server) store(path string, b *Blob) {
	s.etags++
	b.ETag = fmt.Sprintf(`"0x%X"`, s.etags)
	b.Writes++
	s.blobs[path] = b
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s.hook.Load(); h != nil && *h != nil && (*h)(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("x-ms-request-id", "test")
	w.Header().Set("x-ms-version", r.Header.Get("x-ms-version"))
	path := strings.TrimPrefix(r.URL.Path, "/")
	q := r.URL.Query()
	if q.Get("comp") == "list" {
		s.list(w, strings.Trim(path, "/"), q)
		return
	}
	if snap := q.Get("snapshot"); snap != "" {
		path += "?" + snap
	}
	b := s.blobs[path]
	if code := condition(r, b); code != 0 {
		fail(w, code, "ConditionNotMet")
		return
	}
	if b == nil && (r.Method != http.MethodPut || q.Get("comp") == "metadata" || q.Get("comp") == "snapshot" || q.Get("comp") == "tags") {
		fail(w, http.StatusNotFound, "BlobNotFound")
		return
	}
	switch r.Method + q.Get("comp") {
	case "PUT":
		s.put(w, r, path, body)
	case "PUTblock":
		s.putBlock(w, q.Get("blockid"), path, body)
	case "PUTblocklist":
		s.putBlockList(w, r, path, body)
	case "PUTmetadata":
		b.Metadata = metadata(r)
		s.etags++
		b.ETag = fmt.Sprintf(`"0x%X"`, s.etags)
		done(w, b, http.StatusOK)
	case "PUTsnapshot":
		s.snapshot(w, path, b)
	case "GETtags":
		w.Header().Set("Content-Type", "application/xml")
		io.WriteString(w, tagXML(b.Tags))
	case "GET", "HEAD":
		get(w, r, b)
	case "DELETE":
		delete(s.blobs, path)
		w.WriteHeader(http.StatusAccepted)
	default:
		fail(w, http.StatusNotImplemented, "NotImplemented")
	}
}

func condition(r *http.Request, b *Blob) int {
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case match != "" && (b == nil || b.ETag != match && match != "*"):
		return http.StatusPreconditionFailed
	case none == "*" && b != nil:
		return http.StatusConflict
	}
	return 0
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>test</Message></Error>", code)
}

func done(w http.ResponseWriter, b *Blob, status int) {
	w.Header().Set("ETag", b.ETag)
	w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
	w.WriteHeader(status)
}

func metadata(r *http.Request) map[string]string {
	m := map[string]string{}
	for k, v := range r.Header {
		if name, ok := strings.CutPrefix(strings.ToLower(k), "x-ms-meta-"); ok {
			m[name] = v[0]
		}
	}
	return m
}

// describe takes what a request says of the blob beside its content.
func describe(r *http.Request, b *Blob) {
	b.Metadata = metadata(r)
	b.Headers = http.Header{}
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control"} {
		if v := r.Header.Get("x-ms-blob-" + name); v != "" {
			b.Headers.Set(name, v)
		}
	}
	b.Tags = r.Header.Get("x-ms-tags")
	b.Tier = r.Header.Get("x-ms-access-tier")
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	b := &Blob{Body: body, Type: r.Header.Get("x-ms-blob-type")}
	describe(r, b)
	if old := s.blobs[path]; old != nil {
		b.Writes = old.Writes
	}
	s.store(path, b)
	done(w, b, http.StatusCreated)
}

func (s *Server) putBlock(w http.ResponseWriter, id, path string, body []byte) {
	if _, err := base64.StdEncoding.DecodeString(id); err != nil || id == "" {
		fail(w, http.StatusBadRequest, "InvalidQueryParameterValue")
		return
	}
	key := "?blocks " + path
	if s.blobs[key] == nil {
		s.blobs[key] = &Blob{blocks: map[string][]byte{}}
	}
	s.blobs[key].blocks[id] = body
	w.WriteHeader(http.StatusCreated)
}

func (s *Server) putBlockList(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	var list struct {
		Latest []string `xml:"Latest"`
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		fail(w, http.StatusBadRequest, "InvalidXmlDocument")
		return
	}
	b := &Blob{Type: "BlockBlob"}
	describe(r, b)
	staged := s.blobs["?blocks "+path]
	for _, id := range list.Latest {
		if staged == nil || staged.blocks[id] == nil {
			fail(w, http.StatusBadRequest, "InvalidBlockList")
			return
		}
		b.Body = append(b.Body, staged.blocks[id]...)
	}
	delete(s.blobs, "?blocks "+path)
	if old := s.blobs[path]; old != nil {
		b.Writes = old.Writes
	}
	s.store(path, b)
	done(w, b, http.StatusCreated)
}

func (s *Server) snapshot(w http.ResponseWriter, path string, b *Blob) {
	s.snaps++
	at := time.Unix(int64(s.snaps), 0).UTC().Format("2006-01-02T15:04:05.0000000Z")
	c := *b
	s.blobs[path+"?"+at] = &c
	w.Header().Set("x-ms-snapshot", at)
	done(w, b, http.StatusCreated)
}

func get(w http.ResponseWriter, r *http.Request, b *Blob) {
	h := w.Header()
	for k, v := range b.Headers {
		h[k] = v
	}
	for k, v := range b.Metadata {
		h["x-ms-meta-"+k] = []string{v}
	}
	h.Set("x-ms-blob-type", b.Type)
	if b.Tier != "" {
		h.Set("x-ms-access-tier", b.Tier)
	}
	if b.Tags != "" {
		h.Set("x-ms-tag-count", strconv.Itoa(strings.Count(b.Tags, "=")))
	}
	body, status := b.Body, http.StatusOK
	rng := r.Header.Get("x-ms-range")
	if rng == "" {
		rng = r.Header.Get("Range")
	}
	if rng != "" && r.Method == http.MethodGet {
		start, end, ok := span(rng, int64(len(body)))
		if !ok {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, end-1, len(body)))
		body, status = body[start:end], http.StatusPartialContent
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
	done(w, b, status)
	if r.Method == http.MethodGet {
		w.Write(body)
	}
}

func span(s string, size int64) (start, end int64, ok bool) {
	a, b, _ := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	start, err := strconv.ParseInt(a, 10, 64)
	if err != nil || start >= size {
		return 0, 0, false
	}
	end = size
	if b != "" {
		last, err := strconv.ParseInt(b, 10, 64)
		if err != nil || last < start {
			return 0, 0, false
		}
		end = min(size, last+1)
	}
	return start, end, true
}

func tagXML(tags string) string {
	var b strings.Builder
	b.WriteString("<Tags><TagSet>")
	values, _ := url.ParseQuery(tags)
	for k, v := range values {
		fmt.Fprintf(&b, "<Tag><Key>%s</Key><Value>%s</Value></Tag>", k, v[0])
	}
	b.WriteString("</TagSet></Tags>")
	return b.String()
}
