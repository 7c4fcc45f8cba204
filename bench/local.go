package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

// The parts that a server's CPU time is held against, each by itself in this process.
const (
	partOpen  = "raw GCM open"
	partSeal  = "raw GCM seal"
	partMD5   = "raw MD5"
	partWrite = "write and fsync"
)

// partBytes keeps the parts short: what they take for a GiB does not depend on it.
const partBytes = 256 << 20

// gcm seals, or opens, 256 MiB in segments of 64 KiB.
func gcm(body []byte, open bool) func() (int64, int, error) {
	const segment = 64 << 10
	block, err := aes.NewCipher(body[:32])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := make([]byte, a.NonceSize())
	sealed := make([][]byte, len(body)/segment)
	for i := range sealed {
		sealed[i] = a.Seal(nil, nonce, body[i*segment:(i+1)*segment], nil)
	}
	out := make([]byte, 0, segment+a.Overhead())
	return func() (int64, int, error) {
		n := 0
		for range partBytes / len(body) {
			for i := range sealed {
				if !open {
					a.Seal(out, nonce, body[i*segment:(i+1)*segment], nil)
				} else if _, err := a.Open(out, nonce, sealed[i], nil); err != nil {
					return 0, 0, err
				}
				n++
			}
		}
		return int64(n) * segment, n, nil
	}
}

// hash computes the MD5 of 256 MiB in pieces of 4 MiB.
func hash(body []byte) func() (int64, int, error) {
	return func() (int64, int, error) {
		n := partBytes / len(body)
		for range n {
			md5.Sum(body)
		}
		return int64(n * len(body)), n, nil
	}
}

// writeSync writes total bytes in files of a size in dir, 8 at a time, each synced; before
// a round those of the round before are removed.
func writeSync(dir string, body []byte, size int, total int64) (before func() error, work func() (int64, int, error)) {
	piece := make([]byte, 0, size)
	for len(piece) < size {
		piece = append(piece, body[:min(len(body), size-len(piece))]...)
	}
	before = func() error {
		err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
		syscall.Sync()
		return err
	}
	return before, func() (int64, int, error) {
		n := max(1, int(total/int64(size)))
		var next atomic.Int64
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for j := range errs {
			wg.Go(func() {
				for i := next.Add(1); i <= int64(n) && errs[j] == nil; i = next.Add(1) {
					errs[j] = writeFile(filepath.Join(dir, fmt.Sprint(i)), piece)
				}
			})
		}
		wg.Wait()
		return int64(n) * int64(size), n, errors.Join(errs...)
	}
}

func writeFile(name string, b []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}
