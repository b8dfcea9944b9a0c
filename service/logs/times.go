package logs

import "time"

// moment is how the API writes a time.
type moment interface{ int64 | time.Time }

// millis returns a time of the API in milliseconds since 1970.
func millis[T moment](t T) int64 {
	switch t := any(t).(type) {
	case time.Time:
		return t.UnixMilli()
	case int64:
		return t
	}
	panic("logs: a time that is none")
}

// timeOr is millis of an optional time.
func timeOr[T moment](t *T, absent int64) int64 {
	if t == nil {
		return absent
	}
	return millis(*t)
}

// setTime stores milliseconds in an optional member.
func setTime[T moment](to **T, ms int64) {
	var v T
	switch p := any(&v).(type) {
	case *time.Time:
		*p = time.UnixMilli(ms).UTC()
	case *int64:
		*p = ms
	}
	*to = &v
}
