package dynamodb

import (
	"encoding"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/service/dynamodb/expr"
	"fogbank/store"
	"fogbank/wire/attribute"
)

var (
	someTime = time.Date(2024, 5, 6, 7, 8, 9, 10_000_000, time.UTC)
	someKeys = []dynamodb.KeySchemaElement{{AttributeName: "p", KeyType: "HASH"}, {AttributeName: "k", KeyType: "RANGE"}}
	someItem = attribute.MakeItem(
		attribute.Attribute{Name: "p", Value: attribute.S("a\x00b")}, attribute.Attribute{Name: "k", Value: attribute.N("-12.50")},
		attribute.Attribute{Name: "g", Value: attribute.B([]byte{0, 255})}, attribute.Attribute{Name: "t", Value: attribute.BOOL(true)},
		attribute.Attribute{Name: "f", Value: attribute.BOOL(false)}, attribute.Attribute{Name: "z", Value: attribute.NULL()},
		attribute.Attribute{Name: "l", Value: attribute.L(attribute.S(""), attribute.N("1"))}, attribute.Attribute{Name: "s", Value: attribute.SS("b", "a")},
		attribute.Attribute{Name: "n", Value: attribute.NS("2", "10")}, attribute.Attribute{Name: "b", Value: attribute.BS("\x01", "")},
		attribute.Attribute{Name: "m", Value: attribute.M(attribute.MakeItem(attribute.Attribute{Name: "x", Value: attribute.S("y")}))})
	someStream = stream{ID: 1<<64 - 1, ARN: "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/l", Table: "t", Label: "l", View: "KEYS_ONLY",
		Created: someTime, Keys: someKeys, Ended: someTime, Shards: []shard{{Number: 1, Parent: 2, Opened: someTime, Older: "shardId-0", From: 1, To: 2, Base: 3, Closed: someTime}}}
	someTable = table{ID: 1<<64 - 1, Version: 2, ARN: "arn:aws:dynamodb:us-east-1:123456789012:table/t", Name: "t", Status: "UPDATING", Ends: someTime, Change: &change{"stream", "l", "ENABLE", "STANDARD"}, UUID: "u", Created: someTime,
		Attributes: []dynamodb.AttributeDefinition{{AttributeName: "p", AttributeType: "S"}, {AttributeName: "k", AttributeType: "N"}, {AttributeName: "g", AttributeType: "B"}},
		Keys:       someKeys, LastIndex: 3, Billing: "PROVISIONED", Throughput: throughput{1, 2, someTime, someTime, 3}, Wanted: &throughput{Read: 2, Write: 3}, OnDemand: someTime, Stream: &someStream,
		Indexes: []index{{ID: 3, Name: "i", Local: true, Keys: []dynamodb.KeySchemaElement{{AttributeName: "g", KeyType: "HASH"}, {AttributeName: "k", KeyType: "RANGE"}},
			Projection: "INCLUDE", Include: []string{"x"}, Throughput: throughput{Read: 3, Write: 4}, Wanted: &throughput{Read: 4, Write: 5}, Filling: true, Status: "UPDATING", Ends: someTime}},
		TTL: &ttl{"at", true, someTime}, Class: "STANDARD", Protected: true, Encryption: &encryption{"key"}, Tags: map[string]string{"k": "v"}, Policy: &policyDocument{"{}", "r"}}
)

// stored are one of each stored record, no field empty.
var stored = []struct {
	name  string
	value any
}{
	{"table", &someTable},
	{"stream", &someStream},
	{"item", &someItem},
	{"record", &record{kind: modified, expired: true, at: someTime, keys: someItem.Without("g"), new: someItem, old: attribute.MakeItem()}},
	{"token", &token{Request: []byte{1, 2}, At: someTime}},
	{"fillJob", &fillJob{"t", 3}},
	{"purgeJob", &purgeJob{4, 5}},
}

// TestStoredForms keeps the stored forms from changing by accident, and checks that they are read back.
func TestStoredForms(t *testing.T) {
	const file = "testdata/records.golden"
	var got strings.Builder
	for _, r := range stored {
		again := reflect.New(reflect.TypeOf(r.value).Elem()).Interface()
		text := form(t, r.value)
		var err error
		if u, ok := again.(encoding.BinaryUnmarshaler); ok {
			b, _ := hex.DecodeString(text)
			err = u.UnmarshalBinary(b)
		} else {
			err = json.Unmarshal([]byte(text), again)
		}
		if err != nil || form(t, again) != text {
			t.Errorf("%s is read back as %+v, %v", r.name, again, err)
		}
		fmt.Fprintf(&got, "%s %s\n", r.name, text)
	}
	s := compile(someTable)
	entry, _ := s.indexes[0].entryKey(s, someItem)
	fmt.Fprintf(&got, "item's key %x\nentry's key %x\n", string(s.itemKey(someItem)), string(entry))
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("stored forms changed; keep a reader for the old ones\n got: %s\nwant: %s", got.String(), want)
	}
}

func form(t *testing.T, v any) string {
	t.Helper()
	if a, ok := v.(encoding.BinaryAppender); ok {
		b, err := a.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(b)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func FuzzRecord(f *testing.F) {
	b, _ := stored[3].value.(*record).AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		if r.UnmarshalBinary(b) == nil {
			r.describe(&someStream, &someStream.Shards[0], 2)
		}
	})
}

