package secret

// alloc returns n zero bytes for a key and the function that gives them back.
func alloc(n int) ([]byte, func([]byte)) { return make([]byte, n), func([]byte) {} }
