package sns

import (
	"context"
	"maps"
	"strings"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
)

// topic is the record of a topic.
type topic struct {
	Name       string
	Attributes map[string]string // those that were set
	Tags       map[string]string
	Deleted    int      // subscriptions there once were
	Archive    *archive `json:",omitempty"`
}

var topics = store.NewTable[topic]("sns/topic", store.Regional)

// fifo reports whether the topic keeps order.
func (t *topic) fifo() bool { return strings.HasSuffix(t.Name, ".fifo") }

// topicFacts is what a publish and the gate need of a topic.
type topicFacts struct {
	version  string // of signatures
	policy   *policy.Document
	delivery topicPolicy
	display  string
	feedback map[string]feedback
	fifo     bool
	content  bool // deduplicates by content
	byGroup  bool // deduplicates within a group
	archive  *archive
}

var facts = store.Derive(topics, func(_ store.Key, t topic) (*topicFacts, error) {
	f := &topicFacts{version: "1", fifo: t.fifo(), content: t.Attributes["ContentBasedDeduplication"] == "true",
		byGroup: t.Attributes["FifoThroughputScope"] == "MessageGroup", display: t.Attributes["DisplayName"], feedback: feedbacks(t.Attributes), archive: t.Archive}
	if v := t.Attributes["SignatureVersion"]; v != "" {
		f.version = v
	}
	if text := t.Attributes["Policy"]; text != "" {
		doc, err := policy.Parse(text)
		if err != nil {
			return nil, err
		}
		f.policy = doc
	}
	var err error
	f.delivery, err = parseTopicPolicy(t.Attributes["DeliveryPolicy"])
	return f, err
})

// parseTopic returns the name in a topic's ARN.
func parseTopic(arn aws.ARN) (string, error) {
	p, ok := arn.Parse()
	if !ok || p.Service != "sns" || strings.Contains(p.Resource, ":") {
		return "", invalid("TopicArn")
	}
	return p.Resource, nil
}

// invalid is InvalidParameter in AWS's words.
func invalid(what string, args ...any) error {
	return sns.InvalidParameterException("Invalid parameter: "+what, args...)
}

// notYet refuses what fogbank does not do, rather than pretend.
func notYet(what string) error {
	return aws.Errorf("NotImplemented", 501, "SNS: %s is not implemented", what)
}

func errNoTopic() error { return sns.NotFoundException("Topic does not exist") }

// findTopic returns the topic of an ARN, which must be of the region and account acted in.
func findTopic(ctx context.Context, tx *store.Tx, arn string) (topic, error) {
	name, err := parseTopic(aws.ARN(arn))
	if err != nil {
		return topic{}, err
	}
	if a := aws.ARN(arn); a.Region() != tx.Region() {
		return topic{}, invalid("TopicArn")
	} else if a.Account() != tx.Account() {
		return topic{}, errNoTopic()
	}
	t, ok := topics.Get(tx, store.K(name))
	if !ok {
		return topic{}, errNoTopic()
	}
	return t, nil
}

// arnOf returns the ARN of a topic of the tenant.
func arnOf(tx *store.Tx, name string) string {
	return string(aws.MakeARN("sns", tx.Region(), tx.Account(), name))
}

// checkTopicName applies AWS's rule: up to 256 letters, digits, hyphens and underscores; FIFO topics end in ".fifo".
func checkTopicName(name string) error {
	if len(name) == 0 || len(name) > 256 {
		return invalid("Topic Name")
	}
	for _, c := range strings.TrimSuffix(name, ".fifo") {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return invalid("Topic Name")
		}
	}
	return nil
}

// CreateTopic makes a topic, or returns the one of that name if it has the same attributes and tags.
func (s *Service) CreateTopic(ctx context.Context, in *sns.CreateTopicInput) (*sns.CreateTopicOutput, error) {
	if err := checkTopicName(in.Name); err != nil {
		return nil, err
	}
	if fifo := strings.HasSuffix(in.Name, ".fifo"); fifo != (in.Attributes["FifoTopic"] == "true") {
		if fifo {
			return nil, invalid("Topic Name")
		}
		return nil, invalid("Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, " +
			"numbers, underscores, and hyphens, and must be between 1 and 256 characters long.")
	}
	if in.DataProtectionPolicy != nil {
		return nil, notYet("DataProtectionPolicy")
	}
	t := topic{Name: in.Name, Attributes: map[string]string{}, Tags: tagMap(in.Tags)}
	if len(t.Tags) > maxTags {
		return nil, errTooManyTags()
	}
	for name, v := range in.Attributes {
		if err := t.set(name, v); err != nil {
			return nil, err
		}
	}
	if t.Attributes["ArchivePolicy"] != "" {
		if err := t.keep(s.world.UUID(), s.world.Now()); err != nil {
			return nil, err
		}
	}
	out := &sns.CreateTopicOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		out.TopicArn = new(arnOf(tx, in.Name))
		if have, ok := topics.Get(tx, store.K(in.Name)); ok {
			return sameTopic(&have, &t)
		}
		topics.Put(tx, store.K(in.Name), t)
		return nil
	})
}

// sameTopic reports how a topic differs from the one asked for.
func sameTopic(have, want *topic) error {
	for name, v := range want.Attributes {
		if have.Attributes[name] != v {
			return invalid("Attributes Reason: Topic already exists with different attributes")
		}
	}
	if len(want.Tags) > 0 && !maps.Equal(have.Tags, want.Tags) {
		return invalid("Tags Reason: Topic already exists with different tags")
	}
	return nil
}

// DeleteTopic removes a topic and its subscriptions. Deleting one that is missing succeeds.
func (s *Service) DeleteTopic(ctx context.Context, in *sns.DeleteTopicInput) (*sns.DeleteTopicOutput, error) {
	return &sns.DeleteTopicOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		t, err := findTopic(ctx, tx, in.TopicArn)
		if aws.IsCode(err, "NotFoundException") {
			return nil
		}
		if err != nil {
			return err
		}
		if t.Archive != nil {
			return sns.InvalidStateException("Invalid state: Cannot delete a topic with an ArchivePolicy")
		}
		for key, sub := range subscriptions.All(tx, store.K(t.Name)) {
			strike(tx, t.Name, &sub)
			paces.Delete(tx, key)
			replays.Cancel(tx, key)
		}
		censuses.Delete(tx, store.K(t.Name))
		for key := range progresses.Keys(tx, store.Range{Prefix: store.K(t.Name)}) {
			progresses.Delete(tx, key)
		}
		s.forget(tx, t.Name)
		topics.Delete(tx, store.K(t.Name))
		return nil
	})
}

// ListTopics returns the topics of the account and region, 100 at a time, by name.
func (s *Service) ListTopics(ctx context.Context, in *sns.ListTopicsInput) (*sns.ListTopicsOutput, error) {
	after, err := readToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	out := &sns.ListTopicsOutput{Topics: []sns.Topic{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		var last store.Key
		for key := range topics.Keys(tx, store.Range{After: after, Limit: pageSize + 1}) {
			if len(out.Topics) == pageSize {
				out.NextToken = new(token(last))
				break
			}
			var name string
			if err := key.Parse(&name); err != nil {
				return err
			}
			out.Topics = append(out.Topics, sns.Topic{TopicArn: new(arnOf(tx, name))})
			last = key
		}
		return nil
	})
}
