//go:build !linux

package secret

// HardenProcess does nothing on this system.
func HardenProcess() error { return nil }
