package keys

import "github.com/coffer-storage/coffer/internal/secret"

// Double reports whether a protector has infrastructure encryption. The flag is fixed
// when the protector is made.
func (r *Ring) Double(p Protector) bool {
	rec := r.cur.Load().protectors[p]
	return rec != nil && rec.Double
}

// InfraKeys are the versions of the infrastructure key, as drivers of extents take them.
type InfraKeys struct{ r *Ring }

// Infra lends the infrastructure key to a driver.
func (r *Ring) Infra() InfraKeys { return InfraKeys{r} }

// SealInfra returns the Active version.
func (k InfraKeys) SealInfra() (kref [16]byte, key secret.Key, err error) { return k.r.SealInfra() }

// OpenInfra returns the version that kref names.
func (k InfraKeys) OpenInfra(kref [16]byte) (secret.Key, error) { return k.r.OpenInfra(kref) }
