// Package cfks is the key-store file: the words that stand in it, its parser and its writer.
//
// A file is a signed clear head with the root slots, and a body of key records sealed
// under the service root; spec/keystore.md has the layout. This package knows bytes and
// rules of form, and no keys: package keys opens and seals.
//
// What parses has one spelling: Encode(Parse(b)) is b. Every length is bounded by what
// is left of the input before anything is allocated.
package cfks
