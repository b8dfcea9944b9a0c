package partiql

import (
	"strconv"
	"strings"

	"fogbank/wire/attribute"
)

// Placeholders writes parts of statements in DynamoDB's expression language, putting numbered placeholders for
// all names and values. The zero Placeholders is ready for use; those of one request share one.
type Placeholders struct {
	numbers map[string]string // "#0" by attribute name
	names   map[string]string // attribute name by "#0"
	values  []attribute.Attribute
}

// Names returns the ExpressionAttributeNames, nil when there are none.
func (h *Placeholders) Names() map[string]string { return h.names }

// Values returns the ExpressionAttributeValues, nil when there are none.
func (h *Placeholders) Values() attribute.Item {
	if h.values == nil {
		return nil
	}
	return attribute.MakeItem(append([]attribute.Attribute(nil), h.values...)...)
}

func (h *Placeholders) name(s string) string {
	if n, ok := h.numbers[s]; ok {
		return n
	}
	if h.numbers == nil {
		h.numbers, h.names = map[string]string{}, map[string]string{}
	}
	n := "#" + strconv.Itoa(len(h.numbers))
	h.numbers[s], h.names[n] = n, s
	return n
}

func (h *Placeholders) value(v attribute.Value) string {
	n := ":" + strconv.Itoa(len(h.values))
	h.values = append(h.values, attribute.Attribute{Name: n, Value: v})
	return n
}

// Path writes a document path.
func (h *Placeholders) Path(p Path) string {
	var b strings.Builder
	for i, s := range p {
		if s.Index >= 0 {
			b.WriteString("[" + strconv.Itoa(s.Index) + "]")
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(h.name(s.Name))
	}
	return b.String()
}

func (h *Placeholders) operand(o *Operand) string {
	switch {
	case o.Path == nil:
		return h.value(o.Value)
	case o.Size:
		return "size(" + h.Path(o.Path) + ")"
	}
	return h.Path(o.Path)
}

// Condition writes a condition.
func (h *Placeholders) Condition(c *Condition) string {
	switch c.Op {
	case And, Or:
		word := " AND "
		if c.Op == Or {
			word = " OR "
		}
		kids := make([]string, len(c.Kids))
		for i, kid := range c.Kids {
			kids[i] = h.Condition(kid)
			if kid.Op <= Or {
				kids[i] = "(" + kids[i] + ")"
			}
		}
		return strings.Join(kids, word)
	case Not:
		inner := h.Condition(c.Kids[0])
		if c.Kids[0].Op <= Or {
			inner = "(" + inner + ")"
		}
		return "NOT " + inner
	}
	args := make([]string, len(c.Args))
	for i := range c.Args {
		args[i] = h.operand(&c.Args[i])
	}
	switch c.Op {
	case Between:
		return args[0] + " BETWEEN " + args[1] + " AND " + args[2]
	case In:
		return args[0] + " IN (" + strings.Join(args[1:], ",") + ")"
	case Missing:
		return "attribute_not_exists(" + args[0] + ")"
	case HasType, BeginsWith, Contains:
		return map[Operator]string{HasType: "attribute_type", BeginsWith: "begins_with", Contains: "contains"}[c.Op] + "(" + args[0] + "," + args[1] + ")"
	}
	return args[0] + [...]string{"=", "<>", "<", "<=", ">", ">="}[c.Op-Equal] + args[1]
}

// Update writes the changes of an UPDATE.
func (h *Placeholders) Update(s *Statement) string {
	var sections [4][]string
	const set, remove, add, del = 0, 1, 2, 3
	for i := range s.Sets {
		x := &s.Sets[i]
		target := h.Path(x.Target)
		switch x.Change {
		case Assign:
			sections[set] = append(sections[set], target+"="+h.operand(&x.Args[0]))
		case Plus:
			sections[set] = append(sections[set], target+"="+h.operand(&x.Args[0])+"+"+h.operand(&x.Args[1]))
		case Minus:
			sections[set] = append(sections[set], target+"="+h.operand(&x.Args[0])+"-"+h.operand(&x.Args[1]))
		case ListAppend:
			sections[set] = append(sections[set], target+"=list_append("+h.operand(&x.Args[0])+","+h.operand(&x.Args[1])+")")
		case SetAdd:
			sections[add] = append(sections[add], target+" "+h.operand(&x.Args[1]))
		case SetDelete:
			sections[del] = append(sections[del], target+" "+h.operand(&x.Args[1]))
		}
	}
	for _, p := range s.Removes {
		sections[remove] = append(sections[remove], h.Path(p))
	}
	var out []string
	for i, word := range [...]string{"SET ", "REMOVE ", "ADD ", "DELETE "} {
		if sections[i] != nil {
			out = append(out, word+strings.Join(sections[i], ","))
		}
	}
	return strings.Join(out, " ")
}
