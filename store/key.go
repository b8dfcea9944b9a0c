package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// Key is a row's place in a table: a tuple encoded so that keys compare as
// their parts do, the first part first. Build it with K and the appending
// methods; a key is also a prefix of every key that begins with its parts.
//
// Integers of any width and sign share one numeric order. Strings and byte
// slices share one encoding. Parts of different kinds order by kind: bytes,
// numbers, times, booleans.
type Key string

// The first byte of a part tells its kind. 0x00 and 0x01 are below every kind
// (logs use them), and 0xff is above every kind.
const (
	tagBytes = 0x02
	tagZero  = 0x14 // 0x0c…0x13 are negative, 0x15…0x1c positive integers of 8…1 and 1…8 bytes
	tagTime  = 0x21
	tagFalse = 0x26
	tagTrue  = 0x27
)

var errKey = errors.New("store: the key does not have the parts asked for")

// K returns the key of parts, each a string, []byte, signed or unsigned integer, bool, time.Time or Key
// (whose parts are appended). It panics on any other type.
func K(parts ...any) Key {
	b := make([]byte, 0, 64)
	for _, p := range parts {
		b = appendPart(b, p)
	}
	return Key(b)
}

func appendPart(b []byte, part any) []byte {
	switch v := part.(type) {
	case string:
		return appendText(b, v)
	case []byte:
		return appendText(b, v)
	case int:
		return appendInt(b, int64(v))
	case int64:
		return appendInt(b, v)
	case int32:
		return appendInt(b, int64(v))
	case int16:
		return appendInt(b, int64(v))
	case int8:
		return appendInt(b, int64(v))
	case uint:
		return appendUint(b, uint64(v))
	case uint64:
		return appendUint(b, v)
	case uint32:
		return appendUint(b, uint64(v))
	case uint16:
		return appendUint(b, uint64(v))
	case uint8:
		return appendUint(b, uint64(v))
	case bool:
		return appendBool(b, v)
	case time.Time:
		return appendTime(b, v)
	case Key:
		return append(b, v...)
	}
	panic("store: a key part cannot be a " + reflect.TypeOf(part).String()) // fmt would have every part of every key escape
}

// Str appends a string part.
func (k Key) Str(s string) Key { return Key(appendText(fresh(k, len(s)+2), s)) }

// Bytes appends a part of bytes.
func (k Key) Bytes(p []byte) Key { return Key(appendText(fresh(k, len(p)+2), p)) }

// Int appends a signed number.
func (k Key) Int(n int64) Key { return Key(appendInt(fresh(k, 9), n)) }

// Uint appends an unsigned number.
func (k Key) Uint(n uint64) Key { return Key(appendUint(fresh(k, 9), n)) }

// Time appends a moment, exact to the nanosecond.
func (k Key) Time(t time.Time) Key { return Key(appendTime(fresh(k, 13), t)) }

// Bool appends a truth value; false is before true.
func (k Key) Bool(v bool) Key { return Key(appendBool(fresh(k, 1), v)) }

func fresh(k Key, more int) []byte { return append(make([]byte, 0, len(k)+more), k...) }

// appendText writes s with each 0x00 as 0x00 0xff, then a 0x00: every next part's first byte is below 0xff,
// so a string is before every longer string that begins with it.
func appendText[T string | []byte](b []byte, s T) []byte {
	b = append(b, tagBytes)
	from := 0
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			b = append(append(b, s[from:i+1]...), 0xff)
			from = i + 1
		}
	}
	return append(append(b, s[from:]...), 0)
}

func appendUint(b []byte, n uint64) []byte {
	size := byteLen(n)
	b = append(b, byte(tagZero+size))
	for shift := 8 * (size - 1); shift >= 0; shift -= 8 {
		b = append(b, byte(n>>shift))
	}
	return b
}

// appendInt writes a negative number as the complement of its size, counted in as few bytes as hold it.
func appendInt(b []byte, n int64) []byte {
	if n >= 0 {
		return appendUint(b, uint64(n))
	}
	u := uint64(-(n + 1)) + 1
	size := byteLen(u)
	b = append(b, byte(tagZero-size))
	for shift := 8 * (size - 1); shift >= 0; shift -= 8 {
		b = append(b, ^byte(u>>shift))
	}
	return b
}

func byteLen(n uint64) (size int) {
	for ; n > 0; n >>= 8 {
		size++
	}
	return size
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, tagTrue)
	}
	return append(b, tagFalse)
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, tagTime)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())^1<<63)
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// Parse reads the key's parts into pointers of the types K accepts (*Key takes the rest unread; a nil
// skips a part). It fails when the kinds or the number of parts differ or a number does not fit.
func (k Key) Parse(ptrs ...any) error {
	rest := string(k)
	for _, p := range ptrs {
		if key, ok := p.(*Key); ok {
			*key, rest = Key(rest), ""
			continue
		}
		var err error
		if rest, err = parsePart(rest, p); err != nil {
			return err
		}
	}
	if rest != "" {
		return errKey
	}
	return nil
}

func parsePart(s string, ptr any) (rest string, err error) {
	if ptr == nil {
		n := partLen(s)
		if n <= 0 {
			return s, errKey
		}
		return s[n:], nil
	}
	switch p := ptr.(type) {
	case *string:
		*p, rest, err = parseText(s)
		return rest, err
	case *[]byte:
		text, rest, err := parseText(s)
		if err == nil {
			*p = []byte(text)
		}
		return rest, err
	case *bool:
		if s == "" || s[0] != tagTrue && s[0] != tagFalse {
			return s, errKey
		}
		*p = s[0] == tagTrue
		return s[1:], nil
	case *time.Time:
		*p, rest, err = parseTime(s)
		return rest, err
	}
	return parseNumberInto(s, ptr)
}

