// Package cse encrypts blobs and queue messages on the client before they go to Azure
// Storage, in the formats of the .NET, Java and Python SDKs, and decrypts what those
// wrote. It works over the azblob and azqueue clients, with their credentials, retries
// and transports, against Azure and every service that answers like it.
//
//	key, err := cse.NewAESKey("orders-2026", secret) // 32 bytes
//	...
//	client, err := cse.NewClient(azblobClient, &cse.Options{Key: key})
//	...
//	b := client.NewBlobClient("orders", "2026/11/25.csv")
//	_, err = b.UploadFile(ctx, file, nil)
//	...
//	_, err = b.DownloadFile(ctx, file, nil)
//
// # How it works
//
// Every object gets a random content key of 32 bytes, which encrypts it by AES-256-GCM in
// regions of 4 MiB. The caller's key, local or in a vault, wraps the content key. The
// wrapped key and the parameters are JSON in the metadata "encryptiondata" of the blob, or
// in the text of the message. To read a range, the regions it touches are fetched and
// checked. What is not encrypted: names, sizes, times, metadata, content headers, tags.
//
// # Reading and writing
//
//   - UploadBuffer, UploadFile and UploadStream replace a blob. A retry sends the same
//     ciphertext; a new upload has a new content key.
//   - DownloadBuffer and DownloadFile fetch a blob or a range in parallel. If they fail,
//     the buffer or the file holds nothing.
//   - DownloadStream gives a reader. OpenReader gives an io.ReaderAt, for archives and the
//     like.
//   - SetMetadata changes the caller's metadata and keeps the encryption's. The plain
//     client's SetMetadata drops the key, and so does a server-side copy with new metadata:
//     the data is then gone.
//   - Rewrap and RewrapAll wrap content keys by a new key, without touching content.
//   - Migrate brings a container from version 1.0 or from plaintext to 2.0, or leaves the
//     encryption to the server.
//   - EncryptMessage, DecryptMessage and QueueClient do queues; DecryptEntity and
//     MigrateEntities read tables, which have only version 1.0.
//
// Memory is bounded: about BlockSize times Concurrency for parallel transfers, one region
// for a stream. The defaults hold 20 MiB, and 32 MiB for uploads of 256 MiB or more.
//
// # Keys
//
// A Key is three methods: KeyID, WrapKey, UnwrapKey. There are NewAESKey, NewRSAKey and, in
// package keyvault, keys in Azure Key Vault and Managed HSM. An object names its key; keys
// other than Options.Key come from Options.Resolver, such as a KeyRing. The id that an
// object names is not authenticated: whoever writes the object chooses it.
//
// Take an AES key if readers shall know that the writer had the key. An RSA key is for
// writers that must not read: anyone with the public half can write objects that open.
//
// # What is refused
//
// By default a blob without encryption metadata does not open (NotEncrypted), since who
// can write metadata can remove it; neither does version 1.0 (V1NotAllowed). Options with
// Allow in their name change that. Whatever fails once a key has been used is
// AuthenticationFailed and nothing more: a wrong key, changed data, swapped regions.
//
// # What version 2.0 leaves open
//
// The format does not say where an object ends: one that is cut between two regions opens,
// shorter. So uploads add the length under a MAC, in a place that other SDKs ignore; reads
// check it when it is there, and RequireLength demands it, which refuses objects of other
// SDKs. Nor does the format bind an object to its name: whoever can write blobs can swap
// two of them, with metadata. UploadOptions.Context binds an object to a text of the
// caller, such as its name; a reader that gives the same text notices. An older version of
// a blob can always be put back.
//
// # Version 1.0
//
// Version 1.0 encrypts by AES-CBC and authenticates nothing (CVE-2022-30187). Who can write
// such a blob, and see whether a reader fails, can read it with some 128 tries a byte, and
// change it unseen. This package reads version 1.0 if AllowV1Read says so, with one error
// and the same steps for every failure, and never writes it. That a read failed at all
// cannot be hidden: do not serve version 1.0 to those who can write it. Migrate, and then
// delete snapshots and versions, which Migrate lists.
//
// # What other SDKs call it
//
//	here                        .NET                          Java                             Python
//	NewClient, Options          SpecializedBlobClientOptions  EncryptedBlobClientBuilder       client attributes
//	Options.Key                 KeyEncryptionKey              key(kek, algorithm)              key_encryption_key
//	Options.Resolver            KeyResolver                   keyResolver                      key_resolver_function
//	Options.WrapAlgorithm       KeyWrapAlgorithm              key(kek, algorithm)              get_key_wrap_algorithm of the key
//	Options.Version             ClientSideEncryptionVersion   EncryptionVersion                encryption_version
//	Options.RegionLength        -                             BlobClientSideEncryptionOptions  -
//	AllowPlaintextRead: false   -                             requiresEncryption(true)         require_encryption=True
//	Key                         IKeyEncryptionKey             AsyncKeyEncryptionKey            get_kid, wrap_key, unwrap_key
//	Rewrap                      UpdateClientSideKeyEncryptionKey  -                            -
//	AllowMisorderedRegions      an AppContext switch          -                                AZURE_STORAGE_CSE_V2_ALLOW_MISORDERED_AUTH_REGIONS
//
// Which versions of them read what is in docs/cse.md; the formats are in
// spec/client-side-encryption.md.
package cse
