package blob

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// maxPageBytes bounds the names and metadata of one page, whatever MaxResults asks:
// a page may always be shorter than that, and the memory of a request is bounded.
const maxPageBytes = 4 << 20

// walk goes over the names of one table below base, in byte order, with those that
// share a delimiter after the prefix taken together.
type walk struct {
	tx            *object.Tx
	table         object.Table
	owner         keys.ID
	base          []byte // of every key; the name follows
	prefix, delim string
	from          string // the first name that may be visited
}

// each calls visit with every name, or with a group and no row. It seeks past a group
// and does not read what is in it.
func (w *walk) each(visit func(item string, group bool, r *object.Row) (bool, error)) error {
	lo := append(slices.Clone(w.base), max(w.from, w.prefix)...)
	hi := account.After(append(slices.Clone(w.base), w.prefix...))
	for lo != nil {
		var jump []byte
		err := w.tx.Scan(w.table, w.owner, lo, hi, false, func(key []byte, r *object.Row) (bool, error) {
			item := string(key[len(w.base):])
			group, ok := w.group(item)
			if !ok {
				return visit(item, false, r)
			}
			more, err := visit(group, true, nil)
			if more {
				jump = account.After(append(slices.Clone(w.base), group...))
			}
			return false, err
		})
		if err != nil {
			return err
		}
		lo = jump
	}
	return nil
}

// group is the part of a name up to its first delimiter after the prefix.
func (w *walk) group(item string) (string, bool) {
	if w.delim == "" {
		return "", false
	}
	i := strings.Index(item[len(w.prefix):], w.delim)
	if i < 0 {
		return "", false
	}
	return item[:len(w.prefix)+i+len(w.delim)], true
}

// List returns one page of the blobs of a container, in the byte order of their names.
func (s *Service) List(ctx context.Context, c *access.Caller, a name.Account, n name.Container, o ListBlobsOptions) (BlobPage, error) {
	k, err := s.begin(ctx, "blob.List", c, boxRef(a, n), needList)
	if err != nil {
		return BlobPage{}, err
	}
	from, err := openMarker(k.op, o.Marker)
	if err != nil {
		return BlobPage{}, err
	}
	most, err := pageSize(k.op, o.MaxResults)
	if err != nil {
		return BlobPage{}, err
	}
	var page BlobPage
	err = k.view(ctx, func(tx *object.Tx) error {
		box, err := k.enter(tx)
		if err != nil {
			return err
		}
		l := &lister{call: k, ctx: ctx, o: o, most: most, walk: walk{
			tx: tx, owner: k.acct.ID, base: blobKey(k.acct.ID, box.id, ""),
			prefix: o.Prefix, delim: o.Delimiter, from: from,
		}}
		page, err = l.page()
		return err
	})
	return page, err
}

// lister makes one page.
type lister struct {
	*call
	ctx  context.Context
	walk walk
	o    ListBlobsOptions
	most int
}

func (l *lister) page() (BlobPage, error) {
	items, next, err := l.blobs()
	if err != nil {
		return BlobPage{}, err
	}
	if l.o.Include&IncludeUncommitted != 0 {
		staged, more, err := l.uncommitted()
		if err != nil {
			return BlobPage{}, err
		}
		items, next = merge(items, next, staged, more, l.most)
	}
	return BlobPage{Items: items, NextMarker: sealMarker(next)}, nil
}

// blobs collects the committed blobs of the page and the first name after it.
func (l *lister) blobs() (items []BlobItem, next string, err error) {
	size := 0
	w := l.walk
	w.table = object.Blob
	err = w.each(func(name string, group bool, r *object.Row) (bool, error) {
		if len(items) == l.most || size > maxPageBytes {
			next = name
			return false, nil
		}
		item := BlobItem{Name: name, IsPrefix: group}
		size += len(name)
		if !group {
			rec, err := decodeRecord(r)
			if err != nil {
				return false, err
			}
			item.Properties = rec.properties(r)
			if l.o.Include&IncludeMetadata != 0 {
				if _, has := r.Part(object.PartMeta); has && r.CPKHash != nil { // nobody brings keys to a list
					item.MetadataEncrypted = true
				} else if err := l.needMetadata(r, has); err != nil {
					return false, err
				} else if err := l.s.withMetadata(l.ctx, &item.Properties, r); err != nil {
					return false, err
				}
				for _, p := range item.Metadata {
					size += len(p.Name) + len(p.Value)
				}
			}
		}
		items = append(items, item)
		return true, nil
	})
	return items, next, err
}

// needMetadata checks that the key of metadata may be used, without waiting for a vault
// inside the snapshot.
func (l *lister) needMetadata(r *object.Row, has bool) error {
	if !has || len(r.DEKs) == 0 {
		return nil
	}
	return l.walk.tx.Need(r.DEKs[0].Protector)
}

