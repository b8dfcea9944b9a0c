package events

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/store"
	"fogbank/template"
)

// Notice is what a service has to tell: it becomes an event of the default bus.
type Notice struct {
	Source, DetailType string // "aws.events", "Scheduled Event"
	Detail             []byte // a JSON object
	Resources          []string
	At                 time.Time
}

// APICall is the detail type of calls that were recorded.
const APICall = "AWS API Call via CloudTrail"

// Announce routes a notice on the default bus of the call in ctx.
func (s *Service) Announce(ctx context.Context, n *Notice) error {
	now, id := s.world.Now(), s.world.UUID()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		ev, err := n.event(tx, id, now)
		if err != nil {
			return err
		}
		ev.Host = aws.CallFrom(ctx).Endpoint
		return s.dispatch(tx, nil, defaultBus, ev)
	})
}

// event is the notice as an event of the tenant.
func (n *Notice) event(tx *store.Tx, id string, now time.Time) (*event, error) {
	b := appendJSON([]byte(`{"version":"0","id":`), id)
	b = appendJSON(append(b, `,"detail-type":`...), n.DetailType)
	b = appendJSON(append(b, `,"source":`...), n.Source)
	b = appendJSON(append(b, `,"account":`...), tx.Account())
	b = appendJSON(append(b, `,"time":`...), n.At.UTC().Format(time.RFC3339))
	b = appendJSON(append(b, `,"region":`...), tx.Region())
	b = append(b, `,"resources":[`...)
	for i, r := range n.Resources {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, r)
	}
	b = append(append(append(b, `],"detail":`...), n.Detail...), '}')
	flat, err := pattern.Flatten(b)
	return &event{ID: id, JSON: b, Ingested: now.UTC().Format(time.RFC3339), flat: flat}, err
}

var readOnlyPath, _ = template.ParsePath("$.detail.readOnly")

// matching returns the names of a bus's rules that match an event. Calls that were recorded and changed nothing are for
// rules that ask for them.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail-management.html
func matching(r *router, json []byte, flat *pattern.Event) (names []string) {
	r.set.Match(flat, func(i int) { names = append(names, r.names[i]) })
	if len(names) == 0 || !recorded(json) {
		return names
	}
	if v, ok := readOnlyPath.Find(json); !ok || string(v) != "true" {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool { return !r.all[name] })
}

// recorded reports whether an event is a recorded call: what others put cannot come from such a source.
func recorded(json []byte) bool {
	head, _, _ := bytes.Cut(json, []byte(`,"account":`))
	return strings.Contains(string(head), `,"detail-type":"`+APICall+`","source":"aws.`)
}
