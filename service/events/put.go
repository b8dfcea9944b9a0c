package events

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/relay"
	"fogbank/store"
)

// Limits of PutEvents and of what follows from it.
const (
	maxEntries = 1 << 20 // bytes of all entries
	maxHops    = 5       // buses an event passes
	maxCopied  = 1 << 20 // bytes of an event copied into its deliveries; beyond it they share the event
)

// event is an event on its way.
type event struct {
	ID       string
	JSON     []byte // as AWS lays it out
	Ingested string // when, RFC 3339
	Hops     int    // buses it has passed
	Host     string // scheme and host clients use
	Replay   string // that brought it back
	Trace    string // tracing header, "" for none
	flat     *pattern.Event
}

// entryError is what is wrong with an entry of PutEvents.
type entryError struct{ code, message string }

// newEvent checks an entry and makes its event.
func newEvent(e *events.PutEventsRequestEntry, id string, call *aws.Call, now time.Time) (*event, *entryError) {
	required := func(name string) *entryError {
		return &entryError{"InvalidArgument", "Parameter " + name + " is not valid. Reason: " + name + " is a required argument."}
	}
	switch {
	case e.GetSource() == "":
		return nil, required("Source")
	case e.GetDetailType() == "":
		return nil, required("DetailType")
	case e.GetDetail() == "":
		return nil, required("Detail")
	case strings.HasPrefix(e.GetSource(), "aws."):
		return nil, &entryError{"NotAuthorizedForSource", "Not authorized for the source."}
	}
	at := now
	if e.Time != nil {
		at = *e.Time
	}
	account := call.Account
	if call.Principal.Account != "" {
		account = call.Principal.Account
	}
	b := make([]byte, 0, len(e.GetDetail())+512)
	field := func(name, v string) {
		b = append(append(append(b, ",\""...), name...), "\":"...)
		b = appendJSON(b, v)
	}
	b = append(b, `{"version":"0"`...)
	field("id", id)
	field("detail-type", e.GetDetailType())
	field("source", e.GetSource())
	field("account", account)
	field("time", at.UTC().Format("2006-01-02T15:04:05Z"))
	field("region", call.Region)
	b = append(b, `,"resources":[`...)
	for i, r := range e.Resources {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, r)
	}
	b = append(b, `],"detail":`...)
	ev := &event{ID: id, Ingested: now.Format("2006-01-02T15:04:05Z"), Host: call.Endpoint, Trace: traceOf(e, call)}
	detail := bytes.NewBuffer(b)
	if !strings.HasPrefix(strings.TrimLeft(e.GetDetail(), " \t\r\n"), "{") || json.Compact(detail, []byte(e.GetDetail())) != nil {
		return nil, &entryError{"MalformedDetail", "Detail is malformed."}
	}
	detail.WriteByte('}')
	ev.JSON = detail.Bytes()
	flat, err := pattern.Flatten(ev.JSON)
	if err != nil {
		return nil, &entryError{"MalformedDetail", "Detail is malformed."}
	}
	ev.flat = flat
	return ev, nil
}

// traceOf is the tracing header of an entry, else that of the call. One that X-Ray would not take is dropped, and so is
// how often functions were invoked on the way: Lambda does not detect loops that other services are a part of.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-related-service-xray.html
func traceOf(e *events.PutEventsRequestEntry, call *aws.Call) string {
	t := aws.ParseTrace(cmp.Or(e.GetTraceHeader(), call.Trace))
	t.Lineage = ""
	return t.String()
}

// appendJSON writes a JSON string; what encoding/json escapes for HTML is left as it is.
func appendJSON(b []byte, s string) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
		return append(append(append(b, '"'), s...), '"')
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("events: a string that is no JSON: " + err.Error())
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// size is how many bytes of the limit an entry uses.
func size(e *events.PutEventsRequestEntry) int {
	n := len(e.GetSource()) + len(e.GetDetailType()) + len(e.GetDetail())
	for _, r := range e.Resources {
		n += len(r)
	}
	if e.Time != nil {
		n += 14
	}
	return n
}

