package blob_test

import (
	"bytes"
	"crypto/fips140"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/crc64nvme"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
)

func crc(s string) []byte {
	h := crc64nvme.New()
	h.Write([]byte(s))
	return binary.LittleEndian.AppendUint64(nil, h.Sum64())
}

func sum(s string) (b []byte) {
	fips140.WithoutEnforcement(func() {
		h := md5.Sum([]byte(s))
		b = h[:]
	})
	return b
}

func TestPutBlob(t *testing.T) {
	w := newWorld(t)
	for name, content := range map[string]string{
		"empty":  "",
		"small":  "hello",
		"inline": strings.Repeat("x", 32<<10),
		"chunk":  strings.Repeat("y", 32<<10+1),
		"large":  strings.Repeat("0123456789abcdef", 200_000),
	} {
		h := blob.Headers{CacheControl: "no-store", ContentType: "text/plain", ContentEncoding: "gzip", ContentLanguage: "de", ContentDisposition: "attachment"}
		m := blob.Metadata{{Name: "Zeta", Value: "1"}, {Name: "alpha", Value: "two words"}}
		a, err := w.tryPut(name, content, blob.PutOptions{Headers: h, Metadata: m, Tier: "Cool", ContentMD5: sum(content)})
		if err != nil {
			t.Fatalf("PutBlob %s = %v", name, err)
		}
		if !bytes.Equal(a.ContentMD5, sum(content)) || !bytes.Equal(a.ContentCRC64, crc(content)) {
			t.Errorf("%s: sums in the answer = %x, %x", name, a.ContentMD5, a.ContentCRC64)
		}
		got, p, err := w.tryGet(name, nil)
		if err != nil || got != content {
			t.Errorf("%s: %d bytes read, %v, want %d as they were put", name, len(got), err, len(content))
		}
		h.ContentMD5 = sum(content)
		wantP := blob.Properties{
			Headers: h, Metadata: m, ETag: a.ETag, LastModified: a.LastModified, Created: a.LastModified,
			Length: int64(len(content)), Type: "BlockBlob", Tier: "Cool", TierChanged: a.LastModified,
			ServerEncrypted: true, LeaseStatus: "unlocked", LeaseState: "available", Encryption: p.Encryption,
		}
		if info, err := w.Accounts.Get(w.ctx, acct); err != nil || p.Encryption.Protector != info.Protector || p.Encryption.KeySHA256+p.Encryption.Scope != "" || p.Encryption != a.Encryption {
			t.Errorf("%s: encryption = %+v, %v, want the account's key", name, p.Encryption, err)
		}
		if d := cmp.Diff(wantP, p); d != "" {
			t.Errorf("%s: properties (-want +got):\n%s", name, d)
		}
		if !a.Encrypted {
			t.Errorf("%s: the answer does not say that it is encrypted", name)
		}
	}
}

// Large contents at a time, refused and broken ones among them: each has its own MD5, and
// none stays open.
func TestPutBlobsAtOnce(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for i := range 12 {
		content := strings.Repeat(string(rune('a'+i)), 300_000+i)
		o := blob.PutOptions{Length: int64(len(content)), Body: iotest.HalfReader(strings.NewReader(content))}
		n := "at-once-" + content[:1]
		all.Go(func() {
			kind := success
			switch i % 4 {
			case 1:
				o.Body, kind = strings.NewReader(content[1:]), fault.ContentLengthMismatch
			case 2:
				o.ContentMD5, kind = sum("another"), fault.MD5Mismatch
			case 3:
				defer func() { recover() }()
				o.Body = panicAfter{strings.NewReader(content[1:])}
			}
			a, err := w.Blobs.PutBlob(w.ctx, w.who, ref(n), o)
			w.want("PutBlob "+n, err, kind)
			if kind == success && !bytes.Equal(a.ContentMD5, sum(content)) {
				t.Errorf("%s: MD5 = %x, want %x", n, a.ContentMD5, sum(content))
			}
		})
	}
	all.Wait()
	if n := blob.OpenMD5s(); n != 0 {
		t.Errorf("%d MD5s stay open", n)
	}
}

// panicAfter panics where its Reader ends.
type panicAfter struct{ io.Reader }

func (p panicAfter) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil {
		panic(err)
	}
	return n, nil
}

