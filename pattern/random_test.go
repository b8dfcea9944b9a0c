package pattern

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The generators draw from few names and values, so that patterns and events meet often.

var (
	someKeys    = []string{"a", "b", "c", "d"}
	someScalars = []string{`"x"`, `"xy"`, `"XY"`, `"xyz"`, `"y"`, `""`, `"10.0.0.7"`, `"10.0.1.7"`, `"::1"`, `"0:0::1"`, `"é"`, `"É"`,
		`1`, `1.0`, `2`, `-3.5`, `100`, `1e2`, `6e9`, `6000000000`, `0.1234567`, `true`, `false`, `null`}
	someTerms = []string{`{"prefix":"x"}`, `{"prefix":"xy"}`, `{"prefix":""}`, `{"suffix":"y"}`, `{"suffix":"z"}`, `{"prefix":{"equals-ignore-case":"XY"}}`,
		`{"suffix":{"equals-ignore-case":"Y"}}`, `{"equals-ignore-case":"xY"}`, `{"equals-ignore-case":"é"}`, `{"anything-but":"x"}`,
		`{"anything-but":["x","y"]}`, `{"anything-but":[1,2]}`, `{"anything-but":1}`, `{"anything-but":{"prefix":"x"}}`, `{"anything-but":{"suffix":["y","z"]}}`,
		`{"anything-but":{"equals-ignore-case":"XY"}}`, `{"anything-but":{"wildcard":"x*"}}`, `{"numeric":["=",1]}`, `{"numeric":[">",1]}`,
		`{"numeric":[">=",1,"<",100]}`, `{"numeric":["<=",2]}`, `{"numeric":["<",-1]}`, `{"numeric":[">",-4,"<=",1.5]}`, `{"exists":true}`, `{"exists":false}`,
		`{"cidr":"10.0.0.0/24"}`, `{"cidr":"10.0.0.8/8"}`, `{"cidr":"::/64"}`, `{"wildcard":"x*"}`, `{"wildcard":"*y"}`, `{"wildcard":"*"}`, `{"wildcard":"x*z"}`,
		`{"wildcard":"*y*"}`, `{"exactly":"x"}`}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func randomEvent(r *rand.Rand, depth int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, k := range r.Perm(len(someKeys))[:1+r.IntN(len(someKeys))] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", someKeys[k], randomValue(r, depth))
	}
	b.WriteByte('}')
	return b.String()
}

func randomValue(r *rand.Rand, depth int) string {
	switch n := r.IntN(10); {
	case depth > 0 && n < 3:
		return randomEvent(r, depth-1)
	case depth > 0 && n < 6:
		items := make([]string, r.IntN(4))
		for i := range items {
			items[i] = randomValue(r, depth-1)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return pick(r, someScalars)
}

func randomPattern(r *rand.Rand, depth int, or bool) string {
	var b strings.Builder
	b.WriteByte('{')
	names := r.Perm(len(someKeys))[:1+r.IntN(3)]
	for i, k := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		if depth > 0 && r.IntN(2) == 0 {
			fmt.Fprintf(&b, "%q:%s", someKeys[k], randomPattern(r, depth-1, or))
			continue
		}
		alternatives := make([]string, 1+r.IntN(3))
		for j := range alternatives {
			alternatives[j] = pick(r, someScalars)
			if r.IntN(2) == 0 {
				alternatives[j] = pick(r, someTerms)
			}
		}
		fmt.Fprintf(&b, "%q:[%s]", someKeys[k], strings.Join(alternatives, ","))
	}
	if or && r.IntN(4) == 0 {
		fmt.Fprintf(&b, `,"$or":[%s,%s]`, randomPattern(r, depth-1, false), randomPattern(r, 0, false))
	}
	b.WriteByte('}')
	return b.String()
}

// TestAgainstReference compares the reference, single patterns and sets of many sizes.
func TestAgainstReference(t *testing.T) {
	matched, tried := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		set := NewSet()
		var sources []string
		var patterns []*Pattern
		for range 1 + r.IntN(120) {
			source := randomPattern(r, 2, true)
			p, err := Parse(Rule, []byte(source))
			if err != nil {
				continue // a path twice, by way of $or
			}
			set.Add(len(sources), p)
			sources, patterns = append(sources, source), append(patterns, p)
		}
		for range 40 {
			event := randomEvent(r, 4)
			ev, err := Flatten([]byte(event))
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, event, err)
			}
			var got []int
			set.Match(ev, func(id int) { got = append(got, id) })
			slices.Sort(got)
			if len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Fatalf("seed %d: an id twice: %v", seed, got)
			}
			for i, source := range sources {
				want := refMatch([]byte(source), []byte(event))
				if single := patterns[i].MatchEvent(ev); single != want {
					t.Fatalf("seed %d: %s on %s: %v, the reference says %v", seed, source, event, single, want)
				}
				if _, in := slices.BinarySearch(got, i); in != want {
					t.Fatalf("seed %d: %s on %s: %v in a set of %d, the reference says %v", seed, source, event, in, len(sources), want)
				}
				tried++
				if want {
					matched++
				}
			}
		}
	}
	t.Logf("%d of %d matched", matched, tried)
}

