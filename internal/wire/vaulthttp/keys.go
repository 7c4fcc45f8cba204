package vaulthttp

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"

	"github.com/coffer-storage/coffer/internal/vault"
)

func bundle(r *request, k vault.Key, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, r.show(k)}, nil
}

func (h *Handler) create(r *request, p []string) (answer, error) {
	var f wishForm
	if err := readBody(r, maxBody, &f); err != nil {
		return answer{}, err
	}
	k, err := f.newKey()
	if err != nil {
		return answer{}, err
	}
	made, err := h.o.Vaults.CreateKey(r.Context(), r.caller, r.ref(p[0], ""), k)
	return bundle(r, made, err)
}

func (h *Handler) importKey(r *request, p []string) (answer, error) {
	var f wishForm
	if err := readBody(r, maxBody, &f); err != nil {
		return answer{}, err
	}
	k, err := f.newKey()
	if err != nil {
		return answer{}, err
	}
	if f.Key == nil {
		return answer{}, badBody("Property key is required.")
	}
	if len(f.Key.T) > 0 {
		return answer{}, badBody("key_hsm: keys wrapped for another HSM cannot be imported.")
	}
	m := f.Key.material()
	if len(k.Ops) == 0 {
		k.Ops = f.Key.Ops
	}
	if f.HSM {
		k.Type = "-HSM"
	}
	made, err := h.o.Vaults.ImportKey(r.Context(), r.caller, r.ref(p[0], ""), m, k)
	return bundle(r, made, err)
}

func (h *Handler) get(r *request, p []string) (answer, error) {
	k, err := h.o.Vaults.GetKey(r.Context(), r.caller, r.ref(p[0], p[1]))
	return bundle(r, k, err)
}

func (h *Handler) update(r *request, p []string) (answer, error) {
	var f wishForm
	if err := readBody(r, maxBody, &f); err != nil {
		return answer{}, err
	}
	k, err := h.o.Vaults.UpdateKey(r.Context(), r.caller, r.ref(p[0], p[1]), f.change())
	return bundle(r, k, err)
}

func (h *Handler) delete(r *request, p []string) (answer, error) {
	k, err := h.o.Vaults.DeleteKey(r.Context(), r.caller, r.ref(p[0], ""))
	return bundle(r, k, err)
}

func (h *Handler) getDeleted(r *request, p []string) (answer, error) {
	k, err := h.o.Vaults.DeletedKey(r.Context(), r.caller, r.ref(p[0], ""))
	return bundle(r, k, err)
}

func (h *Handler) recover(r *request, p []string) (answer, error) {
	k, err := h.o.Vaults.RecoverKey(r.Context(), r.caller, r.ref(p[0], ""))
	return bundle(r, k, err)
}

func (h *Handler) purge(r *request, p []string) (answer, error) {
	err := h.o.Vaults.PurgeKey(r.Context(), r.caller, r.ref(p[0], ""))
	return answer{http.StatusNoContent, nil}, err
}

func (h *Handler) rotate(r *request, p []string) (answer, error) {
	k, err := h.o.Vaults.RotateKey(r.Context(), r.caller, r.ref(p[0], ""))
	return bundle(r, k, err)
}

type valueForm struct {
	Value b64 `json:"value"`
}

func (h *Handler) backup(r *request, p []string) (answer, error) {
	b, err := h.o.Vaults.BackupKey(r.Context(), r.caller, r.ref(p[0], ""))
	return answer{http.StatusOK, valueForm{b}}, err
}

func (h *Handler) restore(r *request, _ []string) (answer, error) {
	var f valueForm
	if err := readBody(r, maxBackup, &f); err != nil {
		return answer{}, err
	}
	k, err := h.o.Vaults.RestoreKey(r.Context(), r.caller, r.ref("", ""), f.Value)
	return bundle(r, k, err)
}

func (h *Handler) random(r *request, _ []string) (answer, error) {
	var f struct {
		Count int `json:"count"`
	}
	if err := readBody(r, maxBody, &f); err != nil {
		return answer{}, err
	}
	b, err := h.o.Vaults.Random(r.Context(), r.caller, r.ref("", ""), f.Count)
	return answer{http.StatusOK, valueForm{b}}, err
}

// paging reads where a list goes on and how long a page is.
func paging(r *request) (from string, most int, err error) {
	q := r.URL.Query()
	if v := q.Get("maxresults"); v != "" {
		if most, err = strconv.Atoi(v); err != nil || most < 1 || most > 25 {
			return "", 0, badBody("maxresults is a number from 1 to 25.")
		}
	}
	b, err := base64.RawURLEncoding.DecodeString(q.Get("$skiptoken"))
	if err != nil {
		return "", 0, badBody("$skiptoken is not one that a list gave.")
	}
	return string(b), most, nil
}

// page writes a page and the address of the next one.
func (r *request) page(p vault.Page, versions bool) answer {
	out := pageForm{Value: []bundleForm{}}
	for _, k := range p.Keys {
		out.Value = append(out.Value, r.item(k, versions))
	}
	if p.Next != "" {
		q := url.Values{}
		for _, n := range []string{"api-version", "maxresults"} {
			if v := r.URL.Query().Get(n); v != "" {
				q.Set(n, v)
			}
		}
		q.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte(p.Next)))
		link := r.base() + r.URL.EscapedPath() + "?" + q.Encode()
		out.NextLink = &link
	}
	return answer{http.StatusOK, out}
}

func (h *Handler) list(r *request, _ []string) (answer, error) {
	from, most, err := paging(r)
	if err != nil {
		return answer{}, err
	}
	p, err := h.o.Vaults.ListKeys(r.Context(), r.caller, r.ref("", ""), from, most)
	return r.page(p, false), err
}

func (h *Handler) listDeleted(r *request, _ []string) (answer, error) {
	from, most, err := paging(r)
	if err != nil {
		return answer{}, err
	}
	p, err := h.o.Vaults.ListDeleted(r.Context(), r.caller, r.ref("", ""), from, most)
	return r.page(p, false), err
}

func (h *Handler) versions(r *request, p []string) (answer, error) {
	from, most, err := paging(r)
	if err != nil {
		return answer{}, err
	}
	page, err := h.o.Vaults.ListVersions(r.Context(), r.caller, r.ref(p[0], ""), from, most)
	return r.page(page, true), err
}
