package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"fogbank/aws"
)

// trail follows a walk through a value and collects what is wrong with it.
type trail struct {
	steps   []step
	broken  []string // complaints, in the order found
	missing []string // paths of absent members, for services with a wording of their own
	decoded bool     // absent members were noted while decoding, where plain fields show it
}

// step is one step of a path: a member of a structure, an element of a list (from 1) or a map's key.
type step struct {
	member *Member
	index  int
	key    string
}

// maxComplaints bounds one answer.
const maxComplaints = 32

func (t *trail) enter(s step) { t.steps = append(t.steps, s) }
func (t *trail) leave()       { t.steps = t.steps[:len(t.steps)-1] }

// path writes where the walk is, as AWS does: tagSpecifications.1.member.key.
func (t *trail) path() string {
	var b strings.Builder
	for i, s := range t.steps {
		if i > 0 {
			b.WriteByte('.')
		}
		switch {
		case s.member != nil:
			b.WriteString(lowerFirst(s.member.Name))
		case s.index > 0:
			b.WriteString(strconv.Itoa(s.index) + ".member")
		default:
			b.WriteString(s.key + ".member")
		}
	}
	return b.String()
}

// plainPath writes the path with the model's own names: Entries.1.Id.
func (t *trail) plainPath() string {
	var list []string
	for _, s := range t.steps {
		switch {
		case s.member != nil:
			list = append(list, s.member.Name)
		case s.index > 0:
			list = append(list, strconv.Itoa(s.index))
		default:
			list = append(list, s.key)
		}
	}
	return strings.Join(list, ".")
}

// lowerFirst makes a member's name what AWS's messages call it: tableName, queueUrl.
func lowerFirst(s string) string {
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return s
	}
	return string(s[0]|0x20) + s[1:]
}

// absent notes that what the walk is at should be there.
func (t *trail) absent() {
	if len(t.broken) >= maxComplaints {
		return
	}
	t.missing = append(t.missing, t.plainPath())
	t.broken = append(t.broken, "Value null at '"+t.path()+"' failed to satisfy constraint: Member must not be null")
}

// require notes the required members of s that were not seen.
func (t *trail) require(s *Shape, seen uint64) {
	if seen == 1<<s.required-1 {
		return
	}
	for i := range s.Members {
		if m := &s.Members[i]; m.Required && seen&(1<<m.bit) == 0 {
			t.enter(step{member: m})
			t.absent()
			t.leave()
		}
	}
}

// complain notes that the value where the walk is breaks a constraint.
func (t *trail) complain(s *Shape, p unsafe.Pointer, constraint string) {
	if len(t.broken) >= maxComplaints {
		return
	}
	t.broken = append(t.broken, "Value '"+display(s, p)+"' at '"+t.path()+"' failed to satisfy constraint: "+constraint)
}

// check looks at the value of s at p and everything below it.
func (t *trail) check(s *Shape, p unsafe.Pointer) {
	if !t.looksAt(s) {
		return
	}
	if c := s.breaks(p); c != "" {
		t.complain(s, p, c)
	}
	switch s.Kind {
	case Structure:
		t.checkMembers(s, p)
	case List:
		t.checkElements(s, p)
	case Map:
		t.checkEntries(s, p)
	}
}

// looksAt reports whether anything at or below s is to be checked; what is absent was noted
// while decoding.
func (t *trail) looksAt(s *Shape) bool { return s.bounded || s.checked && !t.decoded }

func (t *trail) checkMembers(s *Shape, p unsafe.Pointer) {
	for i := range s.Members {
		m := &s.Members[i]
		required := m.Required && !t.decoded
		if !required && !t.looksAt(m.Shape) || m.Unchecked {
			continue
		}
		f := m.at(p)
		if f == nil && !required || t.noted(m, f) {
			continue
		}
		t.enter(step{member: m})
		if f == nil {
			t.absent()
		} else {
			t.check(m.Shape, f)
		}
		t.leave()
	}
}

