package cse

import "github.com/coffer-storage/coffer/cse/internal/format"

// describe fills in what the text says.
func (p *Properties) describe(text string) error {
	d, err := format.Parse(text)
	if err != nil {
		return fromFormat(err)
	}
	p.Encrypted = true
	p.Version = Version(d.Protocol)
	p.KeyID, p.Algorithm, p.RegionLength = d.KeyID, d.Algorithm, d.RegionLength
	p.Library = d.Wrapping["EncryptionLibrary"]
	_, p.LengthAuthenticated = d.Wrapping[format.LengthName]
	if d.Protocol != format.V1 {
		if p.Length, err = format.PlainSize(p.StoredLength, d.RegionLength); err != nil {
			p.Length = -1
			return fromFormat(err)
		}
	}
	return nil
}
