package cse_test

import (
	"archive/zip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/coffer-storage/coffer/cse"
)

// The secret comes from where secrets are kept.
func secret() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

func ExampleNewClient() {
	plain, err := azblob.NewClientFromConnectionString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), nil)
	if err != nil {
		log.Print(err)
		return
	}
	key, err := cse.NewAESKey("orders-2026", secret())
	if err != nil {
		log.Fatal(err)
	}
	client, err := cse.NewClient(plain, &cse.Options{Key: key})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	b := client.NewBlobClient("orders", "2026/11/25.csv")
	if _, err := b.UploadStream(ctx, strings.NewReader("1,2,3\n"), nil); err != nil {
		log.Fatal(err)
	}
	r, err := b.DownloadStream(ctx, &cse.DownloadStreamOptions{Range: cse.Range{Offset: 2}})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Body.Close()
	io.Copy(os.Stdout, r.Body)
}

// What needs an io.ReaderAt works on an encrypted blob: here, one file out of an archive.
func ExampleBlobClient_OpenReader() {
	plain, err := azblob.NewClientFromConnectionString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), nil)
	if err != nil {
		log.Print(err)
		return
	}
	key, err := cse.NewAESKey("orders-2026", secret())
	if err != nil {
		log.Fatal(err)
	}
	client, err := cse.NewClient(plain, &cse.Options{Key: key})
	if err != nil {
		log.Fatal(err)
	}
	r, err := client.NewBlobClient("orders", "2026.zip").OpenReader(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	archive, err := zip.NewReader(r, r.Size())
	if err != nil {
		log.Fatal(err)
	}
	file, err := archive.Open("11/25.csv")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	io.Copy(os.Stdout, file)
}

// Messages are encrypted text in a queue message; QueueClient does both at once.
func ExampleEncryptMessage() {
	ctx := context.Background()
	key, err := cse.NewAESKey("queue-2026", secret())
	if err != nil {
		log.Fatal(err)
	}
	text, err := cse.EncryptMessage(ctx, "ship order 17", &cse.Options{Key: key})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(text, "order"))
	plain, err := cse.DecryptMessage(ctx, text, &cse.Options{Key: key})
	fmt.Println(plain, err)
	// Output:
	// false
	// ship order 17 <nil>
}

// Readers know several keys: those of last year, and the new one.
func ExampleNewKeyRing() {
	ctx := context.Background()
	old, err := cse.NewAESKey("2025", secret())
	if err != nil {
		log.Fatal(err)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	fresh, err := cse.NewRSAKey("2026", private, nil)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := cse.NewKeyRing(old, fresh)
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []cse.Key{old, fresh} {
		text, err := cse.EncryptMessage(ctx, "by "+key.KeyID(), &cse.Options{Key: key})
		if err != nil {
			log.Fatal(err)
		}
		plain, err := cse.DecryptMessage(ctx, text, &cse.Options{Resolver: ring})
		fmt.Println(plain, err)
	}
	// Output:
	// by 2025 <nil>
	// by 2026 <nil>
}

// device is a Key somewhere else: in a smart card, behind a service.
type device struct{ inside *cse.AESKey }

func (d device) KeyID() string { return "device-1" }

func (d device) WrapKey(ctx context.Context, algorithm string, key []byte) ([]byte, error) {
	return d.inside.WrapKey(ctx, algorithm, key)
}

func (d device) UnwrapKey(ctx context.Context, algorithm string, wrapped []byte) ([]byte, error) {
	return d.inside.UnwrapKey(ctx, algorithm, wrapped)
}

func ExampleKey() {
	ctx := context.Background()
	inside, err := cse.NewAESKey("inside", secret())
	if err != nil {
		log.Fatal(err)
	}
	opt := &cse.Options{Key: device{inside}, WrapAlgorithm: cse.A256KW}
	text, err := cse.EncryptMessage(ctx, "hello", opt)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cse.DecryptMessage(ctx, text, opt))
	// Output: hello <nil>
}

func ExampleHasCode() {
	_, err := cse.DecryptMessage(context.Background(), "never encrypted", nil)
	fmt.Println(cse.HasCode(err, cse.NotEncrypted))
	fmt.Println(err)
	// Output:
	// true
	// cse: the object is not encrypted
}

// A new key for all blobs below a prefix. Run it again if it was ended.
func ExampleRewrapAll() {
	box, err := container.NewClientFromConnectionString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), "orders", nil)
	if err != nil {
		log.Print(err)
		return
	}
	old, err := cse.NewAESKey("2025", secret())
	if err != nil {
		log.Fatal(err)
	}
	fresh, err := cse.NewAESKey("2026", secret())
	if err != nil {
		log.Fatal(err)
	}
	report, err := cse.RewrapAll(context.Background(), box, fresh, &cse.Options{Key: old}, &cse.RewrapAllOptions{Prefix: "2025/"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Rewrapped, "rewrapped;", report.Held["2025"], "snapshots still need the old key")
}

// From version 1.0 to 2.0. Run it again if it was ended.
func ExampleMigrate() {
	box, err := container.NewClientFromConnectionString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), "orders", nil)
	if err != nil {
		log.Print(err)
		return
	}
	key, err := cse.NewAESKey("orders-2026", secret())
	if err != nil {
		log.Fatal(err)
	}
	report, err := cse.Migrate(context.Background(), box, &cse.Options{Key: key}, &cse.MigrateOptions{
		Target: cse.ToV2,
		DryRun: true, // look first
		Each: func(r cse.MigrateResult) error {
			if r.Err != nil && !errors.Is(r.Err, context.Canceled) {
				log.Printf("%s: %v", r.Name, r.Err)
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Migrated, "of version 1.0;", len(report.HeldNames), "snapshots and versions hold it too")
}
