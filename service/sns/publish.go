package sns

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/relay"
	"fogbank/store"
)

// Limits of a publish.
const (
	maxMessage = 256 << 10 // bytes of a message and its attributes, and of a batch
	maxBatch   = 10
	maxSubject = 100
)

// publication is a message as published, before it is known who gets it.
type publication struct {
	message
	bodies map[string]string // by protocol; "default" is for the others; nil when all get Body
	size   int
	stamp  int64  // in the archive; the time of publishing where there is none
	signed string // the key it was last begun to be signed with
}

// entry is what Publish and the entries of PublishBatch have in common.
type entry struct {
	message, subject, structure string
	hasSubject                  bool
	attributes                  map[string]sns.MessageAttributeValue
	group, deduplication        *string
}

// check checks the parts of an entry that depend on the kind of topic.
func (e *entry) check(fifo bool) error {
	if e.group != nil && !fifoToken(*e.group) {
		return invalid("MessageGroupId Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length")
	}
	switch {
	case fifo && e.group == nil:
		return invalid("The MessageGroupId parameter is required for FIFO topics")
	case !fifo && e.deduplication != nil:
		return invalid("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type")
	case e.deduplication != nil && !fifoToken(*e.deduplication):
		return invalid("MessageDeduplicationId Reason: MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 to 128 in length")
	}
	return nil
}

// newPublication checks an entry and makes the message.
func (s *Service) newPublication(ctx context.Context, topic string, e entry) (*publication, error) {
	call := aws.CallFrom(ctx)
	p := &publication{message: message{ID: s.world.UUID(), Topic: topic, Subject: e.subject, HasSubject: e.hasSubject,
		Body: e.message, At: s.world.Now().UnixMilli(), Host: call.Endpoint, Trace: call.Tracing()}}
	if e.message == "" {
		return nil, invalid("Empty message")
	}
	if e.hasSubject {
		if err := checkSubject(e.subject); err != nil {
			return nil, err
		}
	}
	if err := e.check(strings.HasSuffix(topic, ".fifo")); err != nil {
		return nil, err
	}
	if e.group != nil {
		p.Group = *e.group
	}
	if e.deduplication != nil {
		p.Deduplication = *e.deduplication
	}
	for _, name := range slices.Sorted(maps.Keys(e.attributes)) {
		v := e.attributes[name]
		a, err := newAttribute(name, &v)
		if err != nil {
			return nil, err
		}
		p.Attributes = append(p.Attributes, a)
	}
	if p.size = p.message.size(); p.size > maxMessage {
		return nil, invalid("Message too long")
	}
	switch e.structure {
	case "":
	case "json":
		bodies, err := structured(e.message)
		if err != nil {
			return nil, err
		}
		p.bodies = bodies
	default:
		return nil, invalid("MessageStructure")
	}
	return p, nil
}

// checkSubject applies AWS's rule: one line of at most 100 characters that begins with a letter, digit or
// punctuation mark.
func checkSubject(subject string) error {
	first, _ := utf8.DecodeRuneInString(subject)
	if subject == "" || utf8.RuneCountInString(subject) > maxSubject || unicode.IsSpace(first) ||
		strings.ContainsFunc(subject, unicode.IsControl) {
		return invalid("Subject")
	}
	return nil
}

// structured reads a message of MessageStructure json: texts by protocol, with a default.
func structured(text string) (map[string]string, error) {
	var raw map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &raw) != nil || raw == nil {
		return nil, invalid("Message Structure - JSON message body failed to parse")
	}
	bodies := map[string]string{}
	for protocol, v := range raw {
		var body string
		if len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &body) == nil {
			bodies[protocol] = body
		}
	}
	if _, ok := bodies["default"]; !ok {
		return nil, invalid("Message Structure - No default entry in JSON message body")
	}
	return bodies, nil
}

// newAttribute checks a message attribute.
func newAttribute(name string, v *sns.MessageAttributeValue) (attribute, error) {
	a := attribute{Name: name, Type: v.DataType, Value: v.GetStringValue()}
	if !attributeName(name) {
		return a, sns.InvalidParameterValueException("The message attribute name '%s' is not valid", name)
	}
	kind, _, _ := strings.Cut(v.DataType, ".")
	switch kind {
	case "Binary":
		a.Value = string(v.BinaryValue)
	case "String":
	case "Number":
		if a.Value != "" && !isNumber(a.Value) {
			return a, sns.InvalidParameterValueException("Could not cast message attribute '%s' value to number.", name)
		}
	default:
		return a, sns.InvalidParameterValueException("The message attribute '%s' has an invalid message attribute type, "+
			"the set of supported type prefixes is Binary, Number, and String.", name)
	}
	if a.Value == "" {
		return a, sns.InvalidParameterValueException("The message attribute '%s' must contain non-empty message attribute value "+
			"for message attribute type '%s'.", name, v.DataType)
	}
	return a, nil
}

