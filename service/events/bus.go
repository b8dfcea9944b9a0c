package events

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
)

const (
	defaultBus = "default"
	maxBuses   = 100
	maxTags    = 50
)

// bus is the record of an event bus.
type bus struct {
	Name        string
	Description string
	Policy      string
	Tags        map[string]string
	Created     time.Time
	Modified    time.Time
}

var buses = store.NewTable[bus]("events/bus", store.Regional)

var busPolicies = store.Derive(buses, func(_ store.Key, b bus) (*policy.Document, error) {
	if b.Policy == "" {
		return nil, nil
	}
	return policy.Parse(b.Policy)
})

// busName returns the name in a bus's ARN, or the name itself; "" is the default bus, and an ARN of
// anything else has none.
func busName(bus string) string {
	if p, ok := aws.ARN(bus).Parse(); ok {
		name, ok := strings.CutPrefix(p.Resource, "event-bus/")
		if !ok {
			return ""
		}
		return name
	}
	if bus == "" {
		return defaultBus
	}
	return bus
}

// invalid is ValidationException.
func invalid(format string, args ...any) error { return events.ValidationException(format, args...) }

// notYet refuses what fogbank does not do, rather than pretend.
func notYet(what string) error {
	return aws.Errorf("NotImplemented", 501, "EventBridge: %s is not implemented", what)
}

func errNoBus(name string) error {
	return events.ResourceNotFoundException("Event bus %s does not exist.", name)
}

// findBus returns a bus given by name or ARN, "" being the default bus, which always exists.
func findBus(tx *store.Tx, given string) (bus, error) {
	name := busName(given)
	if arn := aws.ARN(given); arn.Service() != "" && (arn.Account() != tx.Account() || arn.Region() != tx.Region()) {
		return bus{}, errNoBus(name)
	}
	b, ok := buses.Get(tx, store.K(name))
	if !ok && name != defaultBus {
		return bus{}, errNoBus(name)
	}
	b.Name = name
	return b, nil
}

// known is findBus for who needs only to know that there is such a bus: of one that is there nothing is read.
func known(tx *store.Tx, given string) error {
	if arn := aws.ARN(given); arn.Service() == "" || arn.Account() == tx.Account() && arn.Region() == tx.Region() {
		if _, ok, _ := busPolicies.Get(tx, store.K(busName(given))); ok {
			return nil
		}
	}
	_, err := findBus(tx, given)
	return err
}

// arnOf returns the ARN of a bus of the tenant.
func arnOf(tx *store.Tx, name string) string {
	return string(aws.MakeARN("events", tx.Region(), tx.Account(), "event-bus/"+name))
}

// CreateEventBus makes a bus.
func (s *Service) CreateEventBus(ctx context.Context, in *events.CreateEventBusInput) (*events.CreateEventBusOutput, error) {
	switch {
	case in.EventSourceName != nil:
		return nil, notYet("a partner event bus")
	case in.KmsKeyIdentifier != nil || in.DeadLetterConfig.GetArn() != "":
		return nil, notYet("an encrypted event bus")
	case strings.Contains(in.Name, "/"):
		return nil, invalid("Event bus name must not contain '/'.")
	}
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[t.Key] = t.Value
	}
	if len(tags) > maxTags {
		return nil, errTooMany()
	}
	now := s.world.Now()
	out := &events.CreateEventBusOutput{Description: in.Description}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		if in.Name == defaultBus || buses.Has(tx, store.K(in.Name)) {
			return events.ResourceAlreadyExistsException("Event bus %s already exists.", in.Name)
		}
		n := 0
		for range buses.Keys(tx, store.Range{Limit: maxBuses}) {
			n++
		}
		if n >= maxBuses {
			return errTooMany()
		}
		buses.Put(tx, store.K(in.Name), bus{in.Name, in.GetDescription(), "", tags, now, now})
		out.EventBusArn = new(arnOf(tx, in.Name))
		return nil
	})
}

func errTooMany() error {
	return events.LimitExceededException("The requested resource exceeds the maximum number allowed.")
}

