package partiql

import (
	"fmt"
	"strings"
	"testing"

	"fogbank/service/dynamodb/expr"
	"fogbank/wire/attribute"
)

// show prints a statement on one line, conditions and changes as expressions with names and values put back.
func show(s *Statement) string {
	var h Placeholders
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", [...]string{"SELECT", "INSERT", "UPDATE", "DELETE", "EXISTS"}[s.Kind], s.Table)
	if s.Index != "" {
		fmt.Fprintf(&b, ".%s", s.Index)
	}
	for _, c := range s.Columns {
		fmt.Fprintf(&b, " column %s", h.Path(c))
	}
	if s.Item != nil {
		fmt.Fprintf(&b, " %s", s.Item)
	}
	if u := h.Update(s); u != "" {
		fmt.Fprintf(&b, " %s", u)
	}
	if s.Where != nil {
		fmt.Fprintf(&b, " where %s", h.Condition(s.Where))
	}
	for _, o := range s.Order {
		fmt.Fprintf(&b, " by %s %t", h.Path(o.Path), o.Descending)
	}
	if s.Returning != "NONE" {
		b.WriteString(" " + s.Returning)
	}
	text := b.String()
	for n, name := range h.Names() {
		text = strings.ReplaceAll(text, n, name)
	}
	for _, v := range h.Values() {
		text = strings.ReplaceAll(text, v.Name, v.Value.String())
	}
	return text
}

