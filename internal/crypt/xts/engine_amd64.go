package xts

import "golang.org/x/sys/cpu"

var (
	hasAESNI = cpu.X86.HasAES && cpu.X86.HasSSE41
	hasVAES  = hasAESNI && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ &&
		cpu.X86.HasAVX512VAES && cpu.X86.HasAVX512VPCLMULQDQ
)

const (
	rounds = 14 // of AES-256
	// wide is how many bytes the AVX-512 kernel takes at a time.
	wide = 32 * blockSize
)

// schedule holds the round keys of AES-256, in the order of their use.
type schedule [(rounds + 1) * blockSize]byte

// The kernels, in kernel_amd64.s. n counts blocks, at least one; the wide ones need a
// multiple of 32. They leave the next tweak in tweak.
//
//go:noescape
func expandKey(key *[32]byte, enc, dec *schedule)

//go:noescape
func encryptAESNI(keys *schedule, tweak *[blockSize]byte, dst, src *byte, n int)

//go:noescape
func decryptAESNI(keys *schedule, tweak *[blockSize]byte, dst, src *byte, n int)

//go:noescape
func encryptVAES(keys *schedule, tweak *[blockSize]byte, dst, src *byte, n int)

//go:noescape
func decryptVAES(keys *schedule, tweak *[blockSize]byte, dst, src *byte, n int)

func newEngine(key *[32]byte) (engine, error) {
	switch {
	case hasVAES:
		return newVAES(key)
	case hasAESNI:
		return newAESNI(key)
	}
	return newPortable(key)
}

// engines are all that this machine can run, for the tests.
func engines() map[string]func(*[32]byte) (engine, error) {
	m := map[string]func(*[32]byte) (engine, error){"portable": newPortable}
	if hasAESNI {
		m["AES-NI"] = newAESNI
	}
	if hasVAES {
		m["VAES"] = newVAES
	}
	return m
}

// aesni keeps 8 blocks in flight.
type aesni struct{ enc, dec schedule }

func newAESNI(key *[32]byte) (engine, error) {
	e := new(aesni)
	expandKey(key, &e.enc, &e.dec)
	return e, nil
}

func (e *aesni) encrypt(t *[blockSize]byte, dst, src []byte) {
	if n := len(src) / blockSize; n > 0 {
		_ = dst[n*blockSize-1]
		encryptAESNI(&e.enc, t, &dst[0], &src[0], n)
	}
}

func (e *aesni) decrypt(t *[blockSize]byte, dst, src []byte) {
	if n := len(src) / blockSize; n > 0 {
		_ = dst[n*blockSize-1]
		decryptAESNI(&e.dec, t, &dst[0], &src[0], n)
	}
}

// vaes keeps 32 blocks in flight, four in a register, and leaves the rest to aesni. A
// sector is eight times 32.
type vaes struct{ aesni }

func newVAES(key *[32]byte) (engine, error) {
	e := new(vaes)
	expandKey(key, &e.enc, &e.dec)
	return e, nil
}

func (e *vaes) encrypt(t *[blockSize]byte, dst, src []byte) {
	if n := len(src) / wide * wide; n > 0 {
		_ = dst[n-1]
		encryptVAES(&e.enc, t, &dst[0], &src[0], n/blockSize)
		dst, src = dst[n:], src[n:]
	}
	e.aesni.encrypt(t, dst, src)
}

func (e *vaes) decrypt(t *[blockSize]byte, dst, src []byte) {
	if n := len(src) / wide * wide; n > 0 {
		_ = dst[n-1]
		decryptVAES(&e.dec, t, &dst[0], &src[0], n/blockSize)
		dst, src = dst[n:], src[n:]
	}
	e.aesni.decrypt(t, dst, src)
}