// DeleteEventBus removes a bus that has no rules. One that is missing is no error.
func (s *Service) DeleteEventBus(ctx context.Context, in *events.DeleteEventBusInput) (*events.DeleteEventBusOutput, error) {
	if busName(in.Name) == defaultBus {
		return nil, invalid("Cannot delete event bus default.")
	}
	return &events.DeleteEventBusOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		name := busName(in.Name)
		for range rules.Keys(tx, store.Range{Prefix: store.K(name), Limit: 1}) {
			return invalid("Cannot delete event bus %s because it has rules.", name)
		}
		ruleCounts.Delete(tx, store.K(name))
		buses.Delete(tx, store.K(name))
		return nil
	})
}

// DescribeEventBus returns what is known of a bus.
func (s *Service) DescribeEventBus(ctx context.Context, in *events.DescribeEventBusInput) (*events.DescribeEventBusOutput, error) {
	out := &events.DescribeEventBusOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		b, err := findBus(tx, in.GetName())
		if err != nil {
			return err
		}
		e := b.entry(tx)
		*out = events.DescribeEventBusOutput{Name: e.Name, Arn: e.Arn, Description: e.Description, Policy: e.Policy,
			CreationTime: e.CreationTime, LastModifiedTime: e.LastModifiedTime}
		return nil
	})
}

// UpdateEventBus changes a bus's description.
func (s *Service) UpdateEventBus(ctx context.Context, in *events.UpdateEventBusInput) (*events.UpdateEventBusOutput, error) {
	if in.KmsKeyIdentifier != nil || in.DeadLetterConfig.GetArn() != "" {
		return nil, notYet("an encrypted event bus")
	}
	out := &events.UpdateEventBusOutput{Description: in.Description}
	return out, s.change(ctx, in.GetName(), func(tx *store.Tx, b *bus) error {
		b.Description = in.GetDescription()
		out.Name, out.Arn = new(b.Name), new(arnOf(tx, b.Name))
		return nil
	})
}

// change stores a changed bus in one transaction.
func (s *Service) change(ctx context.Context, given string, f func(*store.Tx, *bus) error) error {
	now := s.world.Now()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		b, err := findBus(tx, given)
		if err != nil {
			return err
		}
		if err := f(tx, &b); err != nil {
			return err
		}
		b.Modified = now
		buses.Put(tx, store.K(b.Name), b)
		return nil
	})
}

// entry is the bus as lists show it.
func (b *bus) entry(tx *store.Tx) events.EventBus {
	e := events.EventBus{Name: new(b.Name), Arn: new(arnOf(tx, b.Name))}
	if b.Description != "" {
		e.Description = new(b.Description)
	}
	if b.Policy != "" {
		e.Policy = new(b.Policy)
	}
	if !b.Created.IsZero() {
		e.CreationTime = new(b.Created)
	}
	if !b.Modified.IsZero() {
		e.LastModifiedTime = new(b.Modified)
	}
	return e
}

// ListEventBuses returns the buses by name, the default bus in its place among them.
func (s *Service) ListEventBuses(ctx context.Context, in *events.ListEventBusesInput) (*events.ListEventBusesOutput, error) {
	out := &events.ListEventBusesOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		list := []bus{{Name: defaultBus}}
		for _, b := range buses.All(tx, "") {
			if b.Name == defaultBus {
				list[0] = b
			} else {
				list = append(list, b)
			}
		}
		slices.SortFunc(list, func(a, b bus) int { return strings.Compare(a.Name, b.Name) })
		list = slices.DeleteFunc(list, func(b bus) bool { return !strings.HasPrefix(b.Name, in.GetNamePrefix()) })
		from, to, next, err := page(len(list), in.GetNextToken(), in.Limit)
		for _, b := range list[from:to] {
			out.EventBuses = append(out.EventBuses, b.entry(tx))
		}
		out.NextToken = next
		return err
	})
}

// grant is one statement of a bus's policy, and document what surrounds it.
type (
	document struct {
		Version   string
		Statement []json.RawMessage
	}
	grant struct {
		Sid       string
		Effect    string
		Principal any
		Action    string
		Resource  string
		Condition map[string]map[string]string `json:",omitempty"`
	}
)

