package blob

import (
	"bytes"
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"io"

	"github.com/minio/crc64nvme"

	"github.com/coffer-storage/coffer/internal/fault"
)

// digest takes the checksums of a body while it streams by. MD5 costs several times
// what encryption does, so it is taken only where it is needed; CRC-64 is nearly free.
type digest struct {
	src  io.Reader
	err  error     // of src, but for its end
	md5  hash.Hash // nil: not needed, or closed
	done func()    // with md5
	sum  []byte    // MD5, when it was taken
	crc  hash.Hash64
}

// newDigest is for a body of length bytes. The digest has to be closed.
func newDigest(src io.Reader, length int64, needMD5 bool) *digest {
	d := &digest{src: src, crc: crc64nvme.New()}
	if needMD5 {
		d.md5, d.done = openMD5(length)
	}
	return d
}

// close gives up an MD5 that was not taken. It may be called more than once.
func (d *digest) close() {
	if d.md5 != nil {
		d.done()
		d.md5 = nil
	}
}

// newMD5 makes an MD5 that is allowed in strict FIPS mode too: it finds broken
// transfers and protects nothing.
func newMD5() hash.Hash {
	var h hash.Hash
	fips140.WithoutEnforcement(func() { h = md5.New() })
	return h
}

func (d *digest) Read(p []byte) (int, error) {
	n, err := d.src.Read(p)
	d.add(p[:n])
	if err != nil && err != io.EOF {
		d.err = err
	}
	return n, err
}

func (d *digest) add(p []byte) {
	d.crc.Write(p)
	if d.md5 != nil {
		fips140.WithoutEnforcement(func() { d.md5.Write(p) })
	}
}

// sumMD5 is nil if none was asked for. After it the body has ended.
func (d *digest) sumMD5() []byte {
	if d.md5 != nil {
		fips140.WithoutEnforcement(func() { d.sum = d.md5.Sum(nil) })
		d.close()
	}
	return d.sum
}

// sumCRC has the byte order of the wire, which is the little one.
func (d *digest) sumCRC() []byte { return binary.LittleEndian.AppendUint64(nil, d.crc.Sum64()) }

// fault gives an error that came out of a transfer its kind: one of the source's own
// says that the client went away, unless the source knew better.
func (d *digest) fault(k *call, err error) error {
	if d.err == nil || !errors.Is(err, d.err) {
		return k.edge(err)
	}
	return k.gone(err)
}

// gone is the fault of a peer who does not take or send any more.
func (k *call) gone(err error) error {
	if _, known := errors.AsType[*fault.Error](err); known || errors.Is(err, io.ErrUnexpectedEOF) {
		return k.edge(err)
	}
	return fault.New(k.op, k.ref.String(), fault.Canceled, err)
}

// checkSums refuses checksums that cannot be compared.
func checkSums(op, what string, md5, crc []byte) error {
	switch {
	case md5 != nil && len(md5) != 16:
		return fault.New(op, what, fault.InvalidMD5, nil)
	case crc != nil && len(crc) != 8:
		return fault.New(op, what, fault.InvalidCRC64, nil)
	case md5 != nil && crc != nil:
		return fault.New(op, what, fault.MD5AndCRC64, nil)
	}
	return nil
}

// verify compares the checksums of the request with what arrived.
func (d *digest) verify(op, what string, wantMD5, wantCRC []byte) error {
	if wantMD5 != nil {
		if got := d.sumMD5(); !bytes.Equal(got, wantMD5) {
			return fault.New(op, what, fault.MD5Mismatch, nil,
				detail64("UserSpecifiedMd5", wantMD5), detail64("ServerCalculatedMd5", got))
		}
	}
	if wantCRC != nil {
		if got := d.sumCRC(); !bytes.Equal(got, wantCRC) {
			return fault.New(op, what, fault.CRC64Mismatch, nil,
				detail64("UserSpecifiedCrc", wantCRC), detail64("ServerCalculatedCrc", got))
		}
	}
	return nil
}

func detail64(name string, b []byte) fault.Detail {
	return fault.Detail{Name: name, Value: base64.StdEncoding.EncodeToString(b)}
}

// Write takes bytes into the sums that do not come from a Reader.
func (d *digest) Write(p []byte) (int, error) {
	d.add(p)
	return len(p), nil
}
