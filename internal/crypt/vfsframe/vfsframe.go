// Package vfsframe is the framing of the encrypting file system below the LSM and
// the audit log: format CFV1, without any I/O of its own.
package vfsframe

// HeaderSize is the number of bytes before the first frame of every file.
const HeaderSize = 104
