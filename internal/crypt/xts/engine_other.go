//go:build !amd64

package xts

func newEngine(key *[32]byte) (engine, error) { return newPortable(key) }

// engines are all that this machine can run, for the tests.
func engines() map[string]func(*[32]byte) (engine, error) {
	return map[string]func(*[32]byte) (engine, error){"portable": newPortable}
}