// uncommitted collects the blobs that have staged blocks only.
func (l *lister) uncommitted() (items []BlobItem, next string, err error) {
	w := l.walk
	w.table = object.Staging
	err = w.each(func(name string, group bool, r *object.Row) (bool, error) {
		item := BlobItem{Name: name, IsPrefix: group}
		if !group {
			_, err := l.walk.tx.Get(object.Blob, l.acct.ID, append(slices.Clone(l.walk.base), name...))
			if err == nil {
				return true, nil // it is in the other list
			}
			if !errors.Is(err, meta.ErrNotFound) {
				return false, err
			}
			st, err := decodeStaging(r)
			if err != nil {
				return false, err
			}
			item.Properties = st.properties()
		}
		if len(items) == l.most {
			next = name
			return false, nil
		}
		items = append(items, item)
		return true, nil
	})
	return items, next, err
}

func (st *staging) properties() Properties {
	return Properties{
		LastModified: st.touched, Type: "BlockBlob", Uncommitted: true,
		Tier: tierNames[defaultTier], TierInferred: true,
		LeaseStatus: "unlocked", LeaseState: "available",
		ServerEncrypted: encrypted(st.row), Encryption: encryptionOf(st.row),
	}
}

// merge joins two sorted lists that each ended at their next name (empty: at the end).
// What lies behind the nearer of the two ends is not complete and is left for the next
// page.
func merge(a []BlobItem, nextA string, b []BlobItem, nextB string, most int) (items []BlobItem, next string) {
	next = nextA
	if next == "" || nextB != "" && nextB < next {
		next = nextB
	}
	items = append(a, b...)
	slices.SortStableFunc(items, func(x, y BlobItem) int { return cmp.Compare(x.Name, y.Name) })
	items = slices.CompactFunc(items, func(x, y BlobItem) bool { return x.Name == y.Name })
	if next != "" {
		end, _ := slices.BinarySearchFunc(items, next, func(x BlobItem, n string) int { return cmp.Compare(x.Name, n) })
		items = items[:end]
	}
	if len(items) > most {
		next = items[most].Name
		items = items[:most]
	}
	return items, next
}

// A marker is the name of the next item, in a form that nobody takes for a name.
func sealMarker(next string) string {
	if next == "" {
		return ""
	}
	return "1!" + base64.RawURLEncoding.EncodeToString([]byte(next))
}

func openMarker(op, marker string) (string, error) {
	if marker == "" {
		return "", nil
	}
	coded, ok := strings.CutPrefix(marker, "1!")
	b, err := base64.RawURLEncoding.DecodeString(coded)
	if !ok || err != nil || len(b) == 0 {
		return "", queryFault(op, "marker", clip(marker), "not a marker of this service")
	}
	return string(b), nil
}

func pageSize(op string, asked int) (int, error) {
	switch {
	case asked < 0:
		return 0, fault.New(op, "", fault.OutOfRangeQueryParameter, nil,
			fault.Detail{Name: "QueryParameterName", Value: "maxresults"},
			fault.Detail{Name: "QueryParameterValue", Value: strconv.Itoa(asked)},
			fault.Detail{Name: "MinimumAllowed", Value: "1"},
			fault.Detail{Name: "MaximumAllowed", Value: strconv.Itoa(MaxPage)})
	case asked == 0 || asked > MaxPage:
		return MaxPage, nil
	}
	return asked, nil
}

// ListContainers returns one page of the containers of an account.
func (s *Service) ListContainers(ctx context.Context, c *access.Caller, a name.Account, o ListContainersOptions) (ContainerPage, error) {
	k, err := s.begin(ctx, "blob.ListContainers", c, Ref{Account: a}, needListBoxes)
	if err != nil {
		return ContainerPage{}, err
	}
	from, err := openMarker(k.op, o.Marker)
	if err != nil {
		return ContainerPage{}, err
	}
	most, err := pageSize(k.op, o.MaxResults)
	if err != nil {
		return ContainerPage{}, err
	}
	var page ContainerPage
	err = k.view(ctx, func(tx *object.Tx) error {
		page = ContainerPage{}
		size := 0
		w := walk{tx: tx, table: object.Container, owner: k.acct.ID, base: k.acct.ID[:], prefix: o.Prefix, from: from}
		return w.each(func(n string, _ bool, r *object.Row) (bool, error) {
			if len(page.Items) == most || size > maxPageBytes {
				page.NextMarker = sealMarker(n)
				return false, nil
			}
			box, err := decodeContainer(r)
			if err != nil {
				return false, err
			}
			item := ContainerItem{Name: n, ContainerProperties: box.properties()}
			if o.Include&IncludeMetadata == 0 {
				item.Metadata = nil
			}
			for _, p := range item.Metadata {
				size += len(p.Name) + len(p.Value)
			}
			page.Items = append(page.Items, item)
			return true, nil
		})
	})
	return page, err
}
