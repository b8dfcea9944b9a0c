package pattern

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Set is many patterns, each under a number of the caller's. Add them all, then match: the first
// match builds the index, and nothing may be added after it. Matching is safe for concurrent use.
//
// Every conjunction becomes a way down a tree whose edges are constraints, the most
// telling first; conjunctions that begin alike share their nodes. At a node, the edges
// on one path are indexed by value.
type Set struct {
	rules    []rule
	owners   map[int]int32
	once     sync.Once
	nodes    []node
	paths    []path // 0 is the event itself; parents before children, a subtree is contiguous
	matchers sync.Pool
}

// rule is one conjunction of one pattern.
type rule struct {
	id    int
	owner int32 // the same for all rules of an id
	all   conjunction
	at    []int32 // the paths of all, in order, which is that of path numbers
	deep  bool    // has several constraints, or one on absence: elements of arrays may matter
}

// path is a node of the tree of all paths the patterns name.
type path struct {
	end      int32 // one past the last path below
	children map[string]int32
}

// node is a place in the tree of constraints.
type node struct {
	rules []int32 // those complete here
	edges []edge  // by path
	lacks []lack
}

type edge struct {
	path  int32
	index *index
}

// lack is an edge for the absence of a path.
type lack struct{ path, node int32 }

// NewSet returns an empty set.
func NewSet() *Set { return &Set{owners: map[int]int32{}} }

// Add puts a pattern in the set. Patterns added under one id are alternatives.
func (s *Set) Add(id int, p *Pattern) {
	owner, ok := s.owners[id]
	if !ok {
		owner = int32(len(s.owners))
		s.owners[id] = owner
	}
	for _, all := range p.any {
		s.rules = append(s.rules, rule{id: id, owner: owner, all: slices.Clone(all)})
	}
}

// Len returns the number of conjunctions in the set.
func (s *Set) Len() int { return len(s.rules) }

// build makes the tree of paths and the tree of constraints.
func (s *Set) build() {
	popular := map[string]int{}
	for _, r := range s.rules {
		for _, c := range r.all {
			popular[c.path]++
		}
	}
	number := s.buildPaths(popular)
	g := grower{children: map[branch]int32{}, edges: map[branch][]entry{}, lacks: map[int32][]lack{}}
	g.grow()
	for i := range s.rules {
		r := &s.rules[i]
		slices.SortFunc(r.all, func(a, b constraint) int { return cmp.Compare(number[a.path], number[b.path]) })
		r.deep = len(r.all) > 1
		for _, c := range r.all {
			r.at = append(r.at, number[c.path])
			r.deep = r.deep || c.absent
		}
		order := make([]*constraint, len(r.all))
		for j := range r.all {
			order[j] = &r.all[j]
		}
		slices.SortFunc(order, func(a, b *constraint) int {
			return cmp.Or(cmp.Compare(a.cost(), b.cost()), cmp.Compare(popular[b.path], popular[a.path]), strings.Compare(a.path, b.path))
		})
		at := int32(0)
		for _, c := range order {
			at = g.child(at, number[c.path], c)
		}
		g.complete[at] = append(g.complete[at], int32(i))
	}
	s.nodes = g.nodes()
	s.matchers.New = func() any {
		return &matcher{set: s, visited: make([]uint32, len(s.nodes)), seen: make([]uint32, len(s.owners)),
			first: make([]int32, len(s.paths)), count: make([]int32, len(s.paths))}
	}
}

// buildPaths numbers the paths so that those below a path follow it.
func (s *Set) buildPaths(names map[string]int) map[string]int32 {
	type tree map[string]any
	root := tree{}
	for name := range names {
		at := root
		for step := range strings.SplitSeq(name, ".") {
			below, ok := at[step].(tree)
			if !ok {
				below = tree{}
				at[step] = below
			}
			at = below
		}
	}
	number := map[string]int32{}
	var lay func(t tree, name string)
	lay = func(t tree, name string) {
		at := int32(len(s.paths))
		s.paths = append(s.paths, path{children: make(map[string]int32, len(t))})
		for _, step := range slices.Sorted(maps.Keys(t)) {
			below := step
			if at > 0 {
				below = name + "." + step
			}
			s.paths[at].children[step] = int32(len(s.paths))
			number[below] = int32(len(s.paths))
			lay(t[step].(tree), below)
		}
		s.paths[at].end = int32(len(s.paths))
	}
	lay(root, "")
	return number
}

// cost ranks constraints by how many events they let pass: those that pass few come first.
func (c *constraint) cost() int {
	cost := 0
	if c.absent {
		cost = 4
	}
	for _, t := range c.terms {
		switch t.op {
		case opExists, opNot:
			cost = max(cost, 3)
		case opRange:
			cost = max(cost, 2)
		case opPrefix, opPrefixFold, opSuffix, opSuffixFold, opCIDR, opWildcard:
			cost = max(cost, 1)
		}
	}
	return cost
}

// branch is the place of a node below another: by path alone, or by a whole constraint.
type branch struct {
	node, path int32
	label      string
}

// grower builds the tree of constraints.
type grower struct {
	children map[branch]int32
	edges    map[branch][]entry
	order    []branch // of edges, as first met
	lacks    map[int32][]lack
	complete [][]int32
}

func (g *grower) grow() int32 {
	g.complete = append(g.complete, nil)
	return int32(len(g.complete) - 1)
}

// child returns the node that c leads to from at, made when there was none.
func (g *grower) child(at, path int32, c *constraint) int32 {
	var label strings.Builder
	c.label(&label)
	key := branch{at, path, label.String()}
	if node, ok := g.children[key]; ok {
		return node
	}
	node := g.grow()
	g.children[key] = node
	if c.absent {
		g.lacks[at] = append(g.lacks[at], lack{path, node})
	}
	key.label = ""
	if len(c.terms) > 0 && g.edges[key] == nil {
		g.order = append(g.order, key)
	}
	for i := range c.terms {
		g.edges[key] = append(g.edges[key], entry{&c.terms[i], node})
	}
	return node
}

func (g *grower) nodes() []node {
	nodes := make([]node, len(g.complete))
	for i := range nodes {
		nodes[i] = node{rules: g.complete[i], lacks: g.lacks[int32(i)]}
	}
	for _, b := range g.order {
		nodes[b.node].edges = append(nodes[b.node].edges, edge{b.path, newIndex(g.edges[b])})
	}
	for i := range nodes {
		slices.SortFunc(nodes[i].edges, func(a, b edge) int { return cmp.Compare(a.path, b.path) })
	}
	return nodes
}
