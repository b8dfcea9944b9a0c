package order

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	good := `{"clientToken":"a","customer":{"name":"Ada","email":"ada@example.com"},"currency":"EUR","items":[{"sku":"x","kind":"physical","quantity":3,"unitPrice":12.5}]}`
	for _, c := range []struct{ old, new, reason string }{
		{"", "", ""},
		{`"quantity":3`, `"quantity":0`, "items[0]: quantity must be 1 to 1000"},
		{`12.5`, `12.555`, "the body is not an order: amount 12.555 has more than two decimals"},
		{`ada@example.com`, `ada`, "customer.email is not an e-mail address"},
		{`EUR`, `ZZZ`, "currency must be one of EUR, USD, GBP, JPY, CHF, SEK"},
		{`"a"`, `""`, "clientToken must have 1 to 64 characters"},
		{`{"clientToken"`, `"clientToken"`, "the body is not JSON"},
	} {
		_, err := ParseRequest(strings.Replace(good, c.old, c.new, 1))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.reason {
			t.Errorf("%s for %s: got %q, want %q", c.new, c.old, got, c.reason)
		}
	}
}

func TestTotal(t *testing.T) {
	r, err := ParseRequest(`{"clientToken":"a","customer":{"name":"Ada","email":"ada@example.com"},"currency":"EUR","items":[{"sku":"x","kind":"digital","quantity":3,"unitPrice":12.5},{"sku":"y","kind":"physical","quantity":1,"unitPrice":0.01}]}`)
	if err != nil {
		t.Fatal(err)
	}
	o := r.New(1)
	b, _ := json.Marshal(o.TotalCents)
	if string(b) != "37.51" || !o.Physical || o.Version != 1 {
		t.Errorf("got total %s, physical %t, version %d", b, o.Physical, o.Version)
	}
}
