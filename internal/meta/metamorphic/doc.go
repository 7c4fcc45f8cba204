// Package metamorphic runs Pebble's own random operation streams, with its own random
// options, on package sealedfs and beside it on the plain file system, and compares what
// the two say. It is a module of its own, because Pebble's test package needs more than
// the server does.
//
// Pebble opens its store in one directory and makes others in it (tmp, checkpoints,
// external). Here only the files of the LSM and of checkpoints go through sealedfs: what
// is staged to be ingested is plain, and copied when it enters the store.
package metamorphic
