package fileextent

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
)

// layerSectors is how many sectors are sealed or opened at once.
const layerSectors = 16

// sectorBuffer holds that many, plain or sealed by any suite.
type sectorBuffer [layerSectors * (infraext.SectorSize + 64)]byte

var sectorBuffers = sync.Pool{New: func() any { return new(sectorBuffer) }}

// usage counts the bytes that went under each version of the infrastructure key.
type usage struct {
	mu sync.Mutex
	m  map[[16]byte]*atomic.Uint64
}

func (u *usage) of(kref [16]byte) *atomic.Uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m == nil {
		u.m = make(map[[16]byte]*atomic.Uint64)
	}
	if u.m[kref] == nil {
		u.m[kref] = new(atomic.Uint64)
	}
	return u.m[kref]
}

// Usage is the number of bytes that were sealed under a version of the infrastructure
// key since the start.
func (s *Store) Usage(kref [16]byte) uint64 { return s.used.of(kref).Load() }

// newLayer begins the second layer of an extent under the Active key.
func (s *Store) newLayer(id [16]byte) (*infraext.Extent, []byte, error) {
	kref, k, err := s.o.Infra.SealInfra()
	if err != nil {
		return nil, nil, err
	}
	return infraext.Create(k, kref, id, s.o.Suite)
}

// stale reports whether a shared extent is under a key that seals no more.
func (s *Store) stale(e *shared) (bool, error) {
	if e == nil || e.layer == nil {
		return false, nil
	}
	kref, _, err := s.o.Infra.SealInfra()
	return kref != e.layer.Header().Kref, err
}

// openLayer opens the second layer of an extent, once for each open file.
func (s *Store) openLayer(h *handle, id [16]byte) (*infraext.Extent, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.layer != nil {
		return h.layer, nil
	}
	if s.o.Infra == nil {
		return nil, errDouble
	}
	header := make([]byte, infraext.HeaderSize)
	if err := readFull(h.file, header, 0); err != nil {
		return nil, err
	}
	x, err := infraext.Open(header, id, s.o.AllowXTS, s.o.Infra.OpenInfra)
	if err != nil {
		return nil, damaged(err)
	}
	h.layer = x
	return x, nil
}

// damaged marks what is wrong with the bytes, also when they name a key that there
// never was.
func damaged(err error) error {
	if errors.Is(err, infraext.ErrFormat) || errors.Is(err, infraext.ErrOpen) || fault.Is(err, fault.Corrupt) {
		return fmt.Errorf("%w: %w", extent.ErrDamaged, err)
	}
	return err
}

// describeLayer adds what the header of a double extent says, if it can be read.
func (s *Store) describeLayer(i *extent.Info) {
	if i.Class != extent.Double {
		return
	}
	h, err := s.handles.get(s.Path(*i))
	if err != nil {
		return
	}
	defer s.handles.put(h)
	b := make([]byte, infraext.HeaderSize)
	if readFull(h.file, b, 0) != nil {
		return
	}
	if head, err := infraext.ParseHeader(b); err == nil {
		i.Infra, i.Algorithm = head.Kref, head.Suite.String()
	}
}

// readSectors fills b from a chunk of a double extent.
func (s *Store) readSectors(h *handle, p extent.Place, b []byte, off int64) error {
	x, err := s.openLayer(h, p.Extent)
	if err != nil {
		return err
	}
	if p.Offset%infraext.SectorSize != 0 {
		return fmt.Errorf("%w: chunk at %d", extent.ErrDamaged, p.Offset)
	}
	suite := x.Header().Suite
	buf := sectorBuffers.Get().(*sectorBuffer)
	defer sectorBuffers.Put(buf)
	at := int64(p.Offset) + off
	for len(b) > 0 {
		first, skip := at/infraext.SectorSize, at%infraext.SectorSize
		var n int64
		switch large := suite == infraext.XTS && len(b) >= layerBatch; {
		case large && skip == 0: // as long sealed as plain: they are opened where they shall be
			n = int64(len(b)) / infraext.SectorSize * infraext.SectorSize
			_, err = openSectors(h, x, first, b[:n])
		case large: // up to the next sector
			n, err = copySectors(h, x, first, skip, b, buf[:suite.Size(1)])
		default:
			count := min(layerSectors, infraext.Sectors(skip+int64(len(b))))
			n, err = copySectors(h, x, first, skip, b, buf[:suite.Size(count)])
		}
		if err != nil {
			return err
		}
		b, at = b[n:], at+n
	}
	return nil
}

// openSectors reads the sealed sectors from number first on that fill raw, and opens
// them in place.
func openSectors(h *handle, x *infraext.Extent, first int64, raw []byte) ([]byte, error) {
	if err := readFull(h.file, raw, x.Header().Suite.Offset(first)); err != nil {
		return nil, err
	}
	plain, err := x.Open(raw[:0], first, raw)
	return plain, damaged(err)
}

// copySectors copies to b what the sealed sectors that fill raw hold from skip on.
func copySectors(h *handle, x *infraext.Extent, first, skip int64, b, raw []byte) (int64, error) {
	plain, err := openSectors(h, x, first, raw)
	if err != nil {
		return 0, err
	}
	return int64(copy(b, plain[skip:])), nil
}

// sealing puts the second layer around the bytes of one chunk as they come.
type sealing struct {
	x    *infraext.Extent
	used *atomic.Uint64
	next int64 // sector
	// put writes sealed sectors at their place in the file.
	put func(b []byte, off int64) (int, error)

	plain []byte // gathered, less than layerSectors
	in    *sectorBuffer
	out   *sectorBuffer
}

func (s *Store) newSealing(x *infraext.Extent, first int64, put func([]byte, int64) (int, error)) *sealing {
	l := &sealing{x: x, used: s.used.of(x.Header().Kref), next: first, put: put}
	l.in, l.out = sectorBuffers.Get().(*sectorBuffer), sectorBuffers.Get().(*sectorBuffer)
	l.plain = l.in[:0]
	return l
}

const layerBatch = layerSectors * infraext.SectorSize

// write takes the next bytes of the chunk; whole batches go on at once.
func (l *sealing) write(b []byte, _ int64) (int, error) {
	total := len(b)
	for len(b) > 0 {
		if len(l.plain) == 0 && len(b) >= layerBatch {
			if err := l.seal(b[:layerBatch]); err != nil {
				return total - len(b), err
			}
			b = b[layerBatch:]
			continue
		}
		n := min(layerBatch-len(l.plain), len(b))
		l.plain = append(l.plain, b[:n]...)
		b = b[n:]
		if len(l.plain) == layerBatch {
			if err := l.flush(); err != nil {
				return total - len(b), err
			}
		}
	}
	return total, nil
}

// flush seals what is gathered, padded to a sector.
func (l *sealing) flush() error {
	if len(l.plain) == 0 {
		return nil
	}
	err := l.seal(l.plain)
	l.plain = l.plain[:0]
	return err
}

func (l *sealing) seal(plain []byte) error {
	out, err := l.x.Seal(l.out[:0], l.next, plain)
	if err != nil {
		return err
	}
	off := l.x.Header().Suite.Offset(l.next)
	l.next += infraext.Sectors(int64(len(plain)))
	l.used.Add(uint64(len(plain)))
	_, err = l.put(out, off)
	return err
}

// release gives the buffers back. Afterwards l must not be used.
func (l *sealing) release() {
	sectorBuffers.Put(l.in)
	sectorBuffers.Put(l.out)
	l.in, l.out, l.plain = nil, nil, nil
}
