package expr

import (
	"strings"
	"testing"

	"fogbank/wire/attribute"
)

func item(t testing.TB, text string) attribute.Item {
	t.Helper()
	var it attribute.Item
	if text == "" {
		return nil
	}
	if _, err := it.ParseJSON([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return it
}

const sample = `{"s":{"S":"hello"},"n":{"N":"5"},"b":{"B":"aGk="},"t":{"BOOL":true},"nil":{"NULL":true},
"l":{"L":[{"S":"a"},{"N":"1"},{"M":{"x":{"N":"9"}}}]},"m":{"M":{"k":{"S":"v"},"d":{"M":{"e":{"N":"1"}}}}},
"ss":{"SS":["a","b"]},"ns":{"NS":["1","2"]},"name":{"S":"reserved"}}`

const sampleValues = `{":s":{"S":"hello"},":h":{"S":"he"},":z":{"S":"z"},":n":{"N":"5.0"},":one":{"N":"1"},":nine":{"N":"9"},":a":{"S":"a"},
":t":{"BOOL":true},":N":{"S":"N"},":b":{"B":"aA=="},":ss":{"SS":["b","a"]},":m":{"M":{"e":{"N":"1"}}}}`

func TestConditions(t *testing.T) {
	it, values := item(t, sample), item(t, sampleValues)
	names := map[string]string{"#name": "name", "#m": "m", "#k": "k"}
	for _, c := range []struct {
		text string
		want bool
	}{
		{"s = :s", true}, {"s <> :s", false}, {"n = :n", true}, {"n=:s", false}, {"s > :h", true}, {"s < :h", false},
		{"n >= :one AND n <= :nine", true}, {"n > :nine OR s = :s", true}, {"NOT s = :s", false}, {"not (s = :z)", true},
		{"n BETWEEN :one AND :nine", true}, {"s between :h and :z", true}, {"n BETWEEN :nine AND :nine", false},
		{"s IN (:z, :h, :s)", true}, {"s IN (:z)", false}, {"nope IN (:z)", false},
		{"nope = :s", false}, {"nope <> :s", true}, {"nope < :s", false}, {"NOT nope < :s", true}, {"nope <> nada", true}, {"nope = nada", false},
		{"attribute_exists(s)", true}, {"attribute_exists(m.k)", true}, {"attribute_exists(m.q)", false}, {"attribute_not_exists(l[3])", true},
		{"attribute_exists(l[2].x)", true}, {"attribute_exists(s.x)", false}, {"attribute_exists(m[0])", false},
		{"attribute_type(n, :N)", true}, {"attribute_type(s, :N)", false},
		{"begins_with(s, :h)", true}, {"begins_with(s, :z)", false}, {"begins_with(b, :b)", true}, {"begins_with(n, :h)", false},
		{"contains(s, :h)", true}, {"contains(ss, :a)", true}, {"contains(ss, :z)", false}, {"contains(ns, :one)", true}, {"contains(l, :one)", true}, {"contains(l, :z)", false},
		{"size(s) = :n", true}, {"size(l) < :nine", true}, {"size(ss) > :one", true}, {"size(n) = :one", false}, {"size(nope) = :one", false}, {":one < size(m)", true},
		{"ss = :ss", true}, {"m.d = :m", true}, {"t = :t", true}, {"#name <> s", true}, {"#m.#k <> :s", true}, {"l[0] = :a", true}, {"l[2].x = :nine", true},
		{"s = :z AND s = :s OR n = :n", true}, {"s = :z AND (s = :s OR n = :n)", false}, {"(s) = :s", true}, {"(s = :s)", true}, {"(s = :s) AND ((n = :n) OR t = :t)", true},
	} {
		r := Request{Names: names, Values: values}
		test, err := r.Test(Condition, &c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := test.Holds(it); got != c.want {
			t.Errorf("%s: %v, want %v", c.text, got, c.want)
		}
	}
}

func TestConditionErrors(t *testing.T) {
	values := item(t, sampleValues)
	for _, c := range []struct{ text, want string }{
		{"", "The expression can not be empty;"},
		{"  ", "The expression can not be empty;"},
		{"a = = :s", `Syntax error; token: "=", near: "= = :s"`},
		{"a b c", `Syntax error; token: "b", near: "a b c"`},
		{"a = :s AND", `Syntax error; token: "<EOF>", near: "AND"`},
		{"attribute_exists(a) AND NOT #n", `Syntax error; token: "<EOF>", near: "#n"`},
		{"a = :s)", `Syntax error; token: ")", near: ":s)"`},
		{"a ! :s", `Syntax error; token: "!", near: "a ! :s"`},
		{"a = 5", `Syntax error; token: "5", near: "= 5"`},
		{"a[x] = :s", `Syntax error; token: "x", near: "[x]"`},
		{"abort = :s", "Attribute name is a reserved keyword; reserved keyword: abort"},
		{"a.Name = :s", "Attribute name is a reserved keyword; reserved keyword: Name"},
		{"#x = :s", "An expression attribute name used in the document path is not defined; attribute name: #x"},
		{"a = :q", "An expression attribute value used in expression is not defined; attribute value: :q"},
		{"foo(a)", "Invalid function name; function: foo"},
		{"Size(a) = :one", "Invalid function name; function: Size"},
		{"if_not_exists(a, :s) = :s", "The function is not allowed in a condition expression; function: if_not_exists"},
		{"attribute_exists(a, b)", "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2"},
		{"attribute_exists(:s)", "Operator or function requires a document path; operator or function: attribute_exists"},
		{"begins_with(a, :n)", "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N"},
		{"a < :t", "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL"},
		{"attribute_type(a, :n)", "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N"},
		{"attribute_type(a, :z)", "Invalid attribute type name found; type: z, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"},
		{"a BETWEEN :z AND :a", "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {S:z}, upper bound operand: AttributeValue: {S:a}"},
		{"a BETWEEN :z AND :n", "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {S:z}, upper bound operand: AttributeValue: {N:5}"},
		{"a = a", "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]"},
		{"((a = :s))", "The expression has redundant parentheses;"},
		{"attribute_exists(((a)))", "The expression has redundant parentheses;"},
		{strings.Repeat("a", 4097), "Expression size has exceeded the maximum allowed size; expression size: 4097"},
		{strings.Repeat("a=:s OR ", 200) + "a=:s", "The expression contains too many operators; operator count: 401"},
		{"a IN (" + strings.Repeat(":s,", 100) + ":s)", "The IN operator is provided with too many operands; number of operands: 101"},
		{strings.Repeat("(", 200) + "a = :s", "The expression is nested too deeply; nesting levels: 101"},
		{"a" + strings.Repeat(".b", 32) + " = :s", "The document path has too many nesting elements; nesting levels: 33"},
		{"size(a)", `Syntax error; token: "<EOF>", near: ")"`},
	} {
		r := Request{Values: values}
		_, err := r.Test(Condition, &c.text)
		if want := "ValidationException: Invalid ConditionExpression: " + c.want; err == nil || err.Error() != want {
			t.Errorf("%.60s:\n got %v\nwant %s", c.text, err, want)
		}
	}
}

func TestProjections(t *testing.T) {
	it := item(t, sample)
	for _, c := range []struct{ text, want string }{
		{"s", `{"s":{"S":"hello"}}`},
		{"s, n,nope", `{"n":{"N":"5"},"s":{"S":"hello"}}`},
		{"m.k, m.d.e", `{"m":{"M":{"d":{"M":{"e":{"N":"1"}}},"k":{"S":"v"}}}}`},
		{"l[2].x, l[0], #n", `{"l":{"L":[{"S":"a"},{"M":{"x":{"N":"9"}}}]},"name":{"S":"reserved"}}`},
		{"m.nope, l[7], s.x", `{}`},
	} {
		r := Request{Names: map[string]string{"#n": "name"}}
		s, err := r.Selection(&c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := s.Of(it).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"a, a", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"},
		{"a.b, a", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a]"},
		{"a.b, a[1]", "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [1]]"},
		{"a,", `Syntax error; token: "<EOF>", near: ","`},
		{"a, :v", `Syntax error; token: ":v", near: ", :v"`},
	} {
		r := Request{}
		if _, err := r.Selection(&c.text); err == nil || err.Error() != "ValidationException: Invalid ProjectionExpression: "+c.want {
			t.Errorf("%s: got %v, want %s", c.text, err, c.want)
		}
	}
}

func TestUpdates(t *testing.T) {
	const from = `{"n":{"N":"5"},"s":{"S":"x"},"l":{"L":[{"S":"a"},{"S":"b"},{"S":"c"}]},"m":{"M":{"k":{"S":"v"},"q":{"N":"1"}}},"ss":{"SS":["a","b"]}}`
	const values = `{":one":{"N":"1"},":s":{"S":"y"},":l":{"L":[{"S":"d"}]},":ss":{"SS":["b","c"]},":all":{"SS":["a","b"]},":e":{"M":{}}}`
	for _, c := range []struct{ text, want string }{
		{"SET n = n + :one", `n={"N":"6"}`}, {"SET n = n - :one, s = :s", `n={"N":"4"} s={"S":"y"}`},
		{"ADD n :one", `n={"N":"6"}`}, {"ADD fresh :one", `fresh={"N":"1"}`}, {"ADD ss :ss", `ss={"SS":["a","b","c"]}`},
		{"DELETE ss :ss", `ss={"SS":["a"]}`}, {"DELETE ss :all", `ss=`}, {"DELETE nope :ss", ``},
		{"REMOVE s, nope", `s=`}, {"REMOVE l[0], l[2]", `l={"L":[{"S":"b"}]}`}, {"REMOVE l[2], l[0], l[9]", `l={"L":[{"S":"b"}]}`},
		{"SET l[1] = :s", `l={"L":[{"S":"a"},{"S":"y"},{"S":"c"}]}`}, {"SET l[9] = :one, l[7] = :s", `l={"L":[{"S":"a"},{"S":"b"},{"S":"c"},{"S":"y"},{"N":"1"}]}`},
		{"SET l[1] = :s REMOVE l[0]", `l={"L":[{"S":"y"},{"S":"c"}]}`},
		{"SET m.k = :s", `m={"M":{"k":{"S":"y"},"q":{"N":"1"}}}`}, {"SET m.z = m.q REMOVE m.k", `m={"M":{"q":{"N":"1"},"z":{"N":"1"}}}`},
		{"ADD m.q :one", `m={"M":{"k":{"S":"v"},"q":{"N":"2"}}}`},
		{"SET l = list_append(l, :l)", `l={"L":[{"S":"a"},{"S":"b"},{"S":"c"},{"S":"d"}]}`}, {"SET l = list_append(if_not_exists(nope, :l), l)", `l={"L":[{"S":"d"},{"S":"a"},{"S":"b"},{"S":"c"}]}`},
		{"SET x = if_not_exists(x, :one) + :one", `x={"N":"2"}`}, {"SET n = if_not_exists(n, :one)", ``},
		{"SET a = n, n = s, s = n", `a={"N":"5"} n={"S":"x"} s={"N":"5"}`}, {"SET a = (n + :one)", `a={"N":"6"}`},
		{"set z = :s remove s add n :one delete ss :all", `n={"N":"6"} s= ss= z={"S":"y"}`},
	} {
		r := Request{Values: item(t, values)}
		change, err := r.Change(&c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		before := item(t, from)
		after, err := change.Of(before)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		want := before
		for edit := range strings.FieldsSeq(c.want) {
			name, text, _ := strings.Cut(edit, "=")
			var v attribute.Value
			if text == "" {
				want = want.Without(name)
			} else if v.ParseJSON([]byte(text)); true {
				want = want.With(name, v)
			}
		}
		if !after.Equal(want) {
			t.Errorf("%s:\n got %s\nwant %s", c.text, after, want)
		}
		if !before.Equal(item(t, from)) {
			t.Errorf("%s changed the item given: %s", c.text, before)
		}
	}
}

func TestUpdateErrors(t *testing.T) {
	const from = `{"n":{"N":"5"},"s":{"S":"x"},"m":{"M":{}},"big":{"N":"9e125"}}`
	const values = `{":one":{"N":"1"},":s":{"S":"y"},":ss":{"SS":["b"]},":big":{"N":"9e125"},":m":{"M":{}}}`
	const syntax = "Invalid UpdateExpression: "
	for _, c := range []struct{ text, want string }{
		{"INVALID SYNTAX HERE", syntax + `Syntax error; token: "INVALID", near: "INVALID SYNTAX"`},
		{"SET a = :s SET b = :s", syntax + `The "SET" section can only be used once in an update expression;`},
		{"SET a = :s, a.b = :s", syntax + "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]"},
		{"SET a = :s + :one", syntax + "Incorrect operand type for operator or function; operator or function: +, operand type: S"},
		{"SET a = list_append(:m, :m)", syntax + "Incorrect operand type for operator or function; operator or function: list_append, operand type: M"},
		{"ADD a :s", syntax + "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"},
		{"DELETE a :one", syntax + "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"},
		{"SET a = attribute_exists(b)", syntax + "The function is not allowed in an update expression; function: attribute_exists"},
		{"SET a = if_not_exists(:s, :s)", syntax + "Operator or function requires a document path; operator or function: if_not_exists"},
		{"SET a = :s + :s + :s", syntax + `Syntax error; token: "+", near: ":s + :s"`},
		{"SET a = :gone", syntax + "An expression attribute value used in expression is not defined; attribute value: :gone"},
		{"SET a", syntax + `Syntax error; token: "<EOF>", near: "a"`},
		{"SET", syntax + `Syntax error; token: "<EOF>", near: "SET"`},
		{"ADD a b", syntax + `Syntax error; token: "b", near: "a b"`},
		{"SET a = nope", "The provided expression refers to an attribute that does not exist in the item"},
		{"SET a = s + :one", "An operand in the update expression has an incorrect data type"},
		{"ADD s :one", "An operand in the update expression has an incorrect data type"},
		{"DELETE n :ss", "An operand in the update expression has an incorrect data type"},
		{"SET nope.x = :s", "The document path provided in the update expression is invalid for update"},
		{"SET s.x = :s", "The document path provided in the update expression is invalid for update"},
		{"SET m[0] = :s", "The document path provided in the update expression is invalid for update"},
		{"REMOVE nope.x", "The document path provided in the update expression is invalid for update"},
		{"ADD big :big", "Number overflow. Attempting to store a number with magnitude larger than supported range"},
	} {
		r := Request{Values: item(t, values)}
		change, err := r.Change(&c.text)
		if err == nil {
			_, err = change.Of(item(t, from))
		}
		if err == nil || err.Error() != "ValidationException: "+c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestKeyConditions(t *testing.T) {
	values := item(t, sampleValues)
	for _, c := range []struct{ text, want string }{
		{"p = :s", ""}, {"p = :s AND k > :a", ""}, {":a < k and p = :s", ""}, {"(p = :s) AND (k BETWEEN :a AND :z)", ""}, {"begins_with(k, :a) AND p = :s", ""},
		{"p = :s OR k = :s", "Invalid operator used in KeyConditionExpression: OR"},
		{"p <> :s", "Invalid operator used in KeyConditionExpression: <>"},
		{"attribute_exists(p)", "Invalid operator used in KeyConditionExpression: attribute_exists"},
		{"p = :s AND k > :a AND k < :z", "KeyConditionExpressions must only contain one condition per key"},
		{"p.x = :s", "KeyConditionExpressions cannot have conditions on nested attributes"},
		{"p = k", "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"},
		{":s = :z", "Invalid condition in KeyConditionExpression: No key attribute specified"},
		{"p = :s AND begins_with(k, :n)", "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: begins_with, operand type: N"},
		{"p = :missing AND begins_with(k, :n)", "Invalid KeyConditionExpression: An expression attribute value used in expression is not defined; attribute value: :missing"},
	} {
		r := Request{Values: values}
		_, err := r.Keys(c.text)
		if got := errorText(err); got != c.want {
			t.Errorf("%s: got %q, want %q", c.text, got, c.want)
		}
	}
	r := Request{Values: values}
	tests, _ := r.Keys(":a < k AND p = :s")
	if len(tests) != 2 || tests[0].Op != Greater || tests[0].Name != "k" || tests[1].Name != "p" {
		t.Errorf("got %+v", tests)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), "ValidationException: ")
}

func TestPlaceholders(t *testing.T) {
	text := "a = :a AND #b = :a"
	for _, c := range []struct {
		names  map[string]string
		values string
		want   string
	}{
		{map[string]string{"#b": "b"}, `{":a":{"S":"x"}}`, ""},
		{map[string]string{"#b": "b", "#z": "z", "#c": "c"}, `{":a":{"S":"x"}}`, "Value provided in ExpressionAttributeNames unused in expressions: keys: {#c, #z}"},
		{map[string]string{"#b": "b"}, `{":a":{"S":"x"},":x":{"S":""}}`, "Value provided in ExpressionAttributeValues unused in expressions: keys: {:x}"},
		{map[string]string{}, `{":a":{"S":"x"}}`, "ExpressionAttributeNames must not be empty"},
		{map[string]string{"#b": "b"}, `{}`, "ExpressionAttributeValues must not be empty"},
		{map[string]string{"b": "b"}, `{":a":{"S":"x"}}`, `ExpressionAttributeNames contains invalid key: Syntax error; key: "b"`},
		{map[string]string{"#b": "b"}, `{"a":{"S":"x"}}`, `ExpressionAttributeValues contains invalid key: Syntax error; key: "a"`},
		{map[string]string{"#b": "b"}, `{":a":{}}`, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"},
	} {
		r := Request{Names: c.names, Values: item(t, c.values)}
		err := r.Check()
		if err == nil {
			_, err = r.Test(Condition, &text)
		}
		if err == nil {
			err = r.Finish()
		}
		if got := errorText(err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	r := Request{Names: map[string]string{"#b": "b"}}
	if got := errorText(r.Given(false, nil)); got != "ExpressionAttributeNames can only be specified when using expressions" {
		t.Errorf("got %q", got)
	}
	r = Request{Values: attribute.MakeItem(attribute.Attribute{Name: ":v", Value: attribute.S("v")})}
	if got := errorText(r.Given(true, []*string{nil, nil}, "A", "B")); got != "ExpressionAttributeValues can only be specified when using expressions: A and B are null" {
		t.Errorf("got %q", got)
	}
	if got := errorText(r.Given(true, []*string{nil, new("b")}, "A", "B")); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	for i := range 3 * maxCached {
		text := "a" + strings.Repeat("b", i%100) + string(rune('a'+i/100%26)) + string(rune('a'+i/2600)) + " = :v"
		if _, err := parsed(Filter, text); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(cache.trees); n > maxCached {
		t.Errorf("%d trees are cached, want at most %d", n, maxCached)
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"a = :v AND (b[1].c <> #n OR NOT size(a) < :v)", "SET a = if_not_exists(b, :v) + :v, l[3] = list_append(l, :l) REMOVE m.x ADD n :v DELETE s :s",
		"a, b.c, d[1]", "p = :v AND k BETWEEN :v AND :w", "a IN (:v, :w)", "((a)) = :v", "attribute_type(a, :t) AND contains(a, :v) AND begins_with(a,:t)"} {
		f.Add(s)
	}
	values := item(f, `{":v":{"N":"1"},":w":{"N":"2"},":l":{"L":[]},":s":{"SS":["a"]},":t":{"S":"N"}}`)
	it := item(f, sample)
	f.Fuzz(func(t *testing.T, text string) {
		for kind := Condition; kind <= Update; kind++ {
			if _, err := parse(kind, text); err != nil && !strings.Contains(err.Error(), "Invalid "+kind.String()) {
				t.Fatal(err)
			}
		}
		r := Request{Names: map[string]string{"#n": "n"}, Values: values}
		if test, err := r.Test(Condition, &text); err == nil {
			test.Holds(it)
		}
		if s, err := r.Selection(&text); err == nil {
			s.Of(it)
		}
		r.Keys(text)
		if c, err := r.Change(&text); err == nil {
			before := it.String()
			if after, err := c.Of(it); err == nil {
				target := c.Targets()
				target.Of(after)
			}
			if it.String() != before {
				t.Fatalf("%q changed its item", text)
			}
		}
	})
}

var benchText = "attribute_exists(id) AND #s IN (:a, :b) AND amount BETWEEN :lo AND :hi"

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(Condition, benchText); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	it := item(b, `{"id":{"S":"1"},"status":{"S":"paid"},"amount":{"N":"120.50"}}`)
	values := item(b, `{":a":{"S":"new"},":b":{"S":"paid"},":lo":{"N":"100"},":hi":{"N":"1000"}}`)
	names := map[string]string{"#s": "status"}
	b.ReportAllocs()
	for b.Loop() {
		r := Request{Names: names, Values: values}
		test, err := r.Test(Condition, &benchText)
		if err != nil || !test.Holds(it) {
			b.Fatal(err)
		}
	}
}

// size counts a text in UTF-16 code units, and bytes of a binary.
func TestSizeOfText(t *testing.T) {
	for text, want := range map[string]string{`{"S":""}`: "0", `{"S":"abc"}`: "3", `{"S":"é"}`: "1", `{"S":"日本"}`: "2", `{"S":"a😀"}`: "3", `{"B":"AAEC"}`: "3"} {
		r := Request{Values: item(t, `{":n":{"N":"`+want+`"}}`)}
		condition := "size(v) = :n"
		test, err := r.Test(Condition, &condition)
		if err != nil {
			t.Fatal(err)
		}
		if !test.Holds(item(t, `{"v":`+text+`}`)) {
			t.Errorf("the size of %s is not %s", text, want)
		}
	}
}
