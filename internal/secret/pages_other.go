//go:build !unix

package secret

// mapPages returns n zero bytes of the heap.
func mapPages(n int) pages {
	return heapPages(n, "key memory is on the heap: this system has no protected pages here")
}
