// Package internal holds the policy of the architecture. Do not relax a line here to
// make a build pass: say in the commit what reason of design has changed.
package internal

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/coffer-storage/coffer/"

// layers, lowest first: a package imports from its own group or from below.
var layers = [][]string{
	{"fault", "secret", "invariant", "keylock"},
	{"name"},
	{"access"},
	{"crypt"},
	{"audit", "meta", "extent", "keyprovider"}, // ports, and drivers beside them
	{"keys"},
	{"object"},
	{"account", "scope", "blob", "queue", "table", "file", "disk", "vault", "identity"},
	{"resource"}, // the management plane: rules across the services
	{"wire", "nbd", "console", "janitor", "replica"},
	{"server"},
	{"coffertest", "cse"},
	{"cmd"},
}

// rules on imports. Patterns are path.Match on each element; a pattern that ends in
// /... also matches everything below.
var rules = []struct{ in, mayNotImport, except, because string }{
	{"internal/crypt/...", "net net/... os os/... time context log log/... io/fs syscall", "",
		"pure: fuzzable and reviewable alone"},
	{"...", "internal/crypt/internal/...", "internal/crypt/...",
		"only the crypt packages can make a Sealed"},
	{"...", "math/rand math/rand/v2", "", "randomness comes from crypto/rand"},
	{"...", "internal/crypt/segment", "internal/crypt/... internal/object",
		"the barrier: plaintext meets storage in object only"},
	{"...", "internal/meta/memkv internal/meta/pebblekv internal/meta/sealedfs", "internal/meta/... internal/server/...",
		"server is the one place that names concrete drivers"},
	{"...", "internal/extent/fileextent", "internal/extent/... internal/server/...",
		"server is the one place that names concrete drivers"},
	{"...", "internal/keyprovider/localkey internal/keys/filestore internal/keys/vaultkey", "internal/keyprovider/... internal/keys/filestore internal/keys/vaultkey internal/server/...",
		"server is the one place that names concrete drivers"},
	{"...", "crypto/aes crypto/cipher golang.org/x/crypto/...", "internal/crypt/... cse/...",
		"ciphers are for the crypt packages"},
	{"...", "crypto/des crypto/rc4 crypto/dsa golang.org/x/crypto/chacha20poly1305 golang.org/x/crypto/scrypt golang.org/x/crypto/argon2", "",
		"no other ciphers than those of the design"},
	{"...", "crypto/md5", "internal/blob internal/wire/... cse/...", "MD5 is what protocols ask for: checksums of contents"},
	{"...", "github.com/minio/md5-simd", "internal/blob", "MD5 in lanes is for contents that stream"},
	{"...", "crypto/sha1", "cse/... internal/crypt/jwk", "SHA-1 is in the format of client-side encryption v1, and in RSA-OAEP of vault keys"},
	{"...", "testing testing/...", "coffertest", "tests may not reach into programs, nor the other way"},
	{"internal/account internal/blob internal/object internal/keys", "net/http net/http/...", "",
		"services know the domain, not HTTP"},
	{"...", "github.com/cockroachdb/pebble/v2 github.com/cockroachdb/pebble/v2/...", "internal/meta/... internal/extent/... internal/keys/filestore internal/server/...",
		"an engine stays in its driver"},
	{"internal/meta", "internal/meta/...", "", "a port does not know its drivers"},
	{"internal/extent", "internal/extent/...", "", "a port does not know its drivers"},
	{"internal/keyprovider", "internal/keyprovider/...", "", "a port does not know its drivers"},
	{"internal/...", "log expvar net/http/pprof runtime/pprof", "",
		"one logger, injected; no dumps of memory"},
	{"cmd/...", "internal/object internal/keys internal/meta/... internal/extent/...", "",
		"the program goes through server"},
}

// mayUse lists who may call secret.Key.Use beside the crypt packages.
var mayUse = []string{
	"internal/secret",
	"internal/crypt/...",
	"internal/keyprovider/localkey", // writes the key file
}

// mayChooseNonces lists who may use GCM with nonces of its own, beside nobody.
var mayChooseNonces = []string{
	"cse/...", // the format of client-side encryption is Azure's and fixes the nonces
}

// mayPassNonces are the files that hand a nonce or an IV to a Seal.
var mayPassNonces = []string{
	"internal/crypt/internal/aead/aead.go", // passes on what it was given
	"internal/crypt/envelope/infra.go",     // draws the IV of CBC in the line before
	"internal/crypt/infraext/sectors.go",   // so does this
}

