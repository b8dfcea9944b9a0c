package sqs

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"fogbank/api/sqs"
	"fogbank/policy"
	"fogbank/store"
)

// queue is the stored record of a queue: its identity and its attributes.
type queue struct {
	Name     string
	Account  string
	Region   string
	ID       uint64 // drawn when the queue is created, so a queue of the same name is another queue
	Space    uint64 // names where its messages are; purging draws a new one
	Created  int64  // seconds since 1970
	Modified int64  // seconds since 1970
	Purged   int64  // milliseconds since 1970, 0 when never
	FIFO     bool

	VisibilityTimeout int64 // seconds
	DelaySeconds      int64
	RetentionSeconds  int64
	MaxMessageBytes   int64
	WaitSeconds       int64
	ContentDedup      bool
	DedupScope        string // "queue" or "messageGroup"; "" in a standard queue
	ThroughputLimit   string // "perQueue" or "perMessageGroupId"; "" in a standard queue
	ManagedSSE        bool
	KeyReuseSeconds   int64  // stored and shown only; no key is used yet
	Policy            string // JSON, or "" when there is none; so are the two below
	Redrive           string
	RedriveAllow      string
}

// newQueue returns a queue with AWS's defaults.
func newQueue(name string, fifo bool) queue {
	q := queue{Name: name, FIFO: fifo, VisibilityTimeout: 30, RetentionSeconds: 4 * 24 * 3600,
		MaxMessageBytes: maxMessageBytes, ManagedSSE: true}
	if fifo {
		q.DedupScope, q.ThroughputLimit = "queue", "perQueue"
	}
	return q
}

// attributeRule says how one settable queue attribute is read, checked and shown.
type attributeRule struct {
	name string
	fifo bool // only FIFO queues have it
	// set checks value and puts it into q; false means that AWS does not take the value.
	set func(q *queue, value string) bool
	// get returns the attribute's value, "" when the queue does not have it.
	get func(q *queue) string
}

// attributeRules holds every attribute CreateQueue and SetQueueAttributes take, FifoQueue and the KMS key apart.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
var attributeRules = []attributeRule{
	numberRule(sqs.QueueAttributeNameVisibilityTimeout, 0, 43200, func(q *queue) *int64 { return &q.VisibilityTimeout }),
	numberRule(sqs.QueueAttributeNameDelaySeconds, 0, maxDelaySeconds, func(q *queue) *int64 { return &q.DelaySeconds }),
	numberRule(sqs.QueueAttributeNameMessageRetentionPeriod, 60, 1209600, func(q *queue) *int64 { return &q.RetentionSeconds }),
	numberRule(sqs.QueueAttributeNameMaximumMessageSize, 1024, maxMessageBytes, func(q *queue) *int64 { return &q.MaxMessageBytes }),
	numberRule(sqs.QueueAttributeNameReceiveMessageWaitTimeSeconds, 0, maxWaitSeconds, func(q *queue) *int64 { return &q.WaitSeconds }),
	numberRule(sqs.QueueAttributeNameKmsDataKeyReusePeriodSeconds, 60, 86400, func(q *queue) *int64 { return &q.KeyReuseSeconds }),
	truthRule(sqs.QueueAttributeNameSqsManagedSseEnabled, false, func(q *queue) *bool { return &q.ManagedSSE }),
	truthRule(sqs.QueueAttributeNameContentBasedDeduplication, true, func(q *queue) *bool { return &q.ContentDedup }),
	choiceRule(sqs.QueueAttributeNameDeduplicationScope, func(q *queue) *string { return &q.DedupScope }, "queue", "messageGroup"),
	choiceRule(sqs.QueueAttributeNameFifoThroughputLimit, func(q *queue) *string { return &q.ThroughputLimit }, "perQueue", "perMessageGroupId"),
	{name: sqs.QueueAttributeNamePolicy, set: setPolicy, get: func(q *queue) string { return q.Policy }},
	{name: sqs.QueueAttributeNameRedrivePolicy, set: setRedrive, get: func(q *queue) string { return q.Redrive }},
	{name: sqs.QueueAttributeNameRedriveAllowPolicy, set: setRedriveAllow, get: func(q *queue) string { return q.RedriveAllow }},
}

