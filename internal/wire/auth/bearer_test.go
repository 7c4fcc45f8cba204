package auth

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

func TestBearer(t *testing.T) {
	a := withTokensAuthenticator()
	for name, tt := range map[string]struct {
		token, version string
		plain          bool
		want           fault.Kind
		detail         string
	}{
		"good":        {token: "good", want: success},
		"ended":       {token: "bad", want: fault.TokenRefused, detail: "Lifetime validation failed"},
		"nothing":     {token: "", want: fault.TokenRefused, detail: "Lifetime validation failed"},
		"over http":   {token: "good", plain: true, want: fault.AuthenticationFailed, detail: "not allowed with HTTP"},
		"old version": {token: "good", version: "2017-07-29", want: fault.AuthenticationFailed, detail: "not supported in this version"},
	} {
		r := request(t, "GET /devstoreaccount1/box/b")
		r.Header.Set("Authorization", "Bearer "+tt.token)
		if !tt.plain {
			r.TLS = &tls.ConnectionState{}
		}
		wr := wired(t, r)
		wr.Version = "2020-12-06"
		if tt.version != "" {
			wr.Version = wire.Version(tt.version)
		}
		c, err := a.Authenticate(wr, http.Header{})
		if tt.want == success {
			if err != nil || c.Kind != access.Bearer || c.Principal != oid || c.Tenant != tid || c.Account != "devstoreaccount1" {
				t.Errorf("%s: Authenticate = %+v, %v", name, c, err)
			}
			continue
		}
		if !fault.Is(err, tt.want) || !strings.Contains(detail(err), tt.detail) {
			t.Errorf("%s: Authenticate = %v (%s), want %v (%s)", name, err, detail(err), tt.want, tt.detail)
		}
		if c != nil && (c.Kind != access.Anonymous || c.Roles != nil) {
			t.Errorf("%s: a refused caller is %+v", name, c)
		}
	}
}
