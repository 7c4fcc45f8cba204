package blob

import (
	"context"
	"fmt"
	"io"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

// maxHashedRange is the longest range that a read returns a checksum of.
const maxHashedRange = 4 << 20

// Download is an open read. Close is required.
type Download struct {
	Properties
	Off, N     int64  // the range that WriteTo streams
	RangeMD5   []byte // if it was asked for
	RangeCRC64 []byte // if it was asked for
	k          *call
	r          *object.Reader // nil when N is 0
}

// Open finds a blob, checks the conditions and opens the range of it that was asked
// for, or all. The content is the one found here, whatever is written meanwhile.
func (s *Service) Open(ctx context.Context, c *access.Caller, ref Ref, o ReadOptions) (*Download, error) {
	k, err := s.begin(ctx, "blob.Open", c, ref, needRead)
	if err != nil {
		return nil, err
	}
	if err := o.check(ctx, k); err != nil {
		return nil, err
	}
	d := &Download{k: k}
	var row *object.Row
	err = k.view(ctx, func(tx *object.Tx) error {
		f, err := k.readable(tx, o.Conditions)
		if err != nil {
			return err
		}
		d.Properties, row = f.rec.properties(f.row), f.row
		if d.Off, d.N, err = k.span(o.Range, f.rec.length); err != nil {
			return err
		}
		if d.N > 0 && d.r == nil {
			d.r, err = tx.Open(ctx, f.row, d.Off, d.N)
		}
		return err
	})
	if err == nil {
		err = k.edge(s.withMetadata(ctx, &d.Properties, row))
	}
	if err == nil {
		err = d.hash(ctx, o, row)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (o *ReadOptions) check(ctx context.Context, k *call) error {
	if err := k.ask(ctx, o.Encryption, false); err != nil {
		return err
	}
	if err := o.Conditions.form(k.op, k.ref.String()); err != nil {
		return err
	}
	if o.RangeMD5 && o.RangeCRC64 {
		return k.fault(fault.MD5AndCRC64)
	}
	if (o.RangeMD5 || o.RangeCRC64) && o.Range == nil {
		header := "x-ms-range-get-content-md5"
		if o.RangeCRC64 {
			header = "x-ms-range-get-content-crc64"
		}
		return k.fault(fault.InvalidHeaderValue,
			fault.Detail{Name: "HeaderName", Value: header}, fault.Detail{Name: "HeaderValue", Value: "true"})
	}
	return nil
}

// readable finds a committed blob for a read.
func (k *call) readable(tx *object.Tx, cond Conditions) (*found, error) {
	f, err := k.find(tx)
	if err != nil {
		return nil, err
	}
	if err := cond.check(k.op, k.ref.String(), reading, f.state(), fault.BlobNotFound); err != nil {
		return nil, err
	}
	return f, k.unlock(tx, f)
}

// OutOfRange is the cause of fault.InvalidRange: a range that begins behind the end.
type OutOfRange struct{ Length int64 }

func (e OutOfRange) Error() string { return fmt.Sprintf("the content has %d bytes", e.Length) }

// span cuts the range of a request to the content.
func (k *call) span(r *Range, length int64) (off, n int64, err error) {
	if r == nil {
		return 0, length, nil
	}
	if r.Off < 0 || r.Off >= length || r.N == 0 {
		return 0, 0, fault.New(k.op, k.ref.String(), fault.InvalidRange, OutOfRange{Length: length})
	}
	n = length - r.Off
	if r.N > 0 {
		n = min(n, r.N)
	}
	return r.Off, n, nil
}

// hash reads the range once more for its checksum, which the wire sends before the
// bytes: so no buffer is needed for it.
func (d *Download) hash(ctx context.Context, o ReadOptions, row *object.Row) error {
	if !o.RangeMD5 && !o.RangeCRC64 {
		return nil
	}
	if d.N > maxHashedRange {
		return d.k.fault(fault.RangeTooLargeForHash)
	}
	sums := newDigest(nil, d.N, o.RangeMD5)
	defer sums.close()
	if d.N > 0 {
		// The reader that is open holds the chunks, so this one finds them too.
		r, err := d.k.s.store.Open(ctx, row, d.Off, d.N)
		if err != nil {
			return d.k.edge(err)
		}
		defer r.Close()
		if _, err := r.WriteTo(sums); err != nil {
			return d.k.edge(err)
		}
	}
	if o.RangeMD5 {
		d.RangeMD5 = sums.sumMD5()
	} else {
		d.RangeCRC64 = sums.sumCRC()
	}
	return nil
}

// WriteTo streams exactly N authenticated bytes. After an error what was written is a
// prefix, and the answer must not end as if it were whole. An error of w itself is of
// kind Canceled: the client went away.
func (d *Download) WriteTo(w io.Writer) (int64, error) {
	if d.r == nil {
		return 0, nil
	}
	out := &sink{w: w}
	n, err := d.r.WriteTo(out)
	if out.err != nil {
		return n, d.k.gone(out.err)
	}
	return n, d.k.edge(err)
}

// sink remembers whether it was the writer that failed.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.err = err
	}
	return n, err
}

// Close releases what the read holds. It may be called more than once.
func (d *Download) Close() error {
	if d.r == nil {
		return nil
	}
	err := d.r.Close()
	d.r = nil
	return d.k.edge(err)
}

// GetProperties describes a blob, metadata included.
func (s *Service) GetProperties(ctx context.Context, c *access.Caller, ref Ref, cond Conditions, enc EncryptionOptions) (Properties, error) {
	return s.describe(ctx, "blob.GetProperties", c, ref, cond, enc)
}

// GetMetadata is GetProperties under its own name; the wire sends less of it.
func (s *Service) GetMetadata(ctx context.Context, c *access.Caller, ref Ref, cond Conditions, enc EncryptionOptions) (Properties, error) {
	return s.describe(ctx, "blob.GetMetadata", c, ref, cond, enc)
}

func (s *Service) describe(ctx context.Context, op string, c *access.Caller, ref Ref, cond Conditions, enc EncryptionOptions) (Properties, error) {
	k, err := s.begin(ctx, op, c, ref, needRead)
	if err != nil {
		return Properties{}, err
	}
	if err := k.ask(ctx, enc, false); err != nil {
		return Properties{}, err
	}
	if err := cond.form(k.op, ref.String()); err != nil {
		return Properties{}, err
	}
	var f *found
	if err := k.view(ctx, func(tx *object.Tx) error {
		f, err = k.readable(tx, cond)
		return err
	}); err != nil {
		return Properties{}, err
	}
	p := f.rec.properties(f.row)
	if err := s.withMetadata(ctx, &p, f.row); err != nil {
		return Properties{}, k.edge(err)
	}
	return p, nil
}
