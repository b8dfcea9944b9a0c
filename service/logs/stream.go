package logs

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"fogbank/api/logs"
	"fogbank/store"
)

// stream is the record of a log stream.
type stream struct {
	ID      uint64
	Created int64 // milliseconds since 1970
}

var streams = store.NewTable[stream]("logs/stream", store.Regional)

func findStream(tx *store.Tx, g group, name string) (stream, error) {
	st, ok := streams.Get(tx, store.K(g.ID, name))
	if !ok {
		return st, logs.ResourceNotFoundException(noSuchStream)
	}
	return st, nil
}

// CreateLogStream makes an empty stream in a group.
func (s *Service) CreateLogStream(ctx context.Context, in *logs.CreateLogStreamInput) (*logs.CreateLogStreamOutput, error) {
	st := stream{ID: s.world.Uint64(), Created: s.world.Now().UnixMilli()}
	return &logs.CreateLogStreamOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, in.LogGroupName)
		if err != nil {
			return err
		}
		key := store.K(g.ID, in.LogStreamName)
		if streams.Has(tx, key) {
			return logs.ResourceAlreadyExistsException("The specified log stream already exists")
		}
		streams.Put(tx, key, st)
		return nil
	})
}

// DeleteLogStream deletes a stream and its events.
func (s *Service) DeleteLogStream(ctx context.Context, in *logs.DeleteLogStreamInput) (*logs.DeleteLogStreamOutput, error) {
	now := s.world.Now()
	return &logs.DeleteLogStreamOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, in.LogGroupName)
		if err != nil {
			return err
		}
		st, err := findStream(tx, g, in.LogStreamName)
		if err != nil {
			return err
		}
		streams.Delete(tx, store.K(g.ID, in.LogStreamName))
		sweeps.Set(tx, store.K("stream", st.ID), now, task{Stream: st.ID})
		return nil
	})
}

// seenStream is a stream with what its events tell.
type seenStream struct {
	stream
	name                  string
	first, last, ingested int64 // milliseconds; 0 when there are no events
}

// look reads the ends of a stream, leaving out what is older than floor.
func look(tx *store.Tx, name string, st stream, floor int64) seenStream {
	v := seenStream{stream: st, name: name}
	r := store.Range{Prefix: store.K(st.ID), From: store.K(st.ID, floor), Limit: 1}
	for key := range events.Scan(tx, r) {
		v.first = positionOf(key).at
	}
	r.Reverse = true
	for key, e := range events.Scan(tx, r) {
		v.last, v.ingested = positionOf(key).at, e.ingested
	}
	return v
}

// DescribeLogStreams lists the streams of a group by name, or by when their last event was.
func (s *Service) DescribeLogStreams(ctx context.Context, in *logs.DescribeLogStreamsInput) (*logs.DescribeLogStreamsOutput, error) {
	name, err := chosenGroup(in.GetLogGroupName(), in.GetLogGroupIdentifier())
	if err != nil {
		return nil, err
	}
	byTime := in.GetOrderBy() == "LastEventTime"
	if byTime && in.GetLogStreamNamePrefix() != "" {
		return nil, logs.InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	after, err := readToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	now := s.world.Now()
	out := &logs.DescribeLogStreamsOutput{LogStreams: []logs.LogStream{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, name)
		if err != nil {
			return err
		}
		var page []seenStream
		if byTime {
			page = streamsByTime(tx, g, g.floor(now), in.GetDescending(), after, pageSize(in.Limit)+1)
		} else {
			page = streamsByName(tx, g, g.floor(now), in, after, pageSize(in.Limit)+1)
		}
		if len(page) > pageSize(in.Limit) {
			page = page[:pageSize(in.Limit)]
			out.NextToken = writeToken(page[len(page)-1].name)
		}
		for _, v := range page {
			out.LogStreams = append(out.LogStreams, describeStream(tx, name, v))
		}
		return nil
	})
}

// streamsByName reads up to n streams after a name, in the order asked for.
func streamsByName(tx *store.Tx, g group, floor int64, in *logs.DescribeLogStreamsInput, after string, n int) []seenStream {
	r := store.Range{Prefix: store.K(g.ID), Reverse: in.GetDescending()}
	if after != "" {
		r.After = store.K(g.ID, after)
	}
	var page []seenStream
	for key, st := range streams.Scan(tx, r) {
		name := streamName(key)
		if !strings.HasPrefix(name, in.GetLogStreamNamePrefix()) {
			continue
		}
		if page = append(page, look(tx, name, st, floor)); len(page) == n {
			break
		}
	}
	return page
}

// streamsByTime reads up to n streams after the one named, by their last event or, without one,
// their creation.
func streamsByTime(tx *store.Tx, g group, floor int64, descending bool, after string, n int) []seenStream {
	var all []seenStream
	for key, st := range streams.Scan(tx, store.Range{Prefix: store.K(g.ID)}) {
		all = append(all, look(tx, streamName(key), st, floor))
	}
	slices.SortFunc(all, func(a, b seenStream) int {
		c := cmp.Or(cmp.Compare(cmp.Or(a.last, a.Created), cmp.Or(b.last, b.Created)), strings.Compare(a.name, b.name))
		if descending {
			return -c
		}
		return c
	})
	if after != "" {
		i := slices.IndexFunc(all, func(v seenStream) bool { return v.name == after })
		all = all[i+1:]
	}
	return all[:min(n, len(all))]
}

func streamName(key store.Key) (name string) {
	if err := key.Parse(nil, &name); err != nil {
		panic("logs: a stream's key without a name: " + err.Error())
	}
	return name
}

func describeStream(tx *store.Tx, group string, v seenStream) logs.LogStream {
	d := logs.LogStream{
		LogStreamName: new(v.name), Arn: new(groupARN(tx, group) + ":log-stream:" + v.name), StoredBytes: new(int64(0)),
		UploadSequenceToken: new(position{v.ingested, 0}.String()),
	}
	d.CreationTime = new(v.Created)
	if v.last > 0 {
		d.FirstEventTimestamp = new(v.first)
		d.LastEventTimestamp = new(v.last)
		d.LastIngestionTime = new(v.ingested)
	}
	return d
}
