// Package wycheprooftest runs the vectors of Project Wycheproof, which go after the known
// mistakes of implementations, against every primitive that the crypt packages use. It
// has no code of its own; where the vectors come from is told in testdata/README.md.
package wycheprooftest