// modes are functions of crypto/cipher that take an IV, and who may call them.
var modes = map[string]string{
	"NewCTR": "", "NewOFB": "", "NewCFBEncrypter": "", "NewCFBDecrypter": "",
	// jwk: in the vault's interface callers choose the IV of A256CBC.
	"NewCBCEncrypter": "internal/crypt/internal/cbchs internal/crypt/jwk cse/...",
	"NewCBCDecrypter": "internal/crypt/internal/cbchs internal/crypt/jwk cse/...",
}

// buildTags that files may carry. There is none that leaves encryption out.
var buildTags = []string{
	"linux", "darwin", "windows", "unix", "freebsd", "openbsd", "netbsd", "dragonfly", "solaris", "aix",
	"amd64", "arm64", "race", "invariant", "goexperiment.runtimesecret",
}

// source is one file, as the checks see it.
type source struct {
	dir  string // of the package, relative to the module
	name string
	test bool
	ast  *ast.File
}

func TestArchitecture(t *testing.T) {
	files := load(t, "..")
	if len(files) < 50 {
		t.Fatalf("found %d files: the walk is broken", len(files))
	}
	for _, problem := range check(files) {
		t.Error(problem)
	}
}

// The control: every rule fires on a file that breaks it.
func TestRulesFire(t *testing.T) {
	tests := []struct{ dir, name, src, want string }{
		{"internal/crypt/x", "x.go", `import "time"`, "pure"},
		{"internal/crypt/x", "x.go", `import "net/http"`, "pure"},
		{"internal/object", "x.go", `import "` + module + `internal/crypt/internal/sealed"`, "only the crypt packages"},
		{"internal/server", "x.go", `import "` + module + `internal/crypt/recordtest"`, "for tests only"},
		{"internal/keys", "x.go", `import "math/rand/v2"`, "crypto/rand"},
		{"internal/blob", "x.go", `import "` + module + `internal/crypt/segment"`, "barrier"},
		{"internal/janitor", "x.go", `import "` + module + `internal/extent/fileextent"`, "concrete drivers"},
		{"internal/blob", "x.go", `import "net/http"`, "not HTTP"},
		{"internal/object", "x.go", `import "github.com/cockroachdb/pebble/v2/vfs"`, "engine"},
		{"internal/meta", "x.go", `import "` + module + `internal/meta/memkv"`, "port"},
		{"internal/keys", "x.go", `import "` + module + `internal/object"`, "layer"},
		{"internal/blob", "x.go", `import "` + module + `internal/account"`, ""},
		{"internal/wire/blobhttp", "x.go", `import "` + module + `internal/server"`, "layer"},
		{"internal/nowhere", "x.go", ``, "no layer"},
		{"internal/blob", "x.go", `import "log"`, "one logger"},
		{"cmd/coffer", "x.go", `import "` + module + `internal/keys"`, "through server"},
		{"internal/keys", "x.go", `import "` + module + `internal/keys/vaultkey"`, "concrete drivers"},
		{"internal/keys/vaultkey", "x.go", `var _ = options{DisableChallengeResourceVerification: true}`, "challenge"},
		{"internal/server", "x.go", `func f(o *options) { o.DisableChallengeResourceVerification = true }`, "challenge"},
		{"internal/blob", "x.go", `func f(k key) { k.Use(nil) }`, "Use"},
		{"internal/blob", "x.go", `func f(k key) any { return k.Use }`, "Use"},
		{"internal/crypt/x", "x.go", `func f(k key) { k.Use(nil) }`, ""},
		{"internal/blob", "x.go", `import "` + module + `internal/object"` + "\n" + `var _ object.Use`, ""},
		{"internal/crypt/x", "x.go", `import "crypto/cipher"` + "\n" + `var _, _ = cipher.NewGCM(nil)`, "NewGCM"},
		{"internal/crypt/x", "x.go", `import c "crypto/cipher"` + "\n" + `var _, _ = c.NewGCMWithNonceSize(nil, 8)`, "NewGCM"},
		{"internal/crypt/x", "x.go", `import "crypto/cipher"` + "\n" + `var _, _ = cipher.NewGCMWithRandomNonce(nil)`, ""},
		{"internal/crypt/x", "x.go", `import "crypto/cipher"` + "\n" + `var _ = cipher.NewCTR(nil, nil)`, "NewCTR"},
		{"internal/crypt/x", "x.go", `import "crypto/cipher"` + "\n" + `var _ = cipher.NewCBCEncrypter(nil, nil)`, "NewCBCEncrypter"},
		{"internal/crypt/internal/cbchs", "x.go", `import "crypto/cipher"` + "\n" + `var _ = cipher.NewCBCEncrypter(nil, nil)`, ""},
		{"internal/crypt/x", "x.go", `func f(a aead) { a.Seal(nil, nonce, nil, nil) }`, "nonce"},
		{"internal/crypt/x", "x.go", `func f(a aead) { a.Seal(nil, nil, nil, nil) }`, ""},
		{"internal/crypt/x", "x.go", `func f(a appender) { a.Seal(nil, p) }`, ""},
		{"internal/object", "x.go", `import "crypto/aes"`, "ciphers"},
		{"internal/keys", "x.go", `import "crypto/md5"`, "MD5"},
		{"internal/blob", "x.go", `import "crypto/md5"`, ""},
		{"internal/keys", "x.go", `import "github.com/minio/md5-simd"`, "in lanes"},
		{"internal/crypt/x", "x.go", `import "crypto/rc4"`, "no other ciphers"},
		{"internal/server", "x.go", `import "testing/cryptotest"`, "tests"},
		{"internal/server", "x_test.go", `import "crypto/rand"` + "\n" + `func f() { rand.Reader = nil }`, "rand.Reader"},
		{"internal/server", "x.go", `import "crypto/rand"` + "\n" + `func f() { rand.Read(nil); _ = rand.Reader }`, ""},
		{"internal/crypt/x", "x.go", "//go:build nocrypt", "build tag"},
		{"internal/crypt/x", "x.go", "//go:build linux && !race", ""},
		{"internal/crypt/x", "x_test.go", `import "time"`, ""},
	}
	for _, tt := range tests {
		head, body := "", tt.src
		if strings.HasPrefix(body, "//go:build") {
			head, body = body+"\n\n", ""
		}
		got := strings.Join(check([]source{parse(t, tt.dir, tt.name, []byte(head+"package x\n"+body+"\n"))}), "\n")
		if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s/%s with %q: %q, want %q", tt.dir, tt.name, tt.src, got, tt.want)
		}
	}
}

