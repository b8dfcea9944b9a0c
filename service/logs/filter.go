package logs

import (
	"container/heap"
	"context"
	"math"

	"fogbank/api/logs"
	"fogbank/store"
)

const (
	maxNamed   = 100     // streams named in one search
	maxScanned = 100_000 // events looked at for one page
	readAhead  = 32      // events read of each stream at a time
)

// FilterLogEvents searches a group's streams, interleaved by time.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
func (s *Service) FilterLogEvents(ctx context.Context, in *logs.FilterLogEventsInput) (*logs.FilterLogEventsOutput, error) {
	name, err := chosenGroup(in.GetLogGroupName(), in.GetLogGroupIdentifier())
	if err != nil {
		return nil, err
	}
	want, err := parsePattern(in.GetFilterPattern())
	if err != nil {
		return nil, err
	}
	switch {
	case len(in.LogStreamNames) > 0 && in.GetLogStreamNamePrefix() != "":
		return nil, logs.InvalidParameterException("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
	case len(in.LogStreamNames) > maxNamed:
		return nil, logs.InvalidParameterException("No more than %d log streams can be named.", maxNamed)
	}
	after, ok := position{}, true
	if token := in.GetNextToken(); token != "" {
		if after, ok = parsePosition(token); !ok {
			return nil, logs.InvalidParameterException(badToken)
		}
	}
	now := s.world.Now()
	out := &logs.FilterLogEventsOutput{SearchedLogStreams: []logs.SearchedLogStream{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, name)
		if err != nil {
			return err
		}
		m := merge{tx: tx, after: after, from: max(g.floor(now), in.GetStartTime()), to: endOf(in)}
		if err := m.open(g, in); err != nil {
			return err
		}
		out.Events, out.NextToken = m.page(want, eventLimit(in.Limit))
		return nil
	})
}

// endOf is the last timestamp searched.
func endOf(in *logs.FilterLogEventsInput) int64 {
	if in.EndTime == nil {
		return math.MaxInt64 - 1
	}
	return min(*in.EndTime, math.MaxInt64-1)
}

// merge reads several streams in the order of time: a heap of readers by their next event.
type merge struct {
	tx       *store.Tx
	from, to int64 // timestamps, both included
	after    position
	readers  []*reader
}

// reader is one stream being read.
type reader struct {
	name  string
	id    uint64
	ahead []found
	more  bool
}

func (m *merge) Len() int { return len(m.readers) }
func (m *merge) Less(i, j int) bool {
	return m.readers[i].ahead[0].less(m.readers[j].ahead[0].position)
}
func (m *merge) Swap(i, j int) { m.readers[i], m.readers[j] = m.readers[j], m.readers[i] }
func (m *merge) Push(any)      { panic("logs: readers are not added to a search under way") }

// Pop implements heap.Interface.
func (m *merge) Pop() any {
	last := m.readers[len(m.readers)-1]
	m.readers = m.readers[:len(m.readers)-1]
	return last
}

// open starts a reader for every stream searched that has an event in the range.
func (m *merge) open(g group, in *logs.FilterLogEventsInput) error {
	add := func(name string, st stream) {
		r := &reader{name: name, id: st.ID, more: true}
		if m.fill(r, m.after); len(r.ahead) > 0 {
			m.readers = append(m.readers, r)
		}
	}
	for _, name := range in.LogStreamNames {
		st, err := findStream(m.tx, g, name)
		if err != nil {
			return err
		}
		add(name, st)
	}
	if len(in.LogStreamNames) == 0 {
		prefix := in.GetLogStreamNamePrefix()
		for key, st := range streams.Scan(m.tx, store.Range{Prefix: store.K(g.ID), From: store.K(g.ID, prefix)}) {
			name := streamName(key)
			if len(name) < len(prefix) || name[:len(prefix)] != prefix {
				break
			}
			add(name, st)
		}
	}
	heap.Init(m)
	return nil
}

// fill reads the next events of a stream after a position.
func (m *merge) fill(r *reader, after position) {
	rows := store.Range{Prefix: store.K(r.id), From: store.K(r.id, m.from), To: store.K(r.id, m.to+1), Limit: readAhead}
	if after != (position{}) {
		rows.After = after.key(r.id)
	}
	r.ahead = r.ahead[:0]
	for key, e := range events.Scan(m.tx, rows) {
		r.ahead = append(r.ahead, found{positionOf(key), e})
	}
	r.more = len(r.ahead) == readAhead
}

// next returns the earliest event not yet read, and its stream.
func (m *merge) next() (e found, stream string, ok bool) {
	if len(m.readers) == 0 {
		return e, "", false
	}
	r := m.readers[0]
	e, stream = r.ahead[0], r.name
	if r.ahead = r.ahead[1:]; len(r.ahead) == 0 && r.more {
		r.ahead = make([]found, 0, readAhead)
		m.fill(r, e.position)
	}
	if len(r.ahead) == 0 {
		heap.Pop(m)
	} else {
		heap.Fix(m, 0)
	}
	return e, stream, true
}

// page collects up to limit events that match, and the token of the next page if there is one.
func (m *merge) page(want *pattern, limit int) ([]logs.FilteredLogEvent, *string) {
	list := []logs.FilteredLogEvent{}
	size := 0
	var last position
	for range maxScanned {
		if len(m.readers) == 0 {
			return list, nil
		}
		if len(list) == limit || size >= maxBytes {
			return list, new(last.String())
		}
		e, stream, _ := m.next()
		last = e.position
		if !want.match(e.message) {
			continue
		}
		size += len(e.message) + eventOverhead
		f := logs.FilteredLogEvent{LogStreamName: new(stream), Message: new(e.message), EventId: new(e.position.String())}
		f.Timestamp = new(e.at)
		f.IngestionTime = new(e.ingested)
		list = append(list, f)
	}
	return list, new(last.String())
}
