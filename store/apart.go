package store

import (
	"bytes"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// apart has Pebble begin a new file at the borders of what is written to most. Else a file written from memory spans
// all tables from the first that was written to, to the last, and meets every other file. Where rows come and go in the order of
// their keys, as messages do, what is new would be merged with all that is there, again and again; in files of its own it
// meets nothing. That takes a quarter off the processor's work for messages sent by tens. A policy may differ from one run to
// the next: it only decides where files end.
type apart struct {
	skipped int            // bytes since the last sample
	samples int            // since counts was empty
	counts  map[string]int // samples by prefix

	borders atomic.Pointer[[]string] // sorted
}

const (
	sampleBytes = 4 << 10 // of what is written, for one row to be looked at
	sampleCount = 512     // samples after which the borders are drawn anew: some two megabytes, half of a memtable
	apartShare  = 32      // one in so many samples makes a prefix stand apart
)

// see looks at what is about to be applied. There is one caller at a time.
func (a *apart) see(b *pebble.Batch) {
	if a.skipped += b.Len(); a.skipped < sampleBytes {
		return
	}
	left := a.skipped - b.Len()
	for r := b.Reader(); ; {
		_, key, value, ok, err := r.Next()
		if !ok || err != nil {
			break
		}
		if left += len(key) + len(value); left >= sampleBytes {
			a.sample(key, left/sampleBytes)
			left %= sampleBytes
		}
	}
	a.skipped = left
}

// sample counts n samples for a row's table, of its tenant, and for the part of the table that the first part of its key names,
// such as one queue.
func (a *apart) sample(key []byte, n int) {
	table := tableLen(key)
	if table == 0 {
		return
	}
	if a.counts == nil {
		a.counts = map[string]int{}
	}
	a.counts[string(key[:table])] += n
	if first := partLen(key[table:]); first > 0 && table+first < len(key) {
		a.counts[string(key[:table+first])] += n
	}
	if a.samples += n; a.samples >= sampleCount {
		a.draw()
	}
}

// draw makes borders of the prefixes that took more than their share, of which there are at most 64.
func (a *apart) draw() {
	var borders []string
	for prefix, n := range a.counts {
		if n >= a.samples/apartShare {
			s := below(prefix)
			borders = append(borders, s.low, s.high)
		}
	}
	slices.Sort(borders)
	a.borders.Store(&borders)
	a.samples = 0
	clear(a.counts)
}

// policy implements pebble.SpanPolicyFunc: what holds for key holds up to the next border, nil if there is none.
func (a *apart) policy(key []byte) (p pebble.SpanPolicy, end []byte, err error) {
	borders := a.borders.Load()
	if borders == nil {
		return p, nil, nil
	}
	i, met := slices.BinarySearch(*borders, string(key))
	if met {
		i++
	}
	if i == len(*borders) {
		return p, nil, nil
	}
	return p, []byte((*borders)[i]), nil
}

// tableLen returns the length of what stands before the keys of a table: account, region and name. 0 is none.
func tableLen(key []byte) (n int) {
	for range 3 {
		i := bytes.IndexByte(key[n:], 0)
		if i < 0 {
			return 0
		}
		n += i + 1
	}
	return n
}
