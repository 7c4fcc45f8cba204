package cse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// Target is what a migration makes of blobs.
type Target string

// The targets.
const (
	// ToV2 encrypts anew what is of version 1.0, by the version that Options say; and
	// what is not encrypted, if MigrateOptions.Plaintext says so.
	ToV2 Target = "v2"
	// ToServer decrypts what is encrypted on the client, so that only the server
	// protects it.
	ToServer Target = "server"
)

// MigrateOptions are the options of Migrate.
type MigrateOptions struct {
	Target      Target // is demanded
	Plaintext   bool   // ToV2 encrypts blobs that are not encrypted as well
	Prefix      string // of the names; all blobs if empty
	Concurrency int    // blobs at once; 8 if zero, each holds two blocks
	DryRun      bool   // look, and change nothing
	// Context returns the context of a blob, see UploadOptions.Context; nil for none. It
	// is bound to what is written, and demanded of what is read from version 2.x.
	Context func(name string) []byte
	// Progress is told how far it is. Calls do not overlap.
	Progress func(MigrateProgress)
	// Each, if not nil, is told of each blob that was, or had to be, migrated. An error
	// of it ends the run; nil goes on, also after an error. Calls do not overlap.
	Each func(MigrateResult) error
}

// MigrateProgress is how far a migration is. The totals are those of a listing before it.
type MigrateProgress struct {
	Blobs, TotalBlobs int
	Bytes, TotalBytes int64 // stored
}

// MigrateResult is what became of one blob.
type MigrateResult struct {
	Name string
	From Version // "" is plaintext
	Size int64   // stored, before
	Err  error   // nil: it was migrated
}

// MigrateReport says what Migrate found and did.
type MigrateReport struct {
	Migrated int   // in a dry run: would be
	Bytes    int64 // stored, of those
	Done     int   // were in the target form before
	Skipped  int   // plaintext that was not to be encrypted
	Failed   int
	// Held are the snapshots and versions that still hold what was to be migrated, by
	// version, "plaintext" for none. The old form is not gone before they are deleted.
	Held map[string]int
	// HeldNames names the first of them.
	HeldNames []HeldBlob
	// HeldUnknown is why they could not be listed, if they could not.
	HeldUnknown string
}

// HeldBlob is a snapshot or a version of a blob.
type HeldBlob struct{ Name, Snapshot, VersionID, Form string }

const maxHeldNames = 1000

// temporary is the prefix of the blobs that a migration makes on its way.
const temporary = ".coffer-cse-migration/"

func isTemporary(name string) bool { return strings.HasPrefix(name, temporary) }

func temporaryName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return temporary + hex.EncodeToString(sum[:16])
}

// Migrate brings the blobs of a container, or of a prefix of it, into another form.
//
// A blob is written in its new form under a temporary name, read back from there,
// decrypted and compared with the old, and the very bytes that were read back replace
// the blob, in one step and only if it is still what was read. So a blob is at all times
// in the old form or in the new, whole. A run that was ended, at whatever point, is
// resumed by starting it again: the blobs themselves say what is done.
//
// Blobs keep their name, metadata, tags, content headers and tier. They get a new ETag
// and date. Page and append blobs, leased and archived blobs fail and stay as they are.
// Run one migration of a container at a time.
func Migrate(ctx context.Context, c *container.Client, opt *Options, mo *MigrateOptions) (MigrateReport, error) {
	m, err := newMigration(c, opt, mo)
	if err != nil {
		return MigrateReport{}, err
	}
	if err := m.count(ctx); err != nil {
		return m.report, err
	}
	if err := walk(ctx, c, m.mo.Prefix, m.mo.Concurrency, m.item); err != nil {
		return m.report, err
	}
	m.held(ctx)
	if m.mo.DryRun {
		return m.report, nil
	}
	return m.report, m.clean(ctx)
}

// migration is one run.
type migration struct {
	c   *container.Client
	opt Options // to read and write: both forms are allowed, each where it was found
	mo  MigrateOptions

	mu       sync.Mutex
	report   MigrateReport   // guarded by mu
	progress MigrateProgress // guarded by mu
}

