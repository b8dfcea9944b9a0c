package wire

import (
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// Value is what a hand-written wire type offers on its pointer receiver.
type Value interface {
	// AppendJSON appends the value as JSON.
	AppendJSON(b []byte) []byte
	// ParseJSON reads one JSON value from the front of b, leading space included.
	ParseJSON(b []byte) (rest []byte, err error)
}

// Type reaches into the Go type behind a Shape. Its functions take pointers to
// values of exactly that type.
type Type struct {
	reflect reflect.Type
	size    uintptr // of a list's elements or a map's values

	make func() unsafe.Pointer                              // a new zero value (structure, custom)
	box  func(p unsafe.Pointer) any                         // the *T p is (structure), or the T it points to (others)
	hold func(v any) unsafe.Pointer                         // the reverse; nil when v is not that type
	grow func(p unsafe.Pointer) unsafe.Pointer              // appends a zero element, returns it (list)
	open func(p unsafe.Pointer)                             // makes an empty list or map, not nil
	put  func(p unsafe.Pointer, k string, v unsafe.Pointer) // stores *v (map)
	elem func() unsafe.Pointer                              // a new zero element (map)
	keys func(p unsafe.Pointer, to []string) []string
	get  func(p unsafe.Pointer, k string, v unsafe.Pointer)        // copies the element to *v (map)
	json func(p unsafe.Pointer) Value                              // custom
	none func(p unsafe.Pointer) bool                               // custom: nothing there
	each func(p unsafe.Pointer, visit func(e unsafe.Pointer) bool) // runs through the Events p points to
}

// StructureOf describes a generated struct.
func StructureOf[T any]() Type {
	return Type{
		reflect: reflect.TypeFor[T](),
		make:    func() unsafe.Pointer { return unsafe.Pointer(new(T)) },
		box:     func(p unsafe.Pointer) any { return (*T)(p) },
		hold: func(v any) unsafe.Pointer {
			p, _ := v.(*T)
			return unsafe.Pointer(p)
		},
	}
}

// EventsOf describes a generated struct that members of type Events hold a sequence of.
func EventsOf[T any]() Type {
	t := StructureOf[T]()
	t.each = func(p unsafe.Pointer, visit func(e unsafe.Pointer) bool) {
		(*(*Events[T])(p))(func(e *T) bool { return visit(unsafe.Pointer(e)) })
	}
	return t
}

// ListOf describes []T.
func ListOf[T any]() Type {
	return Type{
		reflect: reflect.TypeFor[[]T](),
		size:    unsafe.Sizeof(*new(T)),
		open:    func(p unsafe.Pointer) { *(*[]T)(p) = []T{} },
		grow: func(p unsafe.Pointer) unsafe.Pointer {
			s := (*[]T)(p)
			var zero T
			*s = append(*s, zero)
			return unsafe.Pointer(&(*s)[len(*s)-1])
		},
	}
}

// MapOf describes map[string]T.
func MapOf[T any]() Type {
	return Type{
		reflect: reflect.TypeFor[map[string]T](),
		open:    func(p unsafe.Pointer) { *(*map[string]T)(p) = map[string]T{} },
		elem:    func() unsafe.Pointer { return unsafe.Pointer(new(T)) },
		put: func(p unsafe.Pointer, k string, v unsafe.Pointer) {
			(*(*map[string]T)(p))[k] = *(*T)(v)
			var zero T
			*(*T)(v) = zero
		},
		get: func(p unsafe.Pointer, k string, v unsafe.Pointer) { *(*T)(v) = (*(*map[string]T)(p))[k] },
		keys: func(p unsafe.Pointer, to []string) []string {
			for k := range *(*map[string]T)(p) {
				to = append(to, k)
			}
			slices.Sort(to)
			return to
		},
	}
}

// CustomOf describes a hand-written type, which is absent when its IsZero says so
// or, without one, when it is a nil slice or map.
func CustomOf[T any, P interface {
	*T
	Value
}]() Type {
	t := Type{
		reflect: reflect.TypeFor[T](),
		make:    func() unsafe.Pointer { return unsafe.Pointer(new(T)) },
		json:    func(p unsafe.Pointer) Value { return P((*T)(p)) },
		none:    func(unsafe.Pointer) bool { return false },
		box:     func(p unsafe.Pointer) any { return (*T)(p) },
		hold: func(v any) unsafe.Pointer {
			p, _ := v.(*T)
			return unsafe.Pointer(p)
		},
	}
	if _, ok := any(P(nil)).(interface{ IsZero() bool }); ok {
		t.none = func(p unsafe.Pointer) bool { return any(P((*T)(p))).(interface{ IsZero() bool }).IsZero() }
	} else if k := t.reflect.Kind(); k == reflect.Slice || k == reflect.Map {
		// The first word of both is nil exactly when they are.
		t.none = func(p unsafe.Pointer) bool { return *(*unsafe.Pointer)(p) == nil }
	}
	return t
}

// fields matches a structure's members with its struct's fields, which the generator
// writes in the same order.
func (s *Shape) fields() {
	t := s.Type.reflect
	if t.NumField() != len(s.Members) {
		panic("wire: " + s.Name + " and its struct have different members")
	}
	for i := range s.Members {
		m, f := &s.Members[i], t.Field(i)
		if !strings.EqualFold(f.Name, strings.ReplaceAll(strings.TrimLeft(m.Name, "_"), "-", "_")) {
			panic("wire: " + s.Name + "." + m.Name + " is not field " + f.Name)
		}
		m.offset = f.Offset
		m.pointer = f.Type.Kind() == reflect.Pointer
	}
}

// at returns where the member's value is in the struct p points to, or nil when absent.
func (m *Member) at(p unsafe.Pointer) unsafe.Pointer {
	f := unsafe.Add(p, m.offset)
	if m.pointer {
		return *(*unsafe.Pointer)(f)
	}
	if m.Events && *(*unsafe.Pointer)(f) == nil { // a function is nil when its first word is
		return nil
	}
	switch m.Shape.Kind {
	case List, Map, Blob:
		// The first word of a slice or map is nil exactly when it is.
		if *(*unsafe.Pointer)(f) == nil {
			return nil
		}
	case Timestamp:
		// The model calls some times required that AWS leaves out when there never was one.
		if (*time.Time)(f).IsZero() {
			return nil
		}
	case Custom:
		if m.Shape.Type.none(f) {
			return nil
		}
	}
	return f
}

// into returns where to put the member's value, made when the field is a pointer.
func (m *Member) into(p unsafe.Pointer) unsafe.Pointer {
	f := unsafe.Add(p, m.offset)
	if !m.pointer {
		return f
	}
	v := m.Shape.fresh()
	*(*unsafe.Pointer)(f) = v
	return v
}

// fresh makes a zero value of a shape that a pointer may point to.
func (s *Shape) fresh() unsafe.Pointer {
	switch s.Kind {
	case String:
		return unsafe.Pointer(new(string))
	case Integer:
		return unsafe.Pointer(new(int32))
	case Long:
		return unsafe.Pointer(new(int64))
	case Double:
		return unsafe.Pointer(new(float64))
	case Boolean:
		return unsafe.Pointer(new(bool))
	case Timestamp:
		return unsafe.Pointer(new(time.Time))
	}
	return s.Type.make()
}

// length is the number of elements of the list or blob at p.
func length(p unsafe.Pointer) int { return len(*(*[]byte)(p)) }

// element returns the i-th element of the list at p, i being below its length.
func (s *Shape) element(p unsafe.Pointer, i int) unsafe.Pointer {
	return unsafe.Add(*(*unsafe.Pointer)(p), uintptr(i)*s.Type.size)
}

// mapLength is the number of entries of the map at p, whatever its element type: len looks only
// at the head all maps share.
func mapLength(p unsafe.Pointer) int { return len(*(*map[string]struct{})(p)) }
