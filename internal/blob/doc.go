// Package blob is the Blob service without HTTP: everything it does, decides and
// refuses, over package object.
//
// One account holds containers, one container holds blobs:
//
//	table container   key = account id || container name      id of the container, policies, metadata
//	table blob        key = container id || blob name         the committed blob
//	table staging     key = container id || blob name         what Put Block has staged: data keys, count
//	table block       key = container id || blob name || 0 || block id   one staged block
//	table garbage     key = 'C' || account id || container id  a deleted container, until its rows are gone
//
// Blob keys begin with the id of their container, not with its name: deleting a
// container is one row, its name may be used again at once, and CollectContainers
// releases the old blobs in slices.
//
// Every operation reads, checks its conditions and writes inside one serializable
// transaction; content is sealed and durable before that transaction begins and is
// discarded if it refuses. Operations authorize their caller themselves (package
// access). Errors are *fault.Error. The fields of the rows are listed in
// spec/blob-rows.md.
package blob
