// Package attribute is DynamoDB's data: AttributeValue, the item made of named
// ones, their JSON and stored forms, exact decimal numbers and the
// order-preserving bytes of keys.
//
// A Value is sixteen bytes and immutable. JSON is parsed straight into it, with
// one buffer for all the text of an item, so a flat item costs two allocations
// whatever its attributes; the stored form is read back the same way.
//
// What a client got wrong inside a value (an empty set, a number out of range)
// does not fail the parsing, since DynamoDB reports it only after it has
// checked the request around it: the value becomes invalid and Check returns
// the error in DynamoDB's words.
package attribute

import (
	"slices"
	"strings"
	"unsafe"
)

// Type is a DynamoDB data type.
type Type uint8

// The data types. TypeNone is the zero Value's, which is no valid attribute.
const (
	TypeNone Type = iota
	TypeS
	TypeN
	TypeB
	TypeBOOL
	TypeNULL
	TypeL
	TypeM
	TypeSS
	TypeNS
	TypeBS
	typeInvalid // text holds the error's message
)

var typeNames = [...]string{"", "S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS", "invalid"}

// String returns the descriptor, such as "S" or "BOOL".
func (t Type) String() string { return typeNames[t] }

// ParseType returns the type with the descriptor s, or TypeNone.
func ParseType(s string) Type {
	for t := TypeS; t <= TypeBS; t++ {
		if typeNames[t] == s {
			return t
		}
	}
	return TypeNone
}

// IsSet reports whether t is SS, NS or BS.
func (t Type) IsSet() bool { return t >= TypeSS && t <= TypeBS }

// Element returns the type of the elements of a set type, otherwise TypeNone.
func (t Type) Element() Type {
	if !t.IsSet() {
		return TypeNone
	}
	return t - TypeSS + TypeS
}

// Value is one AttributeValue. The zero Value holds nothing.
//
// The pointer and length stand for a string (S, N, B), a []Value (L and the
// sets) or an Item (M): a third of the size of one field for each, which
// halves the memory of a page of items. The type guards each access.
type Value struct {
	_    [0]func() // pointers compare as equal only by chance: use Equal
	typ  Type
	flag bool
	size uint32
	data unsafe.Pointer
}

// Attribute is a named value.
type Attribute struct {
	Name  string
	Value Value
}

// Item is a set of named values, sorted by name without duplicates: an item, a key, a
// map, or ExpressionAttributeValues. A nil Item is an absent one.
type Item []Attribute

func textual(t Type, s string) Value {
	return Value{typ: t, size: uint32(len(s)), data: unsafe.Pointer(unsafe.StringData(s))}
}

func listed(t Type, list []Value) Value {
	return Value{typ: t, size: uint32(len(list)), data: unsafe.Pointer(unsafe.SliceData(list))}
}

func invalid(message string) Value { return textual(typeInvalid, message) }

// S returns a string.
func S(s string) Value { return textual(TypeS, s) }

// N returns the number written in text, normalised; the value is invalid when it is no number DynamoDB takes.
func N(text string) Value {
	n, problem := normalise(text)
	if problem != "" {
		return invalid(problem)
	}
	return textual(TypeN, n)
}

// B returns binary data, which is copied.
func B(b []byte) Value { return textual(TypeB, string(b)) }

// BOOL returns a boolean.
func BOOL(b bool) Value { return Value{typ: TypeBOOL, flag: b} }

// NULL returns the null value.
func NULL() Value { return Value{typ: TypeNULL} }

// L returns a list; the slice must not change afterwards.
func L(list ...Value) Value { return listed(TypeL, list) }

// M returns a map; the item must be sorted, as MakeItem makes it, and must not change afterwards.
func M(item Item) Value {
	return Value{typ: TypeM, size: uint32(len(item)), data: unsafe.Pointer(unsafe.SliceData(item))}
}