func check(files []source) []string {
	var out []string
	for _, f := range files {
		report := func(format string, args ...any) {
			out = append(out, path.Join(f.dir, f.name)+": "+fmt.Sprintf(format, args...))
		}
		checkTags(f, report)
		checkReader(f, report)
		if f.test || suite(f.dir) {
			continue
		}
		for _, imp := range f.ast.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				report("%v", err)
				continue
			}
			checkImport(f, strings.TrimPrefix(p, module), report)
		}
		checkLayer(f, report)
		checkCalls(f, report)
		checkNonces(f, report)
		checkChallenge(f, report)
	}
	return out
}

// checkChallenge looks for the switch that lets a vault name any audience for the tokens
// that it is sent.
func checkChallenge(f source, report func(string, ...any)) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == "DisableChallengeResourceVerification" {
			report("turns off the client's check of a vault's challenge")
		}
		return true
	})
}

func checkImport(f source, imported string, report func(string, ...any)) {
	if suite(imported) && strings.HasPrefix(imported, "internal/") {
		report("imports %s: suites and recordings are for tests only", imported)
	}
	for _, r := range rules {
		if matchAny(r.in, f.dir) && !matchAny(r.except, f.dir) && matchAny(r.mayNotImport, imported) {
			// A port's pattern matches the port itself; nobody imports himself.
			if imported != f.dir {
				report("imports %s: %s", imported, r.because)
			}
		}
	}
}

func checkLayer(f source, report func(string, ...any)) {
	from, group := layer(f.dir)
	if from < 0 {
		report("its package is in no layer: add it to the table")
		return
	}
	for _, imp := range f.ast.Imports {
		p, _ := strconv.Unquote(imp.Path.Value)
		p, ours := strings.CutPrefix(p, module)
		if !ours {
			continue
		}
		to, other := layer(p)
		switch {
		case group == other || to < from && to >= 0:
		case to == from && services(group) && services(other): // services may build on each other
		default:
			report("imports %s, which is not in a lower layer", p)
		}
	}
}

var serviceLayer = slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, "blob") })

func services(group string) bool { return slices.Contains(layers[serviceLayer], group) }

