package identity

import (
	"strings"
)

// Role is a built-in role: what it lets its holder do. A star stands for anything.
type Role struct {
	ID             string // UUID
	Name           string
	Description    string
	HSM            bool // a local role of Managed HSMs, which exists at their paths only
	Actions        []string
	NotActions     []string
	DataActions    []string
	NotDataActions []string
}

// Roles returns the built-in roles.
func Roles() []Role { return nil }

// FindRole returns the role of that UUID, full id or name.
func FindRole(s string) (Role, bool) {
	s = s[strings.LastIndexByte(s, '/')+1:]
	for _, r := range Roles() {
		if strings.EqualFold(r.ID, s) || strings.EqualFold(r.Name, s) {
			return r, true
		}
	}
	return Role{}, false
}
