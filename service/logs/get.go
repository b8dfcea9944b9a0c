package logs

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"fogbank/api/logs"
	"fogbank/store"
)

// found is an event read back.
type found struct {
	position
	event
}

// GetLogEvents reads a page of one stream, forward or backward from a token or an end. The tokens
// lead on in both directions; at an end the same token comes back.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
func (s *Service) GetLogEvents(ctx context.Context, in *logs.GetLogEventsInput) (*logs.GetLogEventsOutput, error) {
	name, err := chosenGroup(in.GetLogGroupName(), in.GetLogGroupIdentifier())
	if err != nil {
		return nil, err
	}
	forward, at, err := readEventToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	if in.GetNextToken() == "" {
		forward = in.GetStartFromHead()
	}
	now := s.world.Now()
	var page []found
	err = s.db.View(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, name)
		if err != nil {
			return err
		}
		st, err := findStream(tx, g, in.LogStreamName)
		if err != nil {
			return err
		}
		r := store.Range{Prefix: store.K(st.ID), Reverse: !forward}
		from := max(g.floor(now), in.GetStartTime())
		r.From = store.K(st.ID, from)
		if in.EndTime != nil {
			r.To = store.K(st.ID, in.GetEndTime())
		}
		if at != (position{}) {
			r.After = at.key(st.ID)
		}
		page = readPage(tx, r, eventLimit(in.Limit))
		return nil
	})
	if err != nil {
		return nil, err
	}
	first, last := at, at
	out := &logs.GetLogEventsOutput{Events: make([]logs.OutputLogEvent, len(page))}
	for i, e := range page {
		out.Events[i].Message = new(e.message)
		out.Events[i].Timestamp = new(e.at)
		out.Events[i].IngestionTime = new(e.ingested)
	}
	if len(page) > 0 {
		first, last = page[0].position, page[len(page)-1].position
	}
	out.NextForwardToken = new("f/" + last.String() + "/s")
	out.NextBackwardToken = new("b/" + first.String() + "/s")
	return out, nil
}

// readPage reads up to limit events and a page's bytes, and returns them in the order of time.
func readPage(tx *store.Tx, r store.Range, limit int) []found {
	var page []found
	size := 0
	for key, e := range events.Scan(tx, r) {
		if size += len(e.message) + eventOverhead; size > maxBytes && len(page) > 0 {
			break
		}
		if page = append(page, found{positionOf(key), e}); len(page) == limit {
			break
		}
	}
	if r.Reverse {
		slices.Reverse(page)
	}
	return page
}

// readEventToken reads "f/…/s" or "b/…/s".
func readEventToken(token string) (forward bool, at position, err error) {
	if token == "" {
		return false, at, nil
	}
	digits, ok := strings.CutSuffix(token, "/s")
	rest, forward := strings.CutPrefix(digits, "f/")
	if !forward {
		var back bool
		rest, back = strings.CutPrefix(digits, "b/")
		ok = ok && back
	}
	at, valid := parsePosition(rest)
	if !ok || !valid {
		return false, at, logs.InvalidParameterException(badToken)
	}
	return forward, at, nil
}

func eventLimit(limit *int32) int {
	if limit == nil || *limit <= 0 {
		return maxEvents
	}
	return min(int(*limit), maxEvents)
}

// floor is the oldest timestamp the group still shows, in milliseconds.
func (g *group) floor(now time.Time) int64 {
	if g.Retention == 0 {
		return math.MinInt64 + 1
	}
	return now.AddDate(0, 0, -int(g.Retention)).UnixMilli()
}
