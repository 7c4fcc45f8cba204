package cse_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

// reads reads a blob in every way, and returns the error of each.
func reads(t *testing.T, c *cse.BlobClient, context []byte) map[string]error {
	t.Helper()
	ctx := t.Context()
	errs := map[string]error{}
	buf := bytes.Repeat([]byte{1}, 1<<10)
	if _, errs["buffer"] = c.DownloadBuffer(ctx, buf, &cse.DownloadOptions{Context: context}); errs["buffer"] != nil && bytes.Contains(buf, csetest.Pattern(8)) {
		t.Error("DownloadBuffer failed and left plaintext")
	}
	_, errs["range"] = c.DownloadBuffer(ctx, buf, &cse.DownloadOptions{Context: context, Range: cse.Range{Offset: 1, Count: 5}})
	_, errs["stream"] = readStream(t, c, &cse.DownloadStreamOptions{Context: context})
	r, err := c.OpenReader(ctx, &cse.ReaderOptions{Context: context})
	if err == nil {
		_, err = r.ReadAt(make([]byte, 8), 0)
	}
	errs["reader"] = err
	return errs
}

func TestWhatIsReadByDefault(t *testing.T) {
	key := aesKey(t, "key1")
	text := csetest.Pattern(100)
	edit := func(b csetest.Blob, old, fresh string) csetest.Blob {
		b.Metadata["encryptiondata"] = strings.ReplaceAll(b.Metadata["encryptiondata"], old, fresh)
		return b
	}
	tests := []struct {
		name string
		blob csetest.Blob
		opt  cse.Options
		want cse.Code // "" opens
	}{
		{"2.0", v2Blob(t, key, text), cse.Options{Key: key}, ""},
		{"2.0, resolved", v2Blob(t, key, text), cse.Options{Resolver: ring(t, key)}, ""},
		{"2.0, another local key", v2Blob(t, key, text), cse.Options{Key: aesKey(t, "key2"), Resolver: ring(t, key)}, ""},
		{"2.0, no key", v2Blob(t, key, text), cse.Options{}, cse.KeyNotFound},
		{"2.0, no such key", v2Blob(t, key, text), cse.Options{Key: aesKey(t, "key2"), Resolver: ring(t)}, cse.KeyNotFound},
		{"2.0, the resolver lies", v2Blob(t, key, text), cse.Options{Resolver: always(aesKey(t, "key2"))}, cse.KeyNotFound},
		{"2.0, the resolver has nothing", v2Blob(t, key, text), cse.Options{Resolver: always(nil)}, cse.KeyNotFound},
		{"2.0, the resolver fails", v2Blob(t, key, text), cse.Options{Resolver: failing{}}, cse.KeyUnavailable},
		{"2.0, the vault is away", v2Blob(t, key, text), cse.Options{Key: away{key}}, cse.KeyUnavailable},
		{"2.0, wrong key of that id", v2Blob(t, other(t, key), text), cse.Options{Key: key}, cse.AuthenticationFailed},
		{"2.0, length demanded", v2Blob(t, key, text), cse.Options{Key: key, RequireLength: true}, cse.AuthenticationFailed},
		{"2.0, metadata of any case", v2Blob(t, key, text), cse.Options{Key: key}, ""},
		{"2.0 as 1.0", edit(v2Blob(t, key, text), `"2.0"`, `"1.0"`), cse.Options{Key: key, AllowV1Read: true}, cse.BadMetadata},
		{"2.0 as 2.1", edit(v2Blob(t, key, text), `"2.0"`, `"2.1"`), cse.Options{Key: key}, cse.AuthenticationFailed},
		{"2.0, a larger region than allowed", edit(v2Blob(t, key, text), "4194304", "67108865"), cse.Options{Key: key}, cse.RegionTooLarge},
		{"2.0, and allowed", edit(v2Blob(t, key, text), "4194304", "1073741824"), cse.Options{Key: key, MaxRegionLength: 1 << 30}, ""},
		{"2.0, a smaller region", edit(v2Blob(t, key, text), "4194304", "50"), cse.Options{Key: key}, cse.AuthenticationFailed},
		{"2.0, algorithm changed", edit(v2Blob(t, key, text), "A256KW", "A128KW"), cse.Options{Key: key}, cse.AuthenticationFailed},
		{"2.0 in a page blob", page(v2Blob(t, key, text)), cse.Options{Key: key}, cse.Unsupported},
		{"metadata is empty", csetest.Blob{Body: text, Metadata: map[string]string{"encryptiondata": ""}}, cse.Options{Key: key, AllowPlaintextRead: true}, cse.BadMetadata},
		{"metadata is no JSON", csetest.Blob{Body: text, Metadata: map[string]string{"encryptiondata": "x"}}, cse.Options{Key: key, AllowPlaintextRead: true}, cse.BadMetadata},
		{"plaintext", csetest.Blob{Body: text}, cse.Options{Key: key}, cse.NotEncrypted},
		{"plaintext, allowed", csetest.Blob{Body: text}, cse.Options{Key: key, AllowPlaintextRead: true}, ""},
		{"plaintext, length demanded", csetest.Blob{Body: text}, cse.Options{AllowPlaintextRead: true, RequireLength: true}, cse.NotEncrypted},
		{"1.0", v1Blob(t, key, text), cse.Options{Key: key}, cse.V1NotAllowed},
		{"1.0, allowed", v1Blob(t, key, text), cse.Options{Key: key, AllowV1Read: true}, ""},
		{"1.0, length demanded", v1Blob(t, key, text), cse.Options{Key: key, AllowV1Read: true, RequireLength: true}, cse.V1NotAllowed},
		{"1.0, no such key", v1Blob(t, key, text), cse.Options{AllowV1Read: true}, cse.KeyNotFound},
		{"1.0, the vault is away", v1Blob(t, key, text), cse.Options{Key: away{key}, AllowV1Read: true}, cse.KeyUnavailable},
		{"1.0, wrong key", v1Blob(t, other(t, key), text), cse.Options{Key: key, AllowV1Read: true}, cse.AuthenticationFailed},
	}
	s := csetest.NewServer(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.Put("c/b", tt.blob)
			for way, err := range reads(t, blobClient(t, s, "c/b", tt.opt), nil) {
				if tt.want == "" && err != nil || tt.want != "" && !cse.HasCode(err, tt.want) {
					t.Errorf("%s: %v, want code %q", way, err, tt.want)
				}
				if tt.want == cse.AuthenticationFailed && err != nil && err.Error() != "cse: authentication failed" {
					t.Errorf("%s: the error says more: %q", way, err)
				}
			}
		})
	}
}

