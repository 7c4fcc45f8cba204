// Command nullserver answers the benchmark's requests from memory and keeps
// nothing: what a client reaches against it is the ceiling of SDK, HTTP and
// loopback on this machine, before a store does any work at all. It checks no
// signature, so a real server cannot quite reach it.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	mib      = 1 << 20
	pageSize = 5000 // of a listing, as the service gives
	etag     = `"0x1"`
)

func main() {
	addr := flag.String("listen", "127.0.0.1:0", "address; port 0 takes a free one")
	ready := flag.String("ready-file", "", "write the listening address here")
	big := flag.Int64("big", 1<<30, "size of the blobs under big/")
	list := flag.Int("list", 10000, "blobs under list/")
	flag.Parse()
	body := make([]byte, 4*mib)
	rand.NewChaCha8([32]byte{1}).Read(body)
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	if *ready != "" {
		if err := os.WriteFile(*ready+".tmp", []byte(ln.Addr().String()+"\n"), 0o600); err != nil {
			log.Fatal(err)
		}
		if err := os.Rename(*ready+".tmp", *ready); err != nil {
			log.Fatal(err)
		}
	}
	log.Fatal(http.Serve(ln, &server{body: body, big: *big, list: *list}))
}

type server struct {
	body []byte
	big  int64
	list int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", etag)
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	switch {
	case r.Method == http.MethodPut:
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, make([]byte, 64<<10))
		if err != nil {
			return
		}
		w.Header().Set("x-ms-received", strconv.FormatInt(n, 10))
		w.WriteHeader(http.StatusCreated)
	case r.URL.Query().Get("comp") == "list":
		s.page(w, r)
	default:
		s.get(w, r)
	}
}

// get serves a blob of the size that its folder stands for.
func (s *server) get(w http.ResponseWriter, r *http.Request) {
	if x := r.Header.Get("x-ms-range"); x != "" {
		r.Header.Set("Range", x)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	size := int64(4 << 10)
	switch {
	case strings.Contains(r.URL.Path, "/list/"):
		size = 64
	case strings.Contains(r.URL.Path, "/mid/"):
		size = 4 * mib
	case strings.Contains(r.URL.Path, "/big/"):
		http.ServeContent(w, r, "", time.Unix(1e9, 0), &repeat{body: s.body, n: s.big})
		return
	}
	http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(s.body[:size]))
}

// page answers a listing with as many blobs as there ought to be, in pages.
func (s *server) page(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("marker"))
	to := min(from+pageSize, s.list)
	if !strings.HasPrefix(q.Get("prefix"), "list/") {
		from, to = 0, 0
	}
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="bench"><Blobs>`)
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `<Blob><Name>list/%05d</Name><Properties><Creation-Time>Wed, 25 Nov 2026 00:00:00 GMT</Creation-Time>`+
			`<Last-Modified>Wed, 25 Nov 2026 00:00:00 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>64</Content-Length>`+
			`<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>`+
			`<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties></Blob>`, i)
	}
	b.WriteString("</Blobs><NextMarker>")
	if to > from && to < s.list {
		fmt.Fprint(&b, to)
	}
	b.WriteString("</NextMarker></EnumerationResults>")
	w.Header().Set("Content-Type", "application/xml")
	w.Write(b.Bytes())
}

// repeat is the benchmark's own source as a file: the body over and over, each
// round shifted by one.
type repeat struct {
	body   []byte
	off, n int64
}

func (s *repeat) Seek(o int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		o += s.off
	case io.SeekEnd:
		o += s.n
	}
	s.off = o
	return o, nil
}

func (s *repeat) Read(p []byte) (int, error) {
	if s.off >= s.n {
		return 0, io.EOF
	}
	l := int64(len(s.body))
	at := (s.off + s.off/l) % l
	room := min(int64(len(p)), s.n-s.off, l-at, l-s.off%l)
	copy(p[:room], s.body[at:at+room])
	s.off += room
	return int(room), nil
}
