package control

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// viaDescriptor names the socket of dir by a descriptor of dir, which keeps the path
// short. release closes the descriptor; the path is dead after that.
func viaDescriptor(dir string) (path string, release func(), ok bool) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, false
	}
	path = fmt.Sprintf("/proc/self/fd/%d", fd)
	if _, err := os.Stat(path); err != nil {
		unix.Close(fd)
		return "", nil, false
	}
	return path + "/" + socketName, func() { unix.Close(fd) }, true
}