func newMigration(c *container.Client, opt *Options, mo *MigrateOptions) (*migration, error) {
	m := &migration{c: c, report: MigrateReport{Held: map[string]int{}}}
	if mo != nil {
		m.mo = *mo
	}
	if m.mo.Context == nil {
		m.mo.Context = func(string) []byte { return nil }
	}
	var err error
	if m.opt, err = opt.check(); err != nil {
		return nil, err
	}
	invalid := func(s string) (*migration, error) { return nil, &Error{Code: InvalidOption, Detail: s} }
	switch {
	case c == nil:
		return invalid("no container")
	case m.mo.Target != ToV2 && m.mo.Target != ToServer:
		return invalid("the target of a migration is v2 or server")
	case m.mo.Target == ToServer && m.mo.Plaintext:
		return invalid("plaintext is what the target server has")
	case m.mo.Target == ToV2 && m.opt.Key == nil:
		return invalid("encrypting needs Options.Key")
	}
	return m, nil
}

// form is how a blob is encrypted: a version, or "" for plaintext.
func form(text *string) (Version, error) {
	if text == nil {
		return "", nil
	}
	d, err := format.Parse(*text)
	if err != nil {
		return "", fromFormat(err)
	}
	return Version(d.Protocol), nil
}

// wanted says whether a form is one to migrate, or one that is left alone on purpose.
func (m *migration) wanted(v Version) (wanted, skipped bool) {
	if m.mo.Target == ToServer {
		return v != "", false
	}
	return v == V1 || v == "" && m.mo.Plaintext, v == "" && !m.mo.Plaintext
}

// count fills in the totals, for those who want to see them.
func (m *migration) count(ctx context.Context) error {
	if m.mo.Progress == nil {
		return nil
	}
	err := list(ctx, m.c, m.mo.Prefix, container.ListBlobsInclude{Metadata: true}, func(it item) error {
		if v, err := form(it.text); err == nil && !isTemporary(it.name) {
			if wanted, _ := m.wanted(v); wanted {
				m.progress.TotalBlobs++
				m.progress.TotalBytes += it.size
			}
		}
		return nil
	})
	m.mo.Progress(m.progress)
	return err
}

// item migrates one blob of the listing.
func (m *migration) item(ctx context.Context, it item) error {
	v, err := form(it.text)
	wanted, skipped := m.wanted(v)
	if err == nil && !wanted {
		m.mu.Lock()
		defer m.mu.Unlock()
		if skipped {
			m.report.Skipped++
		} else {
			m.report.Done++
		}
		return nil
	}
	if err == nil && it.kind != "" && it.kind != blob.BlobTypeBlockBlob {
		err = &Error{Code: Unsupported, Detail: string(it.kind)}
	}
	if err == nil && !m.mo.DryRun {
		err = m.blob(ctx, it.name, v)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return m.tell(MigrateResult{Name: it.name, From: v, Size: it.size, Err: err})
}

func (m *migration) tell(r MigrateResult) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Err == nil {
		m.report.Migrated++
		m.report.Bytes += r.Size
	} else {
		m.report.Failed++
	}
	m.progress.Blobs++
	m.progress.Bytes += r.Size
	if m.mo.Progress != nil {
		m.mo.Progress(m.progress)
	}
	if m.mo.Each != nil {
		return m.mo.Each(r)
	}
	return nil
}

// blob migrates one blob that is of that form.
func (m *migration) blob(ctx context.Context, name string, from Version) error {
	opt := m.opt
	opt.AllowV1Read = from == V1
	opt.AllowPlaintextRead = from == ""
	if from == V1 || from == "" {
		opt.RequireLength = false
	}
	src := &BlobClient{blob: m.c.NewBlockBlobClient(name), opt: opt}
	var old []byte
	if from == V2 || from == V21 {
		old = m.mo.Context(name)
	}
	props, err := src.blob.GetProperties(ctx, nil)
	if err != nil {
		return err
	}
	r, err := src.DownloadStream(ctx, &DownloadStreamOptions{Context: old, AccessConditions: ifMatch(nil, props.ETag)})
	if err != nil {
		return err
	}
	defer r.Body.Close()
	sum := sha256.New()
	temp := m.c.NewBlockBlobClient(temporaryName(name))
	if err := m.write(ctx, temp, io.TeeReader(r.Body, sum), name); err != nil {
		return err
	}
	keep, err := m.kept(ctx, src.blob, &props)
	if err != nil {
		return err
	}
	if err := m.replace(ctx, src.blob, temp, keep, sum, r.Length); err != nil {
		return err
	}
	_, err = temp.Delete(ctx, nil)
	return err
}

// write writes the new form under the temporary name.
func (m *migration) write(ctx context.Context, temp *blockblob.Client, r io.Reader, name string) error {
	if m.mo.Target == ToServer {
		_, err := temp.UploadStream(ctx, r, &blockblob.UploadStreamOptions{BlockSize: defaultBlock, Concurrency: 1})
		return err
	}
	c := &BlobClient{blob: temp, opt: m.opt}
	_, err := c.UploadStream(ctx, r, &UploadOptions{Concurrency: 1, Context: m.mo.Context(name)})
	return err
}

