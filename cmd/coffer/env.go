package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
	"github.com/coffer-storage/coffer/internal/server/control"
)

type envCmd struct {
	Data    string `help:"Data directory of the running server." default:"coffer-data" env:"COFFER_DATA" placeholder:"DIR"`
	Account string `help:"The account; without it, the default account." placeholder:"NAME"`
	Shell   string `help:"sh, powershell or json." enum:"sh,powershell,json" default:"sh"`
	JSON    bool   `help:"The same as --shell json." name:"json"`
}

// variable is one environment variable.
type variable struct{ name, value string }

func (c *envCmd) Run(a *app) error {
	a.json = c.JSON || c.Shell == "json"
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	var st server.Status
	if err := control.Call(a.ctx, data, "status", nil, &st, nil); err != nil {
		return err
	}
	if c.Account != "" {
		var got server.Account
		if err := control.Call(a.ctx, data, "account.keys", server.AccountArgs{Name: c.Account}, &got, nil); err != nil {
			return err
		}
		st.Account, st.Key = got.Name, got.Keys[0]
	}
	if st.Account == "" {
		return server.WithHint(errors.New("this server has no default account"),
			"coffer account list shows the accounts there are, coffer env --account NAME is for one of them")
	}
	vars := variables(st)
	switch {
	case a.json:
		m := map[string]string{"JAVA_TRUST_STORE_COMMAND": javaTrust(st)}
		for _, v := range vars {
			m[v.name] = v.value
		}
		a.printJSON(m)
	case c.Shell == "powershell":
		for _, v := range vars {
			fmt.Fprintf(a.stdout, "$env:%s = '%s'\n", v.name, strings.ReplaceAll(v.value, "'", "''"))
		}
	default:
		for _, v := range vars {
			fmt.Fprintf(a.stdout, "export %s=%s\n", v.name, shellQuote(v.value))
		}
	}
	if !a.json {
		fmt.Fprintf(a.stdout, "# Java: %s\n", javaTrust(st))
		fmt.Fprintln(a.stdout, "#       java -Djavax.net.ssl.trustStore=coffer-trust.jks -Djavax.net.ssl.trustStorePassword=changeit ...")
		if cmd := trustCommand(st.TLSCA); cmd != "" {
			fmt.Fprintf(a.stdout, "# Go programs ignore SSL_CERT_FILE on this system; to trust the CA: %s\n", cmd)
		}
	}
	return nil
}

func variables(st server.Status) []variable {
	return []variable{
		{"AZURE_STORAGE_CONNECTION_STRING", st.ConnectionString("https")},
		{"COFFER_HTTPS_CONNECTION_STRING", st.ConnectionString("https")},
		{"COFFER_HTTP_CONNECTION_STRING", st.ConnectionString("http")},
		{"AZURE_STORAGE_ACCOUNT", st.Account},
		{"AZURE_STORAGE_KEY", st.Key},
		{"AZURE_AUTHORITY_HOST", st.AuthorityHost()},
		{"AZURE_POD_IDENTITY_AUTHORITY_HOST", st.Management},
		{"AZURE_KEYVAULT_URL", st.VaultURL("default")},
		{"SSL_CERT_FILE", st.TLSBundle},
		{"REQUESTS_CA_BUNDLE", st.TLSBundle},
		{"NODE_EXTRA_CA_CERTS", st.TLSCA},
	}
}

func javaTrust(st server.Status) string {
	return "keytool -importcert -noprompt -alias coffer -file " + shellQuote(st.TLSCA) +
		" -keystore coffer-trust.jks -storepass changeit"
}

// trustCommand is how the system is made to trust the CA where Go asks the system.
func trustCommand(ca string) string {
	switch runtime.GOOS {
	case "darwin":
		return "security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db " + shellQuote(ca)
	case "windows":
		return `Import-Certificate -FilePath "` + ca + `" -CertStoreLocation Cert:\CurrentUser\Root`
	}
	return ""
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
