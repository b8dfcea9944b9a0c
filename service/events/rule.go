package events

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/store"
)

// maxRules is how many rules a bus may have.
const maxRules = 20_000

// rule is the record of a rule.
type rule struct {
	Name        string
	Pattern     string
	Schedule    string `json:",omitempty"`
	Disabled    bool
	All         bool `json:",omitempty"` // calls that were recorded and changed nothing match, too
	Description string
	Role        string
	Tags        map[string]string
	Created     time.Time
	CreatedBy   string
}

// rules are kept by bus and name; ruleCounts tell how many a bus has, but for buses to which none was added lately by
// a server that counts.
var (
	rules      = store.NewTable[rule]("events/rule", store.Regional)
	ruleCounts = store.NewCounter("events/rules", store.Regional)
)

// countRules returns how many rules a bus has. It counts them once.
func countRules(tx *store.Tx, bus string) store.Number {
	n, ok := ruleCounts.Get(tx, store.K(bus))
	if !ok {
		for range rules.Keys(tx, store.Range{Prefix: store.K(bus)}) {
			n++
		}
		ruleCounts.Put(tx, store.K(bus), n)
	}
	return n
}

// router is all enabled rules of a bus, compiled; its ids are places in names.
type router struct {
	set   *pattern.Set
	names []string
	all   map[string]bool // those that take read-only calls
}

var routers = store.DeriveAll(rules, func(_ store.Key, rows iter.Seq2[store.Key, rule]) (*router, error) {
	r := &router{set: pattern.NewSet(), all: map[string]bool{}}
	for _, row := range rows {
		if row.Disabled || row.Pattern == "" {
			continue
		}
		p, err := pattern.Parse(pattern.Rule, []byte(row.Pattern))
		if err != nil {
			return nil, fmt.Errorf("pattern of rule %s: %w", row.Name, err)
		}
		r.set.Add(len(r.names), p)
		r.names = append(r.names, row.Name)
		if row.All {
			r.all[row.Name] = true
		}
	}
	return r, nil
})

// checkPattern returns what is wrong with an event pattern, in AWS's words.
func checkPattern(text string) error {
	_, err := pattern.Parse(pattern.Rule, []byte(text))
	if errors.Is(err, pattern.ErrTooComplex) {
		return events.InvalidEventPatternException("Event pattern is not valid. Reason: Rule is too complex")
	}
	if err != nil {
		return events.InvalidEventPatternException("Event pattern is not valid. Reason: %s", err)
	}
	return nil
}

func errNoRule(name, bus string) error {
	return events.ResourceNotFoundException("Rule %s does not exist on EventBus %s.", name, bus)
}

// findRule returns a rule of a bus given by name or ARN.
func findRule(tx *store.Tx, given, name string) (b bus, r rule, err error) {
	if b, err = findBus(tx, given); err != nil {
		return b, r, err
	}
	r, ok := rules.Get(tx, store.K(b.Name, name))
	if !ok {
		return b, r, errNoRule(name, b.Name)
	}
	return b, r, nil
}

// PutRule makes a rule or changes one; what is not given is emptied, but for the tags.
func (s *Service) PutRule(ctx context.Context, in *events.PutRuleInput) (*events.PutRuleOutput, error) {
	if err := checkRule(in, busName(in.GetEventBusName())); err != nil {
		return nil, err
	}
	now, call := s.world.Now(), aws.CallFrom(ctx)
	r := rule{Name: in.Name, Pattern: in.GetEventPattern(), Schedule: in.GetScheduleExpression(), Disabled: in.GetState() == events.RuleStateDisabled,
		All: in.GetState() == events.RuleStateEnabledWithAllCloudtrailManagementEvents, Description: in.GetDescription(),
		Role: in.GetRoleArn(), Tags: map[string]string{}, Created: now}
	for _, t := range in.Tags {
		r.Tags[t.Key] = t.Value
	}
	if len(r.Tags) > maxTags {
		return nil, errTooMany()
	}
	out := &events.PutRuleOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		b, err := findBus(tx, in.GetEventBusName())
		if err != nil {
			return err
		}
		r := r
		r.CreatedBy = tx.Account()
		if had, ok := rules.Get(tx, store.K(b.Name, in.Name)); ok {
			r.Tags, r.Created = had.Tags, had.Created
		} else {
			if countRules(tx, b.Name) >= maxRules {
				return errTooMany()
			}
			ruleCounts.Increase(tx, store.K(b.Name), 1)
		}
		rules.Put(tx, store.K(b.Name, in.Name), r)
		out.RuleArn = new(string(ruleARN(tx.Account(), tx.Region(), b.Name, in.Name)))
		if b.Name != defaultBus {
			return nil
		}
		return wind(tx, &r, now)
	}, "events/rules/"+string(busARN(call, in.GetEventBusName()))) // all read and change the number of rules
}

// DeleteRule removes a rule that has no targets. One that is missing is no error.
func (s *Service) DeleteRule(ctx context.Context, in *events.DeleteRuleInput) (*events.DeleteRuleOutput, error) {
	return &events.DeleteRuleOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		b, err := findBus(tx, in.GetEventBusName())
		if err != nil {
			return err
		}
		for range targets.Keys(tx, store.Range{Prefix: store.K(b.Name, in.Name), Limit: 1}) {
			return invalid("Rule can't be deleted since it has targets.")
		}
		if rules.Has(tx, store.K(b.Name, in.Name)) {
			countRules(tx, b.Name)
			ruleCounts.Increase(tx, store.K(b.Name), -1)
			rules.Delete(tx, store.K(b.Name, in.Name))
		}
		if b.Name == defaultBus {
			unwind(tx, in.Name)
		}
		return nil
	})
}

