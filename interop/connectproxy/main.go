// Command connectproxy is an HTTP proxy that resolves chosen names to chosen
// addresses and refuses every other one.
//
// The interop suite uses it for clients that build the host name themselves
// (account.blob.suffix, port 443): they get HTTPS_PROXY=http://ADDR and reach a
// server on a free port of this machine, with TLS end to end and the name in
// SNI, and no one edits a hosts file. Since only mapped names are served, a
// client that is set up wrongly fails here instead of talking to the real
// service.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("connectproxy: ")
	var routes routes
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	ready := flag.String("ready-file", "", "write the listening address here when it listens")
	flag.Var(&routes, "map", "PATTERN=ADDR: CONNECT to a host:port that matches goes to ADDR; repeatable, first match wins")
	flag.Parse()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	if *ready != "" {
		if err := writeReady(*ready, ln.Addr().String()); err != nil {
			log.Fatal(err)
		}
	}
	log.Fatal((&http.Server{Handler: routes, ReadHeaderTimeout: 30 * time.Second}).Serve(ln))
}

// writeReady writes the file in one step, so that who waits for it never reads half.
func writeReady(name, addr string) error {
	tmp := name + ".tmp"
	if err := os.WriteFile(tmp, []byte(addr+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

type route struct{ pattern, addr string }

type routes []route

func (r *routes) String() string { return "" }

// Set parses PATTERN=ADDR; the pattern is one of package path over host:port.
func (r *routes) Set(s string) error {
	pattern, addr, ok := strings.Cut(s, "=")
	if !ok || pattern == "" || addr == "" {
		return errors.New("want PATTERN=ADDR")
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return err
	}
	*r = append(*r, route{pattern, addr})
	return nil
}

// lookup finds the address for a host:port.
func (r routes) lookup(hostport string) (string, bool) {
	for _, x := range r {
		if ok, _ := path.Match(x.pattern, strings.ToLower(hostport)); ok {
			return x.addr, true
		}
	}
	return "", false
}

func (r routes) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodConnect {
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
		return
	}
	addr, ok := r.lookup(req.Host)
	if !ok {
		log.Printf("refused %s", req.Host)
		http.Error(w, "no route to "+req.Host, http.StatusBadGateway)
		return
	}
	up, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer up.Close()
	down, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer down.Close()
	if _, err := fmt.Fprint(down, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	tunnel(down, buf, up)
}

// tunnel copies both ways until both sides are done. A side that ends is told
// to the other by closing only its write half.
func tunnel(down net.Conn, first io.Reader, up net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(up, first)
		closeWrite(up)
	})
	wg.Go(func() {
		io.Copy(down, up)
		closeWrite(down)
	})
	wg.Wait()
}

func closeWrite(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.CloseWrite()
		return
	}
	c.Close()
}
