package server

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
)

// ownerOf is how the owner of the data directory comes to the blob service of an account.
func ownerOf(a name.Account) *access.Caller {
	return &access.Caller{Kind: access.SharedKey, Account: a, Secure: true}
}

// noPublic is what people call the public access of a container that has none.
const noPublic = "none"

func (a ContainerArgs) names() (acct name.Account, box name.Container, err error) {
	if acct, err = parseAccount(a.Account); err != nil {
		return acct, box, err
	}
	box, err = name.ParseContainer(a.Name)
	return acct, box, withHint(err, "a container's name has 3 to 63 lower case letters, digits and dashes, each dash between two of the others")
}

func (a ContainerArgs) public() string {
	if a.PublicAccess == nil || *a.PublicAccess == noPublic {
		return ""
	}
	return *a.PublicAccess
}

func (a ContainerArgs) metadata() blob.Metadata {
	var m blob.Metadata
	for _, k := range slices.Sorted(maps.Keys(a.Metadata)) {
		m = append(m, blob.MetaPair{Name: k, Value: a.Metadata[k]})
	}
	return m
}

func containerHint(err error, a ContainerArgs) error {
	switch fault.KindOf(err) {
	case fault.ContainerNotFound:
		return withHint(err, "coffer container list "+a.Account+" shows the containers there are")
	case fault.ContainerAlreadyExists:
		return withHint(err, "choose another name, or change it with coffer container update")
	case fault.PublicAccessNotPermitted:
		return withHint(err, "the account forbids public access: coffer account set "+a.Account+" --allow-public-access")
	case fault.InvalidHeaderValue:
		return withHint(err, "public access is none, blob or container")
	case fault.InvalidMetadata, fault.EmptyMetadataKey, fault.MetadataTooLarge:
		return withHint(err, "names of metadata are those of C# identifiers; all of it has 8 KiB at most")
	}
	return scopeHint(err, a.Account)
}

func (s *Server) opContainerCreate(ctx context.Context, a ContainerArgs, progress func(Progress)) (Container, error) {
	acct, box, err := a.names()
	if err != nil {
		return Container{}, err
	}
	if a.DenyOverride && a.DefaultScope == "" {
		return Container{}, withHint(fault.New("server.containerCreate", a.Name, fault.InvalidInput, errors.New("there is no default scope that could be overridden")),
			"name it with --default-scope SCOPE")
	}
	o := blob.ContainerOptions{Metadata: a.metadata(), PublicAccess: a.public(), DefaultScope: a.DefaultScope, DenyScopeOverride: a.DenyOverride}
	if _, err := s.store.Blobs.CreateContainer(ctx, ownerOf(acct), acct, box, o); err != nil {
		return Container{}, containerHint(err, a)
	}
	return s.opContainerShow(ctx, a, progress)
}

func (s *Server) opContainerShow(ctx context.Context, a ContainerArgs, _ func(Progress)) (Container, error) {
	acct, box, err := a.names()
	if err != nil {
		return Container{}, err
	}
	p, err := s.store.Blobs.GetContainer(ctx, ownerOf(acct), acct, box, blob.Conditions{})
	return showContainer(acct, string(box), p), containerHint(err, a)
}

func showContainer(acct name.Account, n string, p blob.ContainerProperties) Container {
	c := Container{
		Account: string(acct), Name: n, PublicAccess: p.PublicAccess, DefaultScope: p.DefaultScope, DenyOverride: p.DenyScopeOverride,
		Lease: p.LeaseState, ETag: p.ETag, Modified: p.LastModified,
	}
	if c.PublicAccess == "" {
		c.PublicAccess = noPublic
	}
	for _, m := range p.Metadata {
		if c.Metadata == nil {
			c.Metadata = map[string]string{}
		}
		c.Metadata[m.Name] = m.Value
	}
	return c
}

