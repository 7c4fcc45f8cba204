package object

// Table is one key space of the store. Its name is in the AAD of every row.
type Table struct {
	Name   string
	Prefix byte // first byte of every key in meta
	// Owned tables have keys that begin with the 16 bytes of the owner, whose SYSK
	// seals SYS. Rows of the others are the store's own.
	Owned bool
	// Wraps says that rows can hold DEK entries: the re-wrap sweep visits them.
	Wraps bool
}

// The one registry of tables. Names and prefixes are for ever.
var (
	Account    = Table{Name: "account", Prefix: 'a', Wraps: true}
	Container  = Table{Name: "container", Prefix: 'c', Owned: true}
	Blob       = Table{Name: "blob", Prefix: 'b', Owned: true, Wraps: true}
	Staging    = Table{Name: "staging", Prefix: 's', Owned: true, Wraps: true}
	Block      = Table{Name: "block", Prefix: 't', Owned: true}
	Map        = Table{Name: "map", Prefix: 'm', Owned: true}
	Chunk      = Table{Name: "chunk", Prefix: 'k', Owned: true}
	Place      = Table{Name: "place", Prefix: 'p'}
	Dead       = Table{Name: "dead", Prefix: 'd'}
	Garbage    = Table{Name: "garbage", Prefix: 'g'}
	Protectors = Table{Name: "protector", Prefix: 'q'}
	Fences     = Table{Name: "fence", Prefix: 'f'}
	Cursor     = Table{Name: "cursor", Prefix: 'r'}
	Places     = Table{Name: "places", Prefix: 'v'}
	Settings   = Table{Name: "settings", Prefix: 'x'}
	Scope      = Table{Name: "scope", Prefix: 'e', Owned: true}
	Identity   = Table{Name: "identity", Prefix: 'i', Wraps: true}
	Vault      = Table{Name: "vault", Prefix: 'h', Wraps: true}
)

// Tables returns all tables, in the order of their names.
func Tables() []Table {
	return []Table{Account, Blob, Block, Chunk, Container, Cursor, Dead, Fences, Garbage, Identity, Map,
		Place, Places, Protectors, Scope, Settings, Staging, Vault}
}

// key is the key of a row in meta.
func (t Table) key(k []byte) []byte {
	b := make([]byte, 0, 1+len(k))
	return append(append(b, t.Prefix), k...)
}

// end is the upper end of a range in meta: hi in t, or the end of t when hi is nil.
func (t Table) end(hi []byte) []byte {
	if hi == nil {
		return []byte{t.Prefix + 1}
	}
	return t.key(hi)
}