func ring(t testing.TB, keys ...cse.Key) *cse.KeyRing {
	t.Helper()
	r, err := cse.NewKeyRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func always(k cse.Key) cse.KeyResolver {
	return cse.KeyResolverFunc(func(context.Context, string) (cse.Key, error) { return k, nil })
}

type failing struct{}

func (failing) ResolveKey(context.Context, string) (cse.Key, error) {
	return nil, errors.New("no route")
}

// away is a vault that does not answer.
type away struct{ cse.Key }

func (away) UnwrapKey(context.Context, string, []byte) ([]byte, error) {
	return nil, fmt.Errorf("ask: %w", &cse.Error{Code: cse.KeyUnavailable})
}

func (away) DefaultAlgorithm() string { return cse.A256KW }

// other is another key of the same id.
func other(t testing.TB, k cse.Key) cse.Key {
	t.Helper()
	o, err := cse.NewAESKey(k.KeyID(), bytes.Repeat([]byte{99}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func page(b csetest.Blob) csetest.Blob {
	b.Type = "PageBlob"
	return b
}

// What 2.0 leaves open, the entry of the length closes.
func TestAuthenticatedLength(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	text := csetest.Pattern(100)
	opt := cse.Options{Key: key, Version: cse.V21, RegionLength: 16}
	put := func(omit bool) *cse.BlobClient {
		o := opt
		o.OmitLength = omit
		c := blobClient(t, s, "c/b", o)
		if _, err := c.UploadBuffer(t.Context(), text, &cse.UploadOptions{Context: []byte("c/b")}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	cut := func(n int) {
		s.Change("c/b", func(b *csetest.Blob) { b.Body = b.Body[:len(b.Body)-n] })
	}
	c := put(true)
	cut(4 + 28) // the last region
	for way, err := range reads(t, c, nil) {
		if err != nil {
			t.Errorf("%s: %v; the format alone does not tell", way, err)
		}
	}
	c = put(false)
	for way, err := range reads(t, c, nil) {
		if err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
	cut(4 + 28)
	for way, err := range reads(t, c, nil) {
		if !cse.HasCode(err, cse.AuthenticationFailed) {
			t.Errorf("cut at a region, %s: %v", way, err)
		}
	}
	c = put(false)
	s.Change("c/b", func(b *csetest.Blob) { // stripped by an attacker
		text := b.Metadata["encryptiondata"]
		i := strings.Index(text, `"CofferLength"`)
		j := strings.Index(text[i:], `",`)
		b.Metadata["encryptiondata"] = text[:i] + text[i+j+2:]
	})
	for way, err := range reads(t, c, nil) {
		if err != nil {
			t.Errorf("without the entry, %s: %v", way, err)
		}
	}
	strict := opt
	strict.RequireLength = true
	for way, err := range reads(t, blobClient(t, s, "c/b", strict), nil) {
		if !cse.HasCode(err, cse.AuthenticationFailed) {
			t.Errorf("without the entry, demanded, %s: %v", way, err)
		}
	}
}

func TestContext(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	c := blobClient(t, s, "c/b", cse.Options{Key: key, AllowV1Read: true, AllowPlaintextRead: true})
	if _, err := c.UploadBuffer(t.Context(), csetest.Pattern(10), &cse.UploadOptions{Context: []byte("c/b")}); err != nil {
		t.Fatal(err)
	}
	check := func(name string, context []byte, want cse.Code) {
		t.Helper()
		for way, err := range reads(t, c, context) {
			if want == "" && err != nil || want != "" && !cse.HasCode(err, want) {
				t.Errorf("%s, %s: %v, want code %q", name, way, err, want)
			}
		}
	}
	check("right", []byte("c/b"), "")
	check("none", nil, "")
	check("another", []byte("c/other"), cse.AuthenticationFailed)
	check("empty", []byte{}, cse.AuthenticationFailed)
	if _, err := c.UploadBuffer(t.Context(), csetest.Pattern(10), nil); err != nil {
		t.Fatal(err)
	}
	check("of a writer that gave none", []byte("c/b"), cse.AuthenticationFailed)
	s.Put("c/b", v2Blob(t, key, csetest.Pattern(10)))
	check("of another writer", []byte("c/b"), cse.AuthenticationFailed)
	s.Put("c/b", v1Blob(t, key, csetest.Pattern(10)))
	check("of 1.0", []byte("c/b"), cse.V1NotAllowed)
	s.Put("c/b", csetest.Blob{Body: csetest.Pattern(10)})
	check("of plaintext", []byte("c/b"), cse.NotEncrypted)
}

// Swapped regions are refused even where the two swapped are read by parallel requests.
func TestSwappedRegions(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	opt := cse.Options{Key: key, Version: cse.V21, RegionLength: 1000}
	c := blobClient(t, s, "c/b", opt)
	text := csetest.Pattern(10_500)
	for i := range 10 {
		if _, err := c.UploadBuffer(t.Context(), text, nil); err != nil {
			t.Fatal(err)
		}
		s.Change("c/b", func(b *csetest.Blob) {
			x, y := b.Body[i*1028:(i+1)*1028], b.Body[(i+1)%10*1028:((i+1)%10+1)*1028]
			z := bytes.Clone(x)
			copy(x, y)
			copy(y, z)
		})
		buf := make([]byte, len(text))
		_, err := c.DownloadBuffer(t.Context(), buf, &cse.DownloadOptions{BlockSize: 1000, Concurrency: 8})
		if !cse.HasCode(err, cse.AuthenticationFailed) || !bytes.Equal(buf, make([]byte, len(buf))) {
			t.Errorf("regions %d and the next swapped: %v", i, err)
		}
	}
	opt.AllowMisorderedRegions = true
	buf := make([]byte, len(text))
	if _, err := blobClient(t, s, "c/b", opt).DownloadBuffer(t.Context(), buf, nil); err != nil || bytes.Equal(buf, text) {
		t.Errorf("for recovery: %v", err)
	}
}

// An empty region at the end, as Java leaves one, is checked although no range touches it.
func TestEmptyLastRegion(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	for _, size := range []int64{0, 16, 32} {
		b := v2Blob(t, key, nil)
		b.Metadata["encryptiondata"] = strings.Replace(b.Metadata["encryptiondata"], "4194304", "16", 1)
		cek := bytes.Repeat([]byte{9}, 32)
		b.Body = csetest.SealRegions(cek, csetest.Pattern(size), 16, csetest.JavaNonce)
		good := csetest.SealEmpty(cek, csetest.JavaNonce(uint64(size/16)))
		late := csetest.SealEmpty(cek, csetest.JavaNonce(uint64(size/16)+1))
		flipped := bytes.Clone(good)
		flipped[27] ^= 1
		c := blobClient(t, s, "c/b", cse.Options{Key: key})
		full := b.Body
		for name, last := range map[string][]byte{"": good, "a bit": flipped, "of another index": late} {
			b.Body = append(bytes.Clone(full), last...)
			s.Put("c/b", b)
			got, err := readStream(t, c, nil)
			if name == "" && (err != nil || !bytes.Equal(got, csetest.Pattern(size))) || name != "" && !cse.HasCode(err, cse.AuthenticationFailed) {
				t.Errorf("%d bytes, %q: %d, %v", size, name, len(got), err)
			}
			n, err := c.DownloadBuffer(t.Context(), make([]byte, 100), nil)
			if name == "" && (err != nil || n != size) || name != "" && !cse.HasCode(err, cse.AuthenticationFailed) {
				t.Errorf("%d bytes, %q: %d, %v", size, name, n, err)
			}
		}
	}
}

// A service that answers with other bytes than it was asked for, or changes a blob while
// it is read, is found out.
func TestFalseAnswers(t *testing.T) {
	key := aesKey(t, "key1")
	text := csetest.Pattern(9 << 20)
	tests := []struct {
		name string
		// from the second GET on
		answer func(s *csetest.Server, w http.ResponseWriter, r *http.Request)
		want   func(error) bool
	}{
		{"another start", func(s *csetest.Server, w http.ResponseWriter, r *http.Request) {
			r.Header.Set("x-ms-range", "bytes=0-")
		}, isChanged},
		{"no Content-Range", func(s *csetest.Server, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("x-ms-range")
		}, isChanged},
		{"replaced", func(s *csetest.Server, w http.ResponseWriter, r *http.Request) {
			s.Change("c/b", func(*csetest.Blob) {})
		}, func(err error) bool { return bloberror.HasCode(err, bloberror.ConditionNotMet) }},
		{"another key under the same ETag", func(s *csetest.Server, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Match")
			s.Change("c/b", func(b *csetest.Blob) {
				b.Metadata["encryptiondata"] = strings.Replace(b.Metadata["encryptiondata"], "{", `{"A":1,`, 1)
			})
		}, isChanged},
		{"no key any more", func(s *csetest.Server, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Match")
			s.Change("c/b", func(b *csetest.Blob) { delete(b.Metadata, "encryptiondata") })
		}, isChanged},
		{"shorter", func(s *csetest.Server, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Match")
			s.Change("c/b", func(b *csetest.Blob) { b.Body = b.Body[:5<<20] })
		}, isChanged},
		{"a bit", func(s *csetest.Server, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Match")
			s.Change("c/b", func(b *csetest.Blob) { b.Body[8<<20] ^= 1 })
		}, func(err error) bool { return cse.HasCode(err, cse.AuthenticationFailed) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, stream := range []bool{false, true} {
				s := csetest.NewServer(t)
				c := blobClient(t, s, "c/b", cse.Options{Key: key, AllowPlaintextRead: true})
				if _, err := c.UploadBuffer(t.Context(), text, nil); err != nil {
					t.Fatal(err)
				}
				var once sync.Once
				gets := 0
				s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
					if gets++; gets == 2 {
						once.Do(func() { tt.answer(s, w, r) })
					}
					return false
				})
				var err error
				if stream {
					_, err = readStream(t, c, nil)
				} else {
					_, err = c.DownloadBuffer(t.Context(), make([]byte, len(text)), &cse.DownloadOptions{Concurrency: 1})
				}
				if !tt.want(err) {
					t.Errorf("stream %v: %v", stream, err)
				}
			}
		})
	}
}

func isChanged(err error) bool { return cse.HasCode(err, cse.Changed) }

func TestOptionsThatCannotBe(t *testing.T) {
	key := aesKey(t, "key1")
	for name, o := range map[string]cse.Options{
		"writes 1.0":           {Key: key, Version: cse.V1},
		"unknown version":      {Key: key, Version: "2.2"},
		"2.0 with a region":    {Key: key, RegionLength: 16},
		"small region":         {Key: key, Version: cse.V21, RegionLength: 15},
		"large region":         {Key: key, Version: cse.V21, RegionLength: 1<<30 + 1},
		"large region to read": {Key: key, MaxRegionLength: 1<<30 + 1},
		"negative region":      {Key: key, MaxRegionLength: -1},
		"no algorithm":         {Key: nameless{}},
		"RSA1_5":               {Key: key, WrapAlgorithm: cse.RSA15},
	} {
		if _, err := cse.NewBlobClient(blobClient(t, csetest.NewServer(t), "c/b", cse.Options{}).Client(), &o); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := cse.EncryptMessage(t.Context(), "", &o); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("%s, message: %v", name, err)
		}
		if _, err := cse.DecryptMessage(t.Context(), "", &o); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("%s, message: %v", name, err)
		}
		if _, err := cse.DecryptEntity(t.Context(), nil, &o); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("%s, entity: %v", name, err)
		}
	}
	s := csetest.NewServer(t)
	c := blobClient(t, s, "c/b", cse.Options{})
	if _, err := c.UploadBuffer(t.Context(), nil, nil); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("an upload without a key: %v", err)
	}
	c = blobClient(t, s, "c/b", cse.Options{Key: key})
	o := &cse.UploadOptions{HTTPHeaders: &blob.HTTPHeaders{BlobContentMD5: make([]byte, 16)}}
	if _, err := c.UploadBuffer(t.Context(), nil, o); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("an upload with the MD5 of the plaintext: %v", err)
	}
	for name, err := range map[string]error{
		"NewClient":      second(cse.NewClient(nil, nil)),
		"NewBlobClient":  second(cse.NewBlobClient(nil, nil)),
		"NewQueueClient": second(cse.NewQueueClient(nil, nil)),
	} {
		if !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("%s without a client: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// nameless is a key that does not say what it wraps by.
type nameless struct{}

func (nameless) KeyID() string { return "k" }
func (nameless) WrapKey(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("no")
}
func (nameless) UnwrapKey(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("no")
}

func TestWrapThatFails(t *testing.T) {
	s := csetest.NewServer(t)
	c := blobClient(t, s, "c/b", cse.Options{Key: nameless{}, WrapAlgorithm: "own"})
	if _, err := c.UploadBuffer(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), `"k"`) {
		t.Errorf("UploadBuffer = %v, want the error of the key", err)
	}
	if len(s.Names("c")) != 0 {
		t.Error("something was stored")
	}
}

func TestMetadataStays(t *testing.T) {
	s := csetest.NewServer(t)
	c := blobClient(t, s, "c/b", cse.Options{Key: aesKey(t, "key1")})
	text := []byte("text")
	if _, err := c.UploadBuffer(t.Context(), text, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetMetadata(t.Context(), map[string]*string{"a": to.Ptr("1"), "ENCRYPTIONDATA": to.Ptr("mine")}, nil); err != nil {
		t.Fatal(err)
	}
	readEqual(t, c, text)
	b, _ := s.Get("c/b")
	if b.Metadata["a"] != "1" || len(b.Metadata) != 2 {
		t.Errorf("metadata is %v", b.Metadata)
	}
	if _, err := c.DropEncryptionData(t.Context(), &blob.SetMetadataOptions{}); err != nil {
		t.Fatal(err)
	}
	b, _ = s.Get("c/b")
	if b.Metadata["a"] != "1" || len(b.Metadata) != 1 {
		t.Errorf("metadata is %v", b.Metadata)
	}
	if _, err := c.SetMetadata(t.Context(), nil, nil); err != nil {
		t.Errorf("SetMetadata of a blob that is not encrypted: %v", err)
	}
}

func TestSourceThatFails(t *testing.T) {
	s := csetest.NewServer(t)
	c := blobClient(t, s, "c/b", cse.Options{Key: aesKey(t, "key1"), Version: cse.V21, RegionLength: 100})
	broken := errors.New("broken")
	for _, good := range []int64{0, 50, 1500, 5000} {
		r := io.MultiReader(bytes.NewReader(csetest.Pattern(good)), errReader{broken})
		if _, err := c.UploadStream(t.Context(), r, &cse.UploadOptions{BlockSize: 1000}); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", good, err)
		}
	}
	if len(s.Names("c")) != 0 {
		t.Error("a part of a source was committed")
	}
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			w.Header().Set("x-ms-error-code", "AuthorizationFailure")
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	for _, size := range []int64{10, 50_000} {
		if _, err := c.UploadBuffer(t.Context(), csetest.Pattern(size), &cse.UploadOptions{BlockSize: 1000}); !bloberror.HasCode(err, bloberror.AuthorizationFailure) {
			t.Errorf("%d bytes, refused: %v", size, err)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestKeys(t *testing.T) {
	ctx := t.Context()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Log(err) // some builds refuse to make one
	}
	for _, size := range []int{16, 24, 32} {
		k, err := cse.NewAESKey("k", make([]byte, size))
		if err != nil {
			t.Fatal(err)
		}
		wrapped, err := k.WrapKey(ctx, "", make([]byte, 40))
		if err != nil || len(wrapped) != 48 {
			t.Errorf("WrapKey: %d bytes, %v", len(wrapped), err)
		}
		for i := range wrapped {
			bad := bytes.Clone(wrapped)
			bad[i] ^= 1
			if _, err := k.UnwrapKey(ctx, "", bad); err == nil {
				t.Errorf("byte %d of the wrap changed, and it opens", i)
			}
		}
		if _, err := k.WrapKey(ctx, "", make([]byte, 33)); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("33 bytes: %v", err)
		}
		if _, err := k.WrapKey(ctx, cse.RSAOAEP, make([]byte, 32)); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("by another algorithm: %v", err)
		}
		if _, err := k.UnwrapKey(ctx, "", make([]byte, 17)); err == nil {
			t.Error("17 bytes unwrap")
		}
		if s := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(s, "0x") || strings.Contains(s, "[0") {
			t.Errorf("it prints as %s", s)
		}
	}
	for name, err := range map[string]error{
		"AES of 15 bytes":    second(cse.NewAESKey("k", make([]byte, 15))),
		"AES without id":     second(cse.NewAESKey("", make([]byte, 16))),
		"RSA without id":     second(cse.NewRSAKey("", private, nil)),
		"RSA without key":    second(cse.NewRSAKey("k", nil, nil)),
		"RSA without public": second(cse.NewRSAPublicKey("k", nil, nil)),
		"RSA by RSA1_5":      second(cse.NewRSAKey("k", private, &cse.RSAKeyOptions{Algorithm: cse.RSA15})),
		"RSA by an AES name": second(cse.NewRSAKey("k", private, &cse.RSAKeyOptions{Algorithm: cse.A256KW})),
		"two keys of one id": second(cse.NewKeyRing(aesKey(t, "a"), aesKey(t, "a"))),
	} {
		if !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if small != nil {
		if _, err := cse.NewRSAKey("k", small, nil); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("1024 bits: %v", err)
		}
	}
	testRSA(t, private)
}

func testRSA(t *testing.T, private *rsa.PrivateKey) {
	ctx := t.Context()
	k, err := cse.NewRSAKey("k", private, &cse.RSAKeyOptions{Algorithm: "RSA", Names: map[string]string{"RSA": cse.RSAOAEP}})
	if err != nil {
		t.Fatal(err)
	}
	public, err := cse.NewRSAPublicKey("k", &private.PublicKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"RSA", cse.RSAOAEP, cse.RSAOAEP256} {
		wrapped, err := k.WrapKey(ctx, name, make([]byte, 40))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.UnwrapKeySize(ctx, name, wrapped, 40); err != nil || !bytes.Equal(got, make([]byte, 40)) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
		wrapped[9] ^= 1
		if _, err := k.UnwrapKey(ctx, name, wrapped); err == nil {
			t.Errorf("%s: a changed wrap opens", name)
		}
		if _, err := public.UnwrapKey(ctx, name, wrapped); err == nil {
			t.Error("the public half unwraps")
		}
	}
	if _, err := k.WrapKey(ctx, cse.RSA15, make([]byte, 40)); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("it wraps by RSA1_5: %v", err)
	}
	if _, err := k.WrapKey(ctx, cse.RSAOAEP, make([]byte, 400)); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("400 bytes: %v", err)
	}
	if _, err := k.UnwrapKeySize(ctx, cse.RSA15, make([]byte, 256), 40); err == nil {
		t.Error("RSA1_5 unwraps without being allowed to")
	}
	if s := fmt.Sprintf("%v %#v", k, k); s != "cse.RSAKey(k) cse.RSAKey(k)" {
		t.Errorf("it prints as %s", s)
	}
	allowed, err := cse.NewRSAKey("k", private, &cse.RSAKeyOptions{UnsafeAllowRSA15: true})
	if err != nil {
		t.Fatal(err)
	}
	// Bad padding gives a key, a random one.
	a, err := allowed.UnwrapKeySize(ctx, cse.RSA15, bytes.Repeat([]byte{1}, 256), 40)
	b, err2 := allowed.UnwrapKeySize(ctx, cse.RSA15, bytes.Repeat([]byte{1}, 256), 40)
	if err != nil || err2 != nil || len(a) != 40 || bytes.Equal(a, b) {
		t.Errorf("implicit rejection: %x, %v; %x, %v", a, err, b, err2)
	}
}

