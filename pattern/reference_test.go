package pattern

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// The reference matcher works on decoded JSON, one pattern and one event at a time, and
// shares nothing with the package but the language.

type refLeaf struct {
	path  string
	value any // string, json.Number, bool or nil
	in    map[int]int
}

func refDecode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

func refFlatten(event any) []refLeaf {
	var leaves []refLeaf
	arrays := 0
	var walk func(path []string, v any, in map[int]int)
	walk = func(path []string, v any, in map[int]int) {
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				walk(append(slices.Clone(path), k), inner, in)
			}
		case []any:
			id := arrays
			arrays++
			for i, inner := range v {
				switch inner.(type) {
				case map[string]any, []any:
					deeper := maps.Clone(in)
					deeper[id] = i
					walk(path, inner, deeper)
				default:
					walk(path, inner, in)
				}
			}
		default:
			leaves = append(leaves, refLeaf{strings.Join(path, "."), v, in})
		}
	}
	walk(nil, event, map[int]int{})
	return leaves
}

// refRules expands a pattern to conjunctions: path → alternatives.
func refRules(p map[string]any, prefix string) []map[string][]any {
	rules := []map[string][]any{{}}
	for key, v := range p {
		var more []map[string][]any
		switch v := v.(type) {
		case map[string]any:
			more = refRules(v, prefix+key+".")
		case []any:
			if key != "$or" {
				more = []map[string][]any{{prefix + key: v}}
				break
			}
			for _, o := range v {
				more = append(more, refRules(o.(map[string]any), prefix)...)
			}
		}
		var product []map[string][]any
		for _, a := range rules {
			for _, b := range more {
				both := maps.Clone(a)
				maps.Copy(both, b)
				product = append(product, both)
			}
		}
		rules = product
	}
	return rules
}

func refMatch(pattern, event []byte) bool {
	p, err := refDecode(pattern)
	if err != nil {
		panic(err)
	}
	e, err := refDecode(event)
	if err != nil {
		panic(err)
	}
	leaves := refFlatten(e)
	for _, rule := range refRules(p.(map[string]any), "") {
		paths := slices.SortedFunc(maps.Keys(rule), func(a, b string) int {
			return slices.Compare(strings.Split(a, "."), strings.Split(b, "."))
		})
		if refTogether(paths, rule, leaves, map[int]int{}) {
			return true
		}
	}
	return false
}

func refTogether(paths []string, rule map[string][]any, leaves []refLeaf, in map[int]int) bool {
	if len(paths) == 0 {
		return true
	}
	found := false
	for _, l := range leaves {
		if l.path != paths[0] || !refConsistent(l.in, in) {
			continue
		}
		found = true
		both := maps.Clone(in)
		maps.Copy(both, l.in)
		for _, alternative := range rule[paths[0]] {
			if refAccepts(alternative, l.value) && refTogether(paths[1:], rule, leaves, both) {
				return true
			}
		}
	}
	if found {
		return false
	}
	for _, alternative := range rule[paths[0]] {
		if o, ok := alternative.(map[string]any); ok && o["exists"] == false {
			return refTogether(paths[1:], rule, leaves, in)
		}
	}
	return false
}

func refConsistent(a, b map[int]int) bool {
	for array, i := range a {
		if j, ok := b[array]; ok && i != j {
			return false
		}
	}
	return true
}

func refNumber(v any) *big.Rat {
	n, ok := v.(json.Number)
	if !ok || len(n) > 100 {
		return nil
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok || new(big.Rat).Abs(r).Cmp(big.NewRat(5e9, 1)) > 0 || !new(big.Rat).Mul(r, big.NewRat(1e6, 1)).IsInt() {
		return nil
	}
	return r
}

func refEqual(a, v any) bool {
	if x, y := refNumber(a), refNumber(v); x != nil && y != nil {
		return x.Cmp(y) == 0
	}
	if s, ok := a.(string); ok {
		if x, err := netip.ParseAddr(s); err == nil && x.Is6() {
			if t, ok := v.(string); ok {
				y, err := netip.ParseAddr(t)
				return err == nil && x == y || s == t
			}
		}
	}
	return a == v
}

func refFold(s string) string {
	return strings.Map(func(r rune) rune {
		for next := unicode.SimpleFold(r); next > r; next = unicode.SimpleFold(next) {
			r = next
		}
		return r
	}, s)
}

func refAccepts(alternative, v any) bool {
	o, ok := alternative.(map[string]any)
	if !ok {
		return refEqual(alternative, v)
	}
	for name, arg := range o {
		return refOperator(name, arg, v)
	}
	return false
}

func refOperator(name string, arg, v any) bool {
	text, isText := v.(string)
	if inner, ok := arg.(map[string]any); ok && name != "anything-but" {
		arg = refFold(inner["equals-ignore-case"].(string))
		text = refFold(text)
	}
	switch name {
	case "exists":
		return arg == true
	case "exactly":
		return arg == v
	case "prefix":
		return isText && strings.HasPrefix(text, arg.(string))
	case "suffix":
		return isText && strings.HasSuffix(text, arg.(string))
	case "equals-ignore-case":
		return isText && strings.EqualFold(text, arg.(string))
	case "wildcard":
		return isText && refWild(text, arg.(string))
	case "cidr":
		p := netip.MustParsePrefix(arg.(string))
		a, err := netip.ParseAddr(text)
		return err == nil && a.Zone() == "" && p.Contains(a) && a.Compare(p.Addr()) >= 0
	case "numeric":
		return refNumeric(arg.([]any), v)
	case "anything-but":
		return refAnythingBut(arg, v)
	}
	panic(name)
}

func refAnythingBut(arg, v any) bool {
	name := ""
	if inner, ok := arg.(map[string]any); ok {
		for name, arg = range inner {
		}
	}
	list, ok := arg.([]any)
	if !ok {
		list = []any{arg}
	}
	for _, not := range list {
		if name == "" && not == v || name == "" && refNumber(not) != nil && refEqual(not, v) || name != "" && refOperator(name, not, v) {
			return false
		}
	}
	return true
}

func refNumeric(arg []any, v any) bool {
	n := refNumber(v)
	if n == nil {
		return false
	}
	for i := 0; i < len(arg); i += 2 {
		c := n.Cmp(refNumber(arg[i+1]))
		if !map[string]bool{"=": c == 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[arg[i].(string)] {
			return false
		}
	}
	return true
}

func refWild(text, pattern string) bool {
	if pattern == "" {
		return text == ""
	}
	switch pattern[0] {
	case '*':
		return refWild(text, pattern[1:]) || text != "" && refWild(text[1:], pattern)
	case '\\':
		pattern = pattern[1:]
	}
	return text != "" && text[0] == pattern[0] && refWild(text[1:], pattern[1:])
}