// PutPermission replaces the policy of a bus, or adds one statement to it.
func (s *Service) PutPermission(ctx context.Context, in *events.PutPermissionInput) (*events.PutPermissionOutput, error) {
	if in.Policy == nil && (in.Action == nil || in.Principal == nil || in.StatementId == nil) {
		return nil, invalid("Parameter(s) Policy or Action, Principal and StatementId must be specified.")
	}
	if in.Policy != nil && (in.Action != nil || in.Principal != nil || in.StatementId != nil || in.Condition != nil) {
		return nil, invalid("Parameter Policy cannot be combined with Action, Principal, StatementId or Condition.")
	}
	return &events.PutPermissionOutput{}, s.change(ctx, in.GetEventBusName(), func(tx *store.Tx, b *bus) error {
		if in.Policy != nil {
			return b.setPolicy(in.GetPolicy())
		}
		if in.GetAction() != "events:PutEvents" {
			return invalid("Provided value in parameter 'action' is not supported.")
		}
		g := grant{Sid: in.GetStatementId(), Effect: "Allow", Principal: "*", Action: in.GetAction(), Resource: arnOf(tx, b.Name)}
		if p := in.GetPrincipal(); p != "*" {
			g.Principal = map[string]string{"AWS": "arn:aws:iam::" + p + ":root"}
		}
		if c := in.Condition; c != nil {
			g.Condition = map[string]map[string]string{c.Type: {c.Key: c.Value}}
		}
		statement, err := json.Marshal(g)
		if err != nil {
			return err
		}
		doc, err := b.without(g.Sid)
		if err != nil {
			return err
		}
		doc.Statement = append(doc.Statement, statement)
		return b.setDocument(doc)
	})
}

// without returns the bus's policy without the statement of that name.
func (b *bus) without(sid string) (*document, error) {
	doc := &document{Version: "2012-10-17"}
	if b.Policy != "" {
		if err := json.Unmarshal([]byte(b.Policy), doc); err != nil {
			return nil, invalid("The policy of event bus %s cannot be edited statement by statement.", b.Name)
		}
	}
	doc.Statement = slices.DeleteFunc(doc.Statement, func(raw json.RawMessage) bool {
		var s struct{ Sid string }
		return json.Unmarshal(raw, &s) == nil && s.Sid == sid
	})
	return doc, nil
}

func (b *bus) setDocument(doc *document) error {
	if len(doc.Statement) == 0 {
		b.Policy = ""
		return nil
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return b.setPolicy(string(text))
}

// maxPolicy is how many bytes the policy of a bus may have.
const maxPolicy = 10 << 10

func (b *bus) setPolicy(text string) error {
	if len(text) > maxPolicy {
		return events.PolicyLengthExceededException("The policy of event bus %s would exceed %d bytes.", b.Name, maxPolicy)
	}
	doc, err := policy.Parse(text)
	if err == nil {
		err = doc.Check(policy.ResourcePolicy)
	}
	if err != nil {
		return invalid("Parameter Policy is not valid. Reason: %s", err)
	}
	b.Policy = text
	return nil
}

// RemovePermission removes one statement of a bus's policy, or all.
func (s *Service) RemovePermission(ctx context.Context, in *events.RemovePermissionInput) (*events.RemovePermissionOutput, error) {
	return &events.RemovePermissionOutput{}, s.change(ctx, in.GetEventBusName(), func(_ *store.Tx, b *bus) error {
		if in.GetRemoveAllPermissions() {
			b.Policy = ""
			return nil
		}
		doc, err := b.without(in.GetStatementId())
		if err != nil {
			return err
		}
		had := document{}
		if b.Policy == "" || json.Unmarshal([]byte(b.Policy), &had) != nil || len(had.Statement) == len(doc.Statement) {
			return events.ResourceNotFoundException("Statement with the provided id does not exist.")
		}
		return b.setDocument(doc)
	})
}
