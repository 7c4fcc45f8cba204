// Package proof holds the tests of the whole store: power cuts at every sync, kill -9
// under load, the scan of the disk for canaries, damage to every byte of every file, and
// rotation of every key under load. It has no code of its own.
//
// Sizes: the ordinary run is for minutes on two cores, -short for the race detector,
// and COFFER_LONG=1 (`make long`) for a night.
package proof
