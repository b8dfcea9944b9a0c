package schedule

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

const (
	firstYear = 1970
	lastYear  = 2199
)

// cron is a cron expression: bit n of a set is value n.
type cron struct {
	minutes, hours uint64
	months         uint64
	years          [(lastYear-firstYear)/64 + 1]uint64 // bit n is firstYear+n
	days           dayOfMonth
	weekdays       dayOfWeek
}

// dayOfMonth is the third field; all days when it is the zero value.
type dayOfMonth struct {
	set     uint64
	last    bool // L, or L-n
	before  int  // the n of L-n
	weekday bool // W: the weekday nearest to near, or the month's last with L
	near    int
}

// dayOfWeek is the fifth field, 1 being Sunday; all days when it is the zero value.
type dayOfWeek struct {
	set  uint64
	last int // nL: the month's last such day
	nth  int // d#n
	day  int // the d of d#n
}

// field describes the plain values of a field.
type field struct {
	name        string
	least, most int
	names       []string // of least and following
}

var (
	minuteField  = field{name: "minutes", most: 59}
	hourField    = field{name: "hours", most: 23}
	dayField     = field{name: "day-of-month", least: 1, most: 31}
	monthField   = field{"month", 1, 12, strings.Fields("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC")}
	weekdayField = field{"day-of-week", 1, 7, strings.Fields("SUN MON TUE WED THU FRI SAT")}
	yearField    = field{name: "year", least: firstYear, most: lastYear}
)

func parseCron(text string) (*cron, error) {
	f := strings.Fields(text)
	if len(f) != 6 {
		return nil, fmt.Errorf("cron() has six fields, not %d", len(f))
	}
	for i := range f {
		f[i] = strings.ToUpper(f[i])
	}
	if (f[2] == "?") == (f[4] == "?") {
		return nil, errors.New("one of day-of-month and day-of-week is ?, and only one")
	}
	c := &cron{}
	sets := []struct {
		field
		text string
		set  []uint64
	}{
		{minuteField, f[0], []uint64{0}}, {hourField, f[1], []uint64{0}}, {monthField, f[3], []uint64{0}}, {yearField, f[5], c.years[:]},
	}
	for i := range sets {
		if err := sets[i].parse(sets[i].text, sets[i].set); err != nil {
			return nil, err
		}
	}
	c.minutes, c.hours, c.months = sets[0].set[0], sets[1].set[0], sets[2].set[0]
	if err := c.days.parse(f[2]); err != nil {
		return nil, err
	}
	return c, c.weekdays.parse(f[4])
}

// parse reads a list of values, ranges and steps into a set; bit 0 of years is the first year.
func (f *field) parse(text string, set []uint64) error {
	base := 0
	if len(set) > 1 {
		base = f.least
	}
	for item := range strings.SplitSeq(text, ",") {
		from, to, step, err := f.item(item)
		if err != nil {
			return err
		}
		size := f.most - f.least + 1
		if to < from {
			to += size // FRI-MON
		}
		for v := from; v <= to; v += step {
			n := (v-f.least)%size + f.least - base
			set[n/64] |= 1 << (n % 64)
		}
	}
	return nil
}

// item reads one element of a list: a value, a range or *, each perhaps with a step.
func (f *field) item(text string) (from, to, step int, err error) {
	step = 1
	values, by, stepped := strings.Cut(text, "/")
	if stepped {
		if step, err = strconv.Atoi(by); err != nil || step < 1 || step > f.most {
			return 0, 0, 0, fmt.Errorf("the step of %s in %s", f.name, text)
		}
	}
	if values == "*" {
		return f.least, f.most, step, nil
	}
	first, last, ranged := strings.Cut(values, "-")
	if from, err = f.value(first); err != nil {
		return 0, 0, 0, err
	}
	switch {
	case ranged:
		if to, err = f.value(last); err == nil && f.most == lastYear && to < from {
			err = fmt.Errorf("the years %s", values)
		}
	case stepped:
		to = f.most
	default:
		to = from
	}
	return from, to, step, err
}

