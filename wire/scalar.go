package wire

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unsafe"
)

// scalar reads bare text, as found in forms, paths, query strings and headers, into p.
func scalar(r *Ref, s string, format TimeFormat, p unsafe.Pointer) error {
	switch r.Shape.Kind {
	case String:
		*(*string)(p) = s
	case Integer:
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return bad("%.64q can not be converted to an Integer", s)
		}
		*(*int32)(p) = int32(n)
	case Long:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return bad("%.64q can not be converted to a Long", s)
		}
		*(*int64)(p) = n
	case Double:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || len(s) > maxNumber {
			return bad("%.64q can not be converted to a Double", s)
		}
		*(*float64)(p) = f
	case Boolean:
		if s != "true" && s != "false" {
			return bad("%.64q can not be converted to a Boolean", s)
		}
		*(*bool)(p) = s == "true"
	case Timestamp:
		if r.Format != 0 {
			format = r.Format
		}
		t, err := parseTime(s, format)
		*(*time.Time)(p) = t
		return err
	case Blob:
		b, err := decodeBase64([]byte(s))
		*(*[]byte)(p) = b
		return err
	default:
		return bad("a %s was given as text", kindNames[r.Shape.Kind])
	}
	return nil
}

// appendScalar appends the value at p as bare text.
func appendScalar(b []byte, r *Ref, format TimeFormat, p unsafe.Pointer) []byte {
	switch r.Shape.Kind {
	case String:
		return append(b, *(*string)(p)...)
	case Integer:
		return strconv.AppendInt(b, int64(*(*int32)(p)), 10)
	case Long:
		return strconv.AppendInt(b, *(*int64)(p), 10)
	case Double:
		f := *(*float64)(p)
		switch {
		case math.IsInf(f, 1):
			return append(b, "Infinity"...)
		case math.IsInf(f, -1):
			return append(b, "-Infinity"...)
		}
		return strconv.AppendFloat(b, f, 'g', -1, 64)
	case Boolean:
		return strconv.AppendBool(b, *(*bool)(p))
	case Timestamp:
		if r.Format != 0 {
			format = r.Format
		}
		return appendTime(b, *(*time.Time)(p), format)
	case Blob:
		return base64.StdEncoding.AppendEncode(b, *(*[]byte)(p))
	}
	return b
}
