package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/internal/server"
)

func dirOf(name string) string { return filepath.Dir(name) }

// cseTransfer are the flags of uploads and downloads.
type cseTransfer struct {
	BlockSize   int64 `help:"About how much one request carries, bytes; 4 MiB if not given, 8 MiB to upload 256 MiB or more." placeholder:"BYTES"`
	Concurrency int   `help:"Requests at once, each holds one block; 5 if not given, 4 with blocks of 8 MiB." placeholder:"N"`
}

type cseUploadCmd struct {
	cseTarget
	cseKeys
	cseWrite
	cseContext
	cseTransfer
	File            string            `arg:"" help:"File to encrypt, - for stdin."`
	Target          string            `arg:"" help:"CONTAINER/BLOB, or the URL of the blob with a SAS."`
	ContentType     string            `help:"Content type of the plaintext." placeholder:"TYPE"`
	Metadata        map[string]string `help:"Metadata of the blob, not encrypted; may be repeated." placeholder:"NAME=VALUE"`
	CreateContainer bool              `help:"Create the container if it is not there."`
	NoOverwrite     bool              `help:"Fail if the blob is there."`
}

func (c *cseUploadCmd) Run(a *app) error {
	a.json = c.JSON
	b, err := c.client(a)
	if err != nil {
		return err
	}
	if c.CreateContainer {
		if err := c.create(a); err != nil {
			return err
		}
	}
	r, err := c.upload(a, b)
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON(map[string]any{"target": c.shown(b), "length": r.Length, "storedLength": r.StoredLength, "etag": r.ETag})
		return nil
	}
	fmt.Fprintf(a.stdout, "%s: %s, %s stored\n", c.shown(b), size(r.Length), size(r.StoredLength))
	return nil
}

func (c *cseUploadCmd) client(a *app) (*cse.BlobClient, error) {
	var o cse.Options
	if err := c.cseKeys.apply(a.ctx, &o); err != nil {
		return nil, err
	}
	c.cseWrite.apply(&o)
	b, err := c.blob(c.Target)
	if err != nil {
		return nil, err
	}
	return cse.NewBlobClient(b, &o)
}

// shown is the target without a SAS.
func (c *cseUploadCmd) shown(b *cse.BlobClient) string { return shownTarget(c.Target, b) }

func shownTarget(target string, b *cse.BlobClient) string {
	if !isURL(target) {
		return target
	}
	parts, err := blob.ParseURL(b.Client().URL())
	if err != nil {
		return "the blob"
	}
	return parts.ContainerName + "/" + parts.BlobName
}

func (c *cseUploadCmd) create(a *app) error {
	box, _, err := c.container(c.Target)
	if err != nil {
		return err
	}
	if _, err := box.Create(a.ctx, nil); err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return err
	}
	return nil
}

func (c *cseUploadCmd) upload(a *app, b *cse.BlobClient) (cse.UploadResponse, error) {
	o := &cse.UploadOptions{BlockSize: c.BlockSize, Concurrency: c.Concurrency, Context: c.bytes(), Metadata: map[string]*string{}}
	for k, v := range c.Metadata {
		o.Metadata[k] = to.Ptr(v)
	}
	if c.ContentType != "" {
		o.HTTPHeaders = &blob.HTTPHeaders{BlobContentType: to.Ptr(c.ContentType)}
	}
	if c.NoOverwrite {
		o.AccessConditions = &blob.AccessConditions{
			ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)},
		}
	}
	bar := newBar(a)
	defer bar.done()
	if c.File == "-" {
		o.Progress = func(n int64) { bar.show(server.Progress{Stage: "upload", Done: n, Unit: "bytes"}) }
		return b.UploadStream(a.ctx, a.stdin, o)
	}
	f, err := os.Open(c.File)
	if err != nil {
		return cse.UploadResponse{}, err
	}
	defer f.Close()
	total := int64(0)
	if st, err := f.Stat(); err == nil {
		total = st.Size()
	}
	o.Progress = func(n int64) { bar.show(server.Progress{Stage: "upload", Done: n, Total: total, Unit: "bytes"}) }
	return b.UploadFile(a.ctx, f, o)
}

type cseDownloadCmd struct {
	cseTarget
	cseKeys
	cseRead
	cseContext
	cseTransfer
	Target string `arg:"" help:"CONTAINER/BLOB, or the URL of the blob with a SAS."`
	File   string `arg:"" help:"File to write, - for stdout."`
	Offset int64  `help:"First byte of the plaintext." placeholder:"BYTE"`
	Count  int64  `help:"Number of bytes of the plaintext; to the end if not given." placeholder:"BYTES"`
}

