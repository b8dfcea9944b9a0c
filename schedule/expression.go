package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // time zones wherever it runs
)

// Kind says which of the three forms an expression has.
type Kind uint8

// The forms.
const (
	Rate Kind = iota + 1
	Cron
	At
)

// Expression is a schedule expression, ready for use. It is never changed.
type Expression struct {
	kind   Kind
	period time.Duration // of a rate
	moment time.Time     // of at(), as though it were UTC
	cron   *cron
}

// maxExpression is how many bytes an expression may have; EventBridge and Scheduler allow 256.
const maxExpression = 256

// maxRate is the longest rate, about a hundred years.
const maxRate = 100 * 366 * 24 * time.Hour

// Parse reads an expression. Its errors say what is wrong, not in AWS's words.
func Parse(text string) (*Expression, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("longer than %d bytes", maxExpression)
	}
	form, rest, ok := strings.Cut(text, "(")
	inside, closed := strings.CutSuffix(rest, ")")
	if !ok || !closed {
		return nil, errors.New("neither rate(), cron() nor at()")
	}
	switch form {
	case "rate":
		return parseRate(inside)
	case "at":
		at, err := time.Parse("2006-01-02T15:04:05", inside)
		if err != nil || len(inside) != 19 {
			return nil, errors.New("at() wants yyyy-mm-ddThh:mm:ss")
		}
		return &Expression{kind: At, moment: at}, nil
	case "cron":
		c, err := parseCron(inside)
		return &Expression{kind: Cron, cron: c}, err
	}
	return nil, errors.New("neither rate(), cron() nor at()")
}

// units are a rate's: the singular goes with 1, the plural with everything else.
var units = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

func parseRate(inside string) (*Expression, error) {
	number, unit, ok := strings.Cut(inside, " ")
	n, err := strconv.ParseUint(number, 10, 31)
	if !ok || err != nil || n == 0 || number[0] == '+' {
		return nil, errors.New("rate() wants a positive number and a unit")
	}
	one, plural := strings.CutSuffix(unit, "s")
	period, known := units[one]
	if !known || plural != (n > 1) {
		return nil, errors.New("the unit of a rate is minute, hour or day for 1 and minutes, hours or days for more")
	}
	if n > uint64(maxRate/period) {
		return nil, errors.New("the rate is too long")
	}
	return &Expression{kind: Rate, period: time.Duration(n) * period}, nil
}

// Kind returns the expression's form.
func (e *Expression) Kind() Kind { return e.kind }

// Next returns the first moment after the given one, in UTC, or the zero time when there is none. A rate counts from
// anchor, which is its first moment; cron and at() are read in the zone.
func (e *Expression) Next(after, anchor time.Time, zone *time.Location) time.Time {
	switch e.kind {
	case Rate:
		if anchor.After(after) {
			return anchor.UTC()
		}
		return anchor.Add((after.Sub(anchor)/e.period + 1) * e.period).UTC()
	case At:
		at, exists := instant(e.moment, zone)
		if !exists {
			at = gapEnd(e.moment, zone)
		}
		if at.After(after) {
			return at
		}
		return time.Time{}
	}
	return e.cron.next(after, zone)
}

// zones keeps the zones that were asked for; there are about 600.
var zones sync.Map

// Zone returns the time zone of an IANA name such as "Europe/Zurich"; "" is UTC.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("no time zone %q", name)
	}
	zones.Store(name, z)
	return z, nil
}

// instant returns the first moment at which clocks of the zone show what local does as UTC; none when they skip it.
func instant(local time.Time, zone *time.Location) (at time.Time, exists bool) {
	if zone == time.UTC {
		return local, true
	}
	for _, offset := range offsets(local, zone) {
		t := local.Add(-time.Duration(offset) * time.Second)
		if _, have := t.In(zone).Zone(); have == offset && (!exists || t.Before(at)) {
			at, exists = t.UTC(), true
		}
	}
	return at, exists
}

// offsets are those the zone has around a local time, in seconds east of UTC: before, at and after a change near it.
func offsets(local time.Time, zone *time.Location) [3]int {
	guess := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), zone)
	start, end := guess.ZoneBounds()
	_, at := guess.Zone()
	before, after := at, at
	if !start.IsZero() {
		_, before = start.Add(-time.Second).Zone()
	}
	if !end.IsZero() {
		_, after = end.Zone()
	}
	return [3]int{before, at, after}
}

// gapEnd returns the moment at which the clock was put forward past a local time.
func gapEnd(local time.Time, zone *time.Location) time.Time {
	o := offsets(local, zone)
	early := local.Add(-time.Duration(max(o[0], o[1], o[2])) * time.Second)
	if _, end := early.In(zone).ZoneBounds(); !end.IsZero() {
		return end.UTC()
	}
	return early.UTC()
}
