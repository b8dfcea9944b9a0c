package attribute

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) Item {
	t.Helper()
	var it Item
	rest, err := it.ParseJSON([]byte(text))
	if err != nil || len(bytes.TrimSpace(rest)) > 0 {
		t.Fatalf("ParseJSON(%s): rest %q, error %v", text, rest, err)
	}
	return it
}

func TestJSON(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{}`, `{}`},
		{` { "b" : { "S" : "x" } , "a":{"N":"007.50"} } `, `{"a":{"N":"7.5"},"b":{"S":"x"}}`},
		{`{"a":{"S":"1"},"a":{"S":"2"}}`, `{"a":{"S":"2"}}`},
		{`{"a":{"S":"\u00e9\n\"\\\ud83d\ude00"}}`, `{"a":{"S":"é\n\"\\😀"}}`},
		{`{"a":{"B":"AQID"},"b":{"BOOL":false},"c":{"BOOL":true},"d":{"NULL":true}}`, `{"a":{"B":"AQID"},"b":{"BOOL":false},"c":{"BOOL":true},"d":{"NULL":true}}`},
		{`{"l":{"L":[{"S":""},{"L":[]},{"M":{}}]}}`, `{"l":{"L":[{"S":""},{"L":[]},{"M":{}}]}}`},
		{`{"m":{"M":{"y":{"N":"1"},"x":{"N":"-0"}}}}`, `{"m":{"M":{"x":{"N":"0"},"y":{"N":"1"}}}}`},
		{`{"s":{"SS":["b","a"]},"n":{"NS":["10","9","-1"]},"b":{"BS":["Ag==","AQ=="]}}`,
			`{"b":{"BS":["AQ==","Ag=="]},"n":{"NS":["-1","9","10"]},"s":{"SS":["a","b"]}}`},
		{`{"a":{"S":null,"N":"1","other":[{"x":1.5e3}]}}`, `{"a":{"N":"1"}}`},
		{`null`, `null`},
	} {
		it := parse(t, c.in)
		if got := it.String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
		if err := it.Check(); err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
		stored, _ := it.AppendBinary(nil)
		var back Item
		if err := back.UnmarshalBinary(stored); err != nil || !back.Equal(it) {
			t.Errorf("%s: stored form gives %s, %v", c.in, back, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{}`, emptyValue},
		{`{"S":"a","N":"1"}`, manyTypes},
		{`{"SS":[]}`, "One or more parameter values were invalid: An string set  may not be empty"},
		{`{"NS":[]}`, "One or more parameter values were invalid: An number set  may not be empty"},
		{`{"BS":[]}`, "One or more parameter values were invalid: Binary sets should not be empty"},
		{`{"SS":["a","a"]}`, "One or more parameter values were invalid: Input collection [a, a] contains duplicates."},
		{`{"NS":["1","1.0"]}`, "Input collection contains duplicates"},
		{`{"BS":["Yg==","Yg=="]}`, "One or more parameter values were invalid: Input collection [Yg==, Yg==]of type BS contains duplicates."},
		{`{"NULL":false}`, "One or more parameter values were invalid: Null attribute value types must have the value of true"},
		{`{"N":""}`, "The parameter cannot be converted to a numeric value: "},
		{`{"N":"1e9223372036854775808"}`, "The parameter cannot be converted to a numeric value: 1e9223372036854775808"},
		{`{"N":"1e2147483648"}`, overflow},
		{`{"N":"0e126"}`, overflow},
		{`{"N":"0e-131"}`, underflow},
		{`{"N":"b"}`, "The parameter cannot be converted to a numeric value: b"},
		{`{"N":"1e"}`, "The parameter cannot be converted to a numeric value: 1e"},
		{`{"L":[{"M":{"a":{"N":" 1"}}}]}`, "The parameter cannot be converted to a numeric value:  1"},
		{`{"N":"123456789012345678901234567890123456789"}`, tooPrecise},
		{`{"N":"1e126"}`, overflow},
		{`{"N":"-1e-131"}`, underflow},
		{`{"NS":["1","x"]}`, "The parameter cannot be converted to a numeric value: x"},
	} {
		var v Value
		if _, err := v.ParseJSON([]byte(c.in)); err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if err := v.Check(); err == nil || err.Error() != "ValidationException: "+c.want {
			t.Errorf("%s: got %v, want %s", c.in, err, c.want)
		}
	}
}