func (c *cseDownloadCmd) Run(a *app) error {
	a.json = c.JSON
	var o cse.Options
	if err := c.cseKeys.apply(a.ctx, &o); err != nil {
		return err
	}
	c.cseRead.apply(&o)
	plain, err := c.blob(c.Target)
	if err != nil {
		return err
	}
	b, err := cse.NewBlobClient(plain, &o)
	if err != nil {
		return err
	}
	n, err := c.download(a, b)
	if err != nil {
		return err
	}
	if a.json && c.File != "-" {
		a.printJSON(map[string]any{"target": shownTarget(c.Target, b), "length": n})
	}
	return nil
}

func (c *cseDownloadCmd) download(a *app, b *cse.BlobClient) (int64, error) {
	rng := cse.Range{Offset: c.Offset, Count: c.Count}
	if c.File == "-" {
		r, err := b.DownloadStream(a.ctx, &cse.DownloadStreamOptions{Range: rng, Context: c.bytes()})
		if err != nil {
			return 0, err
		}
		defer r.Body.Close()
		return io.Copy(a.stdout, r.Body)
	}
	f, commit, abort, err := a.out(c.File)
	if err != nil {
		return 0, err
	}
	bar := newBar(a)
	defer bar.done()
	n, err := b.DownloadFile(a.ctx, f, &cse.DownloadOptions{
		Range: rng, BlockSize: c.BlockSize, Concurrency: c.Concurrency, Context: c.bytes(),
		Progress: func(n int64) { bar.show(server.Progress{Stage: "download", Done: n, Unit: "bytes"}) },
	})
	if err != nil {
		abort()
		return 0, err
	}
	return n, commit()
}

type cseInspectCmd struct {
	cseTarget
	Target string `arg:"" help:"CONTAINER/BLOB, or the URL of the blob with a SAS."`
}

// cseInspection is what inspect prints as JSON.
type cseInspection struct {
	Target              string `json:"target"`
	Encrypted           bool   `json:"encrypted"`
	Version             string `json:"version,omitempty"`
	KeyID               string `json:"keyId,omitempty"`
	Algorithm           string `json:"algorithm,omitempty"`
	RegionLength        int64  `json:"regionLength,omitempty"`
	Library             string `json:"library,omitempty"`
	Length              *int64 `json:"length"` // null: it takes the key to know
	LengthAuthenticated bool   `json:"lengthAuthenticated"`
	StoredLength        int64  `json:"storedLength"`
}

func (c *cseInspectCmd) Run(a *app) error {
	a.json = c.JSON
	plain, err := c.blob(c.Target)
	if err != nil {
		return err
	}
	b, err := cse.NewBlobClient(plain, nil)
	if err != nil {
		return err
	}
	p, err := b.GetProperties(a.ctx, nil)
	if err != nil {
		return err
	}
	got := cseInspection{
		Target: shownTarget(c.Target, b), Encrypted: p.Encrypted, Version: string(p.Version), KeyID: p.KeyID,
		Algorithm: p.Algorithm, RegionLength: p.RegionLength, Library: p.Library,
		LengthAuthenticated: p.LengthAuthenticated, StoredLength: p.StoredLength,
	}
	if p.Length >= 0 {
		got.Length = &p.Length
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	got.print(a)
	return nil
}

func (p *cseInspection) print(a *app) {
	fmt.Fprintln(a.stdout, p.Target)
	if !p.Encrypted {
		a.table([]string{"  not encrypted on the client", fmt.Sprintf("%d bytes", p.StoredLength)})
		return
	}
	length := "it takes the key to know"
	if p.Length != nil {
		length = fmt.Sprintf("%d bytes", *p.Length)
	}
	rows := [][]string{
		{"  version", p.Version},
		{"  key", fmt.Sprintf("%q by %s", p.KeyID, orDash(p.Algorithm))},
		{"  length", fmt.Sprintf("%s, %d stored", length, p.StoredLength)},
		{"  written by", fmt.Sprintf("%q, it says", p.Library)},
	}
	switch {
	case p.Version == string(cse.V1):
		rows = append(rows, []string{"  authenticated", "no: who can write the blob can change it, and read it (CVE-2022-30187)"},
			[]string{"  next", "coffer cse migrate"})
	case p.LengthAuthenticated:
		rows = append(rows, []string{"  authenticated", fmt.Sprintf("regions of %d bytes, and the length", p.RegionLength)})
	default:
		rows = append(rows, []string{"  authenticated", fmt.Sprintf("regions of %d bytes; not where the blob ends", p.RegionLength)})
	}
	a.table(rows...)
}
