package cse_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

func TestRewrap(t *testing.T) {
	s := csetest.NewServer(t)
	old, fresh := aesKey(t, "old"), aesKey(t, "new")
	c := blobClient(t, s, "c/b", cse.Options{Key: old})
	text := []byte("the text")
	if _, err := c.UploadBuffer(t.Context(), text, &cse.UploadOptions{Metadata: map[string]*string{"mine": to.Ptr("kept")}}); err != nil {
		t.Fatal(err)
	}
	s.Change("c/b", func(b *csetest.Blob) { // a member that we do not know stays
		b.Metadata["encryptiondata"] = strings.Replace(b.Metadata["encryptiondata"], "{", `{"Future":{"a":[1]},`, 1)
	})
	before, _ := s.Get("c/b")
	r, err := c.Rewrap(t.Context(), fresh, nil)
	if err != nil || !r.Rewrapped || r.From != "old" {
		t.Fatalf("Rewrap = %+v, %v", r, err)
	}
	after, _ := s.Get("c/b")
	if diff := cmp.Diff(before.Body, after.Body); diff != "" || after.Writes != 1 {
		t.Error("the content was touched")
	}
	if after.Metadata["mine"] != "kept" || !strings.Contains(after.Metadata["encryptiondata"], `"Future":{"a":[1]}`) {
		t.Errorf("metadata was lost: %v", after.Metadata)
	}
	readEqual(t, blobClient(t, s, "c/b", cse.Options{Key: fresh, RequireLength: true}), text)
	if _, err := readStream(t, c, nil); !cse.HasCode(err, cse.KeyNotFound) {
		t.Errorf("the old key still opens it: %v", err)
	}
	again, err := blobClient(t, s, "c/b", cse.Options{Key: old}).Rewrap(t.Context(), fresh, nil)
	if err != nil || again.Rewrapped {
		t.Errorf("Rewrap again = %+v, %v", again, err)
	}
}

func TestRewrapIsConditional(t *testing.T) {
	s := csetest.NewServer(t)
	c := blobClient(t, s, "c/b", cse.Options{Key: aesKey(t, "old")})
	if _, err := c.UploadBuffer(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("comp") == "metadata" {
			s.Change("c/b", func(*csetest.Blob) {})
		}
		return false
	})
	if _, err := c.Rewrap(t.Context(), aesKey(t, "new"), nil); !bloberror.HasCode(err, bloberror.ConditionNotMet) {
		t.Errorf("Rewrap of a blob that changed: %v", err)
	}
	if _, err := c.SetMetadata(t.Context(), nil, nil); !bloberror.HasCode(err, bloberror.ConditionNotMet) {
		t.Errorf("SetMetadata of a blob that changed: %v", err)
	}
	if _, err := c.DropEncryptionData(t.Context(), nil); !bloberror.HasCode(err, bloberror.ConditionNotMet) {
		t.Errorf("DropEncryptionData of a blob that changed: %v", err)
	}
}

func TestRewrapRefuses(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	s.Put("c/plain", csetest.Blob{})
	s.Put("c/v1", v1Blob(t, key, nil))
	wrong := v2Blob(t, key, nil)
	wrong.Metadata["encryptiondata"] = strings.ReplaceAll(wrong.Metadata["encryptiondata"], `"2.0"`, `"2.1"`)
	s.Put("c/relabelled", wrong)
	tests := []struct {
		blob string
		opt  cse.Options
		key  cse.Key
		want cse.Code
	}{
		{"plain", cse.Options{Key: key}, aesKey(t, "new"), cse.NotEncrypted},
		{"v1", cse.Options{Key: key}, aesKey(t, "new"), cse.V1NotAllowed},
		{"v1", cse.Options{Key: key, AllowV1Read: true}, nil, cse.InvalidOption},
		{"v1", cse.Options{Key: aesKey(t, "other"), AllowV1Read: true}, aesKey(t, "new"), cse.KeyNotFound},
		{"relabelled", cse.Options{Key: key}, aesKey(t, "new"), cse.AuthenticationFailed},
	}
	for _, tt := range tests {
		if _, err := blobClient(t, s, "c/"+tt.blob, tt.opt).Rewrap(t.Context(), tt.key, nil); !cse.HasCode(err, tt.want) {
			t.Errorf("Rewrap(%s) = %v, want code %s", tt.blob, err, tt.want)
		}
	}
}

func TestRewrapAll(t *testing.T) {
	s := csetest.NewServer(t)
	old, fresh := aesKey(t, "old"), aesKey(t, "new")
	for i := range 20 {
		s.Put(fmt.Sprintf("c/in/%02d", i), v2Blob(t, old, []byte{byte(i)}))
	}
	s.Put("c/in/done", v2Blob(t, fresh, nil))
	s.Put("c/in/plain", csetest.Blob{})
	s.Put("c/in/other", v2Blob(t, aesKey(t, "lost"), nil))
	s.Put("c/out", v2Blob(t, old, nil))
	c := containerClient(t, s.URL+"/c")
	if _, err := c.NewBlockBlobClient("in/03").CreateSnapshot(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	opt := &cse.Options{Key: old}
	stop := errors.New("stop")
	seen := 0
	_, err := cse.RewrapAll(t.Context(), c, fresh, opt, &cse.RewrapAllOptions{Prefix: "in/", Concurrency: 1,
		Each: func(string, cse.RewrapResult, error) error {
			if seen++; seen == 5 {
				return stop
			}
			return nil
		}})
	if !errors.Is(err, stop) {
		t.Fatalf("RewrapAll = %v, want the error of Each", err)
	}
	want := cse.RewrapReport{Rewrapped: 15, Already: 6, Plain: 1, Failed: 1, Held: map[string]int{"old": 1}}
	for _, dry := range []bool{true, false} {
		got, err := cse.RewrapAll(t.Context(), c, fresh, opt, &cse.RewrapAllOptions{Prefix: "in/", DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("dry %v (-want +got):\n%s", dry, diff)
		}
	}
	for i := range 20 {
		readEqual(t, blobClient(t, s, fmt.Sprintf("c/in/%02d", i), cse.Options{Key: fresh}), []byte{byte(i)})
	}
	readEqual(t, blobClient(t, s, "c/out", cse.Options{Key: old}), nil)
}