func TestSerialization(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"a":{"S":1}}`, "NUMBER_VALUE cannot be converted to String"},
		{`{"a":{"S":true}}`, "TRUE_VALUE cannot be converted to String"},
		{`{"a":{"N":false}}`, "FALSE_VALUE cannot be converted to String"},
		{`{"a":{"BOOL":"x"}}`, "STRING_VALUE cannot be converted to Boolean"},
		{`{"a":{"B":"abc"}}`, "Base64 encoded length is expected a multiple of 4 bytes but found: 3"},
		{`{"a":{"S":"x"},}`, ""}, {`{"a":{"L":[{"S":"x"},]}}`, ""}, {`{"a"`, ""}, {`{"a":{"S":"`, ""}, {"", ""}, {`{"a":{"x":tru}}`, ""},
	} {
		var it Item
		if _, err := it.ParseJSON([]byte(c.in)); err == nil || !strings.HasPrefix(err.Error(), "SerializationException: "+c.want) {
			t.Errorf("%s: got %v", c.in, err)
		}
	}
}

func TestDepth(t *testing.T) {
	nest := func(n int) []byte {
		return []byte(strings.Repeat(`{"L":[`, n) + `{"S":"x"}` + strings.Repeat(`]}`, n))
	}
	var v Value
	if _, err := v.ParseJSON(nest(MaxDepth)); err != nil {
		t.Error(err)
	}
	if _, err := v.ParseJSON(nest(MaxDepth + 1)); err == nil {
		t.Error("32 lists around a value were taken")
	}
}

var numbers = []string{"-9.9e125", "-1e50", "-100", "-99.99", "-99", "-10", "-1.5", "-1", "-0.5", "-0.05", "-1e-130", "0",
	"1e-130", "1e-50", "0.05", "0.051", "0.5", "1", "1.01", "1.1", "9", "10", "10.5", "11", "99", "100", "101", "1234567890",
	"99999999999999999999999999999999999999", "1e50", "9.9999999999999999999999999999999999999e125"}

func TestNumberOrder(t *testing.T) {
	for i, a := range numbers {
		for j, b := range numbers {
			x, y := N(a), N(b)
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got, ok := x.Compare(y); !ok || got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
			if got := bytes.Compare(x.AppendKey(nil), y.AppendKey(nil)); got != want {
				t.Errorf("keys of %s and %s order %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestArithmetic(t *testing.T) {
	for _, c := range []struct{ a, b, sum, difference string }{
		{"1", "2", "3", "-1"}, {"0.1", "0.2", "0.3", "-0.1"}, {"-5", "5", "0", "-10"}, {"99", "1", "100", "98"},
		{"1e37", "1", "10000000000000000000000000000000000001", "9999999999999999999999999999999999999"},
		{"0", "-7", "-7", "7"}, {"7", "0", "7", "7"}, {"1.5", "1.5", "3", "0"}, {"1e-5", "1", "1.00001", "-0.99999"},
	} {
		if got := N(c.a).Add(N(c.b)).Text(); got != c.sum {
			t.Errorf("%s + %s = %s, want %s", c.a, c.b, got, c.sum)
		}
		if got := N(c.a).Subtract(N(c.b)).Text(); got != c.difference {
			t.Errorf("%s - %s = %s, want %s", c.a, c.b, got, c.difference)
		}
	}
	if N("1e38").Add(N("1")).Check() == nil {
		t.Error("39 digits were taken")
	}
	if N("9e125").Add(N("9e125")).Check() == nil {
		t.Error("overflow was taken")
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{
		{`{"a":{"S":"abc"}}`, 4}, {`{"a":{"N":"123"}}`, 4}, {`{"a":{"N":"-12.50"}}`, 5}, {`{"a":{"N":"1000000"}}`, 3}, {`{"a":{"N":"3.14159"}}`, 6}, {`{"a":{"N":"0.05"}}`, 3}, {`{"a":{"N":"0"}}`, 2},
		{`{"a":{"BOOL":true}}`, 2}, {`{"a":{"L":[{"S":"x"}]}}`, 6}, {`{"a":{"M":{"b":{"S":"x"}}}}`, 7}, {`{"é":{"SS":["a","bc"]}}`, 5},
	} {
		if got := parse(t, c.in).Size(); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.in, got, c.want)
		}
	}
}

func TestItemEdits(t *testing.T) {
	it := MakeItem(Attribute{"b", S("2")}, Attribute{"a", S("1")})
	more := it.With("ab", S("3")).With("b", S("4")).Without("a")
	if got, want := more.String(), `{"ab":{"S":"3"},"b":{"S":"4"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := it.String(), `{"a":{"S":"1"},"b":{"S":"2"}}`; got != want {
		t.Errorf("the first became %s", got)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":{"M":{"y":{"N":"1.50"},"x":{"SS":["b","a"]}}},"b":{"B":"AQID"},"c":{"L":[{"NULL":true},{"BOOL":false}]}}`))
	f.Add([]byte(`{"a":{"S":"\u0041\ud800"},"a":{"NS":["1","2"]},"z":{"unknown":[1,{"x":null}],"BS":["AA=="]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var it Item
		if _, err := it.ParseJSON(b); err != nil || it == nil || it.Check() != nil {
			return
		}
		out := it.AppendJSON(nil)
		if !json.Valid(out) {
			t.Fatalf("not JSON: %s", out)
		}
		var again Item
		if _, err := again.ParseJSON(out); err != nil || !again.Equal(it) {
			t.Fatalf("%s became %s, %v", out, again, err)
		}
		stored, _ := it.AppendBinary(nil)
		if err := again.UnmarshalBinary(stored); err != nil || !again.Equal(it) {
			t.Fatalf("%s stored became %s, %v", out, again, err)
		}
	})
}

func FuzzStored(f *testing.F) {
	stored, _ := parse(&testing.T{}, `{"a":{"M":{"y":{"N":"1.50"},"x":{"SS":["b","a"]}}},"b":{"B":"AQID"}}`).AppendBinary(nil)
	f.Add(stored)
	f.Fuzz(func(t *testing.T, b []byte) {
		var it Item
		if it.UnmarshalBinary(b) == nil {
			_ = it.String()
		}
	})
}

func FuzzNumber(f *testing.F) {
	for i, n := range numbers {
		f.Add(n, numbers[len(numbers)-1-i])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := N(a), N(b)
		if x.Type() != TypeN || y.Type() != TypeN {
			return
		}
		p, ok1 := new(big.Rat).SetString(x.Text())
		q, ok2 := new(big.Rat).SetString(y.Text())
		if !ok1 || !ok2 {
			t.Fatalf("%q or %q is no number", x.Text(), y.Text())
		}
		if again := N(x.Text()); again.Text() != x.Text() {
			t.Fatalf("%q is not normal: %q", x.Text(), again.Text())
		}
		order, _ := x.Compare(y)
		if want := p.Cmp(q); order != want || bytes.Compare(x.AppendKey(nil), y.AppendKey(nil)) != want {
			t.Fatalf("%s and %s order %d, want %d", x, y, order, want)
		}
		if sum := x.Add(y); sum.Type() == TypeN {
			if got, _ := new(big.Rat).SetString(sum.Text()); got.Cmp(new(big.Rat).Add(p, q)) != 0 {
				t.Fatalf("%s + %s = %s", x, y, sum)
			}
		}
		if d := x.Subtract(y); d.Type() == TypeN {
			if got, _ := new(big.Rat).SetString(d.Text()); got.Cmp(new(big.Rat).Sub(p, q)) != 0 {
				t.Fatalf("%s - %s = %s", x, y, d)
			}
		}
	})
}

var kilobyte = []byte(`{"id":{"S":"order-000017"},"n":{"N":"1234"},"payload":{"S":"` + strings.Repeat("x", 900) +
	`"},"tags":{"L":[{"S":"a"},{"S":"b"}]},"where":{"M":{"city":{"S":"Lyon"},"zip":{"N":"69001"}}}}`)

func BenchmarkParseJSON(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(kilobyte)))
	for b.Loop() {
		var it Item
		if _, err := it.ParseJSON(kilobyte); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	var it Item
	it.ParseJSON(kilobyte)
	stored, _ := it.AppendBinary(nil)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(kilobyte)))
	for b.Loop() {
		var back Item
		if back.UnmarshalBinary(stored) != nil {
			b.Fatal("malformed")
		}
		buf = back.AppendJSON(buf[:0])
	}
}
