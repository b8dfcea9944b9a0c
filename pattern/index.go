package pattern

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// few is how many terms are tried one by one rather than looked up.
const few = 6

// entry is a term and the node it leads to.
type entry struct {
	term *term
	node int32
}

// index finds, for a value, the entries whose terms accept it.
type index struct {
	list []entry // tried one by one: all when they are few, else those no table serves

	strings  map[string][]int32
	folded   map[string][]int32
	numbers  map[int64][]int32
	texts    map[string][]int32 // numbers that compare as text
	literals [nullValue + 1][]int32
	exists   []int32
	prefix   affixes
	suffix   affixes
	foldPre  affixes
	foldSuf  affixes
	ranges   *intervals
	networks map[netip.Prefix][]entry
	bits     []int // prefix lengths in networks; those of IPv4 as negative numbers less one
}

// newIndex builds the index of entries.
func newIndex(entries []entry) *index {
	x := &index{}
	if len(entries) <= few {
		x.list = entries
		return x
	}
	var ranges []entry
	for _, e := range entries {
		if e.term.op == opRange {
			ranges = append(ranges, e)
			continue
		}
		x.add(e)
	}
	x.ranges = newIntervals(ranges)
	for _, a := range []*affixes{&x.prefix, &x.suffix, &x.foldPre, &x.foldSuf} {
		slices.Sort(a.lengths)
	}
	return x
}

func (x *index) add(e entry) {
	t := e.term
	switch t.op {
	case opString:
		put(&x.strings, t.text, e.node)
	case opFold:
		put(&x.folded, t.text, e.node)
	case opNumber:
		put(&x.numbers, t.low, e.node)
	case opNumberText:
		put(&x.texts, t.text, e.node)
	case opLiteral:
		x.literals[t.kind] = append(x.literals[t.kind], e.node)
	case opExists:
		x.exists = append(x.exists, e.node)
	case opPrefix:
		x.prefix.add(t.text, e)
	case opSuffix:
		x.suffix.add(t.text, e)
	case opPrefixFold:
		x.foldPre.add(t.text, e)
	case opSuffixFold:
		x.foldSuf.add(t.text, e)
	case opCIDR:
		x.addNetwork(e)
	case opWildcard:
		first, last := t.parts[0], t.parts[len(t.parts)-1]
		switch {
		case first != "":
			x.prefix.add(first, e)
		case last != "":
			x.suffix.add(last, e)
		default:
			x.list = append(x.list, e)
		}
	default:
		x.list = append(x.list, e)
	}
}

func put[K comparableKey](m *map[K][]int32, key K, node int32) {
	if *m == nil {
		*m = map[K][]int32{}
	}
	(*m)[key] = append((*m)[key], node)
}

type comparableKey interface{ string | int64 }

// addNetwork files an address range under the smallest network around it.
func (x *index) addNetwork(e entry) {
	bits := e.term.first.BitLen()
	network := netip.PrefixFrom(e.term.first, bits)
	for !network.Masked().Contains(e.term.last) {
		bits--
		network = netip.PrefixFrom(e.term.first, bits)
	}
	if x.networks == nil {
		x.networks = map[netip.Prefix][]entry{}
	}
	x.networks[network.Masked()] = append(x.networks[network.Masked()], e)
	if e.term.first.Is4() {
		bits = -bits - 1
	}
	if !slices.Contains(x.bits, bits) {
		x.bits = append(x.bits, bits)
	}
}

// find appends to hits the nodes of entries that accept v, some perhaps more than once.
func (x *index) find(v *value, m *matcher) {
	for i := range x.list {
		if x.list[i].term.accepts(v) {
			m.hits = append(m.hits, x.list[i].node)
		}
	}
	m.hits = append(m.hits, x.exists...)
	switch v.kind {
	case stringValue:
		x.findText(v, m)
	case numberValue:
		if v.comparable {
			m.hits = append(m.hits, x.numbers[v.number]...)
			x.ranges.find(v.number, m)
		} else {
			m.hits = append(m.hits, x.texts[string(v.text)]...)
		}
	default:
		m.hits = append(m.hits, x.literals[v.kind]...)
	}
}

