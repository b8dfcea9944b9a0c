package events

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/store"
)

const (
	maxTargets   = 5
	maxAttempts  = 185
	maxEventAge  = 86_400 // seconds
	leastAge     = 60
	maxVariables = 100
)

// target is the record of a target.
type target struct {
	ID         string
	ARN        string
	Role       string            `json:",omitempty"`
	Input      *string           `json:",omitempty"`
	Path       *string           `json:",omitempty"`
	Variables  map[string]string `json:",omitempty"`
	Template   *string           `json:",omitempty"`
	Group      string            `json:",omitempty"` // of messages to a FIFO queue
	DeadLetter string            `json:",omitempty"` // ARN of a queue
	Attempts   *int32            `json:",omitempty"` // retries
	Age        *int32            `json:",omitempty"` // seconds
	// HTTP is what an API destination is sent besides the event.
	HTTP *events.HttpParameters `json:",omitempty"`
}

var targets = store.NewTable[target]("events/target", store.Regional)

// route is a target ready for use.
type route struct {
	target
	transform *transform // nil: the event itself is sent
}

var routes = store.DeriveAll(targets, func(_ store.Key, rows iter.Seq2[store.Key, target]) ([]route, error) {
	var list []route
	for _, t := range rows {
		transform, err := newTransform(&t)
		if err != nil {
			return nil, err
		}
		list = append(list, route{t, transform})
	}
	return list, nil
})

// newTarget checks a target.
func newTarget(in *events.Target) (target, error) {
	t := target{ID: in.Id, ARN: in.Arn, Role: in.GetRoleArn(), Input: in.Input, Path: in.InputPath, DeadLetter: in.DeadLetterConfig.GetArn(), HTTP: in.HttpParameters}
	if in.InputTransformer != nil {
		t.Variables, t.Template = in.InputTransformer.InputPathsMap, new(in.InputTransformer.InputTemplate)
	}
	if in.SqsParameters != nil {
		t.Group = in.SqsParameters.GetMessageGroupId()
	}
	if in.RetryPolicy != nil {
		t.Attempts, t.Age = in.RetryPolicy.MaximumRetryAttempts, in.RetryPolicy.MaximumEventAgeInSeconds
	}
	if err := t.checkARN(); err != nil {
		return t, err
	}
	given := 0
	for _, is := range []bool{t.Input != nil, t.Path != nil, t.Template != nil} {
		if is {
			given++
		}
	}
	switch {
	case given > 0 && strings.HasPrefix(aws.ARN(t.ARN).Resource(), "event-bus/"):
		return t, invalid("Input, InputPath and InputTransformer are not supported for target %s, which is an event bus.", t.ID)
	case given > 1:
		return t, invalid("Only one of Input, InputPath, or InputTransformer must be provided for target %s.", t.ID)
	case t.Input != nil && !json.Valid([]byte(*t.Input)):
		return t, invalid("JSON syntax error in input for target %s.", t.ID)
	case t.Attempts != nil && (*t.Attempts < 0 || *t.Attempts > maxAttempts):
		return t, invalid("Parameter MaximumRetryAttempts is not valid for target %s. Reason: must be between 0 and %d.", t.ID, maxAttempts)
	case t.Age != nil && (*t.Age < leastAge || *t.Age > maxEventAge):
		return t, invalid("Parameter MaximumEventAgeInSeconds is not valid for target %s. Reason: must be between %d and %d.", t.ID, leastAge, maxEventAge)
	}
	if p, ok := aws.ARN(t.DeadLetter).Parse(); t.DeadLetter != "" && (!ok || p.Service != "sqs" || strings.HasSuffix(p.Resource, ".fifo")) {
		return t, invalid("Parameter DeadLetterConfig.Arn is not valid for target %s. Reason: it must be the ARN of a standard queue.", t.ID)
	}
	_, err := newTransform(&t)
	return t, err
}

// checkARN refuses targets that nothing could be delivered to.
func (t *target) checkARN() error {
	p, ok := aws.ARN(t.ARN).Parse()
	if !ok {
		return invalid("Parameter %s is not valid. Reason: Provided Arn is not in correct format.", t.ARN)
	}
	fine := true
	switch p.Service {
	case "sqs":
		if strings.HasSuffix(p.Resource, ".fifo") && t.Group == "" {
			return invalid("Parameter(s) SqsParameters must be specified for target: %s.", t.ID)
		}
		if t.Group != "" && !strings.HasSuffix(p.Resource, ".fifo") {
			return notYet("a message group of a standard queue")
		}
	case "sns":
		fine = !strings.Contains(p.Resource, ":")
	case "lambda":
		fine = strings.HasPrefix(p.Resource, "function:")
	case "logs":
		fine = strings.HasPrefix(p.Resource, "log-group:/aws/events/")
		if !fine {
			return invalid("Parameter %s is not valid. Reason: the name of the log group must begin with /aws/events/.", t.ARN)
		}
	case "events":
		if strings.HasPrefix(p.Resource, "api-destination/") {
			if t.Role == "" {
				return invalid("RoleArn is required for target %s.", t.ID)
			}
			break
		}
		fine = strings.HasPrefix(p.Resource, "event-bus/")
	case "execute-api":
		if err := t.checkAPI(); err != nil {
			return err
		}
	default:
		return notYet("a target in " + p.Service)
	}
	if t.HTTP != nil && p.Service != "execute-api" && !strings.HasPrefix(p.Resource, "api-destination/") {
		return invalid("HttpParameters is not supported for target %s.", t.ID)
	}
	if !fine || p.Account == "" || p.Region == "" {
		return invalid("Parameter %s is not valid. Reason: Provided Arn is not in correct format.", t.ARN)
	}
	return nil
}

