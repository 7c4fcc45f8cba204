// Package metatest is the suite that every engine of port meta passes.
package metatest
