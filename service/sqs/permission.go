package sqs

import (
	"context"
	"encoding/json"
	"slices"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
)

// The limits of AddPermission.
const (
	maxActions    = 7
	maxStatements = 20
)

// sharedActions are the actions AddPermission can give to others; the rest is for the owner alone.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-overview-of-managing-access.html
var sharedActions = []string{"*", "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility",
	"GetQueueAttributes", "GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue"}

// statement is a statement of a queue policy as AddPermission writes it.
type statement struct {
	Sid       string
	Effect    string
	Principal map[string]any
	Action    any
	Resource  aws.ARN
}

// oneOrMany writes a list of one as its element, as AWS does.
func oneOrMany(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// document is a queue policy of which only the statements are looked at.
type document struct {
	fields     map[string]json.RawMessage
	statements []json.RawMessage
}

// documentOf takes a queue's policy apart; without one it is a new, empty one.
func documentOf(q *live) (d document, err error) {
	d.fields = map[string]json.RawMessage{}
	if q.Policy == "" {
		d.fields["Version"] = json.RawMessage(`"2012-10-17"`)
		d.fields["Id"], err = json.Marshal(string(q.arn) + "/SQSDefaultPolicy")
		return d, err
	}
	if err := json.Unmarshal([]byte(q.Policy), &d.fields); err != nil {
		return d, err
	}
	raw := d.fields["Statement"]
	if len(raw) > 0 && raw[0] == '{' {
		d.statements = []json.RawMessage{raw}
		return d, nil
	}
	return d, json.Unmarshal(raw, &d.statements)
}

// find returns the place of the statement with the label, or -1.
func (d *document) find(label string) int {
	return slices.IndexFunc(d.statements, func(raw json.RawMessage) bool {
		var s struct{ Sid string }
		return json.Unmarshal(raw, &s) == nil && s.Sid == label
	})
}

// text returns the policy, "" when no statement is left.
func (d *document) text() (string, error) {
	if len(d.statements) == 0 {
		return "", nil
	}
	raw, err := json.Marshal(d.statements)
	if err != nil {
		return "", err
	}
	d.fields["Statement"] = raw
	b, err := json.Marshal(d.fields)
	return string(b), err
}

// AddPermission adds a statement to the queue's policy that lets accounts do some actions.
func (s *Service) AddPermission(ctx context.Context, in *sqs.AddPermissionInput) (*sqs.AddPermissionOutput, error) {
	if err := checkPermission(in); err != nil {
		return nil, err
	}
	err := s.changePolicy(ctx, in.QueueUrl, func(q *live, d *document) error {
		if d.find(in.Label) >= 0 {
			return invalidValue(in.Label, "Label", "Already exists.")
		}
		if len(d.statements) >= maxStatements {
			return sqs.OverLimit("%d Statements were found, maximum allowed is %d.", len(d.statements)+1, maxStatements)
		}
		st := statement{Sid: in.Label, Effect: "Allow", Resource: q.arn}
		var principals, actions []string
		for _, account := range in.AWSAccountIds {
			principals = append(principals, "arn:aws:iam::"+account+":root")
		}
		for _, action := range in.Actions {
			actions = append(actions, "SQS:"+action)
		}
		st.Principal, st.Action = map[string]any{"AWS": oneOrMany(principals)}, oneOrMany(actions)
		raw, err := json.Marshal(st)
		d.statements = append(d.statements, raw)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &sqs.AddPermissionOutput{}, nil
}

func checkPermission(in *sqs.AddPermissionInput) error {
	switch {
	case !isEntryID(in.Label):
		return invalidValue(clip(in.Label), "Label", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.")
	case len(in.AWSAccountIds) == 0:
		return missing("AWSAccountId")
	case len(in.Actions) == 0:
		return missing("ActionName")
	case len(in.Actions) > maxActions:
		return sqs.OverLimit("%d Actions were found, maximum allowed is %d.", len(in.Actions), maxActions)
	}
	for _, account := range in.AWSAccountIds {
		if _, _, err := address("http://h/" + account + "/q"); err != nil {
			return invalidValue(clip(account), "PrincipalId", "Unable to verify.")
		}
	}
	for _, action := range in.Actions {
		if !slices.Contains(sharedActions, action) {
			return invalidValue("SQS:"+clip(action), "ActionName", "Only the queue owner is allowed to invoke this action.")
		}
	}
	return nil
}

// RemovePermission removes the statement with the label from the queue's policy.
func (s *Service) RemovePermission(ctx context.Context, in *sqs.RemovePermissionInput) (*sqs.RemovePermissionOutput, error) {
	err := s.changePolicy(ctx, in.QueueUrl, func(_ *live, d *document) error {
		i := d.find(in.Label)
		if i < 0 {
			return invalidValue(clip(in.Label), "Label", "can't find label.")
		}
		d.statements = slices.Delete(d.statements, i, i+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sqs.RemovePermissionOutput{}, nil
}

func (s *Service) changePolicy(ctx context.Context, url string, change func(*live, *document) error) error {
	now := s.world.Now().Unix()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		q, err := find(tx, url)
		if err != nil {
			return err
		}
		d, err := documentOf(q)
		if err != nil {
			return err
		}
		if err := change(q, &d); err != nil {
			return err
		}
		changed := q.queue
		if changed.Policy, err = d.text(); err != nil {
			return err
		}
		changed.Modified = now
		return replace(tx, q, changed)
	})
}