func TestPutBlobDefaults(t *testing.T) {
	w := newWorld(t)
	w.put("a", "x")
	p := w.props("a")
	if p.ContentType != "application/octet-stream" || p.Tier != "Hot" || !p.TierInferred || !p.TierChanged.IsZero() {
		t.Errorf("defaults = %q, %q, %v, %v", p.ContentType, p.Tier, p.TierInferred, p.TierChanged)
	}
	if !bytes.Equal(p.ContentMD5, sum("x")) {
		t.Errorf("Content-MD5 = %x, want the one that was computed", p.ContentMD5)
	}
}

func TestPutBlobRefuses(t *testing.T) {
	w := newWorld(t)
	before := w.put("there", "old")
	long := strings.Repeat("x", 100_000)
	tests := []struct {
		name, blob, content string
		o                   blob.PutOptions
		want                fault.Kind
	}{
		{"wrong MD5", "a", "x", blob.PutOptions{ContentMD5: sum("y")}, fault.MD5Mismatch},
		{"wrong MD5, long", "a", long, blob.PutOptions{ContentMD5: sum("y")}, fault.MD5Mismatch},
		{"wrong MD5 to store", "a", "x", blob.PutOptions{Headers: blob.Headers{ContentMD5: sum("y")}}, fault.MD5Mismatch},
		{"short MD5", "a", "x", blob.PutOptions{ContentMD5: []byte{1}}, fault.InvalidMD5},
		{"short MD5 to store", "a", "x", blob.PutOptions{Headers: blob.Headers{ContentMD5: []byte{1}}}, fault.InvalidMD5},
		{"wrong CRC", "a", "x", blob.PutOptions{ContentCRC64: crc("y")}, fault.CRC64Mismatch},
		{"short CRC", "a", "x", blob.PutOptions{ContentCRC64: []byte{1}}, fault.InvalidCRC64},
		{"both sums", "a", "x", blob.PutOptions{ContentMD5: sum("x"), ContentCRC64: crc("x")}, fault.MD5AndCRC64},
		{"bad metadata", "a", "x", blob.PutOptions{Metadata: blob.Metadata{{Name: "1"}}}, fault.InvalidMetadata},
		{"header that would split", "a", "x", blob.PutOptions{Headers: blob.Headers{ContentType: "a\r\nb"}}, fault.InvalidHeaderValue},
		{"archive", "a", "x", blob.PutOptions{Tier: "Archive"}, fault.UnsupportedOperation},
		{"unknown tier", "a", "x", blob.PutOptions{Tier: "warm"}, fault.InvalidHeaderValue},
		{"scope", "a", "x", blob.PutOptions{Encryption: blob.EncryptionOptions{Scope: "s"}}, fault.ScopeNotFound},
		{"tags condition", "a", "x", blob.PutOptions{Conditions: blob.Conditions{IfTags: "x"}}, fault.UnsupportedHeader},
		{"two conditions", "a", "x", blob.PutOptions{Conditions: blob.Conditions{IfMatch: "*", IfNoneMatch: "*"}}, fault.MultipleConditions},
		{"create only, there", "there", "x", blob.PutOptions{Conditions: blob.Conditions{IfNoneMatch: "*"}}, fault.BlobAlreadyExists},
		{"match, not there", "a", "x", blob.PutOptions{Conditions: blob.Conditions{IfMatch: "*"}}, fault.ConditionNotMet},
		{"match another", "there", "x", blob.PutOptions{Conditions: blob.Conditions{IfMatch: `"0x1"`}}, fault.ConditionNotMet},
		{"lease", "there", "x", blob.PutOptions{Conditions: blob.Conditions{LeaseID: "l"}}, fault.LeaseNotPresent},
		{"match", "there", "old", blob.PutOptions{Conditions: blob.Conditions{IfMatch: before.ETag}}, success},
		{"MD5 that is right", "there", "old", blob.PutOptions{ContentMD5: sum("old"), Headers: blob.Headers{ContentMD5: sum("old")}}, success},
		{"CRC that is right", "there", "old", blob.PutOptions{ContentCRC64: crc("old")}, success},
	}
	for _, tt := range tests {
		_, err := w.tryPut(tt.blob, tt.content, tt.o)
		w.want("PutBlob "+tt.name, err, tt.want)
	}
	if _, _, err := w.tryGet("a", nil); !fault.Is(err, fault.BlobNotFound) {
		t.Errorf("a refused Put left a blob: %v", err)
	}
	if got := w.get("there"); got != "old" {
		t.Errorf("a refused Put changed the blob to %q", got)
	}
	elsewhere := ref("a")
	elsewhere.Container = "nobox"
	_, err := w.Blobs.PutBlob(w.ctx, w.who, elsewhere, blob.PutOptions{Body: strings.NewReader("")})
	w.want("PutBlob into no container", err, fault.ContainerNotFound)
	_, err = w.Blobs.PutBlob(w.ctx, w.who, ref("a"), blob.PutOptions{Length: blob.MaxPut + 1, Body: strings.NewReader("")})
	w.want("PutBlob of too much", err, fault.RequestBodyTooLarge)
	w.collect()
	if n := w.Extents.Len(); n != 0 {
		t.Errorf("refused bodies left %d extents", n)
	}
}

