package source

import "fogbank/pattern"

// Filters are patterns of which a record must match one. Without any, all records pass.
type Filters []*pattern.Pattern

// ParseFilters compiles filter patterns.
func ParseFilters(texts []string) (Filters, error) {
	var list Filters
	for _, text := range texts {
		p, err := pattern.Parse(pattern.Filter, []byte(text))
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// Match reports whether a record, JSON, passes.
func (f Filters) Match(record []byte) bool {
	if len(f) == 0 {
		return true
	}
	ev, err := pattern.Flatten(record)
	if err != nil {
		return false
	}
	for _, p := range f {
		if p.MatchEvent(ev) {
			return true
		}
	}
	return false
}
