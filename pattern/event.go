package pattern

import (
	"bytes"
	"errors"
	"fmt"
)

// valueKind is the JSON type of a leaf.
type valueKind uint8

const (
	stringValue valueKind = iota
	numberValue
	trueValue
	falseValue
	nullValue
)

// literals are the words of the kinds that have only one value.
var literals = [...]string{trueValue: "true", falseValue: "false", nullValue: "null"}

// value is a leaf: a string without its quotes, or the text of any other scalar.
type value struct {
	kind       valueKind
	comparable bool // number holds its value in millionths
	number     int64
	text       []byte
}

// Event is a flattened event: its leaves, each with its path and the array
// elements it lies in. It may be matched many times, also concurrently. It keeps
// the bytes it was made from.
type Event struct {
	steps  []step    // every key, parents before children; 0 is the event itself
	leaves []leaf    // in the order of the text
	elems  []element // array elements that hold objects or arrays; 0 is the event itself
}

// step is one step of a path: a key below its parent. Keys are split at dots, since AWS
// joins paths with dots and does not tell "a.b" from b below a.
type step struct {
	parent int32
	key    []byte
}

type leaf struct {
	step int32
	elem int32 // the innermost element around it
	value
}

// element is an array element that holds an object or an array. Elements are numbered in the order they
// begin, so those inside number i are i+1 … end-1.
type element struct {
	parent int32
	step   int32 // the array's
	end    int32
}

// Flatten reads an event, which must be one JSON object. The event's bytes must not change afterwards.
func Flatten(event []byte) (*Event, error) {
	if len(event) > MaxSize {
		return nil, fmt.Errorf("the event has %d bytes; the most is %d", len(event), MaxSize)
	}
	s := &flattener{scanner: scanner{b: event}}
	if s.front() != '{' {
		return nil, errors.New("Event must be a JSON object")
	}
	s.ev = newEvent(len(event))
	if err := s.object(0); err != nil {
		return nil, err
	}
	if s.front(); s.pos < len(s.b) {
		return nil, s.unexpected("the end of the event")
	}
	s.ev.elems[0].end = int32(len(s.ev.elems))
	return s.ev, nil
}

// newEvent makes room for what an event of so many bytes usually has.
func newEvent(size int) *Event {
	leaves := min(size/20+4, 1024)
	return &Event{
		steps:  make([]step, 1, leaves+leaves/4),
		leaves: make([]leaf, 0, leaves),
		elems:  make([]element, 1, 4),
	}
}

type flattener struct {
	scanner
	ev   *Event
	elem int32
}

// object flattens the object whose brace is next, at step at.
func (s *flattener) object(at int32) error {
	s.pos++
	if err := s.enter(); err != nil {
		return err
	}
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return s.unexpected("comma to separate Object entries")
		}
		key, err := s.key()
		if err != nil {
			return err
		}
		if err := s.value(s.ev.descend(at, key)); err != nil {
			return err
		}
	}
	s.depth--
	return nil
}

// descend adds the steps of key below at and returns the last.
func (ev *Event) descend(at int32, key []byte) int32 {
	for {
		dot := bytes.IndexByte(key, '.')
		if dot < 0 {
			ev.steps = append(ev.steps, step{at, key})
			return int32(len(ev.steps) - 1)
		}
		ev.steps = append(ev.steps, step{at, key[:dot]})
		at, key = int32(len(ev.steps)-1), key[dot+1:]
	}
}

// value flattens the value that is next, at step at.
func (s *flattener) value(at int32) error {
	switch s.front() {
	case '{':
		return s.object(at)
	case '[':
		return s.array(at)
	}
	v, err := s.scalar()
	if err != nil {
		return err
	}
	s.ev.leaves = append(s.ev.leaves, leaf{at, s.elem, v})
	return nil
}

// array flattens the array whose bracket is next. Scalars in it are leaves
// at the array's own path; objects and arrays become elements.
func (s *flattener) array(at int32) error {
	s.pos++
	if err := s.enter(); err != nil {
		return err
	}
	for first := true; !s.take(']'); first = false {
		if !first && !s.take(',') {
			return s.unexpected("comma to separate Array entries")
		}
		outer := s.elem
		c := s.front()
		if c == '{' || c == '[' {
			s.elem = int32(len(s.ev.elems))
			s.ev.elems = append(s.ev.elems, element{parent: outer, step: at})
		}
		if err := s.value(at); err != nil {
			return err
		}
		if s.elem != outer {
			s.ev.elems[s.elem].end = int32(len(s.ev.elems))
			s.elem = outer
		}
	}
	s.depth--
	return nil
}

// Attribute is an SNS message attribute as filter policies see it.
type Attribute struct {
	Name  string
	Type  string // the data type: String, Number, String.Array, Binary, or one with a label (String.label)
	Value string
}

// FromAttributes makes an event of message attributes: strings and numbers are leaves, the
// elements of a String.Array one leaf each; other types are left out, as SNS ignores them. A Number or
// String.Array that does not hold what its type says is left out too.
func FromAttributes(attributes []Attribute) *Event {
	ev := &Event{
		steps:  make([]step, 1, 1+len(attributes)),
		leaves: make([]leaf, 0, len(attributes)),
		elems:  make([]element, 1),
	}
	for _, a := range attributes {
		s := &flattener{scanner: scanner{b: []byte(a.Value)}, ev: ev}
		switch a.Type {
		case "String":
			at := ev.descend(0, []byte(a.Name))
			ev.leaves = append(ev.leaves, leaf{step: at, value: value{kind: stringValue, text: s.b}})
		case "Number":
			v, err := s.scalar()
			if err == nil && v.kind == numberValue && s.pos == len(s.b) {
				ev.leaves = append(ev.leaves, leaf{step: ev.descend(0, []byte(a.Name)), value: v})
			}
		case "String.Array":
			had := *ev
			if s.front() != '[' || s.array(ev.descend(0, []byte(a.Name))) != nil {
				*ev = had
			}
		}
	}
	ev.elems[0].end = int32(len(ev.elems))
	return ev
}
