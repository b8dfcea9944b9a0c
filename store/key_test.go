package store

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// randomPart returns a part and its rank among kinds.
func randomPart(rnd *rand.Rand) any {
	switch rnd.IntN(5) {
	case 0, 1:
		b := make([]byte, rnd.IntN(4))
		for i := range b {
			b[i] = []byte{0, 1, 'a', 0xfe, 0xff}[rnd.IntN(5)]
		}
		if rnd.IntN(2) == 0 {
			return string(b)
		}
		return b
	case 2:
		n := int64(rnd.Uint64() >> rnd.IntN(64))
		return []any{n, -n, uint64(n), int32(n), int8(n), uint16(n)}[rnd.IntN(6)]
	case 3:
		return time.Unix(int64(rnd.IntN(5)-2), int64(rnd.IntN(3))).UTC()
	}
	return rnd.IntN(2) == 0
}

func compareParts(a, b any) int {
	ka, kb := kindOf(a), kindOf(b)
	if c := cmp.Compare(ka, kb); c != 0 {
		return c
	}
	switch ka {
	case 0:
		return bytes.Compare(asBytes(a), asBytes(b))
	case 1:
		an, am := asNumber(a)
		bn, bm := asNumber(b)
		if an != bn {
			return cmp.Compare(boolInt(bn), boolInt(an))
		}
		if an {
			return cmp.Compare(bm, am)
		}
		return cmp.Compare(am, bm)
	case 2:
		return a.(time.Time).Compare(b.(time.Time))
	}
	return cmp.Compare(boolInt(a.(bool)), boolInt(b.(bool)))
}

func kindOf(p any) int {
	switch p.(type) {
	case string, []byte:
		return 0
	case time.Time:
		return 2
	case bool:
		return 3
	}
	return 1
}

func asBytes(p any) []byte {
	if s, ok := p.(string); ok {
		return []byte(s)
	}
	return p.([]byte)
}

func asNumber(p any) (negative bool, magnitude uint64) {
	var n int64
	switch v := p.(type) {
	case uint64:
		return false, v
	case uint16:
		return false, uint64(v)
	case int64:
		n = v
	case int32:
		n = int64(v)
	case int8:
		n = int64(v)
	}
	if n < 0 {
		return true, uint64(-(n + 1)) + 1
	}
	return false, uint64(n)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestKeyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		var a, b []any
		for range rnd.IntN(4) {
			a = append(a, randomPart(rnd))
		}
		b = append(b, a[:rnd.IntN(len(a)+1)]...)
		for range rnd.IntN(3) {
			b = append(b, randomPart(rnd))
		}
		want := slices.CompareFunc(a, b, compareParts)
		if got := cmp.Compare(K(a...), K(b...)); got != want {
			t.Fatalf("K(%v) against K(%v) is %d, want %d", a, b, got, want)
		}
	}
}

func TestKeyParts(t *testing.T) {
	moment := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
	var (
		s    string
		b    []byte
		i    int64
		u    uint64
		tm   time.Time
		yes  bool
		rest Key
		i8   int8
	)
	k := K("a\x00b", []byte{0, 0xff}, math.MinInt64, uint64(math.MaxUint64), moment, true, "tail", 1)
	if err := k.Parse(&s, &b, &i, &u, &tm, nil, &rest); err != nil {
		t.Fatal(err)
	}
	if s != "a\x00b" || !bytes.Equal(b, []byte{0, 0xff}) || i != math.MinInt64 || u != math.MaxUint64 || !tm.Equal(moment) || rest != K("tail", 1) {
		t.Errorf("read %q %q %d %d %v %v", s, b, i, u, tm, rest)
	}
	if built := Key("").Str("a\x00b").Bytes([]byte{0, 0xff}).Int(math.MinInt64).Uint(math.MaxUint64).Time(moment).Bool(true).Str("tail").Int(1); built != k {
		t.Errorf("appending gives %v, want %v", built, k)
	}
	for name, err := range map[string]error{
		"too few":  K("a").Parse(&s, &s),
		"too many": K("a", "b").Parse(&s),
		"kind":     K(1).Parse(&s),
		"overflow": K(128).Parse(&i8),
		"sign":     K(-1).Parse(&u),
		"bool":     K("a").Parse(&yes),
		"time":     K(1).Parse(&tm),
	} {
		if err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	if got, want := K("q", -3, true, moment).String(), `("q", -3, true, 2024-02-29T01:02:03.000000004Z)`; got != want {
		t.Errorf("shown as %s, want %s", got, want)
	}
}

// FuzzKey parses any bytes; what parses must encode to the same bytes again.
func FuzzKey(f *testing.F) {
	f.Add([]byte(K("a\x00", -5, uint64(1)<<63, true, time.Unix(1, 1))))
	f.Add([]byte{tagZero + 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		k := Key(b)
		_ = k.String()
		var again []byte
		for rest := string(k); rest != ""; {
			n := partLen(rest)
			if n <= 0 {
				return
			}
			part := Key(rest[:n])
			rest = rest[n:]
			var s string
			var i int64
			var u uint64
			var tm time.Time
			var yes bool
			switch {
			case part.Parse(&s) == nil:
				again = appendPart(again, s)
			case part.Parse(&i) == nil:
				again = appendPart(again, i)
			case part.Parse(&u) == nil:
				again = appendPart(again, u)
			case part.Parse(&tm) == nil:
				again = appendPart(again, tm)
			case part.Parse(&yes) == nil:
				again = appendPart(again, yes)
			default:
				return
			}
		}
		if string(again) != string(k) {
			t.Errorf("%x became %x", k, again)
		}
	})
}