func TestParse(t *testing.T) {
	one := []attribute.Value{attribute.S("p")}
	for _, c := range []struct {
		text       string
		parameters []attribute.Value
		want       string
	}{
		{`select * from t`, nil, `SELECT t`},
		{`SELECT a, b.c[1]."d e" FROM "my-table"."my.index";`, nil, `SELECT my-table.my.index column a column b.c[1].d e`},
		{`SELECT * FROM t WHERE a = 'it''s' AND (b > 1.50 OR NOT c <> -2)`, nil, `SELECT t where a={"S":"it's"} AND (b>{"N":"1.5"} OR NOT c<>{"N":"-2"})`},
		{`SELECT * FROM t WHERE a IN [1, 2] AND b BETWEEN ? AND 'z' AND c NOT IN (true)`, one,
			`SELECT t where a IN ({"N":"1"},{"N":"2"}) AND b BETWEEN {"S":"p"} AND {"S":"z"} AND NOT c IN ({"BOOL":true})`},
		{`SELECT * FROM t WHERE a IS MISSING AND b IS NOT NULL AND size(c) > 3 AND contains(d, 'x') AND begins_with("e", ?) AND attribute_type(f, 'N')`, one,
			`SELECT t where attribute_not_exists(a) AND NOT attribute_type(b,{"S":"NULL"}) AND size(c)>{"N":"3"} AND contains(d,{"S":"x"}) AND begins_with(e,{"S":"p"}) AND attribute_type(f,{"S":"N"})`},
		{`SELECT * FROM t WHERE p = 1 ORDER BY p, s DESC`, nil, `SELECT t where p={"N":"1"} by p false by s true`},
		{`INSERT INTO t VALUE {'a': ?, 'l': [1, 'x', null], 'm': {'k': <<'b','a'>>, 'n': <<2, 1>>}}`, one,
			`INSERT t {"a":{"S":"p"},"l":{"L":[{"N":"1"},{"S":"x"},{"NULL":true}]},"m":{"M":{"k":{"SS":["a","b"]},"n":{"NS":["1","2"]}}}}`},
		{`UPDATE t SET a=1 SET b.c=[2], n = n + 1, m = m - ? REMOVE d, e[0] WHERE k='x' RETURNING ALL OLD *`, one,
			`UPDATE t SET a={"N":"1"},b.c={"L":[{"N":"2"}]},n=n+{"N":"1"},m=m-{"S":"p"} REMOVE d,e[0] where k={"S":"x"} ALL_OLD`},
		{`UPDATE t SET a=list_append(a, [1]) SET s=set_add(s, <<'x'>>) SET r=set_delete(r, <<1>>) WHERE k='x' RETURNING MODIFIED NEW *`, nil,
			`UPDATE t SET a=list_append(a,{"L":[{"N":"1"}]}) ADD s {"SS":["x"]} DELETE r {"NS":["1"]} where k={"S":"x"} UPDATED_NEW`},
		{`DELETE FROM t WHERE k = 'x' RETURNING ALL OLD *`, nil, `DELETE t where k={"S":"x"} ALL_OLD`},
		{`EXISTS(SELECT * FROM t WHERE k = 'x' AND a IS NOT MISSING)`, nil, `EXISTS t where k={"S":"x"} AND NOT attribute_not_exists(a)`},
	} {
		s, err := Parse(c.text, c.parameters)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if got := show(s); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	const wrong = "Statement wasn't well formed, can't be processed: "
	for _, c := range []struct{ text, want string }{
		{"", wrong + "Expected data manipulation"},
		{"CREATE TABLE t", wrong + "Expected data manipulation"},
		{"SELECT FROM t", wrong + "Unexpected keyword"},
		{"SELECT * FROM", wrong + "Unexpected end of statement"},
		{"SELECT * FROM a-b", wrong + "Unexpected term: -"},
		{"SELECT * FROM t WHERE a = 'x", wrong + "Unexpected term: 'x"},
		{"SELECT * FROM t WHERE a", wrong + "Unexpected end of statement"},
		{"SELECT * FROM t LIMIT 5", wrong + "Unexpected keyword"},
		{"INSERT INTO t (a) VALUES (1)", wrong + "Unexpected term: ("},
		{"INSERT INTO t VALUE {\"a\": 1}", wrong + "Unexpected term: a"},
		{"UPDATE t WHERE a = 1", wrong + "Unexpected keyword"},
		{"SELECT * FROM t WHERE a = ?", "Number of parameters in request and statement don't match."},
		{"DELETE FROM t WHERE a = 1 RETURNING ALL NEW *", "ReturnValues can only be ALL_OLD or NONE"},
		{"INSERT INTO t VALUE {'a': <<1, 'x'>>}", "Sets may contain only strings, numbers or binaries, all of one type"},
		{"INSERT INTO t VALUE {'a': 1e200}", "Number overflow. Attempting to store a number with magnitude larger than supported range"},
		{"SELECT * FROM t WHERE a IN [" + strings.Repeat("1,", 100) + "1]", "The IN operator is provided with too many operands; number of operands: 101"},
		{"SELECT * FROM t WHERE " + strings.Repeat("(", 200), wrong + "Statement is nested too deeply"},
		{"INSERT INTO t VALUE {'a': " + strings.Repeat("[", 200), "Nesting Levels have exceeded supported limits"},
	} {
		if _, err := Parse(c.text, nil); err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestProject(t *testing.T) {
	var item attribute.Item
	if _, err := item.ParseJSON([]byte(`{"a":{"M":{"b":{"L":[{"N":"1"},{"N":"2"}]}}},"c":{"S":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	s, err := Parse(`SELECT a.b, a.b[1], c, a.b[7], d.e FROM t`, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"_2":{"N":"2"},"b":{"L":[{"N":"1"},{"N":"2"}]},"c":{"S":"x"}}`
	if got := s.Project(item).String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := fmt.Sprint(s.Roots()); got != "[a c d]" {
		t.Errorf("roots are %s", got)
	}
}

// FuzzParse feeds the parser anything; what it takes, package expr must be able to take too, but for limits and types.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`SELECT a, b.c[1] FROM "t"."i" WHERE a IN [1,2] AND NOT (b BETWEEN ? AND 'z' OR c IS MISSING) ORDER BY a DESC`,
		`INSERT INTO t VALUE {'a': ?, 'l': [1, 'x', null], 'm': {'k': <<'b','a'>>}}`,
		`UPDATE t SET a=1 SET b=list_append(b,[1]) SET s=set_add(s,<<'x'>>) REMOVE d, e[0] WHERE k='x' RETURNING ALL OLD *`,
		`DELETE FROM t WHERE k = 'it''s' AND size(x) > 3`, `EXISTS(SELECT * FROM t WHERE begins_with(a, 'b'))`} {
		f.Add(s, "p")
	}
	f.Fuzz(func(t *testing.T, text, parameter string) {
		s, err := Parse(text, []attribute.Value{attribute.S(parameter)})
		if err != nil {
			return
		}
		var h Placeholders
		condition, update := "", h.Update(s)
		if s.Where != nil {
			condition = h.Condition(s.Where)
		}
		r := expr.Request{Names: h.Names(), Values: h.Values()}
		check := func(err error) {
			if err != nil && strings.Contains(err.Error(), "Syntax error") {
				t.Fatalf("%q gives %q and %q: %v", text, condition, update, err)
			}
		}
		if condition != "" {
			_, err := r.Test(expr.Condition, &condition)
			check(err)
		}
		if update != "" {
			_, err := r.Change(&update)
			check(err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	parameters := []attribute.Value{attribute.S("p"), attribute.N("5")}
	for b.Loop() {
		if _, err := Parse(`SELECT * FROM "orders" WHERE "customer" = ? AND "number" > ?`, parameters); err != nil {
			b.Fatal(err)
		}
	}
}