// noted reports a member whose absence was complained about already: a plain field left zero.
func (t *trail) noted(m *Member, f unsafe.Pointer) bool {
	if len(t.missing) == 0 || !m.Required || m.pointer || f == nil {
		return false
	}
	switch m.Shape.Kind {
	case String:
		return *(*string)(f) == ""
	case Integer:
		return *(*int32)(f) == 0
	case Long:
		return *(*int64)(f) == 0
	}
	return false
}

// checkElements words a broken simple element as AWS does, once for the whole list.
func (t *trail) checkElements(s *Shape, p unsafe.Pointer) {
	e := s.Elem.Shape
	if !t.looksAt(e) {
		return
	}
	for i := range length(p) {
		v := s.element(p, i)
		if e.Kind != Structure && e.Kind != List && e.Kind != Map {
			if e.breaks(v) != "" {
				t.complain(s, p, "Member must satisfy constraint: ["+e.constraints()+"]")
				return
			}
			continue
		}
		t.enter(step{index: i + 1})
		t.check(e, v)
		t.leave()
	}
}

func (t *trail) checkEntries(s *Shape, p unsafe.Pointer) {
	eachEntry(s, p, func(k string, v unsafe.Pointer) {
		if s.Key.Shape.bounded && s.Key.Shape.breaks(unsafe.Pointer(&k)) != "" {
			t.complain(s, p, "Map keys must satisfy constraint: ["+s.Key.Shape.constraints()+"]")
		}
		e := s.Elem.Shape
		if !t.looksAt(e) {
			return
		}
		if e.Kind != Structure && e.breaks(v) != "" {
			t.complain(s, p, "Map value must satisfy constraint: ["+e.constraints()+"]")
			return
		}
		t.enter(step{key: k})
		t.check(e, v)
		t.leave()
	})
}

// breaks returns the first of the shape's own constraints that the value at p breaks, or "".
func (s *Shape) breaks(p unsafe.Pointer) string {
	if s.Min != nil && s.measure(p) < *s.Min {
		return s.minText()
	}
	if s.Max != nil && s.measure(p) > *s.Max {
		return s.maxText()
	}
	if s.Kind != String {
		return ""
	}
	text := *(*string)(p)
	if s.Pattern != nil && !s.Pattern.match(text) {
		return s.patternText()
	}
	if len(s.Enum) > 0 && !contains(s.Enum, text) {
		return s.enumText()
	}
	return ""
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// measure is what Min and Max bound: a number's value, or a length in characters, bytes or elements.
func (s *Shape) measure(p unsafe.Pointer) int64 {
	switch s.Kind {
	case Integer:
		return int64(*(*int32)(p))
	case Long:
		return *(*int64)(p)
	case Double:
		f := *(*float64)(p)
		if s.Max != nil && f > float64(*s.Max) {
			return *s.Max + 1
		}
		if s.Min != nil && f < float64(*s.Min) {
			return *s.Min - 1
		}
		return int64(f)
	case String:
		return int64(utf8.RuneCountInString(*(*string)(p)))
	case List, Blob:
		return int64(length(p))
	case Map:
		return int64(mapLength(p))
	}
	return 0
}

func (s *Shape) numeric() bool { return s.Kind == Integer || s.Kind == Long || s.Kind == Double }

func (s *Shape) minText() string {
	if s.numeric() {
		return fmt.Sprintf("Member must have value greater than or equal to %d", *s.Min)
	}
	return fmt.Sprintf("Member must have length greater than or equal to %d", *s.Min)
}

func (s *Shape) maxText() string {
	if s.numeric() {
		return fmt.Sprintf("Member must have value less than or equal to %d", *s.Max)
	}
	return fmt.Sprintf("Member must have length less than or equal to %d", *s.Max)
}

func (s *Shape) patternText() string {
	return "Member must satisfy regular expression pattern: " + s.Pattern.Text
}

func (s *Shape) enumText() string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

// constraints lists all a simple shape demands, as AWS does for elements and entries.
func (s *Shape) constraints() string {
	var list []string
	if s.Max != nil {
		list = append(list, s.maxText())
	}
	if s.Min != nil {
		list = append(list, s.minText())
	}
	if s.Pattern != nil {
		list = append(list, s.patternText())
	}
	if len(s.Enum) > 0 {
		list = append(list, s.enumText())
	}
	return strings.Join(list, ", ")
}

// maxDisplay bounds a value shown in a message, in bytes.
const maxDisplay = 2048

// display shows a value as AWS's messages do. Secrets are not shown.
func display(s *Shape, p unsafe.Pointer) string {
	text := string(appendDisplay(nil, s, p))
	if len(text) > maxDisplay {
		text = strings.ToValidUTF8(text[:maxDisplay], "") + "..."
	}
	return text
}

func appendDisplay(b []byte, s *Shape, p unsafe.Pointer) []byte {
	if len(b) > maxDisplay {
		return b
	}
	switch {
	case s.Sensitive:
		return append(b, "***"...)
	case s.Kind == String:
		text := *(*string)(p)
		return append(b, text[:min(len(text), maxDisplay+4)]...)
	case s.Kind == List:
		b = append(b, '[')
		for i := range min(length(p), maxDisplay) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendDisplay(b, s.Elem.Shape, s.element(p, i))
		}
		return append(b, ']')
	case s.Kind == Map:
		b = append(b, '{')
		first := true
		eachEntry(s, p, func(k string, v unsafe.Pointer) {
			if len(b) > maxDisplay {
				return
			}
			if !first {
				b = append(b, ", "...)
			}
			first = false
			b = append(append(b, k[:min(len(k), maxDisplay)]...), '=')
			b = appendDisplay(b, s.Elem.Shape, v)
		})
		return append(b, '}')
	case s.Kind == Structure:
		return appendStructureDisplay(b, s, p)
	case s.Kind == Timestamp:
		return (*(*time.Time)(p)).UTC().AppendFormat(b, iso8601)
	case s.Kind == Custom:
		return s.Type.json(p).AppendJSON(b)
	case s.Kind == Blob:
		return fmt.Appendf(b, "java.nio.HeapByteBuffer[pos=0 lim=%d cap=%[1]d]", length(p))
	}
	return appendScalar(b, &Ref{Shape: s}, UnixSeconds, p)
}

