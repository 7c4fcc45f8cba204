package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a process that was started here and listens.
type server struct {
	name string
	cmd  *exec.Cmd
	addr string // host:port
	tls  string // host:port that speaks TLS, where that is another
	ca   string // file with what its certificate is signed by
	dir  string
	done chan struct{} // closed when it has ended
}

// peers says where the programs are; an empty name: not there.
type peers struct {
	coffer, fips, null, nginx, minio, azurite string
}

// start runs a program in an empty folder of its own.
func start(name, dir string, env []string, program string, args ...string) (*server, error) {
	s := &server{name: name, dir: dir, done: make(chan struct{})}
	out, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	s.cmd = exec.Command(program, args...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	// Not one outlives this process, however that ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.cmd.Wait(); close(s.done) }()
	return s, nil
}

// pids of the server and of those that it started.
func (s *server) pids() []int {
	pid := s.cmd.Process.Pid
	all := []int{pid}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for f := range strings.FieldsSeq(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// ready waits until the server's own process listens at its address.
func (s *server) ready(address func() string) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.done:
			return fmt.Errorf("%s ended: %s", s.name, s.tail())
		default:
		}
		if s.addr = address(); s.addr == "" {
			continue
		}
		c, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err != nil {
			continue
		}
		c.Close()
		if !listens(s.pids(), s.addr) {
			return fmt.Errorf("%s: another process listens at %s", s.name, s.addr)
		}
		return nil
	}
	return fmt.Errorf("%s does not listen after a minute: %s", s.name, s.tail())
}

func (s *server) tail() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "output"))
	return string(b[max(0, len(b)-1000):])
}

// stop ends the server in order; one that does not end in 40 s is killed.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(40 * time.Second):
		s.kill()
	}
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.done
}

// listens says whether one of the processes holds the socket that listens at a port.
func listens(pids []int, addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	var table []byte
	for _, f := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(f)
		table = append(table, b...)
	}
	n, _ := strconv.Atoi(port)
	sockets := listeners(string(table), n)
	for _, pid := range pids {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if l, err := os.Readlink(fd); err == nil && slices.Contains(sockets, l) {
				return true
			}
		}
	}
	return false
}

// listeners names the sockets of /proc/net/tcp that listen at a port, as /proc/PID/fd
// names them.
func listeners(table string, port int) (out []string) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			out = append(out, "socket:["+f[9]+"]")
		}
	}
	return out
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// field of a file that a server writes when it listens; empty until then.
func readyField(file, name string) func() string {
	return func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			return ""
		}
		if name == "" {
			return strings.TrimSpace(string(b))
		}
		var m map[string]any
		if json.Unmarshal(b, &m) != nil {
			return ""
		}
		s, _ := m[name].(string)
		return strings.TrimPrefix(s, "http://")
	}
}

// startCoffer starts a store in dir, a new one or the one that is there.
func startCoffer(name, program, dir string) (*server, error) {
	file := filepath.Join(dir, "ready.json")
	os.Remove(file)
	s, err := start(name, dir, nil, program, "serve", "--data", filepath.Join(dir, "data"), "--blob-port", "0", "--management-port", "0",
		"--unseal-key", filepath.Join(dir, "unseal.key"), "--ready-file", file)
	if err != nil {
		return nil, err
	}
	if err := s.ready(readyField(file, "blob")); err != nil {
		return s, err
	}
	s.tls, s.ca = s.addr, readyField(file, "tls_bundle")()
	return s, nil
}

func startNull(program, dir string, big int64) (*server, error) {
	file := filepath.Join(dir, "address")
	s, err := start("null", dir, nil, program, "-ready-file", file, "-big", fmt.Sprint(big))
	if err != nil {
		return nil, err
	}
	return s, s.ready(readyField(file, ""))
}

