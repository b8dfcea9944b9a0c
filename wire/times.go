package wire

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// AWS's textual forms of time, always in UTC.
const (
	iso8601       = "2006-01-02T15:04:05Z"
	iso8601Millis = "2006-01-02T15:04:05.000Z"
	httpDate      = "Mon, 02 Jan 2006 15:04:05 GMT"
)

// appendTime appends t as bare text.
func appendTime(b []byte, t time.Time, f TimeFormat) []byte {
	switch f {
	case UnixSeconds:
		return appendEpoch(b, t)
	case RFC822:
		return t.UTC().AppendFormat(b, httpDate)
	}
	if t.Nanosecond() < int(time.Millisecond) {
		return t.UTC().AppendFormat(b, iso8601)
	}
	return t.UTC().AppendFormat(b, iso8601Millis)
}

// appendEpoch appends seconds since 1970, with milliseconds when there are any.
func appendEpoch(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return strconv.AppendInt(b, ms/1000, 10)
	}
	return strconv.AppendFloat(b, float64(ms)/1000, 'f', 3, 64)
}

// parseTime reads bare text in the format, or in any other AWS uses when it is not that.
func parseTime(s string, f TimeFormat) (time.Time, error) {
	if len(s) > 64 {
		return time.Time{}, badInput("A timestamp is too long")
	}
	if f == UnixSeconds {
		if t, err := parseEpoch(s); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, httpDate, "Mon, _2 Jan 2006 15:04:05 GMT", "2006-01-02T15:04:05", "20060102T150405Z"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return parseEpoch(s)
}

// parseEpoch reads seconds since 1970, to the microsecond.
func parseEpoch(s string) (time.Time, error) {
	const limit = 1 << 40 // far beyond any year AWS accepts
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n < limit && n > -limit {
		return time.Unix(n, 0).UTC(), nil
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || f >= limit || f <= -limit {
		return time.Time{}, bad("%.64q is not a timestamp", s)
	}
	return time.UnixMicro(int64(math.Round(f * 1e6))).UTC(), nil
}
