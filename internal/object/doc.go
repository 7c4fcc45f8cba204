// Package object is the barrier: plaintext meets storage only here.
//
// A content is a row of some table and the chunks that it names:
//
//	row:    SYS (VALUE-1 under the owner's SYSK: DEK entries, chunk references, the
//	        service's fields) || parts (user metadata under the DEK, ..)
//	chunk:  row in table chunk; up to 32 KiB the CFC1 lies in it (INLINE), above that
//	        in an extent, and the row has its place
//	place:  extent || offset -> chunk: what lives in an extent
//
// Writing goes in two steps. Write seals a stream and makes it durable, without rows.
// One transaction then wraps the data key (Tx.Wrap), writes the chunk rows (Tx.Attach)
// and the row that names them (Tx.SetPieces, Tx.Put). A crash before it leaves chunks
// that nothing names; the janitor removes them.
//
// Reading is Store.View, Tx.Get, Store.Open, Reader.WriteTo. No byte leaves before it is
// authenticated.
//
// Removing is Tx.Release, which writes one garbage row however long the content is.
// Package janitor frees it later (Store.Collect), never under a Reader or a Fence.
//
// Every SYS is bound to its store, table and row key; every part to its kind and owner;
// every wrap to its owner, protector and key version. Moving any of them elsewhere
// makes them fail to open. The rows are listed in spec/rows.md.
package object