// RFC 3394, section 4.6: 256 bits of key data with a 256-bit key.
func TestRFC3394(t *testing.T) {
	kek := make([]byte, 32)
	key := make([]byte, 32)
	for i := range kek {
		kek[i] = byte(i)
		key[i] = byte(i * 0x11)
		if i >= 16 {
			key[i] = byte(i - 16)
		}
	}
	k, err := cse.NewAESKey("k", kek)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.WrapKey(t.Context(), cse.A256KW, key)
	const want = "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
	if err != nil || fmt.Sprintf("%x", got) != want {
		t.Errorf("WrapKey = %x, %v; want %s", got, err, want)
	}
	if back, err := k.UnwrapKey(t.Context(), cse.A256KW, got); err != nil || !bytes.Equal(back, key) {
		t.Errorf("UnwrapKey = %x, %v", back, err)
	}
}

func TestChain(t *testing.T) {
	a, b := aesKey(t, "a"), aesKey(t, "b")
	chain := cse.Chain(ring(t, a), ring(t), ring(t, b))
	for _, want := range []cse.Key{a, b} {
		if got, err := chain.ResolveKey(t.Context(), want.KeyID()); err != nil || got != want {
			t.Errorf("ResolveKey(%s) = %v, %v", want.KeyID(), got, err)
		}
	}
	if _, err := chain.ResolveKey(t.Context(), "c"); !cse.HasCode(err, cse.KeyNotFound) {
		t.Errorf("ResolveKey(c): %v", err)
	}
	if _, err := cse.Chain(failing{}, ring(t, a)).ResolveKey(t.Context(), "a"); err == nil || cse.HasCode(err, cse.KeyNotFound) {
		t.Errorf("a resolver that fails: %v", err)
	}
}
