package auth

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/wire"
)

const msPrefix = "x-ms-"

// canonicalNames returns the x-ms headers, lower case, in order.
func canonicalNames(h http.Header, order func(a, b string) int) []string {
	names := make([]string, 0, len(h))
	for n := range h {
		if len(n) >= len(msPrefix) && strings.EqualFold(n[:len(msPrefix)], msPrefix) {
			names = append(names, wire.LowerName(n))
		}
	}
	slices.SortFunc(names, order)
	return names
}

// ordinal orders header names by their bytes, as most clients do.
func ordinal(a, b string) int { return strings.Compare(a, b) }

// cultural orders header names as the service itself does, and the SDKs that follow it:
// by the weights of a language and not of bytes. Dashes do not count, and of what header
// names can hold, marks come before digits and digits before letters. The two orders
// differ for few names ("x-ms-meta-a_b" and "x-ms-meta-a1"), but a request that has such
// names must not fail for it.
func cultural(a, b string) int {
	i, j := 0, 0
	for {
		for i < len(a) && a[i] == '-' {
			i++
		}
		for j < len(b) && b[j] == '-' {
			j++
		}
		switch {
		case i == len(a) && j == len(b):
			return strings.Compare(a, b)
		case i == len(a):
			return -1
		case j == len(b):
			return 1
		}
		if c := cmp.Compare(weight(a[i]), weight(b[j])); c != 0 {
			return c
		}
		i, j = i+1, j+1
	}
}

func weight(c byte) int {
	switch {
	case 'a' <= c && c <= 'z':
		return 0x300 + int(c)
	case '0' <= c && c <= '9':
		return 0x200 + int(c)
	}
	return 0x100 + int(c)
}

// canonicalHeaders is one line for each x-ms header. A header that was sent twice has its
// values joined in the order in which they came.
func canonicalHeaders(h http.Header, names []string) string {
	var b strings.Builder
	b.Grow(64 * len(names))
	for _, n := range names {
		b.WriteString(n)
		b.WriteByte(':')
		b.WriteString(one(h, n))
		b.WriteByte('\n')
	}
	return b.String()
}

// canonicalResource is the account, the path as sent and the decoded query. In path
// style the account is in it twice, as the path has it too.
func canonicalResource(r *wire.Request) string {
	if len(r.Query) == 0 {
		return "/" + string(r.Target.Account) + path(r)
	}
	var b strings.Builder
	b.WriteString("/" + string(r.Target.Account) + path(r))
	byName := map[string][]string{}
	var names []string
	for _, p := range r.Query {
		n := strings.ToLower(p.Name)
		if _, ok := byName[n]; !ok {
			names = append(names, n)
		}
		byName[n] = append(byName[n], p.Value)
	}
	slices.Sort(names)
	for _, n := range names {
		values := byName[n]
		slices.Sort(values)
		b.WriteString("\n" + n + ":" + strings.Join(values, ","))
	}
	return b.String()
}

// liteResource is the account, the path and of the query only comp.
func liteResource(r *wire.Request) string {
	s := "/" + string(r.Target.Account) + path(r)
	if comp, ok := r.Query.Lookup("comp"); ok {
		s += "?comp=" + comp
	}
	return s
}

func path(r *wire.Request) string {
	if r.Target.RawPath == "" {
		return "/"
	}
	return r.Target.RawPath
}
