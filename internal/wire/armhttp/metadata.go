package armhttp

import (
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/identity"
)

// metadataPath is where clients for several clouds ask what a cloud's addresses are. They
// do that before they have a token.
const metadataPath = "/metadata/endpoints"

// Suffixes end the names of hosts, with the port unless it is that of https:
// ACCOUNT.blob.STORAGE, NAME.VAULT, NAME.HSM.
type Suffixes struct{ Storage, Vault, HSM string }

type cloudForm struct {
	Name            string     `json:"name"`
	Authentication  loginForm  `json:"authentication"`
	ResourceManager string     `json:"resourceManager"`
	Suffixes        suffixForm `json:"suffixes"`
}

type loginForm struct {
	Login     string   `json:"loginEndpoint"`
	Audiences []string `json:"audiences"`
	Tenant    string   `json:"tenant"`
	Provider  string   `json:"identityProvider"`
}

type suffixForm struct {
	Storage string `json:"storage"`
	Vault   string `json:"keyVaultDns"`
	HSM     string `json:"mhsmDns"`
}

// oneCloud is the first version that answers with this cloud alone; before, it was a list
// of clouds.
const oneCloud = "2022-09-01"

// metadata says how a client is to be configured for this server. The identity endpoint
// and this one share a port, so both are where the client reached us.
func (h *Handler) metadata(r *request) (int, any, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return 0, nil, notThisMethod(r)
	}
	if err := r.readVersion(); err != nil {
		return 0, nil, err
	}
	here, s := "https://"+r.Host, h.o.Suffixes()
	c := cloudForm{
		Name:            "Coffer",
		Authentication:  loginForm{here, h.o.Audiences, identity.Tenant, "AAD"},
		ResourceManager: here + "/",
		Suffixes:        suffixForm(s),
	}
	if r.version < oneCloud {
		return http.StatusOK, []cloudForm{c}, nil
	}
	return http.StatusOK, c, nil
}

func isMetadata(path string) bool {
	return strings.EqualFold(strings.TrimSuffix(path, "/"), metadataPath)
}
