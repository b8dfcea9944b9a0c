package pattern

import (
	"cmp"
	"slices"
)

// Match calls visit with the id of every pattern that matches the event, in no particular order.
// An id is visited once, however many of its conjunctions match.
func (s *Set) Match(ev *Event, visit func(id int)) {
	s.once.Do(s.build)
	m := s.matchers.Get().(*matcher)
	m.prepare(ev)
	m.walk(0, visit)
	m.ev = nil
	s.matchers.Put(m)
}

// matcher is the scratch space of one match.
type matcher struct {
	set     *Set
	ev      *Event
	round   uint32   // marks what visited and seen belong to this match
	visited []uint32 // by node
	seen    []uint32 // by owner
	hits    []int32  // a stack of nodes
	fold    []byte
	at      []int32 // by step of the event: the path, or -1
	// The event's leaves whose paths matter, grouped by path: those of path p are
	// leaves[first[p]:][:count[p]]. Only the paths in present have any.
	leaves  []int32
	first   []int32
	count   []int32
	present []int32
	failed  []int32 // by constraint of the rule verified: the element its rest last failed in
}

// prepare finds the paths of the event's leaves.
func (m *matcher) prepare(ev *Event) {
	m.ev = ev
	if m.round++; m.round == 0 {
		clear(m.visited)
		clear(m.seen)
		m.round = 1
	}
	for _, p := range m.present {
		m.count[p] = 0
	}
	m.present, m.hits = m.present[:0], m.hits[:0]
	m.at = append(m.at[:0], 0)
	for _, st := range ev.steps[1:] {
		at := int32(-1)
		if up := m.at[st.parent]; up >= 0 {
			if below, ok := m.set.paths[up].children[string(st.key)]; ok {
				at = below
			}
		}
		m.at = append(m.at, at)
	}
	total := int32(0)
	for i := range ev.leaves {
		if p := m.at[ev.leaves[i].step]; p > 0 {
			if m.count[p] == 0 {
				m.present = append(m.present, p)
			}
			m.count[p]++
			total++
		}
	}
	slices.Sort(m.present)
	m.leaves = slices.Grow(m.leaves[:0], int(total))[:total]
	next := int32(0)
	for _, p := range m.present {
		m.first[p] = next
		next += m.count[p]
		m.count[p] = 0
	}
	for i := range ev.leaves {
		if p := m.at[ev.leaves[i].step]; p > 0 {
			m.leaves[m.first[p]+m.count[p]] = int32(i)
			m.count[p]++
		}
	}
}

// walk follows from node n every edge the event satisfies and reports the rules complete on the way.
func (m *matcher) walk(n int32, visit func(int)) {
	if m.visited[n] == m.round {
		return
	}
	m.visited[n] = m.round
	node := &m.set.nodes[n]
	for _, r := range node.rules {
		m.complete(&m.set.rules[r], visit)
	}
	base := len(m.hits)
	m.edges(node)
	for _, l := range node.lacks {
		// Within arrays a field may be absent from one element and present in another: complete decides.
		if m.count[l.path] == 0 || len(m.ev.elems) > 1 {
			m.hits = append(m.hits, l.node)
		}
	}
	for i := base; i < len(m.hits); i++ {
		m.walk(m.hits[i], visit)
	}
	m.hits = m.hits[:base]
}

// edges follows the node's edges on paths that the event has, looking through the fewer of the two.
func (m *matcher) edges(n *node) {
	if len(n.edges) <= len(m.present) {
		for i := range n.edges {
			m.follow(&n.edges[i])
		}
		return
	}
	for _, p := range m.present {
		i, ok := slices.BinarySearchFunc(n.edges, p, func(e edge, p int32) int { return cmp.Compare(e.path, p) })
		if ok {
			m.follow(&n.edges[i])
		}
	}
}

// follow adds to hits where the event's leaves on the edge's path lead.
func (m *matcher) follow(e *edge) {
	for _, i := range m.on(e.path) {
		e.index.find(&m.ev.leaves[i].value, m)
	}
}

// on returns the leaves on a path.
func (m *matcher) on(p int32) []int32 {
	if m.count[p] == 0 {
		return nil
	}
	return m.leaves[m.first[p]:][:m.count[p]]
}

// complete reports a rule all of whose constraints some leaf satisfies, when they
// are satisfied together.
func (m *matcher) complete(r *rule, visit func(int)) {
	if m.seen[r.owner] == m.round {
		return
	}
	if r.deep && len(m.ev.elems) > 1 {
		m.failed = m.failed[:0]
		for range r.all {
			m.failed = append(m.failed, -1)
		}
		if !m.together(r, 0, 0) {
			return
		}
	}
	m.seen[r.owner] = m.round
	visit(r.id)
}

// together reports whether the constraints from k on can be satisfied by leaves that lie, as far as they share
// arrays with elem and each other, in the same elements. The constraints are in the order of their paths, so that
// those below one array are neighbours: what follows depends on the past only through elem.
func (m *matcher) together(r *rule, k int, elem int32) bool {
	if k == len(r.all) {
		return true
	}
	elem = m.around(elem, r.at[k])
	if m.failed[k] == elem {
		return false
	}
	c, p, end := &r.all[k], r.at[k], m.ev.elems[elem].end
	leaves := m.on(p)
	from, _ := slices.BinarySearchFunc(leaves, elem, func(i, elem int32) int { return cmp.Compare(m.ev.leaves[i].elem, elem) })
	tried, found := int32(-1), false
	for _, i := range leaves[from:] {
		l := &m.ev.leaves[i]
		if l.elem >= end {
			break
		}
		found = true
		next := l.elem
		if k+1 < len(r.all) {
			next = m.around(next, r.at[k+1])
		}
		if next == tried || !c.accepts(&l.value) {
			continue
		}
		tried = next
		if m.together(r, k+1, l.elem) {
			return true
		}
	}
	if c.absent && !found && m.together(r, k+1, elem) {
		return true
	}
	m.failed[k] = elem
	return false
}

func (c *constraint) accepts(v *value) bool {
	for i := range c.terms {
		if c.terms[i].accepts(v) {
			return true
		}
	}
	return false
}

// around returns the innermost element around elem (or itself) of an array that p is at or below.
func (m *matcher) around(elem, p int32) int32 {
	for elem > 0 {
		e := &m.ev.elems[elem]
		if at := m.at[e.step]; at > 0 && at <= p && p < m.set.paths[at].end {
			return elem
		}
		elem = e.parent
	}
	return 0
}
