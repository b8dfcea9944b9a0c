package sns

import (
	"context"
	"encoding/json"
	"slices"

	"fogbank/api/sns"
	"fogbank/store"
)

// document is a policy of which only the statements' names matter.
type document struct {
	Version   string            `json:"Version,omitempty"`
	ID        string            `json:"Id,omitempty"`
	Statement []json.RawMessage `json:"Statement"`
}

// grants are the operations AddPermission may name.
var grants = []string{"GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic",
	"Subscribe", "ListSubscriptionsByTopic", "Publish", "GetDataProtectionPolicy", "PutDataProtectionPolicy", "Receive"}

// policyOf returns the topic's policy as it can be edited. A lone statement becomes a list of one.
func policyOf(t *topic, arn, account string) (*document, error) {
	text := t.Attributes["Policy"]
	if text == "" {
		text = defaultPolicy(arn, account)
	}
	doc := &document{}
	if err := json.Unmarshal([]byte(text), doc); err == nil {
		return doc, nil
	}
	var lone struct {
		Version, ID string
		Statement   json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &lone); err != nil {
		return nil, err
	}
	return &document{lone.Version, lone.ID, []json.RawMessage{lone.Statement}}, nil
}

func label(statement json.RawMessage) string {
	var s struct{ Sid string }
	if json.Unmarshal(statement, &s) != nil {
		return ""
	}
	return s.Sid
}

// edit changes the policy of a topic in one transaction.
func (s *Service) edit(ctx context.Context, arn string, change func(*document) error) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		t, err := findTopic(ctx, tx, arn)
		if err != nil {
			return err
		}
		doc, err := policyOf(&t, arn, tx.Account())
		if err != nil {
			return err
		}
		if err := change(doc); err != nil {
			return err
		}
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		if t.Attributes == nil {
			t.Attributes = map[string]string{}
		}
		if err := t.set("Policy", string(text)); err != nil {
			return err
		}
		topics.Put(tx, store.K(t.Name), t)
		return nil
	})
}

// AddPermission adds a statement to the topic's policy.
func (s *Service) AddPermission(ctx context.Context, in *sns.AddPermissionInput) (*sns.AddPermissionOutput, error) {
	type statement struct {
		Sid, Effect string
		Principal   map[string][]string
		Action      []string
		Resource    string
	}
	st := statement{Sid: in.Label, Effect: "Allow", Principal: map[string][]string{"AWS": {}}, Resource: in.TopicArn}
	for _, account := range in.AWSAccountId {
		if account != "*" {
			account = "arn:aws:iam::" + account + ":root"
		}
		st.Principal["AWS"] = append(st.Principal["AWS"], account)
	}
	for _, action := range in.ActionName {
		if !slices.Contains(grants, action) {
			return nil, invalid("Policy statement action out of service scope!")
		}
		st.Action = append(st.Action, "SNS:"+action)
	}
	return &sns.AddPermissionOutput{}, s.edit(ctx, in.TopicArn, func(doc *document) error {
		for _, have := range doc.Statement {
			if label(have) == in.Label {
				return invalid("Statement already exists")
			}
		}
		b, err := json.Marshal(st)
		doc.Statement = append(doc.Statement, b)
		return err
	})
}

// RemovePermission removes the statement of that label; one that is missing is no error.
func (s *Service) RemovePermission(ctx context.Context, in *sns.RemovePermissionInput) (*sns.RemovePermissionOutput, error) {
	return &sns.RemovePermissionOutput{}, s.edit(ctx, in.TopicArn, func(doc *document) error {
		doc.Statement = slices.DeleteFunc(doc.Statement, func(st json.RawMessage) bool { return label(st) == in.Label })
		if len(doc.Statement) == 0 {
			doc.Statement = []json.RawMessage{}
		}
		return nil
	})
}
