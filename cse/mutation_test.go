package cse_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mutations drop one check each: code that stands there once, and what stands there
// instead. A test has to fail. 25 November 2026: 93 of 93 are found.
var mutations = []struct{ file, old, fresh string }{
	// The key and its version.
	{"internal/format/format.go", "len(bound) != p.WrapSize()", "len(bound) < 8"},
	{"internal/format/format.go", "!equal(bound[:prefixSize], want)", "!equal(bound[:3], want[:3])"},
	{"internal/format/format.go", "!equal(bound[:prefixSize], want)", "false"},
	{"options.go", "if d.Protocol == format.V1 && HasCode(err, AuthenticationFailed)", "if false"},
	{"options.go", "o.Key != nil && o.Key.KeyID() == id", "o.Key != nil"},
	{"options.go", "k == nil || k.KeyID() != id", "k == nil"},
	{"errors.go", "ok && e.Code == KeyUnavailable", "ok"},
	{"key_aes.go", "rfc3394IV[:]) != 1", "rfc3394IV[:]) > 1"},
	{"key_aes.go", `algorithm != "" && algorithm != k.algorithm`, "false"},
	{"key_rsa.go", "!k.opt.UnsafeAllowRSA15 || k.private == nil", "k.private == nil"},
	{"key_rsa.go", "rand.Read(key)\n\t//lint", "//lint"},
	{"key.go", "if _, twice := r.keys[k.KeyID()]; twice", "if false"},
	{"keyvault/keyvault.go", "if algorithm == cse.RSA15", "if false"},
	{"keyvault/keyvault.go", "err != nil || k.version == \"\"", "err != nil"},
	{"keyvault/keyvault.go", "r.StatusCode == http.StatusBadRequest", "r.StatusCode == http.StatusOK"},
	{"keyvault/keyvault.go", "err != nil || u.User != nil", "err != nil"},

	// What is read without being asked.
	{"options.go", "if !o.AllowV1Read || o.RequireLength {", "if o.RequireLength {"},
	{"options.go", "if !o.AllowV1Read || o.RequireLength {", "if !o.AllowV1Read {"},
	{"options.go", "d.RegionLength > o.MaxRegionLength", "false"},
	{"content.go", "!o.AllowPlaintextRead || o.RequireLength || s.context != nil", "o.RequireLength || s.context != nil"},
	{"content.go", "!o.AllowPlaintextRead || o.RequireLength || s.context != nil", "!o.AllowPlaintextRead || s.context != nil"},
	{"content.go", "!o.AllowPlaintextRead || o.RequireLength || s.context != nil", "!o.AllowPlaintextRead || o.RequireLength"},
	{"content.go", "d.Protocol == format.V1 && s.context != nil", "false"},
	{"content.go", "c.opt.RequireLength || context != nil", "context != nil"},
	{"content.go", "c.opt.RequireLength || context != nil", "c.opt.RequireLength"},
	{"content.go", "return fromFormat(format.CheckLength(entry, c.cek, d.Protocol, c.plain, d.RegionLength, context))", "_ = entry\n\treturn nil"},
	{"content.go", "if c.page {\n\t\treturn &Error{Code: Unsupported", "if false {\n\t\treturn &Error{Code: Unsupported"},
	{"queue.go", "if err := o.allow(e.Data); err != nil", "if err := error(nil); err != nil"},
	{"queue.go", "if o.AllowPlaintextRead {", "if true {"},
	{"table.go", "if o.AllowPlaintextRead {", "if true {"},
	{"table.go", "if r.data.Protocol != format.V1", "if false"},
	{"options.go", "o.WrapAlgorithm == RSA15", "false"},

	// Regions, their order, the length.
	{"internal/format/region.go", "order != nil && !order.admit(index, nonce)", "false"},
	{"internal/format/region.go", "o.left &= fits", "o.left = fits"},
	{"internal/format/region.go", "index <= math.MaxUint32", "index <= math.MaxUint64"},
	{"internal/format/region.go", "NonceSize], index+1)", "NonceSize], index)"},
	{"internal/format/size.go", "rest > 0 && rest < Overhead", "rest > 0 && rest < 0"},
	{"internal/format/size.go", "off < 0 || off > size || off == size && off > 0", "off < 0"},
	{"internal/format/length.go", "words[0] != lengthVersion || ", ""},
	{"internal/format/length.go", " || words[1] != strconv.FormatInt(plain, 10)", ""},
	{"internal/format/length.go", `!sameMAC(words[2], lengthMAC(cek, "length", p, plain, region, nil))`, "false"},
	{"internal/format/length.go", "len(words) != 4 || !sameMAC(words[3]", "len(words) == 4 && !sameMAC(words[3]"},
	{"internal/format/length.go", `len(words) != 4 || !sameMAC(words[3], lengthMAC(cek, "context", p, plain, region, context))`, "len(words) != 4"},
	{"fetch.go", "o.stored%o.regions.Sealed() != format.Overhead", "true"},

	// Version 1.0: one failure.
	{"content.go", "!ok || !padded || c.bad", "!ok || !padded"},
	{"content.go", "!ok || !padded || c.bad", "!ok || !padded && false || c.bad"},
	{"content.go", "!ok || !padded || c.bad", "!ok && false || !padded || c.bad"},
	{"content.go", "if c.page {\n\t\tn, padded", "if false {\n\t\tn, padded"},
	{"queue.go", "if bad || err != nil", "if bad && false || err != nil"},
	{"queue.go", "!whole || !padded", "!whole || !padded && false"},
	{"table.go", "return found, n == 1", "return found, n > 0"},
	{"internal/format/cbc.go", "subtle.ConstantTimeLessOrEq(1, last) & ", ""},
	{"internal/format/cbc.go", " & subtle.ConstantTimeLessOrEq(last, BlockSize)", ""},
	{"internal/format/cbc.go", "good &= same | (1 - inside)", "_, _ = same, inside"},

	// The text.
	{"internal/format/data.go", "len(text) > maxText", "false"},
	{"internal/format/data.go", "if cipher != want", "if cipher != want && false"},
	{"internal/format/data.go", "len(d.EncryptedKey) == 0 || len(d.EncryptedKey) > maxWrapped", "len(d.EncryptedKey) > maxWrapped"},
	{"internal/format/data.go", "len(d.EncryptedKey) == 0 || len(d.EncryptedKey) > maxWrapped", "len(d.EncryptedKey) == 0"},
	{"internal/format/data.go", "if len(d.IV) != BlockSize", "if false"},
	{"internal/format/data.go", "nonce != NonceSize || ", "nonce != nonce || "},
	{"internal/format/data.go", "d.RegionLength < 1 || ", ""},
	{"internal/format/data.go", " || d.RegionLength > MaxRegion {\n\t\treturn ErrMetadata", " {\n\t\treturn ErrMetadata"},
	{"internal/format/data.go", "if _, twice := d.Wrapping[m.Name]; twice", "if false"},
	{"internal/format/members.go", "!utf8.Valid(text)", "!utf8.Valid(text) && false"},
	{"internal/format/members.go", " || len(all) == maxMembers", ""},
	{"internal/format/members.go", "if _, err := dec.Token(); err != io.EOF", "if _, err := dec.Token(); err != io.EOF && false"},
	{"internal/format/members.go", "if found != nil", "if false"},
	{"internal/format/members.go", `strings.ContainsAny(s, "\r\n")`, "false"},
	{"internal/format/members.go", "StdEncoding.Strict()", "StdEncoding"},
	{"internal/format/envelope.go", "len(top) != 2", "len(top) < 2"},

	// The service.
	{"fetch.go", "start != off || size != o.stored", "start != start || size != o.stored"},
	{"fetch.go", "start != off || size != o.stored", "start != off || size != size"},
	{"fetch.go", "(text == nil) != (o.text == nil) || deref(text) != deref(o.text)", "text != text"},
	{"fetch.go", "AccessConditions: ifMatch(o.acc.conditions, o.etag)", "AccessConditions: o.acc.conditions"},
	{"blob.go", "c.AccessConditions = ifMatch(c.AccessConditions, etag)", "_ = etag"},
	{"blob.go", "merged[MetadataName] = text", "_ = text"},
	{"download.go", "\t\tclear(buf[:n])\n", ""},
	{"download.go", "file.Truncate(0) //", "//"},
	{"download.go", "if n > int64(len(buf))", "if false"},
	{"upload.go", "len(h.BlobContentMD5) > 0", "false"},
	{"upload.go", "_, m := splitMetadata(u.opt.Metadata)", "m := u.opt.Metadata"},
	{"upload.go", "size > maxBlocks*u.perBlock*u.regions.Length()", "false"},
	{"upload_source.go", "if n == len(room) {", "if n >= 0 {"},
	{"upload_source.go", "return room, cmp.Or(first, <-second)", "<-second\n\treturn room, cmp.Or(first)"},
	{"upload_body.go", "b.stopped = true", "b.stopped = false"},
	{"rewrap.go", "if _, err := format.Unbind(d.Protocol, bound); err != nil", "if err := error(nil); err != nil"},
	{"rewrap.go", "if isTemporary(it.name) {\n\t\t\treturn nil", "if false {\n\t\t\treturn nil"},
	{"migrate.go", "hex.EncodeToString(copied.Sum(nil)) != hex.EncodeToString(sum.Sum(nil))", "false"},
	{"migrate.go", "if obj.plain != length", "if false"},
	{"migrate.go", "match: ifMatch(nil, p.ETag)", "match: nil"},
	{"migrate.go", `it.kind != "" && it.kind != blob.BlobTypeBlockBlob`, "false"},
	{"migrate.go", "return m.report, m.clean(ctx)", "return m.report, nil"},
	{"migrate.go", "old = m.mo.Context(name)", "old = nil"},
}