// SS returns a set of strings.
func SS(elements ...string) Value { return setOf(TypeSS, elements) }

// NS returns a set of numbers.
func NS(elements ...string) Value { return setOf(TypeNS, elements) }

// BS returns a set of binaries, each given as a string of its bytes.
func BS(elements ...string) Value { return setOf(TypeBS, elements) }

func setOf(t Type, elements []string) Value {
	list := make([]Value, len(elements))
	for i, e := range elements {
		if t == TypeNS {
			list[i] = N(e)
		} else {
			list[i] = textual(t.Element(), e)
		}
	}
	return Set(t, list)
}

// Type returns the value's data type.
func (v Value) Type() Type { return v.typ }

// Text returns the text of an S, the normalised digits of an N, the bytes of a B; "" for others.
func (v Value) Text() string {
	if v.typ == TypeS || v.typ == TypeN || v.typ == TypeB || v.typ == typeInvalid {
		return unsafe.String((*byte)(v.data), int(v.size))
	}
	return ""
}

// Bool returns a BOOL's truth.
func (v Value) Bool() bool { return v.flag }

// List returns the elements of an L or a set, not to be changed; nil for others.
func (v Value) List() []Value {
	if v.typ == TypeL || v.typ.IsSet() {
		return unsafe.Slice((*Value)(v.data), int(v.size))
	}
	return nil
}

// Map returns the members of an M, not to be changed; nil for others.
func (v Value) Map() Item {
	if v.typ == TypeM && v.data == nil {
		return Item{}
	}
	if v.typ == TypeM {
		return unsafe.Slice((*Attribute)(v.data), int(v.size))
	}
	return nil
}

// Len returns the number of elements of an L, M or set, the bytes of an S or B.
func (v Value) Len() int { return int(v.size) }

// MakeItem sorts attributes into an Item; of two with one name the later stays. It reuses the slice.
func MakeItem(attributes ...Attribute) Item {
	if attributes == nil {
		return Item{}
	}
	if !slices.IsSortedFunc(attributes, byName) {
		slices.SortStableFunc(attributes, byName)
	}
	n := 0
	for i := range attributes {
		if n > 0 && attributes[n-1].Name == attributes[i].Name {
			n--
		}
		attributes[n] = attributes[i]
		n++
	}
	return attributes[:n]
}

func byName(a, b Attribute) int { return strings.Compare(a.Name, b.Name) }

func (it Item) find(name string) (int, bool) {
	if len(it) <= 8 {
		for i := range it {
			if it[i].Name >= name {
				return i, it[i].Name == name
			}
		}
		return len(it), false
	}
	return slices.BinarySearchFunc(it, name, func(a Attribute, n string) int { return strings.Compare(a.Name, n) })
}

// Get returns the value called name.
func (it Item) Get(name string) (Value, bool) {
	if i, ok := it.find(name); ok {
		return it[i].Value, true
	}
	return Value{}, false
}

// Has reports whether there is a value called name.
func (it Item) Has(name string) bool { _, ok := it.find(name); return ok }

// With returns a copy of the item in which name has the value v.
func (it Item) With(name string, v Value) Item {
	i, ok := it.find(name)
	out := make(Item, 0, len(it)+1)
	out = append(append(out, it[:i]...), Attribute{name, v})
	if ok {
		i++
	}
	return append(out, it[i:]...)
}

// Without returns the item without name: itself when there was none, otherwise a copy.
func (it Item) Without(name string) Item {
	i, ok := it.find(name)
	if !ok {
		return it
	}
	out := make(Item, 0, len(it))
	return append(append(out, it[:i]...), it[i+1:]...)
}

// Equal reports whether both hold the same names with equal values.
func (it Item) Equal(other Item) bool {
	if len(it) != len(other) {
		return false
	}
	for i := range it {
		if it[i].Name != other[i].Name || !it[i].Value.Equal(other[i].Value) {
			return false
		}
	}
	return true
}

