package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/coffer-storage/coffer/cse"
)

// bench times uploads and downloads of a file, by azblob alone and by package cse, in
// turn, and prints the best of each: other work on the machine only adds.
func bench(ctx context.Context, file, name string, rounds int) error {
	c, err := box()
	if err != nil {
		return err
	}
	all, _, err := keys()
	if err != nil {
		return err
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.CreateTemp("", "cse-bench-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	plain := c.NewBlockBlobClient(name + ".plain")
	sealed, err := cse.NewBlobClient(c.NewBlockBlobClient(name+".cse"), &cse.Options{Key: all["aes1"]})
	if err != nil {
		return err
	}
	// Both by their defaults.
	runs := []struct {
		what string
		do   func() error
		took []time.Duration
	}{
		{what: "azblob upload", do: func() error {
			_, err := plain.UploadFile(ctx, in, nil)
			return err
		}},
		{what: "cse upload", do: func() error {
			_, err := sealed.UploadFile(ctx, in, nil)
			return err
		}},
		{what: "azblob download", do: func() error {
			_, err := plain.DownloadFile(ctx, out, nil)
			return err
		}},
		{what: "cse download", do: func() error {
			_, err := sealed.DownloadFile(ctx, out, nil)
			return err
		}},
	}
	for range rounds {
		for i := range runs {
			start := time.Now()
			if err := runs[i].do(); err != nil {
				return err
			}
			runs[i].took = append(runs[i].took, time.Since(start))
		}
	}
	for _, r := range runs {
		slices.Sort(r.took)
		best, median := r.took[0], r.took[len(r.took)/2]
		fmt.Printf("bench\t%s of %d MiB\tbest %.3f s, %.0f MiB/s\tmedian %.3f s\n", r.what, st.Size()>>20,
			best.Seconds(), float64(st.Size())/(1<<20)/best.Seconds(), median.Seconds())
	}
	for _, i := range []int{0, 2} {
		fmt.Printf("bench\t%s to %s\t%.2f of the speed by best, %.2f by median\n", runs[i].what, runs[i+1].what,
			runs[i].took[0].Seconds()/runs[i+1].took[0].Seconds(),
			runs[i].took[rounds/2].Seconds()/runs[i+1].took[rounds/2].Seconds())
	}
	return nil
}

// rss uploads so many bytes of a pattern as a stream, downloads and compares them, and
// prints the high-water mark of resident memory.
func rss(ctx context.Context, name string, size int64) error {
	c, err := box()
	if err != nil {
		return err
	}
	all, _, err := keys()
	if err != nil {
		return err
	}
	b, err := cse.NewBlobClient(c.NewBlockBlobClient(name), &cse.Options{Key: all["aes1"], RequireLength: true})
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := b.UploadStream(ctx, &source{left: size}, nil); err != nil {
		return err
	}
	up := time.Since(start)
	r, err := b.DownloadStream(ctx, nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if err := same(r.Body, &source{left: size}); err != nil {
		return err
	}
	fmt.Printf("bench\t%d MiB up in %.1f s, down in %.1f s\tpeak of resident memory %s\n", size>>20,
		up.Seconds(), (time.Since(start) - up).Seconds(), peak())
	return nil
}
