package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3 drives MinIO. Payloads are not signed, as Shared Key signs none either.
type s3 struct {
	c  config
	cl *minio.Client
}

func newS3(c config) (*s3, error) {
	cl, err := minio.New(strings.TrimPrefix(c.endpoint, "http://"), &minio.Options{
		Creds:     credentials.NewStaticV4(c.account, c.key, ""),
		Transport: transport(c.insecure), Region: "us-east-1", MaxRetries: 1,
	})
	return &s3{c: c, cl: cl}, err
}

// Setup makes the bucket and insists that what is put there is encrypted.
func (s *s3) Setup(ctx context.Context) error {
	ok, err := s.cl.BucketExists(ctx, s.c.container)
	if err != nil || ok {
		return err
	}
	if err := s.cl.MakeBucket(ctx, s.c.container, minio.MakeBucketOptions{}); err != nil {
		return err
	}
	if err := s.Put(ctx, "probe", []byte("probe")); err != nil {
		return err
	}
	_, _, h, err := (minio.Core{Client: s.cl}).GetObject(ctx, s.c.container, "probe", minio.GetObjectOptions{})
	if err == nil && h.Get("X-Amz-Server-Side-Encryption") == "" {
		err = errors.New("the server does not encrypt what it is given")
	}
	return err
}

func (s *s3) options(par int) minio.PutObjectOptions {
	return minio.PutObjectOptions{DisableContentSha256: true, PartSize: uint64(s.c.block), NumThreads: uint(par), ConcurrentStreamParts: par > 1}
}

func (s *s3) Put(ctx context.Context, name string, body []byte) error {
	_, err := s.cl.PutObject(ctx, s.c.container, name, bytes.NewReader(body), int64(len(body)),
		minio.PutObjectOptions{DisableContentSha256: true, DisableMultipart: true})
	return err
}

func (s *s3) Get(ctx context.Context, name string, off, n int64, w io.Writer) (int64, error) {
	var o minio.GetObjectOptions
	if n > 0 {
		if err := o.SetRange(off, off+n-1); err != nil {
			return 0, err
		}
	}
	body, _, _, err := (minio.Core{Client: s.cl}).GetObject(ctx, s.c.container, name, o)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return drain(w, body)
}

func (s *s3) PutBig(ctx context.Context, name string, r io.Reader, size int64, par int) error {
	_, err := s.cl.PutObject(ctx, s.c.container, name, r, size, s.options(par))
	return err
}

func (s *s3) GetBig(ctx context.Context, name string, f *os.File, size int64, par int) error {
	return getRanges(ctx, s, name, f, size, s.c.block, par)
}

func (s *s3) List(ctx context.Context, prefix string) (int, error) {
	n := 0
	for o := range s.cl.ListObjects(ctx, s.c.container, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return n, o.Err
		}
		n++
	}
	return n, nil
}
