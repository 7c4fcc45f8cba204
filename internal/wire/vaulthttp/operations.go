package vaulthttp

import (
	"context"
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/vault"
)

// operate serves the calls that turn a value into another.
func operate(name string) func(*Handler, *request, []string) (answer, error) {
	return func(h *Handler, r *request, p []string) (answer, error) {
		f, err := readOperation(r)
		if err != nil {
			return answer{}, err
		}
		o := vault.Operation{Algorithm: f.Algorithm, Value: f.Value, IV: f.IV, AAD: f.AAD, Tag: f.Tag}
		call := map[string]func(context.Context, vault.Caller, vault.Ref, vault.Operation) (vault.Result, error){
			"encrypt": h.o.Vaults.Encrypt, "decrypt": h.o.Vaults.Decrypt, "wrapkey": h.o.Vaults.Wrap, "unwrapkey": h.o.Vaults.Unwrap,
		}[name]
		got, err := call(r.Context(), r.caller, r.ref(p[0], p[1]), o)
		return r.result(got), err
	}
}

func readOperation(r *request) (operationForm, error) {
	var f operationForm
	if err := readBody(r, maxBody, &f); err != nil {
		return f, err
	}
	if f.Algorithm == "" {
		return f, badBody("Property alg is required.")
	}
	return f, nil
}

func (r *request) result(got vault.Result) answer {
	id := r.base() + "/keys/" + got.Ref.Key + "/" + got.Ref.Version
	return answer{http.StatusOK, resultForm{KID: id, Value: got.Value, IV: got.IV, AAD: got.AAD, Tag: got.Tag}}
}

func (h *Handler) sign(r *request, p []string) (answer, error) {
	f, err := readOperation(r)
	if err != nil {
		return answer{}, err
	}
	got, err := h.o.Vaults.Sign(r.Context(), r.caller, r.ref(p[0], p[1]), vault.Operation{Algorithm: f.Algorithm, Value: f.Value})
	return r.result(got), err
}

func (h *Handler) verify(r *request, p []string) (answer, error) {
	f, err := readOperation(r)
	if err != nil {
		return answer{}, err
	}
	o := vault.Operation{Algorithm: f.Algorithm, Value: f.Digest, Signature: f.Value}
	got, err := h.o.Vaults.Verify(r.Context(), r.caller, r.ref(p[0], p[1]), o)
	return answer{http.StatusOK, map[string]bool{"value": got.Valid}}, err
}

// policyForm is a rotation policy.
type policyForm struct {
	ID         string       `json:"id,omitempty"`
	Actions    []actionForm `json:"lifetimeActions"`
	Attributes struct {
		ExpiryTime string   `json:"expiryTime,omitempty"`
		Created    *seconds `json:"created,omitempty"`
		Updated    *seconds `json:"updated,omitempty"`
	} `json:"attributes"`
}

type actionForm struct {
	Trigger struct {
		TimeAfterCreate  string `json:"timeAfterCreate,omitempty"`
		TimeBeforeExpiry string `json:"timeBeforeExpiry,omitempty"`
	} `json:"trigger"`
	Action struct {
		Type string `json:"type"`
	} `json:"action"`
}

func (r *request) policy(name string, p vault.RotationPolicy) policyForm {
	f := policyForm{ID: r.base() + "/keys/" + strings.ToLower(name) + "/rotationpolicy", Actions: []actionForm{}}
	f.Attributes.ExpiryTime, f.Attributes.Created, f.Attributes.Updated = p.ExpiryTime, since(p.Created), since(p.Updated)
	for _, a := range p.Actions {
		var af actionForm
		af.Action.Type, af.Trigger.TimeAfterCreate, af.Trigger.TimeBeforeExpiry = a.Action, a.TimeAfterCreate, a.TimeBeforeExpiry
		f.Actions = append(f.Actions, af)
	}
	return f
}

func (h *Handler) getPolicy(r *request, p []string) (answer, error) {
	got, err := h.o.Vaults.RotationPolicy(r.Context(), r.caller, r.ref(p[0], ""))
	return answer{http.StatusOK, r.policy(p[0], got)}, err
}

func (h *Handler) setPolicy(r *request, p []string) (answer, error) {
	var f policyForm
	if err := readBody(r, maxBody, &f); err != nil {
		return answer{}, err
	}
	want := vault.RotationPolicy{ExpiryTime: f.Attributes.ExpiryTime}
	for _, a := range f.Actions {
		want.Actions = append(want.Actions, vault.LifetimeAction{
			Action: a.Action.Type, TimeAfterCreate: a.Trigger.TimeAfterCreate, TimeBeforeExpiry: a.Trigger.TimeBeforeExpiry})
	}
	got, err := h.o.Vaults.SetRotationPolicy(r.Context(), r.caller, r.ref(p[0], ""), want)
	return answer{http.StatusOK, r.policy(p[0], got)}, err
}