func (x *index) findText(v *value, m *matcher) {
	m.hits = append(m.hits, x.strings[string(v.text)]...)
	x.prefix.find(v, v.text, false, m)
	x.suffix.find(v, v.text, true, m)
	if x.folded != nil || x.foldPre.by != nil || x.foldSuf.by != nil {
		m.fold = appendFold(m.fold[:0], v.text)
		m.hits = append(m.hits, x.folded[string(m.fold)]...)
		x.foldPre.find(v, m.fold, false, m)
		x.foldSuf.find(v, m.fold, true, m)
	}
	if x.networks == nil {
		return
	}
	a, ok := address(v.text)
	if !ok {
		return
	}
	for _, bits := range x.bits {
		if a.Is4() != (bits < 0) {
			continue
		}
		if bits < 0 {
			bits = -bits - 1
		}
		network, err := a.Prefix(bits)
		if err != nil {
			continue // an address with a zone is in no network
		}
		for _, e := range x.networks[network] {
			if within(a, e.term) {
				m.hits = append(m.hits, e.node)
			}
		}
	}
}

// affixes are entries by the text their values begin (or end) with: one look-up for each length there is.
type affixes struct {
	lengths []int
	by      map[string][]entry
}

func (a *affixes) add(text string, e entry) {
	if a.by == nil {
		a.by = map[string][]entry{}
	}
	a.by[text] = append(a.by[text], e)
	if !slices.Contains(a.lengths, len(text)) {
		a.lengths = append(a.lengths, len(text))
	}
}

// find looks up the beginnings of text, or its ends. A wildcard's entry is tried on the value itself.
func (a *affixes) find(v *value, text []byte, end bool, m *matcher) {
	for _, n := range a.lengths {
		if n > len(text) {
			return
		}
		part := text[:n]
		if end {
			part = text[len(text)-n:]
		}
		for _, e := range a.by[string(part)] {
			if e.term.op != opWildcard || wild(v.text, e.term.parts) {
				m.hits = append(m.hits, e.node)
			}
		}
	}
}

// intervals is a centred interval tree over ranges of numbers.
type intervals struct {
	centre      int64
	byLow       []entry // those around the centre, the lowest first
	byHigh      []entry // the same, the highest first
	left, right *intervals
}

func newIntervals(entries []entry) *intervals {
	if len(entries) == 0 {
		return nil
	}
	ends := make([]int64, 0, 2*len(entries))
	for _, e := range entries {
		ends = append(ends, e.term.low, e.term.high)
	}
	slices.Sort(ends)
	t := &intervals{centre: ends[len(ends)/2]}
	var left, right []entry
	for _, e := range entries {
		switch {
		case e.term.low > e.term.high: // empty: nothing is both
		case e.term.high < t.centre:
			left = append(left, e)
		case e.term.low > t.centre:
			right = append(right, e)
		default:
			t.byLow = append(t.byLow, e)
		}
	}
	t.byHigh = slices.Clone(t.byLow)
	slices.SortFunc(t.byLow, func(a, b entry) int { return cmp.Compare(a.term.low, b.term.low) })
	slices.SortFunc(t.byHigh, func(a, b entry) int { return cmp.Compare(b.term.high, a.term.high) })
	t.left, t.right = newIntervals(left), newIntervals(right)
	return t
}

func (t *intervals) find(n int64, m *matcher) {
	for t != nil {
		if n < t.centre {
			for _, e := range t.byLow {
				if e.term.low > n {
					break
				}
				m.hits = append(m.hits, e.node)
			}
			t = t.left
			continue
		}
		for _, e := range t.byHigh {
			if e.term.high < n {
				break
			}
			m.hits = append(m.hits, e.node)
		}
		t = t.right
	}
}

// label writes what tells the constraint apart from others, so that equal ones share a node.
func (c *constraint) label(b *strings.Builder) {
	b.WriteString(c.path)
	if c.absent {
		b.WriteString("\x00absent")
	}
	for i := range c.terms {
		c.terms[i].label(b)
	}
}
