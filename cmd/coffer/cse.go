package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/coffer-storage/coffer/cse"
)

// cseCmd encrypts on the client, against Azure and Coffer alike. It needs no store.
type cseCmd struct {
	Upload   cseUploadCmd   `cmd:"" help:"Encrypt a file and upload it."`
	Download cseDownloadCmd `cmd:"" help:"Download a blob, or a range of it, and decrypt it."`
	Inspect  cseInspectCmd  `cmd:"" help:"Show how a blob was encrypted on the client; needs no key."`
	Rewrap   cseRewrapCmd   `cmd:"" help:"Wrap content keys by a new key; contents stay as they are."`
	Migrate  cseMigrateCmd  `cmd:"" help:"Bring the blobs of a container from version 1.0 or plaintext to 2.0, or to server-side encryption."`
}

// cseTarget says where blobs are.
type cseTarget struct {
	ConnectionString string `help:"Connection string of the account; for targets that are no URL." env:"AZURE_STORAGE_CONNECTION_STRING" placeholder:"STRING"`
	JSON             bool   `help:"Print JSON." name:"json"`
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// container returns a client for the container of a target, and the rest of the target.
func (t *cseTarget) container(target string) (*container.Client, string, error) {
	if isURL(target) {
		return containerOfURL(target)
	}
	name, rest, _ := strings.Cut(target, "/")
	if t.ConnectionString == "" || name == "" {
		return nil, "", &cseError{err: fmt.Errorf("%q is no URL, and there is no connection string", target),
			hint: "set AZURE_STORAGE_CONNECTION_STRING (coffer env prints it) and name CONTAINER/BLOB, or give a URL with a SAS"}
	}
	c, err := container.NewClientFromConnectionString(t.ConnectionString, name, nil)
	return c, rest, err
}

// containerOfURL takes a URL apart, path-style or host-style. The SAS stays with it.
func containerOfURL(target string) (*container.Client, string, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, "", &cseError{err: errors.New("the URL cannot be read")} // it may hold a signature
	}
	hostStyle := strings.Contains(u.Hostname(), ".blob.")
	names := strings.SplitN(strings.TrimPrefix(u.Path, "/"), "/", 3)
	head := 1
	if !hostStyle {
		head = 2
	}
	if len(names) < head || names[head-1] == "" {
		return nil, "", &cseError{err: errors.New("the URL names no container")}
	}
	rest := strings.Join(names[head:], "/")
	u.Path = "/" + strings.Join(names[:head], "/")
	u.RawPath = ""
	c, err := container.NewClientWithNoCredential(u.String(), nil)
	return c, rest, err
}

// blob returns a client for the blob of a target.
func (t *cseTarget) blob(target string) (*blockblob.Client, error) {
	c, name, err := t.container(target)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, &cseError{err: errors.New("the target names no blob"), hint: "it is CONTAINER/BLOB, or the URL of a blob"}
	}
	return c.NewBlockBlobClient(name), nil
}

// cseRead are the flags of what may be read.
type cseRead struct {
	AllowV1Read            bool  `help:"Read version 1.0, which is not authenticated." name:"allow-v1-read"`
	AllowPlaintextRead     bool  `help:"Read blobs that are not encrypted."`
	AllowMisorderedRegions bool  `help:"For recovery: read regions that are out of order."`
	RequireLength          bool  `help:"Refuse blobs whose length is not authenticated: those of other writers."`
	MaxRegionLength        int64 `help:"Largest region to read, bytes; 64 MiB if not given, at most 1 GiB." placeholder:"BYTES"`
}

func (r *cseRead) apply(o *cse.Options) {
	o.AllowV1Read = r.AllowV1Read
	o.AllowPlaintextRead = r.AllowPlaintextRead
	o.AllowMisorderedRegions = r.AllowMisorderedRegions
	o.RequireLength = r.RequireLength
	o.MaxRegionLength = r.MaxRegionLength
}

// cseWrite are the flags of what is written.
type cseWrite struct {
	Version      string `help:"Version of the format: 2.0, or 2.1 which fewer SDKs read." enum:"2.0,2.1" default:"2.0" name:"format"`
	RegionLength int64  `help:"Bytes that are authenticated at once, for 2.1: 16 to 1073741824." placeholder:"BYTES"`
	OmitLength   bool   `help:"Leave out the entry that authenticates the length."`
}

func (w *cseWrite) apply(o *cse.Options) {
	o.Version = cse.Version(w.Version)
	o.RegionLength = w.RegionLength
	o.OmitLength = w.OmitLength
}

// cseContext is bound to a blob and not stored with it.
type cseContext struct {
	Context string `help:"Text that is bound to the blob and not stored with it: reader and writer give the same." placeholder:"TEXT"`
}

func (c *cseContext) bytes() []byte {
	if c.Context == "" {
		return nil
	}
	return []byte(c.Context)
}

// cseError carries what to do next.
type cseError struct {
	err  error
	hint string
}

func (e *cseError) Error() string { return e.err.Error() }
func (e *cseError) Unwrap() error { return e.err }

// cseHint says what to do about an error of client-side encryption; "" if it is none.
func cseHint(err error) string {
	if e, ok := errors.AsType[*cseError](err); ok {
		if e.hint == "" {
			return "coffer cse --help"
		}
		return e.hint
	}
	e, ok := errors.AsType[*cse.Error](err)
	if !ok || errors.Is(err, context.Canceled) {
		return ""
	}
	return cseHints[e.Code]
}

var cseHints = map[cse.Code]string{
	cse.NotEncrypted:         "if that is as it should be: --allow-plaintext-read",
	cse.UnknownProtocol:      "it was written by a newer format; look for a newer version of this program",
	cse.BadMetadata:          "coffer cse inspect shows the blob; its metadata was changed or cut",
	cse.V1NotAllowed:         "version 1.0 is not authenticated: --allow-v1-read reads it, coffer cse migrate ends it",
	cse.KeyNotFound:          "coffer cse inspect names the key; give it with --key-id and --key, or with --other-key ID=FILE",
	cse.KeyUnavailable:       "see whether the vault can be reached and lets you wrap and unwrap",
	cse.AuthenticationFailed: "the key is not the one, or the blob, its metadata or its context are not what was written",
	cse.RegionTooLarge:       "if you trust the writer: --max-region-length",
	cse.InvalidRange:         "coffer cse inspect shows the length",
	cse.InvalidOption:        "coffer cse COMMAND --help",
	cse.TooLarge:             "take a larger --block-size",
	cse.Unsupported:          "page and append blobs stay as they are",
	cse.Changed:              "run it again",
}

// out opens the file to write, or stdout. commit puts the file in its place.
func (a *app) out(name string) (f *os.File, commit func() error, abort func(), err error) {
	temp, err := os.CreateTemp(dirOf(name), ".coffer-cse-*")
	if err != nil {
		return nil, nil, nil, err
	}
	abort = func() {
		temp.Close()
		os.Remove(temp.Name())
	}
	commit = func() error {
		if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
			os.Remove(temp.Name())
			return err
		}
		return os.Rename(temp.Name(), name)
	}
	return temp, commit, abort, nil
}
