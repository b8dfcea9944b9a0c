package attribute

import (
	"encoding/binary"
	"errors"
	"slices"
	"unsafe"
)

// The stored form: a value is its type's byte, then for S, N and B a length and the bytes, for lists and
// sets a count and the values (elements of sets without their type's byte), for maps a count and
// name, value pairs; lengths and counts are unsigned varints. Two bytes stand for the booleans.
const storedTrue = 0x20 | byte(TypeBOOL)

var errStored = errors.New("attribute: malformed stored value")

// AppendBinary appends the value's stored form.
func (v Value) AppendBinary(b []byte) ([]byte, error) {
	return v.appendStored(b), nil
}

func (v Value) appendStored(b []byte) []byte {
	if v.flag {
		return append(b, storedTrue)
	}
	b = append(b, byte(v.typ))
	switch v.typ {
	case TypeS, TypeN, TypeB:
		return appendText(b, v.Text())
	case TypeM:
		return v.Map().appendStored(b)
	case TypeL:
		b = binary.AppendUvarint(b, uint64(v.size))
		for _, e := range v.List() {
			b = e.appendStored(b)
		}
	case TypeSS, TypeNS, TypeBS:
		b = binary.AppendUvarint(b, uint64(v.size))
		for _, e := range v.List() {
			b = appendText(b, e.Text())
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendBinary appends the item's stored form: a count, then names and values.
func (it Item) AppendBinary(b []byte) ([]byte, error) {
	return it.appendStored(slices.Grow(b, it.storedBound())), nil
}

// storedBound is what the stored form needs at most, when no text is longer than two megabytes.
func (it Item) storedBound() int {
	n := 4
	for i := range it {
		n += 3 + len(it[i].Name) + it[i].Value.storedBound()
	}
	return n
}

func (v Value) storedBound() int {
	switch v.typ {
	case TypeS, TypeN, TypeB:
		return 4 + int(v.size)
	case TypeM:
		return 1 + v.Map().storedBound()
	}
	n := 5
	for _, e := range v.List() {
		n += e.storedBound()
	}
	return n
}

func (it Item) appendStored(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(it)))
	for i := range it {
		b = it[i].Value.appendStored(appendText(b, it[i].Name))
	}
	return b
}

// UnmarshalBinary reads AppendBinary's form; data may change afterwards.
func (v *Value) UnmarshalBinary(data []byte) error {
	got, rest, err := readValue(string(data), 0)
	if err != nil {
		return err
	}
	if rest != "" {
		return errStored
	}
	*v = got
	return nil
}

// UnmarshalBinary reads AppendBinary's form; data may change afterwards.
func (it *Item) UnmarshalBinary(data []byte) error {
	rest, err := it.ReadStored(string(data))
	if err == nil && rest != "" {
		err = errStored
	}
	return err
}

// ReadStored reads an item's stored form from the front of s; the item's text shares s.
func (it *Item) ReadStored(s string) (rest string, err error) {
	*it, rest, err = readItem(s, 0)
	return rest, err
}

func readUvarint(s string) (uint64, string, error) {
	if len(s) > 0 && s[0] < 0x80 {
		return uint64(s[0]), s[1:], nil
	}
	n, size := binary.Uvarint(unsafe.Slice(unsafe.StringData(s), min(len(s), binary.MaxVarintLen64)))
	if size <= 0 {
		return 0, s, errStored
	}
	return n, s[size:], nil
}

func readText(s string) (text, rest string, err error) {
	n, s, err := readUvarint(s)
	if err != nil || n > uint64(len(s)) {
		return "", s, errStored
	}
	return s[:n], s[n:], nil
}

// readCount reads a count, refusing more than the bytes that follow could hold.
func readCount(s string) (int, string, error) {
	n, s, err := readUvarint(s)
	if err != nil || n > uint64(len(s)) {
		return 0, s, errStored
	}
	return int(n), s, nil
}

func readItem(s string, depth int) (Item, string, error) {
	n, s, err := readCount(s)
	if err != nil || depth > MaxDepth+1 {
		return nil, s, errStored
	}
	item := make(Item, n)
	for i := range item {
		if item[i].Name, s, err = readText(s); err != nil {
			return nil, s, err
		}
		if item[i].Value, s, err = readValue(s, depth); err != nil {
			return nil, s, err
		}
	}
	return item, s, nil
}

func readValue(s string, depth int) (Value, string, error) {
	if s == "" {
		return Value{}, s, errStored
	}
	head := s[0]
	t := Type(head)
	s = s[1:]
	switch {
	case t == TypeS || t == TypeN || t == TypeB:
		text, rest, err := readText(s)
		return textual(t, text), rest, err
	case t == TypeBOOL || head == storedTrue:
		return BOOL(head == storedTrue), s, nil
	case t == TypeNULL:
		return NULL(), s, nil
	case t == TypeM:
		m, rest, err := readItem(s, depth+1)
		return M(m), rest, err
	case t == TypeL || t.IsSet():
		return readList(t, s, depth+1)
	}
	return Value{}, s, errStored
}

func readList(t Type, s string, depth int) (Value, string, error) {
	n, s, err := readCount(s)
	if err != nil || depth > MaxDepth+1 {
		return Value{}, s, errStored
	}
	list := make([]Value, n)
	for i := range list {
		if t == TypeL {
			list[i], s, err = readValue(s, depth)
		} else {
			var text string
			text, s, err = readText(s)
			list[i] = textual(t.Element(), text)
		}
		if err != nil {
			return Value{}, s, err
		}
	}
	return listed(t, list), s, nil
}
