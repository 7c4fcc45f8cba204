package cse_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

// migrateOne migrates container c and returns the error of its one blob.
func migrateOne(t *testing.T, s *csetest.Server, o cse.MigrateOptions) (cse.MigrateReport, error) {
	t.Helper()
	var failed error
	o.Each = func(r cse.MigrateResult) error {
		failed = r.Err
		return nil
	}
	report, err := cse.Migrate(t.Context(), containerClient(t, s.URL+"/c"), &cse.Options{Key: aesKey(t, "key1")}, &o)
	if err != nil {
		t.Fatal(err)
	}
	return report, failed
}

func isTemp(r *http.Request, method string) bool {
	return r.Method == method && strings.Contains(r.URL.Path, ".coffer-cse-migration/")
}

// What is read back and is not what was written replaces nothing.
func TestMigrateReadsBack(t *testing.T) {
	key := aesKey(t, "key1")
	for _, size := range []int64{100, 9 << 20} {
		text := csetest.Pattern(size)
		tests := []struct {
			name   string
			target cse.Target
			change func(b *csetest.Blob)
			want   cse.Code
		}{
			{"a bit, encrypted", cse.ToV2, func(b *csetest.Blob) { b.Body[50] ^= 1 }, cse.AuthenticationFailed},
			{"a bit, plain", cse.ToServer, func(b *csetest.Blob) { b.Body[50] ^= 1 }, cse.Changed},
			{"cut, encrypted", cse.ToV2, func(b *csetest.Blob) { b.Body = b.Body[:60] }, cse.AuthenticationFailed},
			{"cut, plain", cse.ToServer, func(b *csetest.Blob) { b.Body = b.Body[:60] }, cse.Changed},
			{"longer, plain", cse.ToServer, func(b *csetest.Blob) { b.Body = append(b.Body, 0) }, cse.Changed},
		}
		for _, tt := range tests {
			s := csetest.NewServer(t)
			s.Put("c/b", v1Blob(t, key, text))
			changed := false
			s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
				if isTemp(r, http.MethodGet) && !changed {
					changed = true
					s.Change(strings.TrimPrefix(r.URL.Path, "/"), tt.change)
				}
				return false
			})
			report, err := migrateOne(t, s, cse.MigrateOptions{Target: tt.target})
			if !cse.HasCode(err, tt.want) || report.Failed != 1 {
				t.Errorf("%s of %d bytes: %+v, %v; want code %s", tt.name, size, report, err, tt.want)
			}
			s.SetHook(nil)
			if b, _ := s.Get("c/b"); b.Writes != 1 {
				t.Errorf("%s of %d bytes: the blob was replaced", tt.name, size)
			}
			if names := s.Names("c"); len(names) != 1 {
				t.Errorf("%s: left behind: %v", tt.name, names)
			}
		}
	}
}

// A blob that changes meanwhile stays as it was changed.
func TestMigrateIsConditional(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	s.Put("c/b", v1Blob(t, key, []byte("old")))
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if isTemp(r, http.MethodPut) {
			s.Put("c/b", v1Blob(t, key, []byte("newer")))
		}
		return false
	})
	if _, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToV2}); !bloberror.HasCode(err, bloberror.ConditionNotMet) {
		t.Errorf("%v, want ConditionNotMet", err)
	}
	s.SetHook(nil)
	readable(t, s, "b", []byte("newer"))
}