// EnableRule lets a rule match.
func (s *Service) EnableRule(ctx context.Context, in *events.EnableRuleInput) (*events.EnableRuleOutput, error) {
	return &events.EnableRuleOutput{}, s.switchRule(ctx, in.GetEventBusName(), in.Name, false)
}

// DisableRule stops a rule from matching.
func (s *Service) DisableRule(ctx context.Context, in *events.DisableRuleInput) (*events.DisableRuleOutput, error) {
	return &events.DisableRuleOutput{}, s.switchRule(ctx, in.GetEventBusName(), in.Name, true)
}

func (s *Service) switchRule(ctx context.Context, bus, name string, disabled bool) error {
	now := s.world.Now()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		b, r, err := findRule(tx, bus, name)
		if err != nil {
			return err
		}
		r.Disabled, r.All = disabled, false
		rules.Put(tx, store.K(b.Name, name), r)
		if b.Name != defaultBus {
			return nil
		}
		return wind(tx, &r, now)
	})
}

// entry is the rule as lists show it.
func (r *rule) entry(tx *store.Tx, bus string) events.Rule {
	e := events.Rule{Name: new(r.Name), Arn: new(string(ruleARN(tx.Account(), tx.Region(), bus, r.Name))),
		State: new("ENABLED"), EventBusName: new(bus)}
	if r.Pattern != "" {
		e.EventPattern = new(r.Pattern)
	}
	if r.Schedule != "" {
		e.ScheduleExpression = new(r.Schedule)
	}
	if r.All {
		e.State = new(events.RuleStateEnabledWithAllCloudtrailManagementEvents)
	}
	if r.Disabled {
		e.State = new("DISABLED")
	}
	if r.Description != "" {
		e.Description = new(r.Description)
	}
	if r.Role != "" {
		e.RoleArn = new(r.Role)
	}
	return e
}

// DescribeRule returns a rule.
func (s *Service) DescribeRule(ctx context.Context, in *events.DescribeRuleInput) (*events.DescribeRuleOutput, error) {
	out := &events.DescribeRuleOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		b, r, err := findRule(tx, in.GetEventBusName(), in.Name)
		if err != nil {
			return err
		}
		e := r.entry(tx, b.Name)
		*out = events.DescribeRuleOutput{Name: e.Name, Arn: e.Arn, EventPattern: e.EventPattern, ScheduleExpression: e.ScheduleExpression, State: e.State,
			Description: e.Description, RoleArn: e.RoleArn, EventBusName: e.EventBusName, CreatedBy: new(r.CreatedBy)}
		return nil
	})
}

// ListRules returns the rules of a bus by name.
func (s *Service) ListRules(ctx context.Context, in *events.ListRulesInput) (*events.ListRulesOutput, error) {
	out := &events.ListRulesOutput{Rules: []events.Rule{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		b, err := findBus(tx, in.GetEventBusName())
		if err != nil {
			return err
		}
		var list []rule
		for _, r := range rules.All(tx, store.K(b.Name)) {
			if strings.HasPrefix(r.Name, in.GetNamePrefix()) {
				list = append(list, r)
			}
		}
		from, to, next, err := page(len(list), in.GetNextToken(), in.Limit)
		for _, r := range list[from:to] {
			out.Rules = append(out.Rules, r.entry(tx, b.Name))
		}
		out.NextToken = next
		return err
	})
}

// tagged finds the tags of a rule or bus by ARN, and how to store them.
func tagged(tx *store.Tx, arn string) (tags map[string]string, put func(map[string]string), err error) {
	if name := busName(arn); name != "" && strings.Contains(arn, ":event-bus/") {
		b, err := findBus(tx, arn)
		return b.Tags, func(tags map[string]string) {
			b.Tags = tags
			buses.Put(tx, store.K(b.Name), b)
		}, err
	}
	_, name, ok := strings.Cut(arn, ":rule/")
	if !ok {
		return nil, nil, invalid("Parameter ResourceARN is not valid. Reason: Provided Arn is not in correct format.")
	}
	on := defaultBus
	if before, after, ok := strings.Cut(name, "/"); ok {
		on, name = before, after
	}
	if arn != string(ruleARN(tx.Account(), tx.Region(), on, name)) {
		return nil, nil, errNoRule(name, on)
	}
	b, r, err := findRule(tx, on, name)
	return r.Tags, func(tags map[string]string) {
		r.Tags = tags
		rules.Put(tx, store.K(b.Name, name), r)
	}, err
}

// retag changes the tags of a rule or bus in one transaction.
func (s *Service) retag(ctx context.Context, arn string, change func(map[string]string)) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		tags, put, err := tagged(tx, arn)
		if err != nil {
			return err
		}
		if tags = maps.Clone(tags); tags == nil {
			tags = map[string]string{}
		}
		change(tags)
		if len(tags) > maxTags {
			return errTooMany()
		}
		put(tags)
		return nil
	})
}
