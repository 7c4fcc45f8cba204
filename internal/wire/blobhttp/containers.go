package blobhttp

import (
	"net/http"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

// createContainer serves Create Container.
func (h *Handler) createContainer(w *wire.Response, r *wire.Request) error {
	n, err := containerOf(r)
	if err != nil {
		return err
	}
	o := blob.ContainerOptions{PublicAccess: r.Header1("x-ms-blob-public-access"), DefaultScope: r.Header1(headerDefaultScope)}
	if o.DenyScopeOverride, err = boolOf(r, headerDenyOverride); err != nil {
		return err
	}
	if o.Metadata, err = metadataOf(r); err != nil {
		return err
	}
	res, err := h.blobs.CreateContainer(r.Context(), r.Caller, r.Target.Account, n, o)
	if err != nil {
		return err
	}
	answer(w, r).tag(res.ETag, res)
	return empty(w, http.StatusCreated)
}

// container looks the container of r up.
func (h *Handler) container(r *wire.Request) (blob.ContainerProperties, error) {
	n, err := containerOf(r)
	if err != nil {
		return blob.ContainerProperties{}, err
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return blob.ContainerProperties{}, err
	}
	return h.blobs.GetContainer(r.Context(), r.Caller, r.Target.Account, n, cond)
}

// getContainer serves Get Container Properties.
func (h *Handler) getContainer(w *wire.Response, r *wire.Request) error {
	p, err := h.container(r)
	if err != nil {
		return err
	}
	a := answer(w, r)
	a.tag(p.ETag, blob.Written{LastModified: p.LastModified})
	a.metadata(p.Metadata)
	a.set("x-ms-lease-status", p.LeaseStatus)
	a.set("x-ms-lease-state", p.LeaseState)
	a.opt("x-ms-blob-public-access", p.PublicAccess)
	a.flag("x-ms-has-immutability-policy", p.HasImmutabilityPolicy)
	a.flag("x-ms-has-legal-hold", p.HasLegalHold)
	if r.Version >= wire.EncryptionVersion {
		a.set("x-ms-default-encryption-scope", p.DefaultScope)
		a.flag("x-ms-deny-encryption-scope-override", p.DenyScopeOverride)
	}
	return empty(w, http.StatusOK)
}

// getContainerMetadata serves Get Container Metadata.
func (h *Handler) getContainerMetadata(w *wire.Response, r *wire.Request) error {
	p, err := h.container(r)
	if err != nil {
		return err
	}
	a := answer(w, r)
	a.tag(p.ETag, blob.Written{LastModified: p.LastModified})
	a.metadata(p.Metadata)
	return empty(w, http.StatusOK)
}

// setContainerMetadata serves Set Container Metadata.
func (h *Handler) setContainerMetadata(w *wire.Response, r *wire.Request) error {
	n, err := containerOf(r)
	if err != nil {
		return err
	}
	m, err := metadataOf(r)
	if err != nil {
		return err
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return err
	}
	if cond.IfMatch != "" || cond.IfNoneMatch != "" || !cond.IfUnmodifiedSince.IsZero() {
		return fault.New("blobhttp.setContainerMetadata", "", fault.ConditionsNotSupported, nil)
	}
	res, err := h.blobs.SetContainerMetadata(r.Context(), r.Caller, r.Target.Account, n, m, cond)
	if err != nil {
		return err
	}
	answer(w, r).tag(res.ETag, res)
	return empty(w, http.StatusOK)
}

// deleteContainer serves Delete Container.
func (h *Handler) deleteContainer(w *wire.Response, r *wire.Request) error {
	n, err := containerOf(r)
	if err != nil {
		return err
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return err
	}
	if err := h.blobs.DeleteContainer(r.Context(), r.Caller, r.Target.Account, n, cond); err != nil {
		return err
	}
	return empty(w, http.StatusAccepted)
}

// getContainerACL serves Get Container ACL.
func (h *Handler) getContainerACL(w *wire.Response, r *wire.Request) error {
	n, err := containerOf(r)
	if err != nil {
		return err
	}
	cond, err := conditionsOf(r)
	if err != nil {
		return err
	}
	acl, err := h.blobs.GetContainerACL(r.Context(), r.Caller, r.Target.Account, n, cond)
	if err != nil {
		return err
	}
	a := answer(w, r)
	a.tag(acl.ETag, blob.Written{LastModified: acl.LastModified})
	a.opt("x-ms-blob-public-access", acl.PublicAccess)
	return document(w, r, func(x *wire.Writer) {
		if len(acl.Policies) == 0 {
			x.Elem("SignedIdentifiers", "")
			return
		}
		x.Start("SignedIdentifiers")
		for _, p := range acl.Policies {
			x.Start("SignedIdentifier")
			x.Elem("Id", p.ID)
			x.Start("AccessPolicy")
			x.Opt("Start", wire.ISOTime(p.Start))
			x.Opt("Expiry", wire.ISOTime(p.Expiry))
			x.Opt("Permission", p.Permission)
			x.End()
			x.End()
		}
		x.End()
	})
}

// setContainerACL serves Set Container ACL. Without a body there are no policies.
func (h *Handler) setContainerACL(w *wire.Response, r *wire.Request) error {
	n, err := containerOf(r)
	if err != nil {
		return err
	}
	o := blob.ACLOptions{PublicAccess: r.Header1("x-ms-blob-public-access")}
	if o.Conditions, err = conditionsOf(r); err != nil {
		return err
	}
	if r.ContentLength > 0 {
		body, err := sumBody(r)
		if err != nil {
			return err
		}
		if o.Policies, err = readPolicies(wire.NewDecoder(body, maxXML)); err != nil {
			return err
		}
		if err := body.verify(); err != nil {
			return err
		}
	}
	res, err := h.blobs.SetContainerACL(r.Context(), r.Caller, r.Target.Account, n, o)
	if err != nil {
		return err
	}
	answer(w, r).tag(res.ETag, res)
	return empty(w, http.StatusOK)
}

// readPolicies reads stored access policies.
func readPolicies(d *wire.Decoder) ([]blob.Policy, error) {
	if err := d.Root("SignedIdentifiers"); err != nil {
		return nil, err
	}
	var ps []blob.Policy
	err := d.Children(func(element string) error {
		if element != "SignedIdentifier" || len(ps) == blob.MaxPolicies {
			return d.Unknown(element)
		}
		p, err := readPolicy(d)
		ps = append(ps, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ps, d.End()
}

func readPolicy(d *wire.Decoder) (p blob.Policy, err error) {
	err = d.Children(func(element string) (err error) {
		switch element {
		case "Id":
			p.ID, err = d.Text()
		case "AccessPolicy":
			err = d.Children(func(element string) (err error) {
				switch element {
				case "Start":
					p.Start, err = d.Time(element)
				case "Expiry":
					p.Expiry, err = d.Time(element)
				case "Permission":
					p.Permission, err = d.Text()
				default:
					err = d.Unknown(element)
				}
				return err
			})
		default:
			err = d.Unknown(element)
		}
		return err
	})
	return p, err
}
