package format

// StoredSize is the stored length of an object of version 2.x.
func StoredSize(plain, region int64) int64 {
	return plain + Overhead*((plain+region-1)/region)
}

// PlainSize is the plaintext length of a stored object of version 2.x. A remainder too
// short for a region is corrupt. One of exactly Overhead bytes is an empty last region,
// which Java may write and we accept.
func PlainSize(stored, region int64) (int64, error) {
	if stored < 0 || stored > MaxObject || region < 1 || region > MaxRegion {
		return 0, ErrAuth
	}
	sealed := region + Overhead
	if rest := stored % sealed; rest > 0 && rest < Overhead {
		return 0, ErrAuth
	}
	return stored - Overhead*((stored+sealed-1)/sealed), nil
}

// Plan says which stored bytes to fetch for a range of plaintext, and what to drop from
// their decryption.
type Plan struct {
	Off, Len int64  // of stored bytes
	First    uint64 // index of the first region, 2.x only
	Skip     int64  // plaintext in front of the range
	N        int64  // plaintext of the range
	IV       bool   // the first block fetched is the IV of the rest, 1.0 only
}

// PlanRegions plans the range [off, off+n) of an object of version 2.x. n < 0 is an
// open end. The range is cut at the end of the object; one that starts at or past the
// end is ErrRange, and never a request.
func PlanRegions(off, n, stored, region int64) (Plan, error) {
	plain, err := PlainSize(stored, region)
	if err != nil {
		return Plan{}, err
	}
	n, err = clamp(off, n, plain)
	if err != nil || n == 0 {
		return Plan{}, err
	}
	sealed := region + Overhead
	first, last := off/region, (off+n-1)/region
	start := first * sealed
	end := min((last+1)*sealed, stored)
	return Plan{Off: start, Len: end - start, First: uint64(first), Skip: off - first*region, N: n}, nil
}

// PlanCBC plans the range [off, off+n) of an object of version 1.0. plain is its
// plaintext length. The block in front of the range comes along: it is the IV.
func PlanCBC(off, n, stored, plain int64) (Plan, error) {
	if stored < 0 || stored > MaxObject || stored%BlockSize != 0 || plain > stored {
		return Plan{}, ErrAuth
	}
	n, err := clamp(off, n, plain)
	if err != nil || n == 0 {
		return Plan{}, err
	}
	first := off - off%BlockSize
	start := max(first-BlockSize, 0)
	end := min((off+n+BlockSize-1)/BlockSize*BlockSize, stored)
	return Plan{Off: start, Len: end - start, Skip: off - first, N: n, IV: first > 0}, nil
}

// clamp cuts a range at the end of an object of size bytes.
func clamp(off, n, size int64) (int64, error) {
	if off < 0 || off > size || off == size && off > 0 {
		return 0, ErrRange
	}
	if n < 0 || n > size-off {
		n = size - off
	}
	return n, nil
}

// PlanPlain plans the range of an object that is not encrypted.
func PlanPlain(off, n, size int64) (Plan, error) {
	n, err := clamp(off, n, size)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Off: off, Len: n, N: n}, nil
}