func TestMigrateRefuses(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	s.Put("c/page", page(v1Blob(t, key, make([]byte, 512))))
	report, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToV2})
	if !cse.HasCode(err, cse.Unsupported) || report.Failed != 1 {
		t.Errorf("a page blob: %+v, %v", report, err)
	}
	s = csetest.NewServer(t)
	s.Put("c/bad", csetest.Blob{Metadata: map[string]string{"encryptiondata": "x"}})
	if report, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToServer}); !cse.HasCode(err, cse.BadMetadata) || report.Failed != 1 {
		t.Errorf("bad metadata: %+v, %v", report, err)
	}
	c := containerClient(t, s.URL+"/c")
	for name, run := range map[string]struct {
		opt cse.Options
		o   *cse.MigrateOptions
	}{
		"no target":            {cse.Options{Key: key}, nil},
		"no key":               {cse.Options{}, &cse.MigrateOptions{Target: cse.ToV2}},
		"plaintext to server":  {cse.Options{}, &cse.MigrateOptions{Target: cse.ToServer, Plaintext: true}},
		"options that are bad": {cse.Options{Version: "x"}, &cse.MigrateOptions{Target: cse.ToServer}},
	} {
		if _, err := cse.Migrate(t.Context(), c, &run.opt, run.o); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cse.Migrate(t.Context(), nil, &cse.Options{}, &cse.MigrateOptions{Target: cse.ToServer}); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("no container: %v", err)
	}
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	if _, err := cse.Migrate(t.Context(), c, &cse.Options{}, &cse.MigrateOptions{Target: cse.ToServer, Progress: func(cse.MigrateProgress) {}}); err == nil {
		t.Error("a listing that is refused")
	}
}

// What an ended run left behind is not taken for a blob, and goes.
func TestMigrateCleansUp(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	s.Put("c/b", csetest.Blob{Body: []byte("text")})
	s.Put("c/.coffer-cse-migration/0123", csetest.Blob{Body: []byte("half")})
	s.Put("c/.coffer-cse-migration/4567", v1Blob(t, key, nil))
	for _, dry := range []bool{true, false} {
		report, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToV2, Plaintext: true, DryRun: dry})
		if err != nil || report.Migrated != 1 {
			t.Errorf("dry %v: %+v, %v", dry, report, err)
		}
	}
	if names := s.Names("c"); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestMigrateBindsContext(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	s.Put("c/b", csetest.Blob{Body: []byte("text")})
	name := func(prefix string) func(string) []byte {
		return func(name string) []byte { return []byte(prefix + name) }
	}
	if _, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToV2, Plaintext: true, Context: name("c/")}); err != nil {
		t.Fatal(err)
	}
	c := blobClient(t, s, "c/b", cse.Options{Key: key})
	for way, err := range reads(t, c, []byte("c/b")) {
		if err != nil && way != "reader" && way != "range" {
			t.Errorf("%s: %v", way, err)
		}
	}
	if _, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToServer, Context: name("d/")}); !cse.HasCode(err, cse.AuthenticationFailed) {
		t.Errorf("read with another context: %v", err)
	}
	if _, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToServer, Context: name("c/")}); err != nil {
		t.Error(err)
	}
}

// The tier goes along if somebody set it.
func TestMigrateKeepsTheTier(t *testing.T) {
	s := csetest.NewServer(t)
	s.Put("c/b", csetest.Blob{Body: []byte("text"), Tier: "Cool"})
	if _, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToV2, Plaintext: true}); err != nil {
		t.Fatal(err)
	}
	if b, _ := s.Get("c/b"); b.Tier != "Cool" {
		t.Errorf("tier is %q", b.Tier)
	}
}

func TestSnapshotsThatCannotBeListed(t *testing.T) {
	s := csetest.NewServer(t)
	s.Put("c/b", csetest.Blob{Body: []byte("text")})
	for _, refuse := range []string{"versions", "snapshots"} {
		s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.RawQuery, refuse) {
				w.WriteHeader(http.StatusBadRequest)
				return true
			}
			return false
		})
		report, err := migrateOne(t, s, cse.MigrateOptions{Target: cse.ToServer})
		if err != nil || (report.HeldUnknown != "") != (refuse == "snapshots") {
			t.Errorf("%s are refused: %q, %v", refuse, report.HeldUnknown, err)
		}
	}
}