func parseNumberInto(s string, ptr any) (rest string, err error) {
	magnitude, negative, rest, err := parseNumber(s)
	if err != nil {
		return s, err
	}
	switch p := ptr.(type) {
	case *int:
		err = setInt(p, magnitude, negative, math.MinInt)
	case *int64:
		err = setInt(p, magnitude, negative, math.MinInt64)
	case *int32:
		err = setInt(p, magnitude, negative, math.MinInt32)
	case *int16:
		err = setInt(p, magnitude, negative, math.MinInt16)
	case *int8:
		err = setInt(p, magnitude, negative, math.MinInt8)
	case *uint:
		err = setUint(p, magnitude, negative)
	case *uint64:
		err = setUint(p, magnitude, negative)
	case *uint32:
		err = setUint(p, magnitude, negative)
	case *uint16:
		err = setUint(p, magnitude, negative)
	case *uint8:
		err = setUint(p, magnitude, negative)
	default:
		panic("store: a key part cannot be read into a " + reflect.TypeOf(ptr).String())
	}
	return rest, err
}

func setInt[T int | int64 | int32 | int16 | int8](p *T, magnitude uint64, negative bool, lowest int64) error {
	limit := uint64(-(lowest + 1)) // the highest value of T
	if negative {
		limit++
	}
	if magnitude > limit {
		return errKey
	}
	if negative {
		*p = T(-int64(magnitude-1) - 1)
	} else {
		*p = T(magnitude)
	}
	return nil
}

func setUint[T uint | uint64 | uint32 | uint16 | uint8](p *T, magnitude uint64, negative bool) error {
	if negative || uint64(T(magnitude)) != magnitude {
		return errKey
	}
	*p = T(magnitude)
	return nil
}

func parseText(s string) (text, rest string, err error) {
	n := partLen(s)
	if n <= 0 || s[0] != tagBytes {
		return "", s, errKey
	}
	text = s[1 : n-1]
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00\xff", "\x00")
	}
	return text, s[n:], nil
}

func parseTime(s string) (t time.Time, rest string, err error) {
	if len(s) < 13 || s[0] != tagTime {
		return t, s, errKey
	}
	var b [12]byte
	copy(b[:], s[1:13])
	seconds := int64(binary.BigEndian.Uint64(b[:8]) ^ 1<<63)
	nanos := binary.BigEndian.Uint32(b[8:])
	if nanos >= 1e9 {
		return t, s, errKey
	}
	return time.Unix(seconds, int64(nanos)).UTC(), s[13:], nil
}

func parseNumber(s string) (magnitude uint64, negative bool, rest string, err error) {
	if s == "" || s[0] < tagZero-8 || s[0] > tagZero+8 {
		return 0, false, s, errKey
	}
	size := int(s[0]) - tagZero
	var flip byte
	if size < 0 {
		size, negative, flip = -size, true, 0xff
	}
	if len(s) < 1+size || size > 0 && s[1]^flip == 0 {
		return 0, false, s, errKey
	}
	for i := range size {
		magnitude = magnitude<<8 | uint64(s[1+i]^flip)
	}
	return magnitude, negative, s[1+size:], nil
}

// partLen returns the encoded length of the first part of s, or 0 when s does not begin with one.
func partLen[T string | []byte](s T) int {
	if len(s) == 0 {
		return 0
	}
	n := 0
	switch tag := s[0]; {
	case tag == tagBytes:
		for i := 1; i < len(s); i++ {
			if s[i] != 0 {
				continue
			}
			if i+1 < len(s) && s[i+1] == 0xff {
				i++
				continue
			}
			return i + 1
		}
		return 0
	case tag >= tagZero-8 && tag < tagZero:
		n = 1 + int(tagZero-tag)
	case tag >= tagZero && tag <= tagZero+8:
		n = 1 + int(tag-tagZero)
	case tag == tagTime:
		n = 13
	case tag == tagFalse, tag == tagTrue:
		n = 1
	}
	if n > len(s) {
		return 0
	}
	return n
}

// String shows the key's parts for people: ("jobs", 3).
func (k Key) String() string {
	var b strings.Builder
	b.WriteByte('(')
	for rest := string(k); rest != ""; {
		n := partLen(rest)
		if b.Len() > 1 {
			b.WriteString(", ")
		}
		if n <= 0 {
			fmt.Fprintf(&b, "%x", rest)
			break
		}
		b.WriteString(showPart(rest[:n]))
		rest = rest[n:]
	}
	b.WriteByte(')')
	return b.String()
}

func showPart(part string) string {
	switch part[0] {
	case tagBytes:
		text, _, _ := parseText(part)
		return fmt.Sprintf("%q", text)
	case tagTime:
		t, _, _ := parseTime(part)
		return t.Format(time.RFC3339Nano)
	case tagFalse, tagTrue:
		return fmt.Sprint(part[0] == tagTrue)
	}
	magnitude, negative, _, _ := parseNumber(part)
	if negative {
		return fmt.Sprintf("-%d", magnitude)
	}
	return fmt.Sprint(magnitude)
}