// value reads a number or name.
func (f *field) value(text string) (int, error) {
	for i, name := range f.names {
		if text == name {
			return f.least + i, nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || int(n) < f.least || int(n) > f.most {
		return 0, fmt.Errorf("%s cannot be %q", f.name, text)
	}
	return int(n), nil
}

func (d *dayOfMonth) parse(text string) error {
	before, offset := strings.CutPrefix(text, "L-")
	near, weekday := strings.CutSuffix(text, "W")
	switch {
	case text == "?":
		return nil
	case text == "L":
		d.last = true
		return nil
	case text == "LW":
		d.last, d.weekday = true, true
		return nil
	case offset:
		n, err := strconv.ParseUint(before, 10, 8)
		if err != nil || n > 30 {
			return fmt.Errorf("day-of-month cannot be %q", text)
		}
		d.last, d.before = true, int(n)
		return nil
	case weekday:
		n, err := dayField.value(near)
		d.weekday, d.near = true, n
		return err
	}
	set := []uint64{0}
	err := dayField.parse(text, set)
	d.set = set[0]
	return err
}

func (d *dayOfWeek) parse(text string) error {
	day, nth, numbered := strings.Cut(text, "#")
	last, isLast := strings.CutSuffix(text, "L")
	switch {
	case text == "?":
		return nil
	case text == "L":
		d.set = 1 << 7 // the last day of the week
		return nil
	case numbered:
		n, err := strconv.ParseUint(nth, 10, 8)
		if err != nil || n < 1 || n > 5 {
			return fmt.Errorf("day-of-week cannot be %q", text)
		}
		d.nth = int(n)
		d.day, err = weekdayField.value(day)
		return err
	case isLast:
		n, err := weekdayField.value(last)
		d.last = n
		return err
	}
	set := []uint64{0}
	err := weekdayField.parse(text, set)
	d.set = set[0]
	return err
}

// in returns the days of a month that match; the month has n days and begins on a weekday, 1 being Sunday.
func (d *dayOfMonth) in(n, first int) uint64 {
	all := uint64(1)<<(n+1) - 2
	switch {
	case d.weekday:
		day := d.near
		if d.last {
			day = n
		}
		if day > n {
			return 0
		}
		return 1 << nearest(day, n, first)
	case d.last:
		if d.before >= n {
			return 0
		}
		return 1 << (n - d.before)
	case d.set != 0:
		return d.set & all
	}
	return all
}

// nearest returns the weekday of the same month nearest to a day.
func nearest(day, n, first int) int {
	switch weekday(day, first) {
	case 7:
		if day == 1 {
			return 3
		}
		return day - 1
	case 1:
		if day == n {
			return day - 2
		}
		return day + 1
	}
	return day
}

// weekday returns which day of the week a day of the month is, 1 being Sunday.
func weekday(day, first int) int { return (first-1+day-1)%7 + 1 }

// in is as dayOfMonth's.
func (d *dayOfWeek) in(n, first int) uint64 {
	all := uint64(1)<<(n+1) - 2
	on := func(wd int) int { return 1 + (wd-first+7)%7 } // the month's first such day
	switch {
	case d.nth > 0:
		return 1 << (on(d.day) + 7*(d.nth-1)) & all
	case d.last > 0:
		day := on(d.last)
		return 1 << (day + (n-day)/7*7)
	case d.set != 0:
		var days uint64
		for day := 1; day <= n; day++ {
			days |= d.set >> weekday(day, first) & 1 << day
		}
		return days
	}
	return all
}

// next returns the first moment after the given one.
func (c *cron) next(after time.Time, zone *time.Location) time.Time {
	l := after.In(zone)
	local := time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
	for local = c.match(local.Add(time.Minute)); !local.IsZero(); local = c.match(local.Add(time.Minute)) {
		if at, exists := instant(local, zone); exists && at.After(after) {
			return at
		}
	}
	return time.Time{}
}

// match returns the first minute not before from that matches, as though everywhere were UTC.
func (c *cron) match(from time.Time) time.Time {
	minute, hour, day := from.Minute(), from.Hour(), from.Day()
	year, month := from.Year(), int(from.Month())
	if year < firstYear {
		year, month, day, hour, minute = firstYear, 1, 1, 0, 0
	}
	for ; year <= lastYear; year, month, day, hour, minute = year+1, 1, 1, 0, 0 {
		if n := year - firstYear; c.years[n/64]>>(n%64)&1 == 0 {
			continue
		}
		for ; month <= 12; month, day, hour, minute = month+1, 1, 0, 0 {
			if c.months>>month&1 == 0 {
				continue
			}
			if day, hour, minute, ok := c.matchMonth(year, month, day, hour, minute); ok {
				return time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC)
			}
		}
	}
	return time.Time{}
}

// matchMonth looks for the first match of a month not before a day, hour and minute of it.
func (c *cron) matchMonth(year, month, day, hour, minute int) (d, h, m int, ok bool) {
	n := time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	first := int(time.Date(year, time.Month(month), 1, 0, 0, 0, 0, time.UTC).Weekday()) + 1
	days := c.days.in(n, first) & c.weekdays.in(n, first)
	for d = least(days, day); d <= n; d, hour, minute = least(days, d+1), 0, 0 {
		if d > day {
			hour, minute = 0, 0
		}
		for h = least(c.hours, hour); h < 24; h, minute = least(c.hours, h+1), 0 {
			if h > hour {
				minute = 0
			}
			if m = least(c.minutes, minute); m < 60 {
				return d, h, m, true
			}
		}
	}
	return 0, 0, 0, false
}

// least returns the set's smallest value not below from, 64 when there is none.
func least(set uint64, from int) int { return bits.TrailingZeros64(set >> from << from) }
