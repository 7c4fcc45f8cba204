package object

// OpenedChunks is the number of chunks that stay opened.
func OpenedChunks(s *Store) int {
	s.deks.chunks.mu.Lock()
	defer s.deks.chunks.mu.Unlock()
	return s.deks.chunks.used.Len()
}

// OpenedMapRows is the number of map rows that stay opened, and of the maps they are of.
func OpenedMapRows(s *Store) (rows, maps int) {
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	return s.maps.used.Len(), len(s.maps.m)
}

// OpenedSize bounds the chunks that stay opened.
const OpenedSize = openedSize

// AheadBuffer is the longest write of a read that overlaps with sending; others write less.
const AheadBuffer = aheadBuffer
