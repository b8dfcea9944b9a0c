package template

import "testing"

func TestPath(t *testing.T) {
	event := []byte(`{"a":{"b":[{"c":1},{"c":"x"}],"d-e":null},"f":{"g":1,"h":[2]}}`)
	for path, want := range map[string]string{"$": string(event), "$.a.b[1].c": `"x"`, "$.a.b[*].c": `[1,"x"]`, "$.a['d-e']": `null`,
		"$.f.*": `[1,[2]]`, "$.a.b[2]": "", "$.x": "", "$.a.b.c": ""} {
		p, ok := ParsePath(path)
		v, found := p.Find(event)
		if !ok || string(v) != want || found != (want != "") {
			t.Errorf("%s: %t %s, want %s", path, ok, v, want)
		}
	}
}

func TestParse(t *testing.T) {
	known := func(name string) (Path, bool) { return nil, name == "x" }
	for text, want := range map[string][]Place{
		`<x>`:                       {Text},
		`a <x> b <y>`:               {Text},
		`{"a":<x>,"b":"<x> \"<x>"}`: {Value, Quoted, Quoted},
		`["<x>", <x>]`:              {Quoted, Value},
		`"<x>"`:                     {Quoted},
		`<`:                         {},
	} {
		parts := Parse(text, known)
		if len(parts) != len(want)+1 {
			t.Errorf("%s: %d parts", text, len(parts))
			continue
		}
		for i, p := range want {
			if parts[i].Place != p {
				t.Errorf("%s: part %d stands in %d, want %d", text, i, parts[i].Place, p)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"a":<$.b>}`, `$.b[0].*['x']`, `{"b":[{"x":1}]}`)
	f.Fuzz(func(t *testing.T, text, path, event string) {
		p, _ := ParsePath(path)
		p.Find([]byte(event))
		back := ""
		for _, part := range Parse(text, func(string) (Path, bool) { return p, true }) {
			back += part.Text
			if part.Name != "" || part.Path != nil {
				back += "<" + part.Name + ">"
			}
		}
		if p != nil && back != text {
			t.Errorf("%q came back as %q", text, back)
		}
	})
}

func TestAppendBare(t *testing.T) {
	for v, want := range map[string]string{`{"a":"b","c":[1,"d"]}`: `{a:b,c:[1,d]}`, `{"a":"say \"x\""}`: `{a:say x}`, `["a\\n"]`: `[a\\n]`, `[]`: `[]`} {
		if got := string(AppendBare(nil, []byte(v))); got != want {
			t.Errorf("%s: %s, want %s", v, got, want)
		}
	}
}
