package fogbank_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// layers is the architecture: a package may import only what its row names.
// "." is the module root; a trailing /... covers the subtree; "=" is the
// package's own subtree. The first matching row applies.
var layers = []struct{ pkg, may string }{
	{"aws", ""},
	{"pattern", ""},
	{"schedule", ""},
	{"world", ""},
	{"policy", "aws"},
	{"credential", "aws world"},
	{"wire/attribute", "aws"},
	{"wire", "aws"},
	{"store", "aws world"},
	{"relay", "aws store world"},
	{"compute", "aws world"},
	{"egress", "aws world"},
	{"api/...", "aws wire wire/attribute"},
	{"source", "api/... aws pattern relay store wire world"},
	{"template", ""},
	{"parking", ""},
	{"gate", "aws credential parking policy wire world"},
	{"service/lambda", "= api/... aws compute credential pattern policy relay source store wire world"},
	{"service/dynamodb/...", "= api/... aws pattern policy relay store wire wire/attribute world"},
	{"service/events", "= api/... aws credential egress pattern policy relay schedule source store template wire world"},
	{"service/sns", "= api/... aws egress pattern policy relay store wire world"},
	{"service/events", "= api/... aws egress pattern policy relay schedule store template wire world"},
	{"service/...", "= api/... aws credential pattern policy relay schedule source store template wire wire/attribute world"},
	{".", "api/... aws compute credential egress gate parking policy service/... store wire world"},
	{"sim", ". api/... aws compute egress store wire world"},
	{"cmd/...", ". aws compute store world"},
}

// banned are standard packages a layer must do without, and why.
var banned = []struct{ pkg, std, why string }{
	{"service/...", "net/http", "services see typed inputs; HTTP ends at the gate"},
	{"service/...", "math/rand/v2", "chance comes from world"},
	{"service/...", "math/rand", "chance comes from world"},
	{"service/...", "crypto/rand", "chance comes from world"},
	{"service/...", "os", "state lives in store, configuration arrives through New"},
}

// excused are the exceptions to banned, each with its reason.
var excused = map[string]string{
	"service/apigateway net/http": "its data plane is HTTP itself: it serves the APIs people define",
}

func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := rel(p.ImportPath)
		may, ok := row(from)
		if !ok {
			t.Errorf("%s has no row in layers: decide where it belongs", from)
		}
		for _, imp := range p.Imports {
			checkImport(t, from, may, imp)
		}
	}
}

func checkImport(t *testing.T, from, may, imp string) {
	if imp == "fogbank" || strings.HasPrefix(imp, "fogbank/") {
		if !allowed(from, may, rel(imp)) {
			t.Errorf("%s must not import %s", from, rel(imp))
		}
		return
	}
	for _, b := range banned {
		if match(b.pkg, from) && imp == b.std && excused[from+" "+imp] == "" {
			t.Errorf("%s must not import %s: %s", from, imp, b.why)
		}
	}
}

func rel(p string) string {
	if p == "fogbank" {
		return "."
	}
	return strings.TrimPrefix(p, "fogbank/")
}

func row(pkg string) (string, bool) {
	for _, l := range layers {
		if match(l.pkg, pkg) {
			return l.may, true
		}
	}
	return "", false
}

func allowed(from, may, to string) bool {
	for m := range strings.FieldsSeq(may) {
		if m == "=" {
			parts := strings.SplitN(from, "/", 3)
			m = path.Join(parts[0], parts[1]) + "/..."
		}
		if match(m, to) {
			return true
		}
	}
	return false
}

func match(pattern, pkg string) bool {
	if sub, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == sub || strings.HasPrefix(pkg, sub+"/")
	}
	return pattern == pkg
}
