package blobhttp

import (
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

// preflight serves the question of a browser whether a script of another site may make
// a request. It has no caller: it is the rules that answer.
func (h *Handler) preflight(w *wire.Response, r *wire.Request) error {
	const op = "blobhttp.preflight"
	origin, method := r.Header1("Origin"), r.Header1("Access-Control-Request-Method")
	if origin == "" {
		return wire.MissingHeader(op, "Origin")
	}
	if method == "" {
		return wire.MissingHeader(op, "Access-Control-Request-Method")
	}
	asked := splitList(r.Header1("Access-Control-Request-Headers"))
	rule, err := h.rule(r, origin, method, asked)
	if err != nil {
		return err
	}
	if rule == nil {
		return fault.New(op, "", fault.CORSRefused, nil)
	}
	a := answer(w, r)
	a.allowOrigin(rule, origin)
	a.set("Access-Control-Allow-Methods", method)
	a.opt("Access-Control-Allow-Headers", strings.Join(asked, ","))
	a.number("Access-Control-Max-Age", int64(rule.MaxAge))
	return empty(w, http.StatusOK)
}

// exposeCORS adds what a browser needs to hand the answer to a script of another site.
func (h *Handler) exposeCORS(w *wire.Response, r *wire.Request) {
	origin := r.Header1("Origin")
	if origin == "" {
		return
	}
	rule, err := h.rule(r, origin, r.Method, nil)
	if err != nil || rule == nil {
		return
	}
	a := answer(w, r)
	a.allowOrigin(rule, origin)
	a.opt("Access-Control-Expose-Headers", rule.ExposedHeaders)
}

func (a headers) allowOrigin(rule *blob.CORSRule, origin string) {
	if anyOrigin(rule) {
		a.set("Access-Control-Allow-Origin", "*")
		return
	}
	a.set("Access-Control-Allow-Origin", origin)
	a.set("Access-Control-Allow-Credentials", "true")
	a.set("Vary", "Origin")
}

func anyOrigin(rule *blob.CORSRule) bool { return strings.TrimSpace(rule.AllowedOrigins) == "*" }

// rule finds the first rule that fits; nil if none does.
func (h *Handler) rule(r *wire.Request, origin, method string, asked []string) (*blob.CORSRule, error) {
	p, err := h.settings(r)
	if err != nil || p.CORS == nil {
		return nil, err
	}
	for i := range *p.CORS {
		if c := &(*p.CORS)[i]; fits(c, origin, method, asked) {
			return c, nil
		}
	}
	return nil, nil
}

// fits reports whether a rule allows origin, method and all headers asked for. Origins
// are compared as they are, with a star for a whole part of the name.
func fits(c *blob.CORSRule, origin, method string, asked []string) bool {
	if !anyOf(c.AllowedOrigins, func(o string) bool { return o == "*" || o == origin || subdomain(o, origin) }) {
		return false
	}
	if !anyOf(c.AllowedMethods, func(m string) bool { return m == method }) {
		return false
	}
	for _, h := range asked {
		if !anyOf(c.AllowedHeaders, func(p string) bool { return headerFits(p, h) }) {
			return false
		}
	}
	return true
}

// subdomain matches https://*.example.com.
func subdomain(pattern, origin string) bool {
	scheme, host, ok := strings.Cut(pattern, "://*.")
	if !ok {
		return false
	}
	rest, ok := strings.CutPrefix(origin, scheme+"://")
	return ok && strings.HasSuffix(rest, "."+host) && len(rest) > len(host)+1
}

// headerFits matches a header name, or a beginning of one with a star.
func headerFits(pattern, header string) bool {
	pattern, header = strings.ToLower(pattern), strings.ToLower(header)
	if begin, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(header, begin)
	}
	return pattern == header
}

func anyOf(list string, f func(string) bool) bool {
	for _, one := range splitList(list) {
		if f(one) {
			return true
		}
	}
	return false
}

// splitList splits a list with commas; empty members do not count.
func splitList(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
