//go:build unix && !linux

package secret

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapPages returns n zero bytes in locked pages between guard pages.
func mapPages(n int) pages {
	page := os.Getpagesize()
	size := (n + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return heapPages(n, "no pages for keys: "+err.Error())
	}
	mem := all[page : page+size]
	if err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		unix.Munmap(all)
		return heapPages(n, "no pages for keys: "+err.Error())
	}
	p := pages{mem: mem[:n:n], method: MethodPages, unmap: func() { unix.Munmap(all) }}
	p.lacks = append(p.lacks, "this system cannot leave key memory out of core dumps")
	if err := unix.Mlock(mem); err != nil {
		p.lacks = append(p.lacks, "keys may reach swap: mlock: "+err.Error())
	} else {
		p.method, p.locked = MethodLocked, true
	}
	return p
}