// PutTargets adds targets to a rule, replacing those of the same ID. One that is wrong fails the call.
func (s *Service) PutTargets(ctx context.Context, in *events.PutTargetsInput) (*events.PutTargetsOutput, error) {
	list := make([]target, len(in.Targets))
	for i := range in.Targets {
		var err error
		if list[i], err = newTarget(&in.Targets[i]); err != nil {
			return nil, err
		}
	}
	out := &events.PutTargetsOutput{FailedEntryCount: new(int32(0)), FailedEntries: []events.PutTargetsResultEntry{}}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		b, _, err := findRule(tx, in.GetEventBusName(), in.Rule)
		if err != nil {
			return err
		}
		ids := map[string]bool{}
		for _, t := range targets.All(tx, store.K(b.Name, in.Rule)) {
			ids[t.ID] = true
		}
		for _, t := range list {
			ids[t.ID] = true
			targets.Put(tx, store.K(b.Name, in.Rule, t.ID), t)
		}
		if len(ids) > maxTargets {
			return errTooMany()
		}
		return nil
	})
}

// RemoveTargets removes targets of a rule. IDs that are not there are failed entries.
func (s *Service) RemoveTargets(ctx context.Context, in *events.RemoveTargetsInput) (*events.RemoveTargetsOutput, error) {
	var out *events.RemoveTargetsOutput
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		out = &events.RemoveTargetsOutput{FailedEntries: []events.RemoveTargetsResultEntry{}}
		b, _, err := findRule(tx, in.GetEventBusName(), in.Rule)
		if err != nil {
			return err
		}
		for _, id := range in.Ids {
			key := store.K(b.Name, in.Rule, id)
			if !targets.Has(tx, key) {
				out.FailedEntries = append(out.FailedEntries, events.RemoveTargetsResultEntry{TargetId: new(id),
					ErrorCode: new("ResourceNotFoundException"), ErrorMessage: new("Rule " + in.Rule + " does not have target " + id + ".")})
				continue
			}
			targets.Delete(tx, key)
		}
		out.FailedEntryCount = new(int32(len(out.FailedEntries)))
		return nil
	})
	return out, err
}

// entry is the target as lists show it.
func (t *target) entry() events.Target {
	e := events.Target{Id: t.ID, Arn: t.ARN, Input: t.Input, InputPath: t.Path}
	if t.Role != "" {
		e.RoleArn = new(t.Role)
	}
	e.HttpParameters = t.HTTP
	if t.Template != nil {
		e.InputTransformer = &events.InputTransformer{InputPathsMap: t.Variables, InputTemplate: *t.Template}
	}
	if t.Group != "" {
		e.SqsParameters = &events.SqsParameters{MessageGroupId: new(t.Group)}
	}
	if t.DeadLetter != "" {
		e.DeadLetterConfig = &events.DeadLetterConfig{Arn: new(t.DeadLetter)}
	}
	if t.Attempts != nil || t.Age != nil {
		e.RetryPolicy = &events.RetryPolicy{MaximumRetryAttempts: t.Attempts, MaximumEventAgeInSeconds: t.Age}
	}
	return e
}

// ListTargetsByRule returns the targets of a rule by ID.
func (s *Service) ListTargetsByRule(ctx context.Context, in *events.ListTargetsByRuleInput) (*events.ListTargetsByRuleOutput, error) {
	out := &events.ListTargetsByRuleOutput{Targets: []events.Target{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		b, _, err := findRule(tx, in.GetEventBusName(), in.Rule)
		if err != nil {
			return err
		}
		for _, t := range targets.All(tx, store.K(b.Name, in.Rule)) {
			out.Targets = append(out.Targets, t.entry())
		}
		from, to, next, err := page(len(out.Targets), in.GetNextToken(), in.Limit)
		out.Targets, out.NextToken = out.Targets[from:to], next
		return err
	})
}

// ListRuleNamesByTarget returns the names of a bus's rules that have a target.
func (s *Service) ListRuleNamesByTarget(ctx context.Context, in *events.ListRuleNamesByTargetInput) (*events.ListRuleNamesByTargetOutput, error) {
	out := &events.ListRuleNamesByTargetOutput{RuleNames: []string{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		b, err := findBus(tx, in.GetEventBusName())
		if err != nil {
			return err
		}
		for key, t := range targets.All(tx, store.K(b.Name)) {
			var name string
			if err := key.Parse(nil, &name, nil); err != nil {
				return err
			}
			if t.ARN == in.TargetArn && !slices.Contains(out.RuleNames, name) {
				out.RuleNames = append(out.RuleNames, name)
			}
		}
		from, to, next, err := page(len(out.RuleNames), in.GetNextToken(), in.Limit)
		out.RuleNames, out.NextToken = out.RuleNames[from:to], next
		return err
	})
}