var onlyMutations = flag.String("mutations", "", "expression; only mutations whose file and code match it")

// TestMutations is slow: it builds and runs the tests once for each.
func TestMutations(t *testing.T) {
	if !long() || os.Getenv("COFFER_CSE_MUTANT") != "" {
		t.Skip("a long part: COFFER_LONG=1, and not inside of itself")
	}
	dir := t.TempDir()
	ran, survived := 0, 0
	begun := time.Now()
	wanted := regexp.MustCompile(*onlyMutations)
	for i, m := range mutations {
		if !wanted.MatchString(m.file + " " + m.old) {
			continue
		}
		ran++
		if out, ok := runMutant(t, dir, i); ok {
			survived++
			t.Errorf("%s without %q: no test fails\n%s", m.file, m.old, out)
		}
	}
	t.Logf("%d of %d mutations found in %v", ran-survived, ran, time.Since(begun).Round(time.Second))
}

// Every mutation is of code that is there, and is there once.
func TestMutationsApply(t *testing.T) {
	for _, m := range mutations {
		text, err := os.ReadFile(m.file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), m.old); n != 1 {
			t.Errorf("%s has %q %d times", m.file, m.old, n)
		}
	}
}

// runMutant runs the tests with one file replaced.
func runMutant(t *testing.T, dir string, i int) (out string, passed bool) {
	t.Helper()
	m := mutations[i]
	text, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	mutant := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(mutant, []byte(strings.Replace(string(text), m.old, m.fresh, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	at, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	list, _ := json.Marshal(map[string]map[string]string{"Replace": {at: mutant}})
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	// From the quick tests to all: most mutants fall at once.
	dir, _, _ = strings.Cut(m.file, "/"+filepath.Base(m.file))
	if dir == m.file {
		dir = "."
	}
	const heavy = "Killed|Large|Mutations"
	runs := [][]string{
		{"-skip", heavy, "./" + dir},
		{"-skip", heavy + "|V1FailuresAreOne|TestMigrate$|RoundTrip|EveryRange|BlobVectors", "."},
		{"-skip", heavy, "./..."},
	}
	if dir == "." {
		runs = runs[1:]
	}
	for _, args := range runs {
		cmd := exec.Command("go", append([]string{"test", "-overlay", overlay, "-short", "-failfast", "-vet=off", "-timeout", "60s"}, args...)...)
		cmd.Env = append(os.Environ(), "COFFER_LONG=", "COFFER_CSE_MUTANT=1")
		b, err := cmd.CombinedOutput()
		if strings.Contains(string(b), "[build failed]") || strings.Contains(string(b), "[setup failed]") {
			t.Errorf("%s without %q does not build:\n%s", m.file, m.old, b)
			return "", false
		}
		if err != nil {
			return "", false
		}
		out += string(b)
	}
	return out, true
}
