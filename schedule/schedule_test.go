package schedule

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const layout = "2006-01-02T15:04:05Z"

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(layout, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ text, zone, after, want string }{
		{"cron(0 10 * * ? *)", "", "2026-01-01T09:59:59Z", "2026-01-01T10:00:00Z"},
		{"cron(0 10 * * ? *)", "", "2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z 2026-01-03T10:00:00Z"},
		{"cron(15 12 * * ? *)", "", "2026-02-28T12:15:00Z", "2026-03-01T12:15:00Z"},
		{"cron(0 18 ? * MON-FRI *)", "", "2026-11-20T18:00:00Z", "2026-11-23T18:00:00Z 2026-11-24T18:00:00Z"},
		{"cron(0 8 1 * ? *)", "", "2026-11-23T00:00:00Z", "2026-12-01T08:00:00Z 2027-01-01T08:00:00Z"},
		{"cron(0/10 * ? * MON-FRI *)", "", "2026-11-20T23:50:00Z", "2026-11-23T00:00:00Z 2026-11-23T00:10:00Z"},
		{"cron(0/5 8-17 ? * MON-FRI *)", "", "2026-11-20T17:55:00Z", "2026-11-23T08:00:00Z 2026-11-23T08:05:00Z"},
		{"cron(*/20 * * * ? *)", "", "2026-11-20T17:41:30Z", "2026-11-20T18:00:00Z 2026-11-20T18:20:00Z"},
		{"cron(15 10 ? * 6L 2026-2027)", "", "2026-11-23T00:00:00Z", "2026-11-27T10:15:00Z 2026-12-25T10:15:00Z 2027-01-29T10:15:00Z"},
		{"cron(0 9 ? * 2#1 *)", "", "2026-11-23T00:00:00Z", "2026-12-07T09:00:00Z 2027-01-04T09:00:00Z"},
		{"cron(0 9 ? * FRI#5 *)", "", "2026-11-01T00:00:00Z", "2027-01-29T09:00:00Z 2027-04-30T09:00:00Z"},
		{"cron(0 0 L * ? *)", "", "2028-02-01T00:00:00Z", "2028-02-29T00:00:00Z 2028-03-31T00:00:00Z"},
		{"cron(0 0 L-3 * ? *)", "", "2026-02-01T00:00:00Z", "2026-02-25T00:00:00Z"},
		{"cron(0 0 LW * ? *)", "", "2026-05-01T00:00:00Z", "2026-05-29T00:00:00Z 2026-06-30T00:00:00Z"},
		{"cron(0 0 15W * ? *)", "", "2026-08-01T00:00:00Z", "2026-08-14T00:00:00Z 2026-09-15T00:00:00Z"},
		{"cron(0 0 1W * ? *)", "", "2026-07-15T00:00:00Z", "2026-08-03T00:00:00Z"},
		{"cron(0 0 31W * ? *)", "", "2026-02-01T00:00:00Z", "2026-03-31T00:00:00Z 2026-05-29T00:00:00Z"},
		{"cron(0 0 29 2 ? *)", "", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"}, // 2100 is no leap year
		{"cron(0 0 ? * FRI-MON *)", "", "2026-11-23T00:00:00Z", "2026-11-27T00:00:00Z 2026-11-28T00:00:00Z 2026-11-29T00:00:00Z 2026-11-30T00:00:00Z"},
		{"cron(0 0 ? * L *)", "", "2026-11-23T00:00:00Z", "2026-11-28T00:00:00Z"},
		{"cron(59 23 31 DEC,jan ? 2199)", "", "2026-11-23T00:00:00Z", "2199-01-31T23:59:00Z 2199-12-31T23:59:00Z -"},
		{"cron(0 0 30 2 ? *)", "", "2026-11-23T00:00:00Z", "-"},
		{"cron(1-31/30 22-2 1 1 ? *)", "", "2025-12-31T23:59:00Z", "2026-01-01T00:01:00Z 2026-01-01T00:31:00Z 2026-01-01T01:01:00Z"},
		{"cron(0 9 * * ? *)", "Europe/Zurich", "2026-03-28T09:00:00Z", "2026-03-29T07:00:00Z"},
		// The clock jumps from 2:00 to 3:00: 2:30 is passed over.
		{"cron(30 2 * * ? *)", "America/New_York", "2026-03-07T12:00:00Z", "2026-03-09T06:30:00Z"},
		{"cron(30 * * * ? *)", "America/New_York", "2026-03-08T06:00:00Z", "2026-03-08T06:30:00Z 2026-03-08T07:30:00Z"},
		// It goes back from 2:00 to 1:00: 1:30 comes once.
		{"cron(30 1 * * ? *)", "America/New_York", "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z 2026-11-02T06:30:00Z"},
		{"cron(0 * * * ? *)", "America/New_York", "2026-11-01T04:30:00Z", "2026-11-01T05:00:00Z 2026-11-01T07:00:00Z"},
		{"cron(0 12 30 12 ? *)", "Pacific/Apia", "2010-12-31T00:00:00Z", "2012-12-29T22:00:00Z"}, // there was no 30 December 2011
		{"cron(45 1 * * ? *)", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "2026-04-04T14:45:00Z 2026-04-05T15:15:00Z"},
		{"rate(5 minutes)", "", "2026-01-01T00:00:00Z", "2026-01-01T00:00:20Z 2026-01-01T00:05:20Z"},
		{"rate(1 day)", "America/New_York", "2026-03-08T00:00:20Z", "2026-03-09T00:00:20Z"},
		{"at(2026-11-23T18:00:00)", "", "2026-01-01T00:00:00Z", "2026-11-23T18:00:00Z -"},
		{"at(2026-11-23T18:00:05)", "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-11-23T12:30:05Z"},
		{"at(2026-03-08T02:30:00)", "America/New_York", "2026-01-01T00:00:00Z", "2026-03-08T07:00:00Z"},
		{"at(2026-11-01T01:30:00)", "America/New_York", "2026-01-01T00:00:00Z", "2026-11-01T05:30:00Z -"},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		zone, err := Zone(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, anchor := moment(t, c.after), moment(t, "2026-01-01T00:00:20Z")
		for want := range strings.FieldsSeq(c.want) {
			got := "-"
			if at = e.Next(at, anchor, zone); !at.IsZero() {
				got = at.Format(layout)
			}
			if got != want {
				t.Errorf("%s in %s: %s, want %s", c.text, c.zone, got, want)
				break
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{"", "rate", "rate()", "rate(1)", "rate(0 minutes)", "rate(1 minutes)", "rate(2 minute)", "rate(5 seconds)", "rate(-1 days)",
		"rate(+5 minutes)", "rate(5  minutes)", "rate(2000000000 days)", "rate(5 minutes", "Rate(5 minutes)", "at(2026-02-30T00:00:00)", "at(2026-01-01)",
		"at(2026-01-01T00:00:00Z)", "at(2026-01-01T00:00:00.5)", "cron(* * * * *)", "cron(* * * * * *)", "cron(* * ? * ? *)", "cron(60 * * * ? *)",
		"cron(* 24 * * ? *)", "cron(* * 0 * ? *)", "cron(* * 32 * ? *)", "cron(* * * 13 ? *)", "cron(* * ? * 0 *)", "cron(* * ? * 8 *)", "cron(* * * * ? 1969)",
		"cron(* * * * ? 2200)", "cron(*/0 * * * ? *)", "cron(0/60 * * * ? *)", "cron(, * * * ? *)", "cron(1,,2 * * * ? *)", "cron(? * * * ? *)",
		"cron(* * L,15 * ? *)", "cron(* * W * ? *)", "cron(* * 1-5W * ? *)", "cron(* * ? * 3#6 *)", "cron(* * ? * 3#1,6#3 *)", "cron(* * ? * #1 *)",
		"cron(* * L-31 * ? *)", "cron(1- * * * ? *)", "cron(-1 * * * ? *)", "cron(* * * * ? 2030-2020)", "cron(* * * FOO ? *)", "every(1 day)"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	for _, zone := range []string{"Local", "Mars/Olympus", "../etc/passwd", "/etc/localtime"} {
		if _, err := Zone(zone); err == nil {
			t.Errorf("zone %q was accepted", zone)
		}
	}
}

// naive is a cron matched minute by minute, read anew from its text each time.
type naive []string

var wordNumbers = map[string]int{"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7, "JAN": 1, "FEB": 2, "MAR": 3, "APR": 4,
	"MAY": 5, "JUN": 6, "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11, "DEC": 12}

func number(s string) int {
	if n, ok := wordNumbers[s]; ok {
		return n
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func matchList(text string, v, least, most int) bool {
	return slices.ContainsFunc(strings.Split(text, ","), func(item string) bool {
		values, step, stepped := strings.Cut(item, "/")
		from, to := least, most
		if first, last, ranged := strings.Cut(values, "-"); ranged {
			from, to = number(first), number(last)
		} else if values != "*" {
			if from = number(values); !stepped {
				to = from
			}
		}
		by := 1
		if stepped {
			by = number(step)
		}
		for n := from; ; n += by { // around the end of the scale when it is FRI-MON
			if to >= from && n > to || to < from && n > to+most-least+1 {
				return false
			}
			if n == v || n-(most-least+1) == v {
				return true
			}
		}
	})
}

// on reports whether the expression names a local minute.
func (f naive) on(l time.Time) bool {
	if !matchList(f[0], l.Minute(), 0, 59) || !matchList(f[1], l.Hour(), 0, 23) || !matchList(f[3], int(l.Month()), 1, 12) || !matchList(f[5], l.Year(), 1970, 2199) {
		return false
	}
	return f.day(l) && f.weekday(l)
}

func (f naive) day(l time.Time) bool {
	day := func(n int) time.Time { return time.Date(l.Year(), l.Month(), n, 0, 0, 0, 0, time.UTC) }
	end := time.Date(l.Year(), l.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	works := func(n int) bool {
		return n >= 1 && n <= end && day(n).Weekday() != time.Saturday && day(n).Weekday() != time.Sunday
	}
	text := f[2]
	switch {
	case text == "?":
		return true
	case text == "L":
		return l.Day() == end
	case strings.HasPrefix(text, "L-"):
		return l.Day() == end-number(text[2:])
	case strings.HasSuffix(text, "W"):
		n := end
		if text != "LW" {
			n = number(text[:len(text)-1])
		}
		if n > end {
			return false
		}
		for _, try := range []int{n, n - 1, n + 1, n - 2, n + 2} {
			if works(try) {
				return l.Day() == try
			}
		}
	}
	return matchList(text, l.Day(), 1, 31)
}

func (f naive) weekday(l time.Time) bool {
	wd, text := int(l.Weekday())+1, f[4]
	switch day, nth, ok := strings.Cut(text, "#"); {
	case text == "?":
		return true
	case text == "L":
		return wd == 7
	case ok:
		return wd == number(day) && (l.Day()-1)/7+1 == number(nth)
	case strings.HasSuffix(text, "L"):
		return wd == number(text[:len(text)-1]) && l.AddDate(0, 0, 7).Month() != l.Month()
	}
	return matchList(text, wd, 1, 7)
}

func wall(t time.Time, zone *time.Location) time.Time {
	l := t.In(zone)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
}

// scan looks minute by minute for the first moment after, not showing a local time for the second time.
func (f naive) scan(after time.Time, zone *time.Location, days int) time.Time {
	for t := after.Truncate(time.Minute).Add(time.Minute); t.Sub(after) < time.Duration(days)*24*time.Hour; t = t.Add(time.Minute) {
		l := wall(t, zone)
		if !f.on(l) {
			continue
		}
		again := false
		for back := 30; back <= 180; back += 30 {
			again = again || wall(t.Add(-time.Duration(back)*time.Minute), zone).Equal(l)
		}
		if !again {
			return t
		}
	}
	return time.Time{}
}

func FuzzCron(f *testing.F) {
	for _, text := range []string{"0 10 * * ? *", "0/7 */5 LW * ? *", "30 2 ? 3,11 1#2 *", "15 1-3 1W JAN-MAR ? *", "* * ? * 6L 2026/2", "1 2 L-3 2 ? *", "5 22-2 ? * FRI-MON *"} {
		for i := range uint64(5) {
			f.Add(text, 1_760_000_000+i*7_000_000, uint8(i))
		}
	}
	names := []string{"UTC", "America/New_York", "Europe/Zurich", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"}
	f.Fuzz(func(t *testing.T, text string, seconds uint64, zone uint8) {
		e, err := Parse("cron(" + text + ")")
		if err != nil {
			return
		}
		z, err := Zone(names[int(zone)%len(names)])
		if err != nil {
			t.Fatal(err)
		}
		after := time.Unix(1_577_836_800+int64(seconds%(10*365*86_400)), 0).UTC()
		const days = 40
		want := naive(strings.Fields(strings.ToUpper(text))).scan(after, z, days)
		got := e.Next(after, after, z)
		if want.IsZero() && (got.IsZero() || got.Sub(after) >= days*24*time.Hour-2*time.Minute) {
			return
		}
		if !got.Equal(want) {
			t.Errorf("cron(%s) in %s after %s: %s, want %s", text, z, after, got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"rate(5 minutes)", "at(2026-01-01T00:00:00)", "cron(0/7 */5 LW * ? *)", "cron(0 0 ? * 3#5 2199)"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		from := time.Unix(1_700_000_000, 0)
		if at := e.Next(from, from, time.UTC); !at.IsZero() && !at.After(from) {
			t.Errorf("%s: %s is not after %s", text, at, from)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	zone, err := Zone("America/New_York")
	if err != nil {
		b.Fatal(err)
	}
	for _, text := range []string{"rate(5 minutes)", "cron(0/5 8-17 ? * MON-FRI *)", "cron(0 0 29 2 ? *)", "cron(0 0 30 2 ? *)"} {
		e, err := Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			for at := time.Unix(1_700_000_000, 0); b.Loop(); {
				if next := e.Next(at, time.Unix(0, 0), zone); !next.IsZero() {
					at = next
				} else {
					at = time.Unix(1_700_000_000, 0)
				}
			}
		})
	}
}