func TestDownloadsThatFail(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	c := blobClient(t, s, "c/b", cse.Options{Key: key, Version: cse.V21, RegionLength: 64 << 10})
	text := csetest.Pattern(300 << 10)
	if _, err := c.UploadBuffer(t.Context(), text, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DownloadBuffer(t.Context(), make([]byte, len(text)-1), nil); !cse.HasCode(err, cse.TooLarge) {
		t.Errorf("into a buffer that is too small: %v", err)
	}
	r, err := c.OpenReader(t.Context(), nil)
	if err != nil || r.ETag() == nil {
		t.Fatal(err)
	}
	got := make([]byte, 150<<10)
	if _, err := r.ReadAt(got, 70<<10); err != nil || !bytes.Equal(got, text[70<<10:220<<10]) {
		t.Errorf("a large ReadAt: %v", err)
	}
	if _, err := r.ReadAt(got, -1); !cse.HasCode(err, cse.InvalidRange) {
		t.Errorf("ReadAt(-1): %v", err)
	}
	s.Change("c/b", func(b *csetest.Blob) { b.Body[len(b.Body)-1] ^= 1 })
	if _, err := r.ReadAt(got, 0); !bloberror.HasCode(err, bloberror.ConditionNotMet) {
		t.Errorf("ReadAt of a blob that was replaced: %v", err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := c.DownloadFile(t.Context(), f, &cse.DownloadOptions{BlockSize: 64 << 10, Concurrency: 1}); !cse.HasCode(err, cse.AuthenticationFailed) {
		t.Errorf("DownloadFile: %v", err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != 0 {
		t.Errorf("a download that failed left %d bytes, %v", st.Size(), err)
	}
	r, err = c.OpenReader(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	if n, err := r.ReadAt(got, 200<<10); !cse.HasCode(err, cse.AuthenticationFailed) || n == len(got) {
		t.Errorf("ReadAt of a changed region: %d, %v", n, err)
	}
	f.Close()
	if _, err := c.DownloadFile(t.Context(), f, nil); err == nil {
		t.Error("into a file that is closed")
	}
	if _, err := c.UploadFile(t.Context(), f, nil); err == nil {
		t.Error("out of a file that is closed")
	}
	for _, gone := range []*cse.BlobClient{blobClient(t, s, "c/none", cse.Options{Key: key})} {
		for way, err := range reads(t, gone, nil) {
			if !bloberror.HasCode(err, bloberror.BlobNotFound) {
				t.Errorf("a blob that is not there, %s: %v", way, err)
			}
		}
		if _, err := gone.GetProperties(t.Context(), nil); err == nil {
			t.Error("GetProperties of a blob that is not there")
		}
		if _, err := gone.SetMetadata(t.Context(), nil, nil); err == nil {
			t.Error("SetMetadata of a blob that is not there")
		}
		if _, err := gone.DropEncryptionData(t.Context(), nil); err == nil {
			t.Error("DropEncryptionData of a blob that is not there")
		}
		if _, err := gone.Rewrap(t.Context(), key, nil); err == nil {
			t.Error("Rewrap of a blob that is not there")
		}
	}
}

func TestProperties(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	c := blobClient(t, s, "c/b", cse.Options{})
	s.Put("c/b", csetest.Blob{Body: []byte("text")})
	if p, err := c.GetProperties(t.Context(), nil); err != nil || p.Encrypted || p.Length != 4 {
		t.Errorf("plaintext: %+v, %v", p, err)
	}
	s.Put("c/b", v1Blob(t, key, []byte("text")))
	if p, err := c.GetProperties(t.Context(), nil); err != nil || p.Version != cse.V1 || p.Length != -1 || p.StoredLength != 16 || p.LengthAuthenticated {
		t.Errorf("1.0: %+v, %v", p, err)
	}
	cut := v2Blob(t, key, []byte("text"))
	cut.Body = cut.Body[:20]
	s.Put("c/b", cut)
	if p, err := c.GetProperties(t.Context(), nil); !cse.HasCode(err, cse.AuthenticationFailed) || p.Length != -1 {
		t.Errorf("cut: %+v, %v", p, err)
	}
	s.Put("c/b", csetest.Blob{Metadata: map[string]string{"encryptiondata": "x"}})
	if _, err := c.GetProperties(t.Context(), nil); !cse.HasCode(err, cse.BadMetadata) {
		t.Errorf("bad metadata: %v", err)
	}
}
