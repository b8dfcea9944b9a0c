package wire

import (
	"regexp"
	"sync"
)

// Kind is what sort of value a Shape describes.
type Kind uint8

// The kinds, with the Go type of a value.
const (
	Structure Kind = iota + 1 // a generated struct
	List                      // []T
	Map                       // map[string]T
	String                    // string
	Integer                   // int32
	Long                      // int64
	Double                    // float64
	Boolean                   // bool
	Timestamp                 // time.Time
	Blob                      // []byte
	Custom                    // a hand-written type with its own JSON, such as attribute.Value
)

// TimeFormat is how a timestamp is written; zero leaves it to the protocol and place.
type TimeFormat uint8

// The formats AWS models name.
const (
	UnixSeconds TimeFormat = iota + 1 // seconds since 1970, perhaps with a fraction
	ISO8601                           // 2006-01-02T15:04:05Z, perhaps with a fraction
	RFC822                            // Mon, 02 Jan 2006 15:04:05 GMT
)

// Location is where a member of a REST input or output travels.
type Location uint8

// The locations; the zero value is the body.
const (
	InBody    Location = iota
	InHeader           // one header
	InHeaders          // all headers with a prefix, as a map
	InQuery            // the query string
	InPath             // a label of the path
	InStatus           // the HTTP status
)

// Shape describes the values of one modelled type.
type Shape struct {
	Name string // the Go type of a structure, else the model's name
	Kind Kind
	Type Type // how to reach into the Go type; not for scalars

	Members []Member // of a structure
	Payload string   // the member that is the whole HTTP body, in REST
	Message string   // of an error: how its message is called in JSON
	Union   bool     // exactly one member is set
	Nothing bool     // an operation has no such body: not even an empty one

	Key, Elem Ref  // of a map; Elem alone of a list
	Flat      bool // a list or map without an element around it, in query

	Format    TimeFormat
	Sensitive bool // never to be shown

	Min, Max *int64   // of a number's value, else of a length
	Enum     []string // the only values
	Pattern  *Pattern // what text must match, whole

	index    map[string]int // JSON name → member; nil for small structures
	checked  bool           // something at or below this shape is constrained or required
	bounded  bool           // something at or below this shape is constrained
	required int            // how many members are required
}

// Member is one member of a structure.
type Member struct {
	Name string // in the model
	Ref
	In        Location
	Required  bool
	JSONValue bool // text that is JSON, base64 in a header
	Unchecked bool // the service words its own complaints about the value
	Events    bool // a sequence of the shape's values, of which each has one member
	Whole     bool // the whole payload of the event it belongs to

	key     string // JSON name, quoted and with its colon
	offset  uintptr
	pointer bool // the Go field is a pointer to the value
	bit     int  // place among the required members
}

// Ref is a use of a shape, with the names that use gives it.
type Ref struct {
	At     int    // place in the table given to Link
	Wire   string // the name on the wire where it differs from the model's
	Query  string // the name in the query protocol where it differs again
	Flat   bool
	Format TimeFormat

	Shape *Shape // set by Link
}

// Bound makes a constraint's limit.
func Bound(n int64) *int64 { return new(n) }

// Pattern is a regular expression a whole text must match.
type Pattern struct {
	Text   string // as the model writes it, for messages
	source string // for package regexp
	once   sync.Once
	re     *regexp.Regexp
}

// Match makes a Pattern from the model's text and its form for package regexp, which is
// compiled at the first use.
func Match(text, source string) *Pattern { return &Pattern{Text: text, source: source} }

// match reports whether s matches.
func (p *Pattern) match(s string) bool {
	p.once.Do(func() { p.re = regexp.MustCompile(p.source) })
	return p.re.MatchString(s)
}

// smallStructure is the number of members up to which looking through them all beats a map.
const smallStructure = 6

// Link completes a table of shapes: references become pointers, members learn where their
// fields are. It panics when a struct does not fit its shape, which generated code never does.
func Link(shapes []Shape) []Shape {
	for i := range shapes {
		s := &shapes[i]
		s.Key.link(shapes)
		s.Elem.link(shapes)
		for j := range s.Members {
			s.Members[j].link(shapes)
		}
		if s.Kind == Structure {
			s.place()
		}
	}
	for i := range shapes {
		shapes[i].bounded = constrained(&shapes[i], map[*Shape]bool{}, false)
		shapes[i].checked = constrained(&shapes[i], map[*Shape]bool{}, true)
	}
	return shapes
}

// link resolves a reference. A zero reference of a scalar points at the first shape, unused.
func (r *Ref) link(shapes []Shape) {
	r.Shape = &shapes[r.At]
	if r.Format == 0 {
		r.Format = r.Shape.Format
	}
	r.Flat = r.Flat || r.Shape.Flat
}

// place fills in what a structure's codec needs of each member.
func (s *Shape) place() {
	s.fields()
	if len(s.Members) > smallStructure {
		s.index = make(map[string]int, len(s.Members))
	}
	for i := range s.Members {
		m := &s.Members[i]
		if s.index != nil {
			s.index[m.wireName()] = i
		}
		m.key = string(appendString(nil, m.wireName())) + ":"
		if m.Required {
			m.bit = s.required
			s.required++
		}
	}
	if s.required > 64 {
		panic("wire: " + s.Name + " has more required members than a word has bits")
	}
}

// wireName is the member's name in JSON, in a header, the query string or the path.
func (m *Member) wireName() string {
	if m.Wire != "" {
		return m.Wire
	}
	return m.Name
}

// queryName is the member's name in the query protocol.
func (m *Member) queryName() string {
	if m.Query != "" {
		return m.Query
	}
	return m.wireName()
}

// member finds a member by its JSON name.
func (s *Shape) member(name []byte) *Member {
	if s.index != nil {
		if i, ok := s.index[string(name)]; ok {
			return &s.Members[i]
		}
		return nil
	}
	for i := range s.Members {
		m := &s.Members[i]
		if m.wireName() == string(name) {
			return m
		}
	}
	return nil
}

// Member finds a member by its name in the model, or returns nil.
func (s *Shape) Member(name string) *Member {
	for i := range s.Members {
		if s.Members[i].Name == name {
			return &s.Members[i]
		}
	}
	return nil
}

// constrained reports whether Validate has anything to look at below s, required members
// among it when presence is asked for.
func constrained(s *Shape, seen map[*Shape]bool, presence bool) bool {
	if seen[s] {
		return false
	}
	seen[s] = true
	if s.Min != nil || s.Max != nil || s.Pattern != nil || len(s.Enum) > 0 {
		return true
	}
	switch s.Kind {
	case Structure:
		for i := range s.Members {
			if presence && s.Members[i].Required || constrained(s.Members[i].Shape, seen, presence) {
				return true
			}
		}
	case List:
		return constrained(s.Elem.Shape, seen, presence)
	case Map:
		return constrained(s.Key.Shape, seen, presence) || constrained(s.Elem.Shape, seen, presence)
	}
	return false
}
