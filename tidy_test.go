package fogbank_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

const maxFuncLines = 70

// worldly are the trees that may read clocks and start goroutines themselves.
var worldly = []string{"world/", "sim/", "cmd/", "examples/", "conform/", "compute/", "parking/"}

// TestTidy checks the house rules no linter knows.
func TestTidy(t *testing.T) {
	fset := token.NewFileSet()
	docs := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(file)
		docs[dir] = docs[dir] || f.Doc != nil
		switch f.Name.Name {
		case "util", "utils", "common", "helpers", "shared", "base", "manager":
			t.Errorf("%s: package %s says where code was put, not what it is", file, f.Name.Name)
		}
		if !ast.IsGenerated(f) {
			tidyFile(t, fset, file, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, ok := range docs {
		if !ok {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

func tidyFile(t *testing.T, fset *token.FileSet, file string, f *ast.File) {
	deterministic := true
	for _, w := range worldly {
		deterministic = deterministic && !strings.HasPrefix(file, w)
	}
	for _, c := range f.Comments {
		if text := c.Text(); strings.Contains(text, "TODO") && !strings.Contains(text, "TODO(#") {
			t.Errorf("%s: TODO(#issue) or nothing", fset.Position(c.Pos()))
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			start, end := fset.Position(n.Pos()).Line, fset.Position(n.End()).Line
			if end-start+1 > maxFuncLines {
				t.Errorf("%s: %s is %d lines; the most is %d", fset.Position(n.Pos()), n.Name, end-start+1, maxFuncLines)
			}
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s: no init functions; wire things in fogbank.Open", fset.Position(n.Pos()))
			}
		case *ast.GoStmt:
			if deterministic {
				t.Errorf("%s: start goroutines with world.Go", fset.Position(n.Pos()))
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && deterministic && x.Name == "time" && clock[n.Sel.Name] {
				t.Errorf("%s: ask world, not time.%s", fset.Position(n.Pos()), n.Sel.Name)
			}
		}
		return true
	})
}

// clock are the functions of package time that read or wait for the clock.
var clock = map[string]bool{"Now": true, "Sleep": true, "After": true, "AfterFunc": true, "NewTimer": true,
	"NewTicker": true, "Tick": true, "Since": true, "Until": true}
