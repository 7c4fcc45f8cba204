package blob

import (
	"context"
	"io"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/name"
)

// Service is the Blob service. All methods are safe in parallel.
type Service struct{}

// Download is an open read. Close is required.
type Download struct {
	Properties
	Off, N     int64
	RangeMD5   []byte
	RangeCRC64 []byte
}

// WriteTo streams exactly N authenticated bytes.
func (d *Download) WriteTo(w io.Writer) (int64, error) { panic("soon") }

// Close releases what the read holds.
func (d *Download) Close() error { panic("soon") }

func (s *Service) PutBlob(ctx context.Context, c *access.Caller, ref Ref, o PutOptions) (Written, error) {
	panic("soon")
}
func (s *Service) PutBlock(ctx context.Context, c *access.Caller, ref Ref, o BlockOptions) (Written, error) {
	panic("soon")
}
func (s *Service) PutBlockList(ctx context.Context, c *access.Caller, ref Ref, o ListOptions) (Written, error) {
	panic("soon")
}
func (s *Service) GetBlockList(ctx context.Context, c *access.Caller, ref Ref, w Which, cond Conditions) (BlockList, error) {
	panic("soon")
}
func (s *Service) Open(ctx context.Context, c *access.Caller, ref Ref, o ReadOptions) (*Download, error) {
	panic("soon")
}
func (s *Service) GetProperties(ctx context.Context, c *access.Caller, ref Ref, cond Conditions) (Properties, error) {
	panic("soon")
}
func (s *Service) GetMetadata(ctx context.Context, c *access.Caller, ref Ref, cond Conditions) (Properties, error) {
	panic("soon")
}
func (s *Service) SetMetadata(ctx context.Context, c *access.Caller, ref Ref, m Metadata, cond Conditions) (Written, error) {
	panic("soon")
}
func (s *Service) SetHTTPHeaders(ctx context.Context, c *access.Caller, ref Ref, h Headers, cond Conditions) (Written, error) {
	panic("soon")
}
func (s *Service) Delete(ctx context.Context, c *access.Caller, ref Ref, o DeleteOptions) error {
	panic("soon")
}
func (s *Service) List(ctx context.Context, c *access.Caller, account name.Account, container name.Container, o ListBlobsOptions) (BlobPage, error) {
	panic("soon")
}
func (s *Service) CreateContainer(ctx context.Context, c *access.Caller, account name.Account, container name.Container, o ContainerOptions) (Written, error) {
	panic("soon")
}
func (s *Service) GetContainer(ctx context.Context, c *access.Caller, account name.Account, container name.Container, cond Conditions) (ContainerProperties, error) {
	panic("soon")
}
func (s *Service) SetContainerMetadata(ctx context.Context, c *access.Caller, account name.Account, container name.Container, m Metadata, cond Conditions) (Written, error) {
	panic("soon")
}
func (s *Service) GetContainerACL(ctx context.Context, c *access.Caller, account name.Account, container name.Container, cond Conditions) (ACL, error) {
	panic("soon")
}
func (s *Service) SetContainerACL(ctx context.Context, c *access.Caller, account name.Account, container name.Container, o ACLOptions) (Written, error) {
	panic("soon")
}
func (s *Service) DeleteContainer(ctx context.Context, c *access.Caller, account name.Account, container name.Container, cond Conditions) error {
	panic("soon")
}
func (s *Service) ListContainers(ctx context.Context, c *access.Caller, account name.Account, o ListContainersOptions) (ContainerPage, error) {
	panic("soon")
}
func (s *Service) GetServiceProperties(ctx context.Context, c *access.Caller, account name.Account) (ServiceProperties, error) {
	panic("soon")
}
func (s *Service) SetServiceProperties(ctx context.Context, c *access.Caller, account name.Account, p ServiceProperties) error {
	panic("soon")
}
func (s *Service) GetStats(ctx context.Context, c *access.Caller, account name.Account) (Stats, error) {
	panic("soon")
}
func (s *Service) GetAccountInfo(ctx context.Context, c *access.Caller, account name.Account) (AccountInfo, error) {
	panic("soon")
}

// Policy returns a stored access policy of a container, for wire/auth, which merges
// it into a SAS before there is a Caller.
func (s *Service) Policy(ctx context.Context, account name.Account, container name.Container, id string) (Policy, error) {
	panic("soon")
}

// PublicAccess returns the public access of a container.
func (s *Service) PublicAccess(ctx context.Context, account name.Account, container name.Container) (string, error) {
	panic("soon")
}

// CollectContainers releases blobs of deleted containers, at most budget rows, and
// reports whether there is more to do. The janitor calls it.
func (s *Service) CollectContainers(ctx context.Context, budget int) (more bool, err error) {
	panic("soon")
}