// TestRefusedBodyIsNotRead shows that what can be refused by the headers is.
func TestRefusedBodyIsNotRead(t *testing.T) {
	w := newWorld(t)
	w.put("there", "old")
	body := iotest.ErrReader(errors.New("the body was read"))
	for _, r := range []blob.Ref{ref("there"), {Account: acct, Container: "nobox", Blob: "a"}} {
		_, err := w.Blobs.PutBlob(w.ctx, w.who, r, blob.PutOptions{Length: 5, Body: body, Conditions: blob.Conditions{IfNoneMatch: "*"}})
		if !fault.Is(err, fault.BlobAlreadyExists) && !fault.Is(err, fault.ContainerNotFound) {
			t.Errorf("PutBlob %v = %v", r, err)
		}
	}
}

func TestShortBody(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int64{10, 100_000, 3 << 20} {
		_, err := w.Blobs.PutBlob(w.ctx, w.who, ref("a"), blob.PutOptions{Length: n, Body: strings.NewReader("short")})
		w.want("short PutBlob", err, fault.ContentLengthMismatch)
		_, err = w.Blobs.PutBlock(w.ctx, w.who, ref("a"), blob.BlockOptions{ID: id(1), Length: n, Body: strings.NewReader("short")})
		w.want("short PutBlock", err, fault.ContentLengthMismatch)
		gone := errors.New("connection reset")
		_, err = w.Blobs.PutBlob(w.ctx, w.who, ref("a"), blob.PutOptions{Length: n, Body: io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(gone))})
		if !fault.Is(err, fault.Canceled) || !errors.Is(err, gone) {
			t.Errorf("PutBlob of a broken body = %v, want Canceled with its error", err)
		}
		slow := fault.New("wire", "", fault.Timeout, nil)
		_, err = w.Blobs.PutBlob(w.ctx, w.who, ref("a"), blob.PutOptions{Length: n, Body: iotest.ErrReader(slow)})
		w.want("PutBlob of a body with a fault", err, fault.Timeout)
	}
	if _, err := w.Blobs.GetProperties(w.ctx, w.who, ref("a"), blob.Conditions{}, blob.EncryptionOptions{}); !fault.Is(err, fault.BlobNotFound) {
		t.Errorf("short bodies left a blob: %v", err)
	}
	if l, err := w.Blobs.GetBlockList(w.ctx, w.who, ref("a"), blob.WhichAll, blob.Conditions{}); err == nil && len(l.Uncommitted) > 0 {
		t.Errorf("short bodies left blocks: %v", l)
	}
	w.Clock.Add(8 * 24 * time.Hour)
	w.wantNoContent()
}