func numberRule(name string, least, most int64, field func(*queue) *int64) attributeRule {
	return attributeRule{
		name: name,
		set: func(q *queue, value string) bool {
			n, err := strconv.ParseInt(value, 10, 64)
			*field(q) = n
			return err == nil && least <= n && n <= most
		},
		get: func(q *queue) string {
			if n := *field(q); n != 0 || name != sqs.QueueAttributeNameKmsDataKeyReusePeriodSeconds {
				return strconv.FormatInt(n, 10)
			}
			return ""
		},
	}
}

func truthRule(name string, fifo bool, field func(*queue) *bool) attributeRule {
	return attributeRule{
		name: name, fifo: fifo,
		set: func(q *queue, value string) bool {
			*field(q) = value == "true" || value == "True" || value == "TRUE"
			return *field(q) || value == "false" || value == "False" || value == "FALSE"
		},
		get: func(q *queue) string { return strconv.FormatBool(*field(q)) },
	}
}

func choiceRule(name string, field func(*queue) *string, choices ...string) attributeRule {
	return attributeRule{
		name: name, fifo: true,
		set: func(q *queue, value string) bool {
			*field(q) = value
			return slices.Contains(choices, value)
		},
		get: func(q *queue) string { return *field(q) },
	}
}

// setPolicy takes a queue policy; an empty one removes it.
func setPolicy(q *queue, value string) bool {
	q.Policy = value
	if value == "" {
		return true
	}
	d, err := policy.Parse(value)
	if err != nil {
		return false
	}
	q.Policy = policy.Compact(value)
	return d.Check(policy.ResourcePolicy) == nil
}

// ruleFor returns the rule of the attribute, nil when there is none.
func ruleFor(name string) *attributeRule {
	for i := range attributeRules {
		if attributeRules[i].name == name {
			return &attributeRules[i]
		}
	}
	return nil
}

// setAttributes puts the attributes of a request into q, in the order of their names.
func setAttributes(q *queue, attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if err := setAttribute(q, name, attributes[name]); err != nil {
			return err
		}
	}
	if q.ThroughputLimit == "perMessageGroupId" && q.DedupScope != "messageGroup" {
		return sqs.InvalidAttributeValue("Invalid value for the parameter FifoThroughputLimit. " +
			"Reason: The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.")
	}
	return nil
}

func setAttribute(q *queue, name, value string) error {
	switch name {
	case sqs.QueueAttributeNameFifoQueue:
		if value != "true" && value != "false" {
			return sqs.InvalidAttributeValue("Invalid value for the parameter %s.", name)
		}
		if !q.FIFO || value != "true" {
			return unknownAttribute(name)
		}
		return nil
	case sqs.QueueAttributeNameKmsMasterKeyId:
		if value != "" {
			return sqs.UnsupportedOperation("Encryption with AWS KMS keys is not available here; use SqsManagedSseEnabled.")
		}
		return nil
	}
	rule := ruleFor(name)
	if rule == nil {
		return unknownAttribute(name)
	}
	if rule.fifo && !q.FIFO {
		if name == sqs.QueueAttributeNameContentBasedDeduplication {
			return unknownAttribute(name)
		}
		return sqs.InvalidAttributeName("You can specify the %s only when FifoQueue is set to true.", name)
	}
	if rule.name == sqs.QueueAttributeNameRedrivePolicy {
		if err := checkRedrive(q, value); err != nil {
			return err
		}
	}
	if !rule.set(q, value) {
		return sqs.InvalidAttributeValue("Invalid value for the parameter %s.", name)
	}
	return nil
}

func unknownAttribute(name string) error {
	return sqs.InvalidAttributeName("Unknown Attribute %s.", name)
}

// differing returns the name of an attribute of the request that the queue has with another value, or "".
func differing(have *queue, attributes map[string]string) (string, error) {
	want := *have
	if err := setAttributes(&want, attributes); err != nil {
		return "", err
	}
	for i := range attributeRules {
		if rule := &attributeRules[i]; rule.get(have) != rule.get(&want) {
			return rule.name, nil
		}
	}
	return "", nil
}