// suite reports whether a package is a test suite: no file of a program imports it.
func suite(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") && dir != "coffertest" }

// layer returns the rank of a package and its group, the first element of its path.
func layer(dir string) (int, string) {
	group, _, _ := strings.Cut(strings.TrimPrefix(dir, "internal/"), "/")
	for i, l := range layers {
		if slices.Contains(l, group) {
			return i, group
		}
	}
	return -1, group
}

// checkCalls looks at selectors. No other method of this module is called Use, so a name
// is enough and no types are needed.
func checkCalls(f source, report func(string, ...any)) {
	ciphers := importName(f.ast, "crypto/cipher")
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, _ := sel.X.(*ast.Ident)
		ofPackage := x != nil && imports(f.ast, x.Name) // a name in a package is no method
		if sel.Sel.Name == "Use" && !ofPackage && !slices.ContainsFunc(mayUse, func(p string) bool { return match(p, f.dir) }) {
			report("calls Use of a key: only the crypt packages may")
		}
		if slices.ContainsFunc(mayChooseNonces, func(p string) bool { return match(p, f.dir) }) {
			return true
		}
		if x != nil && ciphers != "" && x.Name == ciphers &&
			strings.HasPrefix(sel.Sel.Name, "NewGCM") && sel.Sel.Name != "NewGCMWithRandomNonce" {
			report("uses cipher.%s: nonces are drawn inside, by NewGCMWithRandomNonce", sel.Sel.Name)
		}
		return true
	})
}

// checkNonces looks at who gives a nonce to a Seal of an AEAD, which has four arguments,
// and who uses modes with an IV of the caller.
func checkNonces(f source, report func(string, ...any)) {
	ciphers := importName(f.ast, "crypto/cipher")
	ast.Inspect(f.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, _ := sel.X.(*ast.Ident)
		if who, ok := modes[sel.Sel.Name]; ok && x != nil && ciphers != "" && x.Name == ciphers && !matchAny(who, f.dir) {
			report("uses cipher.%s: it takes an IV of the caller", sel.Sel.Name)
		}
		if sel.Sel.Name != "Seal" || len(call.Args) != 4 || !match("internal/crypt/...", f.dir) ||
			slices.Contains(mayPassNonces, path.Join(f.dir, f.name)) || x != nil && imports(f.ast, x.Name) {
			return true
		}
		if id, ok := call.Args[1].(*ast.Ident); !ok || id.Name != "nil" {
			report("gives a nonce to Seal: nonces are drawn inside")
		}
		return true
	})
}

// imports reports whether a package is known by that name in the file.
func imports(f *ast.File, name string) bool {
	return slices.ContainsFunc(f.Imports, func(imp *ast.ImportSpec) bool {
		p, _ := strconv.Unquote(imp.Path.Value)
		return imp.Name == nil && path.Base(p) == name || imp.Name != nil && imp.Name.Name == name
	})
}

// checkReader looks for assignments to rand.Reader, in tests as well: what they replace
// is not where nonces come from, so they prove less than they seem to.
func checkReader(f source, report func(string, ...any)) {
	random := importName(f.ast, "crypto/rand")
	ast.Inspect(f.ast, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || random == "" {
			return true
		}
		for _, l := range a.Lhs {
			sel, ok := l.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Reader" {
				continue
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == random {
				report("sets rand.Reader")
			}
		}
		return true
	})
}

func importName(f *ast.File, want string) string {
	for _, imp := range f.Imports {
		if p, _ := strconv.Unquote(imp.Path.Value); p == want {
			if imp.Name != nil {
				return imp.Name.Name
			}
			return path.Base(p)
		}
	}
	return ""
}

func checkTags(f source, report func(string, ...any)) {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if c.Pos() > f.ast.Package || !constraint.IsGoBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				report("%v", err)
				continue
			}
			expr.Eval(func(tag string) bool {
				if !slices.Contains(buildTags, tag) && !strings.HasPrefix(tag, "go1.") {
					report("has the build tag %q, which is not in the table", tag)
				}
				return true
			})
		}
	}
}

func matchAny(patterns, p string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(pattern string) bool { return match(pattern, p) })
}

func match(pattern, p string) bool {
	if pattern == "..." {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == prefix || strings.HasPrefix(p, prefix+"/")
	}
	return p == pattern
}

// load parses every Go file of the module; nested modules are left out.
func load(t *testing.T, root string) []source {
	t.Helper()
	var files []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || nested(p)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || path.Dir(rel) == "internal/deps" {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if path.Dir(rel) != "internal" {
			files = append(files, parse(t, path.Dir(rel), d.Name(), src))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func nested(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parse(t *testing.T, dir, name string, src []byte) source {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("%s/%s: %v", dir, name, err)
	}
	return source{dir: dir, name: name, test: strings.HasSuffix(name, "_test.go"), ast: f}
}
