package fileextent

import "github.com/coffer-storage/coffer/internal/extent"

// Path is the file of an extent, for a backup: below Options.Dir.
func (s *Store) Path(i extent.Info) string {
	t := s.single
	if i.Class == extent.Double {
		t = s.double
	}
	if i.Shared {
		return s.path(t, i.ID, sharedSuffix)
	}
	return s.path(t, i.ID, "")
}
