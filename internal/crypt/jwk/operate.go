package jwk

// NeedsPrivate reports whether encrypting, wrapping and verifying take the private key:
// those of RSA and EC are done with the public one alone.
func (p *Public) NeedsPrivate() bool { return p.Type == Oct }

// Seal encrypts or wraps with the public key.
func (p *Public) Seal(name string, use Purpose, in Input) (Input, error) {
	a, err := p.Find(name, use)
	if err != nil {
		return Input{}, err
	}
	if a.Type != RSA {
		return Input{}, ErrAlgorithm
	}
	out, err := p.encryptRSA(a, in.Value)
	return Input{Value: out}, err
}

// Seal encrypts or wraps.
func (p *Private) Seal(name string, use Purpose, in Input) (Input, error) {
	if p.Type != Oct {
		return p.Public.Seal(name, use, in)
	}
	a, err := p.Find(name, use)
	if err != nil {
		return Input{}, err
	}
	return p.encryptOct(a, in)
}

// Open decrypts or unwraps.
func (p *Private) Open(name string, use Purpose, in Input) ([]byte, error) {
	a, err := p.Find(name, use)
	if err != nil {
		return nil, err
	}
	switch p.Type {
	case RSA:
		return p.rsa.decrypt(a, in.Value)
	case Oct:
		return p.decryptOct(a, in)
	}
	return nil, ErrAlgorithm
}

// Sign signs a digest, which has to have the length of the algorithm's hash.
func (p *Private) Sign(name string, digest []byte) ([]byte, error) {
	a, err := p.Find(name, Signs)
	if err != nil {
		return nil, err
	}
	if 8*len(digest) != a.Bits {
		return nil, ErrInput
	}
	if p.Type == EC {
		return p.ec.sign(digest)
	}
	return p.rsa.sign(a, digest)
}

// Verify checks a signature of a digest.
func (p *Public) Verify(name string, digest, signature []byte) (bool, error) {
	a, err := p.Find(name, Signs)
	if err != nil {
		return false, err
	}
	if 8*len(digest) != a.Bits {
		return false, ErrInput
	}
	if p.Type == EC {
		return p.verifyEC(digest, signature)
	}
	return p.verifyRSA(a, digest, signature)
}