// TestHugeArrays: the time to match must stay in proportion to the event also where many elements nearly match.
func TestHugeArrays(t *testing.T) {
	p, err := Parse(Rule, []byte(`{"a":{"x":[1],"y":[2]},"b":{"x":[1],"y":[2]},"c":["no"]}`))
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	half := strings.Repeat(`{"x":1,"y":2},`, n) + strings.Repeat(`{"x":1},`, n) + strings.Repeat(`{"y":2},`, n) + `{}`
	event := `{"a":[` + half + `],"b":[` + half + `],"c":["yes",{"z":1}]}`
	if ok, err := p.Match([]byte(event)); ok || err != nil {
		t.Fatal(ok, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range someTerms {
		f.Add([]byte(`{"a":[` + s + `]}`))
	}
	f.Add([]byte(`{"$or":[{"a":["x"]},{"b":{"c":[1,null]}}],"d":["é"]}`))
	f.Fuzz(func(t *testing.T, source []byte) {
		p, err := Parse(Rule, source)
		if err != nil {
			return
		}
		if !json.Valid(source) {
			t.Fatalf("accepted %q", source)
		}
		p.MatchEvent(&Event{steps: make([]step, 1), elems: []element{{end: 1}}})
	})
}

func FuzzFlatten(f *testing.F) {
	f.Add([]byte(instance))
	f.Add([]byte(`{"a":"\u00e9\ud83d\ude00\n","b":[[1],{"c":[]}]}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		_, err := Flatten(event)
		var v map[string]any
		valid := json.Unmarshal(event, &v) == nil && v != nil
		if valid && err != nil && !strings.Contains(err.Error(), "nesting") {
			t.Fatalf("%q: %v", event, err)
		}
		if err == nil && !json.Valid(event) {
			t.Fatalf("%q: accepted", event)
		}
	})
}

// FuzzMatch grows a pattern and an event from bytes and compares with the reference.
func FuzzMatch(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		source, event := randomPattern(r, 3, true), randomEvent(r, 5)
		p, err := Parse(Rule, []byte(source))
		if err != nil {
			return
		}
		got, err := p.Match([]byte(event))
		if want := refMatch([]byte(source), []byte(event)); err != nil || got != want {
			t.Fatalf("%s on %s: %v, %v; the reference says %v", source, event, got, err, want)
		}
	})
}

// order is an event of about 1 KiB.
var order = []byte(`{"version":"0","id":"7bf73129-1428-4cd3-a780-95db273d1602","detail-type":"Order Placed","source":"shop.orders",
"account":"000000000000","time":"2026-01-15T09:30:00Z","region":"us-east-1","resources":["arn:aws:dynamodb:us-east-1:000000000000:table/orders"],
"detail":{"orderId":"o-000123","customer":{"id":"c-77","name":"Ada Lovelace","country":"GB","tier":"gold"},"total":1249.90,"currency":"EUR",
"items":[{"sku":"sku-1042","name":"Mechanical keyboard","quantity":1,"price":249.90,"physical":true},{"sku":"sku-2001","name":"Support plan","quantity":1,"price":1000,"physical":false}],
"status":"PLACED","channel":"web","ip":"10.20.30.40","note":"please ring twice, the bell is quiet and the dog is loud; leave parcels with the neighbour at number seven",
"shipping":{"method":"express","city":"London","postcode":"N1 9GU","instructions":"none"},"payment":{"method":"card","last4":"4242","captured":false},
"campaign":"spring-sale-2026","flags":["gift","priority"],"attempt":1,"warehouse":"eu-west-central-7"}}`)

// manyRules are patterns of every kind, of which few match order.
func manyRules(n int) *Set {
	set := NewSet()
	for i := range n {
		source := ""
		switch i % 10 {
		case 0:
			source = fmt.Sprintf(`{"source":["shop.orders"],"detail-type":["Order Placed"],"detail":{"customer":{"id":["c-%d"]}}}`, i+7)
		case 1:
			source = fmt.Sprintf(`{"source":["shop.orders"],"detail":{"total":[{"numeric":[">",%d,"<=",%d]}]}}`, i, i+40)
		case 2:
			source = fmt.Sprintf(`{"detail":{"warehouse":[{"prefix":"eu-west-%d"}],"status":["PLACED","SHIPPED"]}}`, i)
		case 3:
			source = fmt.Sprintf(`{"detail":{"items":{"sku":["sku-%d"],"physical":[true]}}}`, i-1)
		case 4:
			source = fmt.Sprintf(`{"source":["shop.%d"],"detail":{"status":[{"anything-but":["CANCELLED"]}]}}`, i)
		case 5:
			source = fmt.Sprintf(`{"detail-type":["Order Placed"],"detail":{"campaign":[{"suffix":"-%d"}],"flags":[{"exists":true}]}}`, i+1)
		case 6:
			source = fmt.Sprintf(`{"detail":{"shipping":{"city":[{"equals-ignore-case":"CITY %d"}]},"payment":{"captured":[false]}}}`, i)
		case 7:
			source = fmt.Sprintf(`{"detail":{"ip":[{"cidr":"10.%d.%d.0/24"}],"missing":[{"exists":false}]}}`, i/10%30, i/10%256)
		case 8:
			source = fmt.Sprintf(`{"detail":{"orderId":[{"wildcard":"o-%d*"}]}}`, i)
		case 9:
			source = fmt.Sprintf(`{"source":["shop.orders"],"$or":[{"detail":{"customer":{"name":["Name %d"]}}},{"detail":{"f%d":[1]}}]}`, i, i)
		}
		p, err := Parse(Rule, []byte(source))
		if err != nil {
			panic(source + ": " + err.Error())
		}
		set.Add(i, p)
	}
	return set
}

func BenchmarkFlatten(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(order)))
	for b.Loop() {
		if _, err := Flatten(order); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			set := manyRules(n)
			matched := 0
			b.ReportAllocs()
			for b.Loop() {
				ev, err := Flatten(order)
				if err != nil {
					b.Fatal(err)
				}
				matched = 0
				set.Match(ev, func(int) { matched++ })
			}
			b.ReportMetric(float64(matched), "matches")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	ev, _ := Flatten([]byte(`{}`))
	for b.Loop() {
		manyRules(10_000).Match(ev, func(int) {})
	}
}