// kept is what a blob keeps in its new form.
type kept struct {
	metadata map[string]*string
	headers  *blob.HTTPHeaders
	tags     map[string]string
	tier     *blob.AccessTier
	match    *blob.AccessConditions
}

func (m *migration) kept(ctx context.Context, b *blockblob.Client, p *blob.GetPropertiesResponse) (kept, error) {
	k := kept{
		headers: &blob.HTTPHeaders{
			BlobContentType:        p.ContentType,
			BlobContentEncoding:    p.ContentEncoding,
			BlobContentLanguage:    p.ContentLanguage,
			BlobContentDisposition: p.ContentDisposition,
			BlobCacheControl:       p.CacheControl,
		},
		match: ifMatch(nil, p.ETag),
	}
	_, k.metadata = splitMetadata(p.Metadata)
	if p.AccessTier != nil && *p.AccessTier != "" && !deref(p.AccessTierInferred) {
		k.tier = to.Ptr(blob.AccessTier(*p.AccessTier))
	}
	if deref(p.TagCount) == 0 {
		return k, nil
	}
	tags, err := b.GetTags(ctx, nil)
	if err != nil {
		return kept{}, err
	}
	k.tags = map[string]string{}
	for _, t := range tags.BlobTagSet {
		k.tags[deref(t.Key)] = deref(t.Value)
	}
	return k, nil
}

// replace reads the new form back, decrypts it, and puts the bytes that it read in the
// place of the old blob, if they decrypt to the same content.
func (m *migration) replace(ctx context.Context, b, temp *blockblob.Client, keep kept, sum hash.Hash, length int64) error {
	opt := m.opt
	opt.AllowPlaintextRead = m.mo.Target == ToServer
	opt.AllowV1Read = false
	if opt.AllowPlaintextRead {
		opt.RequireLength = false
	}
	obj, err := (&BlobClient{blob: temp, opt: opt}).probe(ctx, access{}, nil)
	if err != nil {
		return err
	}
	if obj.plain != length {
		return &Error{Code: Changed, Detail: fmt.Sprintf("read back %d bytes of %d", obj.plain, length)}
	}
	if obj.text != nil {
		keep.metadata[MetadataName] = obj.text
	}
	copied := sha256.New()
	put := newPut(b, keep)
	part, _ := parts(obj.unit(), defaultBlock, 1)
	part = max(part, (length/part/(maxBlocks/2)+1)*part) // no more blocks than there are
	var stored, plain []byte
	for off := int64(0); off < length; off += part {
		p, err := obj.plan(off, min(part, length-off))
		if err != nil {
			return err
		}
		if int64(cap(stored)) < p.Len {
			stored, plain = make([]byte, p.Len), make([]byte, p.Len)
		}
		stored, plain = stored[:p.Len], plain[:p.Len]
		if err := obj.fetch(ctx, p.Off, stored); err != nil {
			return err
		}
		copy(plain, stored)
		if err := obj.decrypt(plain, p, func(text []byte) error { copied.Write(text); return nil }); err != nil {
			return err
		}
		if err := put.add(ctx, stored, off+part >= length); err != nil {
			return err
		}
	}
	if hex.EncodeToString(copied.Sum(nil)) != hex.EncodeToString(sum.Sum(nil)) {
		return &Error{Code: Changed, Detail: "read back other content"}
	}
	return put.commit(ctx)
}

// clean deletes what an earlier run left behind when it was ended.
func (m *migration) clean(ctx context.Context) error {
	return list(ctx, m.c, temporary, container.ListBlobsInclude{}, func(it item) error {
		_, err := m.c.NewBlockBlobClient(it.name).Delete(ctx, nil)
		if status(err) == 404 {
			return nil
		}
		return err
	})
}

// held finds what still holds the old form.
func (m *migration) held(ctx context.Context) {
	m.report.HeldUnknown = held(ctx, m.c, m.mo.Prefix, func(it item) {
		v, err := form(it.text)
		if wanted, _ := m.wanted(v); err != nil || !wanted {
			return
		}
		name := string(v)
		if v == "" {
			name = "plaintext"
		}
		m.report.Held[name]++
		if len(m.report.HeldNames) < maxHeldNames {
			m.report.HeldNames = append(m.report.HeldNames, HeldBlob{it.name, it.snapshot, it.version, name})
		}
	})
}