func (s *Server) opContainerList(ctx context.Context, a ContainerArgs, _ func(Progress)) ([]Container, error) {
	info, err := s.accountOf(ctx, a.Account)
	if err != nil {
		return nil, err
	}
	out := []Container{}
	o := blob.ListContainersOptions{Prefix: a.Prefix}
	for {
		page, err := s.store.Blobs.ListContainers(ctx, ownerOf(info.Name), info.Name, o)
		if err != nil {
			return nil, err
		}
		for _, c := range page.Items {
			out = append(out, showContainer(info.Name, c.Name, c.ContainerProperties))
		}
		if o.Marker = page.NextMarker; o.Marker == "" {
			return out, nil
		}
	}
}

// opContainerUpdate changes public access and metadata; the default scope is for life.
func (s *Server) opContainerUpdate(ctx context.Context, a ContainerArgs, progress func(Progress)) (Container, error) {
	acct, box, err := a.names()
	if err != nil {
		return Container{}, err
	}
	if a.PublicAccess != nil {
		acl, err := s.store.Blobs.GetContainerACL(ctx, ownerOf(acct), acct, box, blob.Conditions{})
		if err != nil {
			return Container{}, containerHint(err, a)
		}
		if _, err := s.store.Blobs.SetContainerACL(ctx, ownerOf(acct), acct, box, blob.ACLOptions{PublicAccess: a.public(), Policies: acl.Policies}); err != nil {
			return Container{}, containerHint(err, a)
		}
	}
	if a.Metadata != nil {
		if _, err := s.store.Blobs.SetContainerMetadata(ctx, ownerOf(acct), acct, box, a.metadata(), blob.Conditions{}); err != nil {
			return Container{}, containerHint(err, a)
		}
	}
	return s.opContainerShow(ctx, a, progress)
}

func (s *Server) opContainerDelete(ctx context.Context, a ContainerArgs, _ func(Progress)) (Nothing, error) {
	acct, box, err := a.names()
	if err != nil {
		return Nothing{}, err
	}
	return Nothing{}, containerHint(s.store.Blobs.DeleteContainer(ctx, ownerOf(acct), acct, box, blob.Conditions{}), a)
}

func (s *Server) opBlobService(ctx context.Context, a BlobServiceArgs, _ func(Progress)) (BlobService, error) {
	acct, err := parseAccount(a.Account)
	if err != nil {
		return BlobService{}, err
	}
	p, err := s.store.Blobs.GetServiceProperties(ctx, ownerOf(acct), acct)
	if err != nil {
		return BlobService{}, err
	}
	out := BlobService{Account: a.Account, CORS: []CORSRule{}, SoftDelete: p.DeleteRetention != nil && p.DeleteRetention.Enabled}
	if p.DefaultServiceVersion != nil {
		out.DefaultVersion = *p.DefaultServiceVersion
	}
	words := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) }
	if p.CORS != nil {
		for _, c := range *p.CORS {
			out.CORS = append(out.CORS, CORSRule{
				Origins: words(c.AllowedOrigins), Methods: words(c.AllowedMethods), Headers: words(c.AllowedHeaders),
				Exposed: words(c.ExposedHeaders), MaxAge: c.MaxAge,
			})
		}
	}
	return out, nil
}

func (s *Server) opSetBlobService(ctx context.Context, a BlobServiceArgs, progress func(Progress)) (BlobService, error) {
	acct, err := parseAccount(a.Account)
	if err != nil {
		return BlobService{}, err
	}
	set := blob.ServiceProperties{DefaultServiceVersion: a.DefaultVersion}
	if a.CORS != nil {
		rules := []blob.CORSRule{}
		for _, c := range *a.CORS {
			rules = append(rules, blob.CORSRule{
				AllowedOrigins: strings.Join(c.Origins, ","), AllowedMethods: strings.Join(c.Methods, ","), MaxAge: c.MaxAge,
				AllowedHeaders: strings.Join(c.Headers, ","), ExposedHeaders: strings.Join(c.Exposed, ","),
			})
		}
		set.CORS = &rules
	}
	if err := s.store.Blobs.SetServiceProperties(ctx, ownerOf(acct), acct, set); err != nil {
		switch fault.KindOf(err) {
		case fault.InvalidXMLNodeValue, fault.InvalidXMLDocument:
			err = withHint(err, "there are 5 rules and 2 KiB at most; each has allowedOrigins and allowedMethods")
		}
		return BlobService{}, err
	}
	return s.opBlobService(ctx, a, progress)
}