// FuzzKeys checks that keys order as the sort keys in them do, in the table and in an index, that the sort keys can be read back
// from them, and that bounds made for one sort key hold it and nothing beside it.
func FuzzKeys(f *testing.F) {
	f.Add("a", "a\x00", uint8(0))
	f.Add("", "\xff\xff", uint8(0))
	f.Add("1", "-1.5e7", uint8(1))
	f.Add("9.9999999999999999999999999999999999999E+125", "-1E-130", uint8(1))
	f.Add("a\x00\xff", "a\x00", uint8(2))
	f.Add("é", "e\u0301", uint8(2))
	f.Fuzz(func(t *testing.T, a, b string, kind uint8) {
		x, y := attribute.B([]byte(a)), attribute.B([]byte(b))
		typ := "B"
		switch kind % 3 {
		case 1:
			x, y, typ = attribute.N(a), attribute.N(b), "N"
		case 2:
			x, y, typ = attribute.S(a), attribute.S(b), "S"
		}
		want, ok := x.Compare(y)
		if !ok {
			return
		}
		def := table{ID: 7, Attributes: []dynamodb.AttributeDefinition{{AttributeName: "p", AttributeType: "S"}, {AttributeName: "k", AttributeType: typ}}, Keys: someKeys,
			Indexes: []index{{ID: 1, Keys: someKeys, Projection: "ALL"}}}
		s := compile(def)
		of := func(v attribute.Value, id string) attribute.Item {
			return attribute.MakeItem(attribute.Attribute{Name: "p", Value: attribute.S("same")}, attribute.Attribute{Name: "k", Value: v}, attribute.Attribute{Name: "z", Value: attribute.S(id)})
		}
		if got := strings.Compare(string(s.itemKey(of(x, ""))), string(s.itemKey(of(y, "")))); got != want {
			t.Errorf("keys of %s and %s order %d, want %d", x, y, got, want)
		}
		first, _ := s.indexes[0].entryKey(s, of(x, ""))
		second, _ := s.indexes[0].entryKey(s, of(y, ""))
		if got := strings.Compare(string(first), string(second)); got != want {
			t.Errorf("entries of %s and %s order %d, want %d", x, y, got, want)
		}
		for _, v := range []attribute.Value{x, y} {
			entry, _ := s.indexes[0].entryKey(s, of(v, ""))
			checkRead(t, v, s.itemKey(of(v, ""))[len(s.prefix)+hashLength:])
			checkRead(t, v, unescape(t, entry[len(s.indexes[0].prefix)+hashLength:]))
		}
		for _, p := range []page{{t: s}, {t: s, x: s.indexes[0]}} {
			checkBounds(t, &p, x, y, map[bool]store.Key{true: s.itemKey(of(y, "")), false: second}[p.x == nil], want)
		}
	})
}

// checkRead reads a sort key, behind its mark, and compares it with what was written.
func checkRead(t *testing.T, want attribute.Value, key store.Key) {
	t.Helper()
	text := string(key[1:])
	if want.Type() == attribute.TypeN {
		text = readNumber(text)
	}
	got := map[attribute.Type]attribute.Value{attribute.TypeN: attribute.N(text), attribute.TypeS: attribute.S(text), attribute.TypeB: attribute.B([]byte(text))}[want.Type()]
	if order, ok := want.Compare(got); key[0] != mark || !ok || order != 0 {
		t.Errorf("%s is read from its key %x as %s", want, string(key), got)
	}
}

// unescape returns the mark and sort key of an entry without its escapes; behind their end there is a hash.
func unescape(t *testing.T, key store.Key) store.Key {
	t.Helper()
	var out []byte
	for i := 0; i < len(key); i++ {
		if key[i] == 0 && key[i+1] != 0xff {
			if len(key) != i+1+hashLength {
				t.Errorf("%d bytes follow a sort key, want %d", len(key)-i-1, hashLength)
			}
			break
		}
		if out = append(out, key[i]); key[i] == 0 {
			i++
		}
	}
	return store.Key(out)
}

// readNumber reads what attribute writes for numbers: a mark of the sign, the exponent, two digits to a byte, and an end.
func readNumber(key string) string {
	if key == "\x80" {
		return "0"
	}
	sign, flip := "", byte(0)
	if key[0] < 0x80 {
		sign, flip = "-", 0xff
	}
	digits := ""
	for _, c := range []byte(key[2 : len(key)-1]) {
		digits += fmt.Sprintf("%02d", (c^flip)-1)
	}
	return fmt.Sprintf("%s%s.%se%d", sign, digits[:1], strings.TrimSuffix(digits[1:], "0")+"0", int(key[1]^flip)-130)
}

// checkBounds compares whether the key of y is within the bounds for each comparison with x.
func checkBounds(t *testing.T, p *page, x, y attribute.Value, key store.Key, xToY int) {
	t.Helper()
	_, _, prefix := p.keys()
	partition := appendPartition([]byte(prefix), attribute.S("same"))
	for op, want := range map[expr.KeyOp]bool{expr.Equal: xToY == 0, expr.Less: xToY > 0, expr.LessOrEqual: xToY >= 0, expr.Greater: xToY < 0, expr.GreaterOrEqual: xToY <= 0,
		expr.Between: xToY == 0, expr.BeginsWith: strings.HasPrefix(y.Text(), x.Text())} {
		if op == expr.BeginsWith && x.Type() == attribute.TypeN {
			continue
		}
		from, to := p.bounds(partition, &expr.KeyTest{Op: op, Value: x, High: x})
		if got := key >= from && (to == "" || key < to); got != want {
			t.Errorf("%s %s %s: %v, want %v", y, op, x, got, want)
		}
	}
}

func FuzzIterator(f *testing.F) {
	text := iterator{"arn:aws:dynamodb:us-east-1:1:table/t/stream/l", 1, 2, someTime}.String()
	f.Add(text)
	f.Add(text[:len(text)-8] + "\n" + text[len(text)-8:])
	f.Fuzz(func(t *testing.T, text string) {
		if it, ok := parseIterator(text); ok && it.String() != text {
			t.Errorf("%q is read as %q", text, it)
		}
	})
}
