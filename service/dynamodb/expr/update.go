package expr

import (
	"cmp"
	"slices"
	"strconv"

	"fogbank/wire/attribute"
)

// Change is an update bound to a request.
type Change struct {
	env
	actions []action
}

// Change binds an UpdateExpression; a nil text gives the Change that changes nothing.
func (r *Request) Change(text *string) (Change, error) {
	if text == nil {
		return Change{}, nil
	}
	e, err := r.bind(Update, *text)
	if err != nil {
		return Change{}, err
	}
	c := Change{env: e, actions: e.tree.actions}
	for i := range c.actions {
		if err := c.checkAction(&c.actions[i]); err != nil {
			return Change{}, err
		}
	}
	if err := c.checkPaths(len(c.actions), func(i int) path { return c.actions[i].target }); err != nil {
		return Change{}, err
	}
	c.order()
	return c, nil
}

var typeWords = [...]string{"", "STRING", "NUMBER", "BINARY", "BOOLEAN", "NULL", "LIST", "MAP", "STRING_SET", "NUMBER_SET", "BINARY_SET", ""}

func (e *env) checkAction(a *action) error {
	if err := e.checkPath(a.target); err != nil {
		return err
	}
	if a.verb == remove {
		return nil
	}
	if err := e.checkOperand(&a.value); err != nil {
		return err
	}
	if a.verb == set {
		return nil
	}
	t := e.values[a.value.value].Type()
	if !t.IsSet() && (a.verb == del || t != attribute.TypeN) {
		return e.errorf("Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: ALLOWED_FOR_%s_OPERAND",
			verbNames[a.verb], typeWords[t], verbNames[a.verb])
	}
	return nil
}

// order puts actions on list elements so that indexes keep meaning the elements of the item as it was: values
// set from the lowest index up, those beyond the end being appended in turn, and removals from the highest down.
func (c *Change) order() {
	if !c.tree.indexed {
		return
	}
	c.actions = slices.Clone(c.actions)
	slices.SortStableFunc(c.actions, func(a, b action) int {
		if (a.verb == remove) != (b.verb == remove) {
			if a.verb == remove {
				return 1
			}
			return -1
		}
		for i := range min(len(a.target), len(b.target)) {
			if d := cmp.Compare(a.target[i].index, b.target[i].index); d != 0 {
				if a.verb == remove {
					return -d
				}
				return d
			}
		}
		return 0
	})
}

// Targets returns the Selection of what the change writes, for UPDATED_OLD and UPDATED_NEW.
func (c *Change) Targets() Selection {
	s := Selection{env: c.env, paths: make([]path, len(c.actions))}
	for i := range c.actions {
		s.paths[i] = c.actions[i].target
	}
	return s
}

// Writes reports whether the change has an action on the top-level attribute or below it.
func (c *Change) Writes(name string) bool {
	for i := range c.actions {
		if c.name(&c.actions[i].target[0]) == name {
			return true
		}
	}
	return false
}

// Of returns the item changed, leaving the given one as it is. Operands see the item as it was before.
func (c *Change) Of(item attribute.Item) (attribute.Item, error) {
	out := make(attribute.Item, len(item), len(item)+len(c.actions))
	copy(out, item)
	for i := range c.actions {
		a := &c.actions[i]
		v, err := c.assigned(a, item)
		if err != nil {
			return nil, err
		}
		if out, err = c.top(out, a, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

var (
	errMissing = validation("The provided expression refers to an attribute that does not exist in the item")
	errType    = validation("An operand in the update expression has an incorrect data type")
	errPath    = validation("The document path provided in the update expression is invalid for update")
)

// assigned computes what an action leaves at its target; the zero Value means nothing.
func (e *env) assigned(a *action, item attribute.Item) (attribute.Value, error) {
	switch a.verb {
	case remove:
		return attribute.Value{}, nil
	case set:
		return e.compute(&a.value, item)
	}
	old, present := e.lookup(a.target, item)
	v := e.values[a.value.value]
	switch {
	case !present && a.verb == add:
		return v, nil
	case !present:
		return attribute.Value{}, nil
	case old.Type() != v.Type():
		return v, errType
	case a.verb == del:
		return old.Difference(v), nil
	case v.Type() == attribute.TypeN:
		sum := old.Add(v)
		return sum, sum.Check()
	case v.Type() == attribute.TypeL: // AttributeUpdates only
		return attribute.L(slices.Concat(old.List(), v.List())...), nil
	}
	return old.Union(v), nil
}

func (e *env) compute(o *operand, item attribute.Item) (attribute.Value, error) {
	switch o.kind {
	case valueOperand:
		return e.values[o.value], nil
	case pathOperand:
		v, ok := e.lookup(o.path, item)
		if !ok {
			return v, errMissing
		}
		return v, nil
	case ifNotExists:
		if v, ok := e.lookup(o.args[0].path, item); ok {
			return v, nil
		}
		return e.compute(&o.args[1], item)
	}
	a, err := e.compute(&o.args[0], item)
	if err != nil {
		return a, err
	}
	b, err := e.compute(&o.args[1], item)
	if err != nil {
		return b, err
	}
	if o.kind == listAppend {
		if a.Type() != attribute.TypeL || b.Type() != attribute.TypeL {
			return a, errType
		}
		return attribute.L(slices.Concat(a.List(), b.List())...), nil
	}
	if a.Type() != attribute.TypeN || b.Type() != attribute.TypeN {
		return a, errType
	}
	if o.kind == plus {
		a = a.Add(b)
	} else {
		a = a.Subtract(b)
	}
	return a, a.Check()
}

// top puts v, or nothing, at the action's target in item, which it may change in place.
func (e *env) top(item attribute.Item, a *action, v attribute.Value) (attribute.Item, error) {
	name := e.name(&a.target[0])
	i, ok := slices.BinarySearchFunc(item, name, func(x attribute.Attribute, n string) int { return cmp.Compare(x.Name, n) })
	if len(a.target) > 1 {
		if !ok {
			return nil, errPath
		}
		inner, err := e.inside(item[i].Value, a.target[1:], a.verb, v)
		item[i].Value = inner
		return item, err
	}
	switch none := v.Type() == attribute.TypeNone; {
	case none && ok:
		return slices.Delete(item, i, i+1), nil
	case none:
		return item, nil
	case ok:
		item[i].Value = v
		return item, nil
	}
	return slices.Insert(item, i, attribute.Attribute{Name: name, Value: v}), nil
}

// inside returns the container with v, or nothing, at the path below it.
func (e *env) inside(container attribute.Value, p path, by verb, v attribute.Value) (attribute.Value, error) {
	s := &p[0]
	if want := attribute.TypeL; s.index < 0 && container.Type() != attribute.TypeM || s.index >= 0 && container.Type() != want {
		return container, errPath
	}
	if len(p) > 1 {
		child, ok := e.child(container, s)
		if !ok {
			return container, errPath
		}
		var err error
		if v, err = e.inside(child, p[1:], by, v); err != nil {
			return container, err
		}
	}
	none := v.Type() == attribute.TypeNone
	if s.index < 0 {
		if none {
			return attribute.M(container.Map().Without(e.name(s))), nil
		}
		return attribute.M(container.Map().With(e.name(s), v)), nil
	}
	list := slices.Clone(container.List())
	switch {
	case none && s.index < len(list):
		list = slices.Delete(list, s.index, s.index+1)
	case none:
	case s.index < len(list):
		list[s.index] = v
	default:
		list = append(list, v)
	}
	return attribute.L(list...), nil
}

func count(n int) attribute.Value { return attribute.N(strconv.Itoa(n)) }
