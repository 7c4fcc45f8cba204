// Command big sends one huge blob up and brings it down again, in blocks and
// in parallel, and holds the server to a bound of memory while it does.
//
// The content is a pseudo-random stream that is never held anywhere: the same
// seed gives it again block by block, so a machine with little memory can check
// ten gigabytes. Both directions hash what really passes: the upload what the
// SDK read, the download what the server sent, in order.
//
//	big -size 10GiB -block 8MiB -parallel 8 -pid 1234 -max-rss 128
//
// The endpoint comes from AZURE_STORAGE_CONNECTION_STRING. With -pid the
// server's high-water mark is read from /proc at the end and its resident
// memory twice a second meanwhile; over -max-rss MiB the program fails.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("big: ")
	size, block := bytesFlag(10<<30), bytesFlag(8<<20)
	flag.Var(&size, "size", "bytes to transfer; KiB, MiB and GiB are understood")
	flag.Var(&block, "block", "size of a block")
	parallel := flag.Int("parallel", 8, "blocks in flight")
	pid := flag.Int("pid", 0, "the server's process id: its memory is watched")
	maxRSS := flag.Int64("max-rss", 128, "bound of the server's resident memory, MiB")
	flag.Parse()
	if err := run(context.Background(), int64(size), int64(block), *parallel, *pid, *maxRSS); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, size, block int64, parallel, pid int, maxRSS int64) error {
	svc, err := service.NewClientFromConnectionString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), nil)
	if err != nil {
		return fmt.Errorf("AZURE_STORAGE_CONNECTION_STRING: %w", err)
	}
	cont := svc.NewContainerClient("big-" + strconv.FormatInt(time.Now().UnixNano(), 36))
	if _, err := cont.Create(ctx, nil); err != nil {
		return err
	}
	defer cont.Delete(context.WithoutCancel(ctx), nil)
	b := cont.NewBlockBlobClient("big.bin")

	w, err := watch(pid)
	if err != nil {
		return err
	}
	up := sha256.New()
	start := time.Now()
	_, err = b.UploadStream(ctx, io.TeeReader(newStream(size), up), &blockblob.UploadStreamOptions{BlockSize: block, Concurrency: parallel})
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	report("up", size, time.Since(start), up)
	upPeak := w.sampled()

	p, err := b.GetProperties(ctx, nil)
	if err != nil {
		return err
	}
	if p.ContentLength == nil || *p.ContentLength != size {
		return fmt.Errorf("the stored blob has %v bytes, want %d", p.ContentLength, size)
	}
	down := &ordered{h: sha256.New(), block: block, size: size}
	start = time.Now()
	if err := download(ctx, b.BlobClient(), down, parallel); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	report("down", size, time.Since(start), down.h)
	if a, z := up.Sum(nil), down.h.Sum(nil); string(a) != string(z) {
		return errors.New("what came back is not what went up")
	}
	fmt.Println("identical")
	return w.verdict(upPeak, maxRSS)
}

func report(way string, size int64, d time.Duration, h hash.Hash) {
	fmt.Printf("%-4s  %d bytes in %.1f s, %.0f MiB/s, sha256 %x\n", way, size, d.Seconds(), float64(size)/(1<<20)/d.Seconds(), h.Sum(nil))
}

// bytesFlag is a number of bytes with an optional unit.
type bytesFlag int64

func (b *bytesFlag) String() string { return strconv.FormatInt(int64(*b), 10) }

func (b *bytesFlag) Set(s string) error {
	shift := 0
	for unit, n := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if t, ok := strings.CutSuffix(s, unit); ok {
			s, shift = t, n
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > 1<<50>>shift {
		return fmt.Errorf("want bytes, or a number with KiB, MiB or GiB")
	}
	*b = bytesFlag(n << shift)
	return nil
}