// startNginx: as many workers as cores, sendfile and DAV PUT, nothing synced.
// tcp_nopush stays off: it stalls small ranges.
func startNginx(program, dir string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	addrTLS, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := writeCertificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
		return nil, err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	conf := strings.NewReplacer("DIR", dir, "PLAIN", addr, "TLS", addrTLS, "USER", user).Replace(`
daemon off; pid DIR/pid; error_log DIR/error.log; worker_processes auto; USER
events { worker_connections 1024; }
http {
	access_log off; sendfile on; keepalive_requests 1000000; client_max_body_size 0;
	client_body_temp_path DIR/tmp; proxy_temp_path DIR/tmp1; fastcgi_temp_path DIR/tmp2; uwsgi_temp_path DIR/tmp3; scgi_temp_path DIR/tmp4;
	server {
		listen PLAIN;
		listen TLS ssl;
		ssl_certificate DIR/cert.pem; ssl_certificate_key DIR/key.pem;
		root DIR/root;
		location / { dav_methods PUT DELETE; create_full_put_path on; }
	}
}
`)
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "root"), 0o755), os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644)); err != nil {
		return nil, err
	}
	s, err := start("nginx", dir, nil, program, "-c", filepath.Join(dir, "conf"), "-p", dir)
	if err != nil {
		return nil, err
	}
	if err := s.ready(func() string { return addr }); err != nil {
		return s, err
	}
	s.tls, s.ca = addrTLS, filepath.Join(dir, "cert.pem")
	for i := 0; i < 100 && len(s.pids()) == 1; i++ {
		time.Sleep(10 * time.Millisecond) // the workers, who do the work, are started last
	}
	if !listens(s.pids(), addrTLS) {
		return s, fmt.Errorf("nginx: another process listens at %s", addrTLS)
	}
	return s, nil
}

const minioUser, minioSecret = "benchbench", "benchbenchbench"

// startMinIO: one drive, everything encrypted under a key of its own (SSE-S3).
func startMinIO(program, dir string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s, err := start("minio", dir, []string{"MINIO_ROOT_USER=" + minioUser, "MINIO_ROOT_PASSWORD=" + minioSecret, "MINIO_BROWSER=off",
		"MINIO_UPDATE=off", "MINIO_KMS_SECRET_KEY=bench:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "MINIO_KMS_AUTO_ENCRYPTION=on"},
		program, "server", filepath.Join(dir, "drive"), "--address", addr, "--quiet")
	if err != nil {
		return nil, err
	}
	return s, s.ready(func() string { return addr })
}

// startAzurite: persisted to disk, silent, no telemetry.
func startAzurite(program, dir string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(addr)
	s, err := start("azurite", dir, nil, "node", program, "-l", filepath.Join(dir, "store"), "--silent", "--skipApiVersionCheck", "--disableTelemetry",
		"--blobHost", host, "--blobPort", port)
	if err != nil {
		return nil, err
	}
	return s, s.ready(func() string { return addr })
}

// fleet are the servers of one part of a run, side by side.
type fleet struct {
	root    string
	peers   peers
	big     int64
	servers map[string]*server
	missing map[string]string // why a peer takes no part
}

// start brings up the named servers. Without Coffer and the null server there is no run;
// any other that does not come up is named and left out.
func (f *fleet) start(ctx context.Context, names ...string) error {
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := filepath.Join(f.root, n)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		program := map[string]string{"coffer": f.peers.coffer, "fips": f.peers.fips, "null": f.peers.null, "nginx": f.peers.nginx,
			"minio": f.peers.minio, "azurite": f.peers.azurite}[n]
		var s *server
		err := errors.New("not installed")
		if program != "" {
			switch n {
			case "coffer", "fips":
				s, err = startCoffer(n, program, dir)
			case "null":
				s, err = startNull(program, dir, f.big)
			case "nginx":
				s, err = startNginx(program, dir)
			case "minio":
				s, err = startMinIO(program, dir)
			case "azurite":
				s, err = startAzurite(program, dir)
			}
		}
		if err == nil {
			f.servers[n] = s
			continue
		}
		if s != nil {
			s.kill()
		}
		if n == "coffer" || n == "fips" || n == "null" {
			return fmt.Errorf("%s: %w", n, err)
		}
		f.missing[n] = err.Error()
	}
	return nil
}

func (f *fleet) stop() {
	for _, s := range f.servers {
		s.stop()
	}
}
