package armhttp

import (
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/resource"
)

var accountRoutes = []route{
	{method: "POST", pattern: subPath + storage + "/checkNameAvailability", action: actions + "checknameavailability/read", serve: (*Handler).checkAccountName},
	{method: "GET", pattern: subPath + storage + "/storageAccounts", action: actions + "read", serve: (*Handler).listAccounts},
	{method: "GET", pattern: accounts, action: actions + "read", serve: (*Handler).listAccounts},
	{method: "PUT", pattern: acct, action: actions + "write", serve: (*Handler).putAccount},
	{method: "PATCH", pattern: acct, action: actions + "write", serve: (*Handler).patchAccount, account: true},
	{method: "GET", pattern: acct, action: actions + "read", serve: (*Handler).getAccount, account: true},
	{method: "DELETE", pattern: acct, action: actions + "delete", serve: (*Handler).deleteAccount},
	{method: "POST", pattern: acct + "/listKeys", action: actions + "listkeys/action", serve: (*Handler).listKeys, account: true},
	{method: "POST", pattern: acct + "/regenerateKey", action: actions + "regeneratekey/action", serve: (*Handler).regenerateKey, account: true},
}

// collection is a list; it is never cut into pages where it is short by nature.
type collection struct {
	Value    any    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

func (h *Handler) checkAccountName(r *request) (int, any, error) {
	var b struct{ Name, Type string }
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	if !strings.EqualFold(b.Type, accountType) {
		return 0, nil, badValue("type", "It is "+accountType+".")
	}
	answer := map[string]any{"nameAvailable": true}
	n, err := name.ParseAccount(b.Name)
	if err != nil {
		return http.StatusOK, map[string]any{"nameAvailable": false, "reason": "AccountNameInvalid",
			"message": clip(b.Name) + " is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."}, nil
	}
	_, err = h.o.Accounts.Get(r.Context(), n)
	if err == nil {
		answer = map[string]any{"nameAvailable": false, "reason": "AlreadyExists", "message": "The storage account named " + b.Name + " is already taken."}
	}
	return http.StatusOK, answer, nil
}

func (h *Handler) listAccounts(r *request) (int, any, error) {
	if g := r.group(); g != "" {
		if _, err := h.o.Resources.Group(r.Context(), r.subscription(), g); err != nil {
			return 0, nil, err
		}
	}
	list, err := h.o.Resources.List(r.Context(), r.subscription(), r.group())
	out := []accountForm{}
	for _, i := range list {
		out = append(out, h.showAccount(r, i))
	}
	return http.StatusOK, collection{Value: out}, err
}

func (h *Handler) getAccount(r *request) (int, any, error) {
	return http.StatusOK, h.showAccount(r, r.account), nil
}

// putAccount makes an account, or changes the one that is there. Both are 200: what is
// created here is ready.
func (h *Handler) putAccount(r *request) (int, any, error) {
	var b accountBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	w, err := b.wish()
	if err != nil {
		return 0, nil, err
	}
	if b.SKU == nil && r.account.Name == "" {
		return 0, nil, badValue("sku", "A new account says which SKU it has.")
	}
	i, _, err := h.o.Resources.Create(r.Context(), r.subscription(), r.group(), r.at["a"], w)
	if err != nil {
		return 0, nil, err
	}
	h.notice(r, i)
	return http.StatusOK, h.showAccount(r, i), nil
}

// notice says what the name of a SKU promises and this server has not.
func (h *Handler) notice(r *request, i account.Info) {
	if resource.Geo(i.Stated().SKU) {
		r.answer.Set("Warning", `199 coffer "`+resource.OneCopy+`"`)
	}
}

func (h *Handler) patchAccount(r *request) (int, any, error) {
	var b accountBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	w, err := b.wish()
	if err != nil {
		return 0, nil, err
	}
	i, err := h.o.Resources.Change(r.Context(), r.account, w)
	if err != nil {
		return 0, nil, err
	}
	h.notice(r, i)
	return http.StatusOK, h.showAccount(r, i), nil
}

// deleteAccount deletes an account with everything in it, as the interface does.
func (h *Handler) deleteAccount(r *request) (int, any, error) {
	if r.account.Name == "" {
		return http.StatusNoContent, nil, nil
	}
	const withAll = true
	return http.StatusOK, nil, h.o.Resources.Delete(r.Context(), r.account, withAll)
}

type keyForm struct {
	Name        string `json:"keyName"`
	Value       string `json:"value"`
	Permissions string `json:"permissions"`
}

func (h *Handler) listKeys(r *request) (int, any, error) {
	pair, err := h.o.Accounts.Keys(r.Context(), r.account.Name)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"keys": []keyForm{{"key1", pair[0], "FULL"}, {"key2", pair[1], "FULL"}}}, nil
}

func (h *Handler) regenerateKey(r *request) (int, any, error) {
	var b struct {
		Name string `json:"keyName"`
	}
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	which := map[string]int{"key1": 1, "key2": 2}[strings.ToLower(b.Name)]
	if which == 0 {
		return 0, nil, badValue("keyName", "It is key1 or key2.")
	}
	if err := h.o.Accounts.Regenerate(r.Context(), r.account.Name, which); err != nil {
		return 0, nil, err
	}
	return h.listKeys(r)
}