// PutEvents routes up to ten events. Those accepted are durable, with all their deliveries, on
// return; those that are wrong, or whose bus does not exist, fail alone.
func (s *Service) PutEvents(ctx context.Context, in *events.PutEventsInput) (*events.PutEventsOutput, error) {
	if in.EndpointId != nil {
		return nil, notYet("a global endpoint")
	}
	call, now, total := aws.CallFrom(ctx), s.world.Now(), 0
	list := make([]*event, len(in.Entries))
	results := make([]events.PutEventsResultEntry, len(in.Entries))
	for i := range in.Entries {
		total += size(&in.Entries[i])
		ev, wrong := newEvent(&in.Entries[i], s.world.UUID(), call, now)
		if wrong != nil {
			results[i] = events.PutEventsResultEntry{ErrorCode: new(wrong.code), ErrorMessage: new(wrong.message)}
			continue
		}
		list[i], results[i] = ev, events.PutEventsResultEntry{EventId: new(ev.ID)}
	}
	if total > maxEntries {
		return nil, invalid("Total size of the entries in the request is over the limit.")
	}
	out := &events.PutEventsOutput{}
	return out, s.relay.Update(ctx, s.db, s.handPrompt, func(tx *store.Tx, w *relay.Within[delivery]) error {
		out.Entries, out.FailedEntryCount = slices.Clone(results), new(int32(0))
		for i, ev := range list {
			if ev != nil {
				err := s.dispatch(tx, w, in.Entries[i].GetEventBusName(), ev)
				if aws.IsCode(err, "ResourceNotFoundException") {
					e := aws.AsError(err)
					out.Entries[i] = events.PutEventsResultEntry{ErrorCode: new(e.Code), ErrorMessage: new(e.Message)}
				} else if err != nil {
					return err
				}
			}
			if out.Entries[i].ErrorCode != nil {
				*out.FailedEntryCount++
			}
		}
		return nil
	})
}

// dispatch makes within the transaction, or adds to the relay, a delivery to every target of every rule that matches the event on a bus.
func (s *Service) dispatch(tx *store.Tx, w *relay.Within[delivery], bus string, ev *event) error {
	name := busName(bus)
	if name != defaultBus || bus != "" && bus != defaultBus {
		if err := known(tx, bus); err != nil {
			return err
		}
	}
	r, err := routers.Get(tx, store.K(name))
	if err != nil {
		return err
	}
	if err := record(tx, name, ev, tx.World().Now()); err != nil {
		return err
	}
	return s.carry(tx, w, name, matching(r, ev.JSON, ev.flat), ev)
}

// carry makes within the transaction, or adds to the relay, a delivery to every target of some rules of a bus.
func (s *Service) carry(tx *store.Tx, w *relay.Within[delivery], bus string, names []string, ev *event) error {
	var list []delivery
	copied := 0
	for _, rule := range names {
		all, err := routes.Get(tx, store.K(bus, rule))
		if err != nil {
			return err
		}
		o := occasion{string(ruleARN(tx.Account(), tx.Region(), bus, rule)), rule, ev.Ingested}
		for j := range all {
			d := newDelivery(&all[j], o, ev)
			copied += len(d.Payload) + len(d.Event)
			list = append(list, d)
		}
	}
	share := len(list) > 1 && copied > maxCopied
	key := store.K(ev.ID, bus, ev.Hops)
	if ev.Replay != "" {
		key = key.Str(ev.Replay)
	}
	for i := range list {
		d := &list[i]
		if share {
			d.Shared = key.Str(d.Rule).Str(d.Target)
			d.Event = nil
			pendings.Put(tx, d.Shared, struct{}{})
		}
		if lane := d.Rule + "/" + d.Target; !d.prompt() || !w.Add(tx, lane, *d) {
			s.relay.Add(tx, lane, *d)
		}
	}
	if share {
		shared.Put(tx, key, ev.JSON)
	}
	return nil
}

// TestEventPattern reports whether a pattern matches an event.
func (s *Service) TestEventPattern(ctx context.Context, in *events.TestEventPatternInput) (*events.TestEventPatternOutput, error) {
	if err := checkPattern(in.EventPattern); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(in.Event), &fields) != nil || fields == nil {
		return nil, invalid("Parameter Event is not valid. Reason: Event is not a valid JSON object.")
	}
	for _, name := range []string{"id", "account", "source", "time", "region", "detail-type"} {
		if fields[name] == nil {
			return nil, invalid("Parameter Event is not valid. Reason: Missing mandatory field: %s.", name)
		}
	}
	p, err := pattern.Parse(pattern.Rule, []byte(in.EventPattern))
	if err != nil {
		return nil, err
	}
	ok, err := p.Match([]byte(in.Event))
	if err != nil {
		return nil, invalid("Parameter Event is not valid. Reason: %s", err)
	}
	return &events.TestEventPatternOutput{Result: &ok}, nil
}