func attributeName(name string) bool {
	lower := strings.ToLower(name)
	if name == "" || len(name) > 256 || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") ||
		strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
		return false
	}
	for _, c := range name {
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func isNumber(text string) bool {
	var n json.Number
	return json.Unmarshal([]byte(strings.TrimPrefix(text, "+")), &n) == nil && text[0] != '"'
}

// body returns what a protocol is sent.
func (p *publication) body(protocol string) string {
	if p.bodies == nil {
		return p.Body
	}
	if body, ok := p.bodies[protocol]; ok {
		return body
	}
	return p.bodies["default"]
}

// event flattens the message for the filter policies of a scope; nil when nothing of that scope can match.
func (p *publication) event(scope pattern.Kind) *pattern.Event {
	if scope == pattern.Attributes {
		return pattern.FromAttributes(p.Attributes)
	}
	ev, err := pattern.Flatten([]byte(p.body("sqs")))
	if err != nil {
		return nil // SNS does not deliver what is no JSON to a subscription that filters on the body
	}
	return ev
}

// Publish sends a message to the subscriptions of a topic. It is durable, with all its deliveries, on return.
func (s *Service) Publish(ctx context.Context, in *sns.PublishInput) (*sns.PublishOutput, error) {
	topic := in.GetTopicArn() + in.GetTargetArn()
	switch {
	case in.PhoneNumber != nil && topic == "":
		return s.publishTo(ctx, target{Protocol: "sms", Endpoint: *in.PhoneNumber}, in)
	case in.TopicArn == nil && isEndpoint(in.GetTargetArn()):
		return s.publishTo(ctx, target{Protocol: "application", Endpoint: *in.TargetArn}, in)
	case in.PhoneNumber != nil:
		return nil, invalid("PhoneNumber Reason: PhoneNumber and TopicArn or TargetArn are mutually exclusive")
	case in.TopicArn == nil && in.TargetArn == nil:
		return nil, invalid("TopicArn or TargetArn Reason: no value for required parameter")
	case in.TopicArn != nil && in.TargetArn != nil:
		return nil, invalid("TopicArn or TargetArn Reason: both specified")
	}
	p, err := s.newPublication(ctx, topic, entry{in.Message, in.GetSubject(), in.GetMessageStructure(), in.Subject != nil,
		in.MessageAttributes, in.MessageGroupId, in.MessageDeduplicationId})
	if err != nil {
		return nil, err
	}
	err = s.publish(ctx, topic, func(tx *store.Tx, w *relay.Within[delivery]) error { return s.fanOut(ctx, tx, w, p) })
	if err != nil {
		return nil, err
	}
	return &sns.PublishOutput{MessageId: new(p.ID), SequenceNumber: p.sequence()}, nil
}

// publish runs the transaction of a publish.
func (s *Service) publish(ctx context.Context, topic string, body func(*store.Tx, *relay.Within[delivery]) error) error {
	if lock := topicLock(topic); lock != nil {
		return s.db.Update(ctx, func(tx *store.Tx) error { return body(tx, nil) }, lock...)
	}
	return s.relay.Update(ctx, s.db, s.handPrompt, body)
}

func isEndpoint(arn string) bool {
	_, _, _, ok := parsePush(arn, "endpoint")
	return ok
}

// publishTo sends a message to one number or device, without a topic.
func (s *Service) publishTo(ctx context.Context, t target, in *sns.PublishInput) (*sns.PublishOutput, error) {
	if in.MessageGroupId != nil || in.MessageDeduplicationId != nil {
		return nil, invalid("MessageGroupId Reason: The request includes MessageGroupId parameter that is not valid for this target")
	}
	p, err := s.newPublication(ctx, "", entry{message: in.Message, subject: in.GetSubject(), structure: in.GetMessageStructure(), hasSubject: in.Subject != nil,
		attributes: in.MessageAttributes})
	if err != nil {
		return nil, err
	}
	d := delivery{target: t, message: p.message}
	d.ID = t.Endpoint
	d.message.Body = p.body(t.bodyKey())
	if t.Protocol == "sms" {
		if err := checkPhone(t.Endpoint); err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(d.message.Body) > maxText {
			return nil, invalid("Message too long")
		}
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if t.Protocol == "application" {
			_, e, err := findEndpoint(tx, t.Endpoint)
			if aws.IsCode(err, "NotFoundException") {
				err = invalid("TargetArn Reason: No endpoint found for the target arn specified")
			}
			if err == nil && e.Disabled {
				err = sns.EndpointDisabledException("Endpoint is disabled")
			}
			if err != nil {
				return err
			}
		} else {
			a, _ := accounts.Get(tx, store.K())
			d.Report = a.Attributes["DeliveryStatusIAMRole"] != ""
		}
		s.add(tx, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sns.PublishOutput{MessageId: new(p.ID)}, nil
}

// PublishBatch sends up to ten messages in one transaction. Those that are wrong fail alone.
func (s *Service) PublishBatch(ctx context.Context, in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error) {
	if err := checkBatch(in.PublishBatchRequestEntries); err != nil {
		return nil, err
	}
	out := &sns.PublishBatchOutput{Successful: []sns.PublishBatchResultEntry{}, Failed: []sns.BatchResultErrorEntry{}}
	var publications []*publication
	var accepted []string // their entries' ids
	size := 0
	for _, e := range in.PublishBatchRequestEntries {
		p, err := s.newPublication(ctx, in.TopicArn, entry{e.Message, e.GetSubject(), e.GetMessageStructure(), e.Subject != nil,
			e.MessageAttributes, e.MessageGroupId, e.MessageDeduplicationId})
		if err != nil {
			wrong := aws.AsError(err)
			code := wrong.Code
			if wrong.Query != "" {
				code = wrong.Query
			}
			out.Failed = append(out.Failed, sns.BatchResultErrorEntry{Id: e.Id, Code: code, Message: new(wrong.Message), SenderFault: wrong.Fault == aws.Sender})
			continue
		}
		size += p.size
		publications = append(publications, p)
		accepted = append(accepted, e.Id)
	}
	if size > maxMessage {
		return nil, sns.BatchRequestTooLongException("The length of all the messages put together is more than the limit.")
	}
	err := s.publish(ctx, in.TopicArn, func(tx *store.Tx, w *relay.Within[delivery]) error {
		if _, err := findTopic(ctx, tx, in.TopicArn); err != nil {
			return err
		}
		for _, p := range publications {
			if err := s.fanOut(ctx, tx, w, p); err != nil {
				return err
			}
		}
		return nil
	})
	for i, p := range publications {
		out.Successful = append(out.Successful, sns.PublishBatchResultEntry{Id: &accepted[i], MessageId: new(p.ID), SequenceNumber: p.sequence()})
	}
	return out, err
}

// checkBatch applies the rules for a batch's entries as a whole.
func checkBatch(entries []sns.PublishBatchRequestEntry) error {
	if len(entries) == 0 {
		return sns.EmptyBatchRequestException("The batch request doesn't contain any entries.")
	}
	if len(entries) > maxBatch {
		return sns.TooManyEntriesInBatchRequestException("The batch request contains more entries than permissible.")
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.Id] {
			return sns.BatchEntryIdsNotDistinctException("Two or more batch entries in the request have the same Id.")
		}
		seen[e.Id] = true
		if len(e.Id) > 80 || !attributeName(strings.ReplaceAll(e.Id, ".", " ")) {
			return sns.InvalidBatchEntryIdException("The Id of a batch entry in a batch request doesn't abide by the specification.")
		}
	}
	return nil
}

// checkTopic is findTopic for publishing, without decoding the record.
func checkTopic(tx *store.Tx, arn string) (string, *topicFacts, error) {
	name, err := parseTopic(aws.ARN(arn))
	if err != nil {
		return "", nil, err
	}
	if a := aws.ARN(arn); a.Region() != tx.Region() {
		return "", nil, invalid("TopicArn")
	} else if a.Account() != tx.Account() {
		return "", nil, errNoTopic()
	}
	f, ok, err := facts.Get(tx, store.K(name))
	if err != nil {
		return "", nil, fmt.Errorf("read topic %s: %w", name, err)
	}
	if !ok {
		return "", nil, errNoTopic()
	}
	return name, f, nil
}