// GetQueueAttributes returns the attributes asked for, all of them for "All", none when none are named.
func (s *Service) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
	for _, name := range in.AttributeNames {
		if !knownAttribute(name) {
			return nil, unknownAttribute(name)
		}
	}
	out := &sqs.GetQueueAttributesOutput{}
	now := s.world.Now()
	err := s.db.View(ctx, func(tx *store.Tx) error {
		q, err := find(tx, in.QueueUrl)
		if err != nil {
			return err
		}
		values := map[string]string{}
		all := slices.Contains(in.AttributeNames, sqs.QueueAttributeNameAll)
		wants := func(name string) bool { return all || slices.Contains(in.AttributeNames, name) }
		for i := range attributeRules {
			rule := &attributeRules[i]
			if value := rule.get(&q.queue); value != "" && wants(rule.name) && (q.FIFO || !rule.fifo) {
				values[rule.name] = value
			}
		}
		q.describe(tx, now.UnixNano(), wants, values)
		out.Attributes = nil
		if len(values) > 0 {
			out.Attributes = values
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// describe adds the attributes that cannot be set. It counts messages only when a count is wanted.
func (q *live) describe(tx *store.Tx, now int64, wants func(string) bool, to map[string]string) {
	put := func(name, value string) {
		if wants(name) {
			to[name] = value
		}
	}
	put(sqs.QueueAttributeNameQueueArn, string(q.arn))
	put(sqs.QueueAttributeNameCreatedTimestamp, strconv.FormatInt(q.Created, 10))
	put(sqs.QueueAttributeNameLastModifiedTimestamp, strconv.FormatInt(q.Modified, 10))
	if q.FIFO {
		put(sqs.QueueAttributeNameFifoQueue, "true")
	}
	if !slices.ContainsFunc(countNames, wants) {
		return
	}
	n := q.count(tx, now)
	put(sqs.QueueAttributeNameApproximateNumberOfMessages, strconv.FormatInt(n.visible, 10))
	put(sqs.QueueAttributeNameApproximateNumberOfMessagesNotVisible, strconv.FormatInt(n.inFlight, 10))
	put(sqs.QueueAttributeNameApproximateNumberOfMessagesDelayed, strconv.FormatInt(n.delayed, 10))
}

var countNames = []string{
	sqs.QueueAttributeNameApproximateNumberOfMessages,
	sqs.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	sqs.QueueAttributeNameApproximateNumberOfMessagesDelayed,
}

func knownAttribute(name string) bool {
	switch name {
	case sqs.QueueAttributeNameAll, sqs.QueueAttributeNameQueueArn, sqs.QueueAttributeNameCreatedTimestamp,
		sqs.QueueAttributeNameLastModifiedTimestamp, sqs.QueueAttributeNameFifoQueue, sqs.QueueAttributeNameKmsMasterKeyId:
		return true
	}
	return slices.Contains(countNames, name) || ruleFor(name) != nil
}

// SetQueueAttributes changes attributes; those not named stay.
func (s *Service) SetQueueAttributes(ctx context.Context, in *sqs.SetQueueAttributesInput) (*sqs.SetQueueAttributesOutput, error) {
	if len(in.Attributes) == 0 {
		return nil, missing("Attribute.Name")
	}
	now := s.world.Now().Unix()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		q, err := find(tx, in.QueueUrl)
		if err != nil {
			return err
		}
		changed := q.queue
		if err := setAttributes(&changed, in.Attributes); err != nil {
			return err
		}
		changed.Modified = now
		return replace(tx, q, changed)
	})
	if err != nil {
		return nil, err
	}
	return &sqs.SetQueueAttributesOutput{}, nil
}

// replace stores the changed record of a queue, after checking what its redrive policy names.
func replace(tx *store.Tx, was *live, q queue) error {
	if q.Redrive != was.Redrive {
		if err := linkRedrive(tx, &was.queue, &q); err != nil {
			return err
		}
	}
	queues.Put(tx, store.K(q.Name), q)
	if q.RetentionSeconds < was.RetentionSeconds {
		was.sweepBy(tx, 1)
	}
	if q.FIFO && q.DelaySeconds < was.DelaySeconds {
		redelays.Set(tx, store.K(q.Space), tx.World().Now(), spaceJob{q.Name, q.Space})
	}
	tx.Wake(string(was.arn))
	return nil
}
