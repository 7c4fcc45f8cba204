package proof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// long: the sizes of the long run, as `make long` sets it.
var long = os.Getenv("COFFER_LONG") != ""

// sized picks the figure of a run: race detector, ordinary, night.
func sized(short, ordinary, night int) int {
	switch {
	case long:
		return night
	case testing.Short():
		return short
	}
	return ordinary
}

const (
	dataDir = "data"
	account = name.Account("devstoreaccount1")
	box     = name.Container("box")
)

var (
	ctx   = context.Background()
	owner = &access.Caller{Kind: access.SharedKey, Account: account, Secure: true}
)

// secrets keep the unseal secrets of one store, as the key files outside it would.
type secrets struct{ service, infra *localkey.Memory }

func newSecrets() *secrets { return &secrets{localkey.NewMemory(), localkey.NewMemory()} }

// copy keeps what the secrets are now: a store that goes on may drop some of them.
func (s *secrets) copy() *secrets { return &secrets{s.service.Clone(), s.infra.Clone()} }

// options open a store on fs with the secrets.
func (s *secrets) options(fs vfs.FS) store.Options {
	return store.Options{
		FS: fs, Dir: dataDir, Service: s.service, Infra: s.infra,
		FreeSpace: func() (uint64, error) { return 1 << 40, nil }, Reserve: -1,
		// A store that lost its log ends its process; here it ends the goroutine.
		Fatal: func(err error) { panic(err) },
	}
}

// open opens a store and makes its account and container when it is new.
func open(fs vfs.FS, s *secrets) (*store.Store, error) {
	st, err := store.Open(ctx, s.options(fs))
	if err != nil {
		return nil, err
	}
	if err := furnish(st); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

func furnish(st *store.Store) error {
	if _, err := st.Accounts.EnsureDefault(ctx); err != nil {
		return err
	}
	_, err := st.Blobs.CreateContainer(ctx, owner, account, box, blob.ContainerOptions{})
	if fault.Is(err, fault.ContainerAlreadyExists) {
		return nil
	}
	return err
}

func mustOpen(t testing.TB, fs vfs.FS, s *secrets) *store.Store {
	t.Helper()
	st, err := open(fs, s)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	return st
}

func ref(b string) blob.Ref { return blob.Ref{Account: account, Container: box, Blob: name.Blob(b)} }

// content is n bytes that no other seed gives.
func content(seed string, n int) []byte {
	out := make([]byte, 0, n+32)
	for i := uint64(0); len(out) < n; i++ {
		h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(seed), i))
		out = append(out, h[:]...)
	}
	return out[:n]
}

// put stores a blob in one request.
func put(st *store.Store, name string, data []byte, m ...blob.MetaPair) error {
	_, err := st.Blobs.PutBlob(ctx, owner, ref(name), blob.PutOptions{
		Length: int64(len(data)), Body: bytes.NewReader(data), Metadata: m,
	})
	return err
}

// get reads content and metadata of a blob. A missing blob is (nil, nil, nil).
func get(st *store.Store, name string) (data []byte, m blob.Metadata, err error) {
	d, err := st.Blobs.Open(ctx, owner, ref(name), blob.ReadOptions{})
	if fault.Is(err, fault.BlobNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	var b bytes.Buffer
	if _, err := d.WriteTo(&b); err != nil {
		return nil, nil, err
	}
	if b.Len() == 0 {
		return []byte{}, d.Metadata, nil
	}
	return b.Bytes(), d.Metadata, nil
}

func namesIn(st *store.Store, c name.Container) (list []string, err error) {
	var o blob.ListBlobsOptions
	for {
		page, err := st.Blobs.List(ctx, owner, account, c, o)
		if err != nil {
			return nil, err
		}
		for _, it := range page.Items {
			list = append(list, it.Name)
		}
		if page.NextMarker == "" {
			return list, nil
		}
		o.Marker = page.NextMarker
	}
}

// chain finds the key of a kind that belongs to the account, or else to the store.
func chain(t testing.TB, st *store.Store, kind keys.Kind) keys.ID {
	t.Helper()
	var found keys.ID
	for _, c := range st.Ring.Chains() {
		if c.Kind == kind && (found.IsZero() || c.Owner != keys.ID(st.Ring.StoreID())) {
			found = c.ID
		}
	}
	if found.IsZero() {
		t.Fatalf("the store has no %v", kind)
	}
	return found
}

// describe a value in a message, shortly.
func describe(b []byte) string {
	if b == nil {
		return "missing"
	}
	h := sha256.Sum256(b)
	return fmt.Sprintf("%d bytes %x", len(b), h[:4])
}

// files lists every file of the data directory of fs, sorted.
func files(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	var out []string
	var walk func(dir string)
	walk = func(dir string) {
		list, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(list)
		for _, n := range list {
			p := fs.PathJoin(dir, strings.TrimSuffix(n, "/"))
			info, err := fs.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				walk(p)
				continue
			}
			out = append(out, p)
		}
	}
	walk(dataDir)
	return out
}
