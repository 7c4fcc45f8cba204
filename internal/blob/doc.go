// Package blob is the Blob service without HTTP: everything it does, decides and
// refuses, over package object.
//
// One account holds containers, one container holds blobs:
//
//	table container   account id || name                    id of the container, policies, metadata
//	table blob        account id || container id || name    the committed blob
//	table staging     account id || container id || name    what Put Block has staged: data keys, count
//	table block       account id || staging id || block id  one staged block
//	table settings    "blob" || account id                  service properties
//	table garbage     'C' || kind || owner || id            a container, staging or account dropped whole
//
// Blob keys have the id of their container, not its name: deleting a
// container is one row, its name may be used again at once, and Collect
// releases the old blobs in slices.
//
// Every operation reads, checks its conditions and writes inside one serializable
// transaction; content is sealed and durable before that transaction begins and is
// discarded if it refuses. Operations authorize their caller themselves (package
// access). Errors are *fault.Error. The fields of the rows are listed in
// spec/blob-rows.md.
package blob
