// Package authtest signs requests as a client does. It is written from the protocol's
// description and shares no code with package auth, so that a misreading in one shows
// as a difference from the other.
package authtest

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

// Credential is an account and one of its keys.
type Credential struct {
	Account string
	Key     []byte
}

// MAC signs text, under keys too short for strict FIPS mode as well.
func (c Credential) MAC(text string) (mac string) {
	fips140.WithoutEnforcement(func() {
		h := hmac.New(sha256.New, c.Key)
		fmt.Fprint(h, text)
		mac = base64.StdEncoding.EncodeToString(h.Sum(nil))
	})
	return mac
}

// Sign dates r and signs it with the shared key. rawPath is the path as it will be sent.
func (c Credential) Sign(r *http.Request, rawPath string, at time.Time) {
	if r.Header.Get("x-ms-date") == "" && r.Header.Get("Date") == "" {
		r.Header.Set("x-ms-date", at.UTC().Format(http.TimeFormat))
	}
	r.Header.Set("Authorization", "SharedKey "+c.Account+":"+c.MAC(c.SharedKeyText(r, rawPath)))
}

// SignLite is Sign with SharedKeyLite.
func (c Credential) SignLite(r *http.Request, rawPath string, at time.Time) {
	if r.Header.Get("x-ms-date") == "" && r.Header.Get("Date") == "" {
		r.Header.Set("x-ms-date", at.UTC().Format(http.TimeFormat))
	}
	r.Header.Set("Authorization", "SharedKeyLite "+c.Account+":"+c.MAC(c.LiteText(r, rawPath)))
}

// SharedKeyText is the text that SharedKey signs.
func (c Credential) SharedKeyText(r *http.Request, rawPath string) string {
	length := fmt.Sprint(r.ContentLength)
	if r.ContentLength <= 0 {
		length = ""
	}
	date := r.Header.Get("Date")
	if r.Header.Get("x-ms-date") != "" {
		date = ""
	}
	text := r.Method + "\n"
	text += r.Header.Get("Content-Encoding") + "\n"
	text += r.Header.Get("Content-Language") + "\n"
	text += length + "\n"
	text += r.Header.Get("Content-MD5") + "\n"
	text += r.Header.Get("Content-Type") + "\n"
	text += date + "\n"
	text += r.Header.Get("If-Modified-Since") + "\n"
	text += r.Header.Get("If-Match") + "\n"
	text += r.Header.Get("If-None-Match") + "\n"
	text += r.Header.Get("If-Unmodified-Since") + "\n"
	text += r.Header.Get("Range") + "\n"
	text += headers(r.Header)
	text += "/" + c.Account + rawPath
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		panic(err)
	}
	lower := url.Values{}
	for n, vs := range values {
		lower[strings.ToLower(n)] = append(lower[strings.ToLower(n)], vs...)
	}
	var names []string
	for n := range lower {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		sort.Strings(lower[n])
		text += "\n" + n + ":" + strings.Join(lower[n], ",")
	}
	return text
}

// LiteText is the text that SharedKeyLite signs.
func (c Credential) LiteText(r *http.Request, rawPath string) string {
	date := r.Header.Get("Date")
	if r.Header.Get("x-ms-date") != "" {
		date = ""
	}
	text := strings.Join([]string{r.Method, r.Header.Get("Content-MD5"), r.Header.Get("Content-Type"), date}, "\n") + "\n"
	text += headers(r.Header) + "/" + c.Account + rawPath
	for n, vs := range r.URL.Query() {
		if strings.EqualFold(n, "comp") {
			text += "?comp=" + vs[0]
		}
	}
	return text
}

func headers(h http.Header) string {
	var lines []string
	for n, vs := range h {
		if n = strings.ToLower(n); !strings.HasPrefix(n, "x-ms-") {
			continue
		}
		for i := range vs {
			vs[i] = strings.TrimSpace(vs[i])
		}
		lines = append(lines, n+":"+strings.Join(vs, ","))
	}
	// The names have to be in order, not the lines: a colon is behind a dash.
	sort.Slice(lines, func(i, j int) bool {
		a, _, _ := strings.Cut(lines[i], ":")
		b, _, _ := strings.Cut(lines[j], ":")
		return a < b
	})
	text := ""
	for _, l := range lines {
		text += l + "\n"
	}
	return text
}

// AccountSAS is the query of an account SAS over the fields in q (sv, ss, srt, sp, st,
// se, sip, spr, ses).
func (c Credential) AccountSAS(q url.Values) url.Values {
	g := q.Get
	text := c.Account + "\n" + g("sp") + "\n" + g("ss") + "\n" + g("srt") + "\n" + g("st") + "\n" + g("se") + "\n" +
		g("sip") + "\n" + g("spr") + "\n" + g("sv") + "\n"
	if g("sv") >= "2020-12-06" {
		text += g("ses") + "\n"
	}
	return signed(q, c.MAC(text))
}

// ServiceSAS is the query of a service SAS for a container, or for a blob in it. snapshot
// is the signed snapshot time.
func (c Credential) ServiceSAS(q url.Values, container, blob, snapshot string) url.Values {
	g := q.Get
	resource := "/blob/" + c.Account + "/" + container
	if blob != "" {
		resource += "/" + blob
	}
	var text string
	switch sv := g("sv"); {
	case sv < "2015-04-05":
		text = lines(g("sp"), g("st"), g("se"), resource, g("si"), sv)
	case sv < "2018-11-09":
		text = lines(g("sp"), g("st"), g("se"), resource, g("si"), g("sip"), g("spr"), sv)
	case sv < "2020-12-06":
		text = lines(g("sp"), g("st"), g("se"), resource, g("si"), g("sip"), g("spr"), sv, g("sr"), snapshot)
	default:
		text = lines(g("sp"), g("st"), g("se"), resource, g("si"), g("sip"), g("spr"), sv, g("sr"), snapshot, g("ses"))
	}
	text += lines(g("rscc"), g("rscd"), g("rsce"), g("rscl")) + g("rsct")
	return signed(q, c.MAC(text))
}

func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }

func signed(q url.Values, sig string) url.Values {
	out := url.Values{}
	for n, v := range q {
		out[n] = v
	}
	out.Set("sig", sig)
	return out
}