func appendStructureDisplay(b []byte, s *Shape, p unsafe.Pointer) []byte {
	b = append(append(b, s.Name...), '(')
	first := true
	for i := range s.Members {
		f := s.Members[i].at(p)
		if f == nil {
			continue
		}
		if !first {
			b = append(b, ", "...)
		}
		first = false
		b = append(append(b, lowerFirst(s.Members[i].Name)...), '=')
		b = appendDisplay(b, s.Members[i].Shape, f)
	}
	return append(b, ')')
}

// err is the service's error for what the trail collected, or nil.
func (t *trail) err(api *API) error {
	if len(t.broken) == 0 {
		return nil
	}
	if api.Missing != "" && api.MissingText != "" && len(t.missing) > 0 {
		return aws.Errorf(api.Missing, 400, api.MissingText, t.missing[0])
	}
	code := api.Invalid
	if len(t.missing) > 0 && api.Missing != "" {
		code = api.Missing
	}
	if code == "" {
		code = "ValidationException"
	}
	detected := "1 validation error detected: "
	if len(t.broken) > 1 {
		detected = strconv.Itoa(len(t.broken)) + " validation errors detected: "
	}
	return api.newError(code, detected+strings.Join(t.broken, "; "))
}

// newError makes an error of a code, with what the service's table knows about it.
func (a *API) newError(code, message string) *aws.Error {
	if e := a.errors[code]; e != nil {
		return &aws.Error{Code: code, Status: e.Status, Message: message, Query: e.Query}
	}
	return &aws.Error{Code: code, Status: 400, Message: message}
}

// Validate checks an input's modelled constraints: lengths, ranges, patterns, enumerations, and
// required members as far as a Go value shows them absent. Decode has done the same already.
func Validate(op *Operation, in any) error {
	p := op.Input.Type.hold(in)
	if p == nil {
		return fmt.Errorf("wire: %s %s was given a %T", op.API.Name, op.Name, in)
	}
	var t trail
	t.check(op.Input, p)
	return t.err(op.API)
}
