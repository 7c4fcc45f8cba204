package secret

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noMemfdSecret is set when the kernel has no memfd_secret, so that it is asked once.
var noMemfdSecret atomic.Bool

// mapPages returns n zero bytes, the best protected that the system allows.
func mapPages(n int) pages {
	base, span, err := reserve(n)
	if err != nil {
		return heapPages(n, fmt.Sprintf("no pages for keys: %v", err))
	}
	inner := unsafe.Add(base, unix.Getpagesize())
	size := span - 2*unix.Getpagesize()
	p, err := mapSecret(inner, size)
	if err != nil {
		p = mapLocked(inner, size, err)
	}
	if p.mem == nil {
		unix.MunmapPtr(base, uintptr(span))
		return heapPages(n, p.lacks...)
	}
	p.mem = p.mem[:n:n]
	p.unmap = func() { unix.MunmapPtr(base, uintptr(span)) }
	return p
}

// reserve maps room for n bytes in whole pages and one guard page on each side, all
// without any access.
func reserve(n int) (base unsafe.Pointer, span int, err error) {
	page := unix.Getpagesize()
	span = (n+page-1)/page*page + 2*page
	base, err = unix.MmapPtr(-1, 0, nil, uintptr(span), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return base, span, err
}

// mapSecret maps memory that leaves the kernel's own map: reading it takes code inside
// this process. It is locked and left out of dumps by nature; children do not get it.
func mapSecret(at unsafe.Pointer, size int) (pages, error) {
	if noMemfdSecret.Load() {
		return pages{}, unix.ENOSYS
	}
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		noMemfdSecret.Store(true)
		return pages{}, err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return pages{}, err
	}
	if _, err := unix.MmapPtr(fd, 0, at, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
		return pages{}, err
	}
	mem := unsafe.Slice((*byte)(at), size)
	p := pages{mem: mem, method: MethodSecret, locked: true, noDump: true}
	if err := unix.Madvise(mem, unix.MADV_DONTFORK); err != nil {
		p.lacks = append(p.lacks, "key memory is inherited by children: "+err.Error())
	}
	return p, nil
}

// mapLocked maps ordinary memory, locked, without dumps, wiped in children. why is the
// reason why it is not better.
func mapLocked(at unsafe.Pointer, size int, why error) pages {
	p := pages{lacks: []string{"no memfd_secret: " + why.Error()}}
	if _, err := unix.MmapPtr(-1, 0, at, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED); err != nil {
		p.lacks = append(p.lacks, "no pages for keys: "+err.Error())
		return p
	}
	p.mem, p.method = unsafe.Slice((*byte)(at), size), MethodPages
	if err := unix.Mlock(p.mem); err != nil {
		p.lacks = append(p.lacks, "keys may reach swap: mlock: "+err.Error())
	} else {
		p.method, p.locked = MethodLocked, true
	}
	if err := unix.Madvise(p.mem, unix.MADV_DONTDUMP); err != nil {
		p.lacks = append(p.lacks, "keys may reach core dumps: "+err.Error())
	} else {
		p.noDump = true
	}
	if err := unix.Madvise(p.mem, unix.MADV_WIPEONFORK); err != nil {
		p.lacks = append(p.lacks, "key memory is inherited by children: "+err.Error())
	}
	return p
}