func TestOverwrite(t *testing.T) {
	w := newWorld(t)
	first := w.put("a", "one")
	w.stage("a", id(1), "staged")
	w.Clock.Add(time.Hour)
	second := w.put("a", "two")
	if first.ETag == second.ETag || w.get("a") != "two" {
		t.Errorf("overwrite: ETags %s, %s, content %q", first.ETag, second.ETag, w.get("a"))
	}
	if p := w.props("a"); !p.Created.Equal(second.LastModified) {
		t.Errorf("created = %v, want the time of the overwrite", p.Created)
	}
	if l := w.blocks("a", blob.WhichAll); len(l.Uncommitted) != 0 {
		t.Errorf("Put Blob left staged blocks: %v", l.Uncommitted)
	}
	if err := w.Blobs.Delete(w.ctx, w.who, ref("a"), blob.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.wantNoContent()
}

func TestOverwriteNeedsWrite(t *testing.T) {
	w := newWorld(t)
	create := w.sas("c")
	if _, err := create.tryPut("a", "x", blob.PutOptions{}); err != nil {
		t.Errorf("create with c = %v", err)
	}
	_, err := create.tryPut("a", "y", blob.PutOptions{})
	w.want("overwrite with c", err, fault.UnauthorizedBlobOverwrite)
	_, err = w.sas("w").tryPut("a", "z", blob.PutOptions{})
	w.want("overwrite with w", err, success)
	_, err = w.sas("r").tryPut("b", "z", blob.PutOptions{})
	w.want("create with r", err, fault.PermissionMismatch)
	_, err = create.tryCommit("a", blob.ListOptions{})
	w.want("commit over with c", err, fault.UnauthorizedBlobOverwrite)
	_, err = create.tryCommit("b", blob.ListOptions{})
	w.want("commit new with c", err, success)
	scoped := w.sas("cw")
	scoped.who.SAS.EncryptionScope = "s"
	_, err = scoped.tryPut("c", "z", blob.PutOptions{})
	w.want("SAS with a scope", err, fault.ScopeNotFound)
}

// TestOneCreateWins runs conditional creates side by side: exactly one may win, and
// what it wrote is what is there.
func TestOneCreateWins(t *testing.T) {
	w := newWorld(t)
	for round := range 20 {
		name := id(round)
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				content := strings.Repeat(string(rune('a'+i)), 100)
				_, err := w.tryPut(name, content, blob.PutOptions{Conditions: blob.Conditions{IfNoneMatch: "*"}})
				switch {
				case err == nil:
					won.Add(1)
					winner.Store(content)
				case !fault.Is(err, fault.BlobAlreadyExists):
					t.Errorf("PutBlob = %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || w.get(name) != winner.Load() {
			t.Fatalf("%d creates won, content %q", won.Load(), w.get(name))
		}
	}
}

// TestNoLostUpdate increments a counter in a blob with If-Match.
func TestNoLostUpdate(t *testing.T) {
	w := newWorld(t)
	w.put("n", "")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for done := 0; done < 10; {
				content, p, err := w.tryGet("n", nil)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = w.tryPut("n", content+"x", blob.PutOptions{Conditions: blob.Conditions{IfMatch: p.ETag}})
				if err == nil {
					done++
				} else if !fault.Is(err, fault.ConditionNotMet) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := w.get("n"); len(got) != 40 {
		t.Errorf("%d updates are left of 40", len(got))
	}
}

func TestAnonymous(t *testing.T) {
	w := newWorld(t)
	w.box("pub", "blob")
	w.box("open", "container")
	nobody := w.as(nil)
	for _, box := range []string{"box", "pub", "open"} {
		r := ref("a")
		r.Container = "pub"
		if box != "pub" {
			r.Container = "box"
		}
		if box == "open" {
			r.Container = "open"
		}
		if _, err := w.Blobs.PutBlob(w.ctx, w.who, r, blob.PutOptions{Length: 1, Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
		read, list := fault.ResourceNotFound, fault.ResourceNotFound
		if box != "box" {
			read = success
		}
		if box == "open" {
			list = success
		}
		_, err := w.Blobs.GetProperties(w.ctx, nil, r, blob.Conditions{}, blob.EncryptionOptions{})
		w.want("anonymous read in "+box, err, read)
		_, err = w.Blobs.List(w.ctx, nil, acct, r.Container, blob.ListBlobsOptions{})
		w.want("anonymous list in "+box, err, list)
		_, err = w.Blobs.GetContainer(w.ctx, &access.Caller{}, acct, r.Container, blob.Conditions{})
		w.want("anonymous properties of "+box, err, list)
		err = w.Blobs.Delete(w.ctx, nil, r, blob.DeleteOptions{})
		w.want("anonymous delete in "+box, err, fault.NoAuthentication)
	}
	_, err := nobody.tryPut("a", "x", blob.PutOptions{})
	w.want("anonymous put", err, fault.NoAuthentication)
	_, err = w.Blobs.GetProperties(w.ctx, nil, blob.Ref{Account: acct, Container: "nobox", Blob: "a"}, blob.Conditions{}, blob.EncryptionOptions{})
	w.want("anonymous read in no container", err, fault.ResourceNotFound)
	_, err = w.Blobs.GetProperties(w.ctx, nil, blob.Ref{Account: "nobody", Container: "box", Blob: "a"}, blob.Conditions{}, blob.EncryptionOptions{})
	w.want("anonymous read in no account", err, fault.AccountNotFound)
}
