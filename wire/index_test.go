package wire_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"fogbank/wire"
)

func TestPaths(t *testing.T) {
	op := func(method, path string) *wire.Operation {
		return &wire.Operation{Name: method + " " + path, Method: method, Path: path}
	}
	p := wire.NewPaths(op("GET", "/"), op("GET", "/a/{x}"), op("GET", "/a/b"), op("GET", "/a/{x}/c"), op("GET", "/a/b/{y}"),
		op("POST", "/a/{x}"), op("GET", "/files/{path+}"), op("GET", "/files/{path+}/meta"), op("GET", "/files/one"),
		op("GET", "/q"), op("GET", "/q?kind=big"), op("GET", "/q?flag"), op("GET", "/end/"))
	for _, c := range []struct{ method, target, want string }{
		{"GET", "/", "GET / map[]"},
		{"GET", "/a/b", "GET /a/b map[]"},
		{"GET", "/a/b/", "GET /a/b map[]"},
		{"GET", "/a/z", "GET /a/{x} map[x:z]"},
		{"GET", "/a/z%2Fy%20%C3%A9+", "GET /a/{x} map[x:z/y é+]"},
		{"POST", "/a/b", "POST /a/{x} map[x:b]"},
		{"GET", "/a/b/c", "GET /a/b/{y} map[y:c]"},
		{"GET", "/a/z/c", "GET /a/{x}/c map[x:z]"},
		{"GET", "/files/one", "GET /files/one map[]"},
		{"GET", "/files/one/two%2Fx/three", "GET /files/{path+} map[path:one/two/x/three]"},
		{"GET", "/files/one/two/meta", "GET /files/{path+}/meta map[path:one/two]"},
		{"GET", "/q", "GET /q map[]"},
		{"GET", "/q?kind=big&x=1", "GET /q?kind=big map[]"},
		{"GET", "/q?kind=small", "GET /q map[]"},
		{"GET", "/q?flag=", "GET /q?flag map[]"},
		{"GET", "/end", "GET /end/ map[]"},
		{"GET", "/end/", "GET /end/ map[]"},
		{"PUT", "/a/b", "none"},
		{"GET", "/a", "none"},
		{"GET", "/a//c", "none"},
		{"GET", "/files/", "none"},
		{"GET", "/b", "none"},
		{"GET", "/a/" + strings.Repeat("x", 20000), "none"},
	} {
		path, query, _ := strings.Cut(c.target, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		if op, labels, ok := p.Match(c.method, path, values); ok {
			got = fmt.Sprint(op.Name, " ", labels)
		}
		if got != c.want {
			t.Errorf("%s %.60s: %s, want %s", c.method, c.target, got, c.want)
		}
	}
	if _, _, ok := p.Match("GET", "/a/%zz", nil); ok {
		t.Error("a bad escape was matched")
	}
}

// TestEveryPath sends every REST operation of every service down its own template.
func TestEveryPath(t *testing.T) {
	for _, api := range []*wire.API{lambdaAPI, apigatewayAPI} {
		for _, op := range api.Operations {
			path := strings.NewReplacer("{", "", "}", "").Replace(op.Path)
			got, _, ok := index.Path(api.Signing, httptest.NewRequest(op.Method, path, nil))
			if !ok || got != op {
				t.Errorf("%s %s leads to %v", op.Method, path, got)
			}
		}
	}
}

func TestIndex(t *testing.T) {
	if op, p, ok := index.Target("DynamoDB_20120810.GetItem"); !ok || op.Action != "dynamodb:GetItem" || p != wire.JSON10 {
		t.Errorf("GetItem is %v %v %v", op, p, ok)
	}
	if _, _, ok := index.Target("DynamoDB_20120810.Getitem"); ok {
		t.Error("a target was found in the wrong case")
	}
	for _, c := range []struct{ action, version, signing, want string }{
		{"SendMessage", "", "", "sqs:SendMessage"},
		{"SendMessageBatch", "2012-11-05", "sqs", "sqs:SendMessage"},
		{"TagResource", "2010-03-31", "", "sns:TagResource"},
		{"AddPermission", "", "", ""},
		{"AddPermission", "2012-11-05", "", "sqs:AddPermission"},
		{"AddPermission", "", "sns", "sns:AddPermission"},
		{"SendMessage", "", "sns", ""},
		{"CreateTable", "", "", ""},
	} {
		got := ""
		if op, ok := index.Action(c.action, c.version, c.signing); ok {
			got = op.Action
		}
		if got != c.want {
			t.Errorf("%s %s %s is %q, want %q", c.action, c.version, c.signing, got, c.want)
		}
	}
}