// Equal reports whether v and o have the same type and content; sets without regard to order.
func (v Value) Equal(o Value) bool {
	if v.typ != o.typ || v.size != o.size || v.flag != o.flag {
		return false
	}
	switch v.typ {
	case TypeS, TypeN, TypeB, typeInvalid:
		return v.Text() == o.Text()
	case TypeM:
		return v.Map().Equal(o.Map())
	}
	a, b := v.List(), o.List()
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}

// Compare orders two strings (by UTF-8 bytes), two numbers or two binaries; ok is false for anything else.
func (v Value) Compare(o Value) (order int, ok bool) {
	if v.typ != o.typ {
		return 0, false
	}
	switch v.typ {
	case TypeS, TypeB:
		return strings.Compare(v.Text(), o.Text()), true
	case TypeN:
		return compareNumbers(v.Text(), o.Text()), true
	}
	return 0, false
}

// Contains reports whether the set or list v has an element equal to e.
func (v Value) Contains(e Value) bool {
	if v.typ.IsSet() {
		_, ok := slices.BinarySearchFunc(v.List(), e, elementOrder)
		return ok && v.typ.Element() == e.typ
	}
	return slices.ContainsFunc(v.List(), e.Equal)
}

func elementOrder(a, b Value) int {
	if a.typ == TypeN && b.typ == TypeN {
		return compareNumbers(a.Text(), b.Text())
	}
	return strings.Compare(a.Text(), b.Text())
}

// Set returns a set of type t holding elements, which it sorts in place; without elements or with
// duplicates the value is invalid.
func Set(t Type, elements []Value) Value {
	if len(elements) == 0 {
		return invalid(emptySet(t))
	}
	for _, e := range elements {
		if e.typ != t.Element() {
			return e
		}
	}
	if slices.IsSortedFunc(elements, elementOrder) && !hasTwins(elements) {
		return listed(t, elements)
	}
	order := slices.Clone(elements)
	slices.SortFunc(elements, elementOrder)
	if hasTwins(elements) {
		return invalid(duplicates(t, order))
	}
	return listed(t, elements)
}

func hasTwins(sorted []Value) bool {
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Text() == sorted[i-1].Text() {
			return true
		}
	}
	return false
}

// Union returns the set v with the elements of the set o, which has the same type.
func (v Value) Union(o Value) Value {
	out := make([]Value, 0, v.size+o.size)
	a, b := v.List(), o.List()
	for len(a) > 0 && len(b) > 0 {
		c := elementOrder(a[0], b[0])
		if c <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out = append(out, b[0])
		}
		if c >= 0 {
			b = b[1:]
		}
	}
	return listed(v.typ, append(append(out, a...), b...))
}

// Difference returns the set v without the elements of o; the zero Value when nothing is left.
func (v Value) Difference(o Value) Value {
	out := make([]Value, 0, v.size)
	for _, e := range v.List() {
		if !o.Contains(e) {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return Value{}
	}
	return listed(v.typ, out)
}

// Size returns the bytes DynamoDB counts for the value: text and binaries as they are, numbers about
// a byte for two digits, three for a list or map and one more for each element.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func (v Value) Size() int {
	switch v.typ {
	case TypeS, TypeB:
		return int(v.size)
	case TypeN:
		return numberSize(v.Text())
	case TypeBOOL, TypeNULL:
		return 1
	case TypeM:
		return 3 + len(v.Map()) + v.Map().Size()
	case TypeL:
		n := 3 + int(v.size)
		for _, e := range v.List() {
			n += e.Size()
		}
		return n
	}
	n := 0
	for _, e := range v.List() {
		n += e.Size()
	}
	return n
}

// Size returns the bytes DynamoDB counts for the item: its names and values.
func (it Item) Size() int {
	n := 0
	for i := range it {
		n += len(it[i].Name) + it[i].Value.Size()
	}
	return n
}
