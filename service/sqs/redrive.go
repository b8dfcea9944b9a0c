package sqs

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
)

// sources is keyed dead-letter queue/source queue, by names: which queues have which for their dead letters. Both
// are of one account and region.
var sources = store.NewTable[[]byte]("sqs/source", store.Regional)

// redrive is a redrive policy: where messages go that were received too often.
type redrive struct {
	target aws.ARN
	most   uint32 // maxReceiveCount
}

// parseRedrive reads a RedrivePolicy. The error says what AWS says is the reason.
func parseRedrive(text string) (*redrive, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &fields) != nil || fields == nil {
		return nil, redriveReason("Redrive policy is not a valid JSON map.")
	}
	for _, name := range []string{"deadLetterTargetArn", "maxReceiveCount"} {
		if fields[name] == nil {
			return nil, redriveReason("Redrive policy does not contain mandatory attribute: " + name + ".")
		}
	}
	if len(fields) > 2 {
		return nil, redriveReason("Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount].")
	}
	r := &redrive{}
	if json.Unmarshal(fields["deadLetterTargetArn"], &r.target) != nil {
		return nil, redriveReason("Invalid value for deadLetterTargetArn.")
	}
	if p, ok := r.target.Parse(); !ok || p.Service != "sqs" {
		return nil, redriveReason("Invalid value for deadLetterTargetArn.")
	}
	digits := string(fields["maxReceiveCount"])
	if s := ""; json.Unmarshal(fields["maxReceiveCount"], &s) == nil {
		digits = s
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n < 1 || n > maxReceives {
		return nil, redriveReason("Invalid value for maxReceiveCount: " + clip(digits) +
			", valid values are from 1 to " + strconv.Itoa(maxReceives) + " both inclusive.")
	}
	r.most = uint32(n)
	return r, nil
}

// redriveReason is why a redrive policy is refused.
type redriveReason string

func (e redriveReason) Error() string { return string(e) }

func (r *redrive) String() string {
	b, err := json.Marshal(struct {
		Target aws.ARN `json:"deadLetterTargetArn"`
		Most   uint32  `json:"maxReceiveCount"`
	}{r.target, r.most})
	if err != nil {
		panic("sqs: a redrive policy cannot be written: " + err.Error())
	}
	return string(b)
}

// checkRedrive checks the form of a redrive policy, and that it stays in q's account and region.
func checkRedrive(q *queue, value string) error {
	if value == "" {
		return nil
	}
	r, err := parseRedrive(value)
	if err == nil && (r.target.Account() != q.Account || r.target.Region() != q.Region) {
		err = redriveReason("Dead-letter target owner should be same as the source.")
	}
	if err != nil {
		return invalidValue(clip(value), sqs.QueueAttributeNameRedrivePolicy, "%s", err)
	}
	return nil
}

// setRedrive takes a redrive policy that was checked; an empty one removes it.
func setRedrive(q *queue, value string) bool {
	q.Redrive = ""
	if value == "" {
		return true
	}
	r, err := parseRedrive(value)
	if err == nil {
		q.Redrive = r.String()
	}
	return err == nil
}

// redriveAllow is a redrive allow policy: which queues may have this one for their dead letters.
type redriveAllow struct {
	Permission string    `json:"redrivePermission"`
	Sources    []aws.ARN `json:"sourceQueueArns,omitempty"`
}

func parseRedriveAllow(text string) (a redriveAllow, ok bool) {
	if json.Unmarshal([]byte(text), &a) != nil {
		return a, false
	}
	switch a.Permission {
	case "allowAll", "denyAll":
		return a, len(a.Sources) == 0
	case "byQueue":
		return a, 1 <= len(a.Sources) && len(a.Sources) <= 10
	}
	return a, false
}

// setRedriveAllow takes a redrive allow policy; an empty one removes it.
func setRedriveAllow(q *queue, value string) bool {
	q.RedriveAllow = value
	if value == "" {
		return true
	}
	a, ok := parseRedriveAllow(value)
	if b, err := json.Marshal(a); err == nil {
		q.RedriveAllow = string(b)
	}
	return ok
}

// linkRedrive checks what a queue's new redrive policy names and keeps sources in step. A queue that comes
// into being or goes away has the zero queue on its other side.
func linkRedrive(tx *store.Tx, was, is *queue) error {
	if was.Redrive == is.Redrive {
		return nil
	}
	if was.Redrive != "" {
		r, err := parseRedrive(was.Redrive)
		if err != nil {
			return err
		}
		sources.Delete(tx, store.K(r.target.Name(), was.Name))
	}
	if is.Redrive == "" {
		return nil
	}
	r, err := parseRedrive(is.Redrive)
	if err != nil {
		return err
	}
	refused := func(reason string) error {
		return invalidValue(is.Redrive, sqs.QueueAttributeNameRedrivePolicy, "%s", reason)
	}
	target, ok := queues.Get(tx, store.K(r.target.Name()))
	if !ok {
		return refused("Dead letter target does not exist.")
	}
	if target.FIFO != is.FIFO {
		return refused("Dead-letter queue must be same type of queue as the source.")
	}
	if a, _ := parseRedriveAllow(target.RedriveAllow); target.RedriveAllow != "" && !a.permits(is) {
		return refused("Queue does not have permission to use this dead-letter queue.")
	}
	sources.Put(tx, store.K(r.target.Name(), is.Name), nil)
	return nil
}

func (a redriveAllow) permits(q *queue) bool {
	return a.Permission == "allowAll" || a.Permission == "byQueue" &&
		slices.Contains(a.Sources, aws.MakeARN("sqs", q.Region, q.Account, q.Name))
}

// bury puts a message that was received too often into the dead-letter queue, if that is there; the caller removes it
// from q. In a standard queue it keeps the time it was sent, and so expires when it would have here.
func (q *live) bury(tx *store.Tx, at slot, m *message, st state, now int64) (moved bool, err error) {
	target, ok, err := lives.Get(tx, store.K(q.redrive.target.Name()))
	if err != nil || !ok || target.FIFO != q.FIFO {
		return false, err
	}
	dead := *m
	dead.Origin = string(q.arn)
	target.admit(tx, at, &dead, st, now)
	return true, nil
}

// admit puts a message of another queue into q: a dead letter, or one that comes back.
func (q *live) admit(tx *store.Tx, at slot, m *message, st state, now int64) {
	kept := state{Received: st.Received, First: st.First, Due: now}
	if q.FIFO {
		at.At = uint64(now)
		m.Sent = now / 1e6
		q.insertFIFO(tx, m, kept, now)
	} else {
		q.insert(tx, at, m, kept, now)
	}
	q.addTotal(tx, at, 1)
	q.sweepBy(tx, int64(at.At)+q.RetentionSeconds*1e9)
	tx.Wake(q.topic)
}

// ListDeadLetterSourceQueues returns the queues whose dead letters go to this one, in the order of their names.
func (s *Service) ListDeadLetterSourceQueues(ctx context.Context, in *sqs.ListDeadLetterSourceQueuesInput) (*sqs.ListDeadLetterSourceQueuesOutput, error) {
	p, err := pageOf(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	call := aws.CallFrom(ctx)
	out := &sqs.ListDeadLetterSourceQueuesOutput{QueueUrls: []string{}}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		q, err := find(tx, in.QueueUrl)
		if err != nil {
			return err
		}
		r := store.Range{Prefix: store.K(q.Name)}
		if p.after != "" {
			r.After = store.K(q.Name, p.after)
		}
		last := ""
		for key := range sources.Keys(tx, r) {
			if len(out.QueueUrls) == p.limit {
				if p.paged {
					out.NextToken = p.token(last)
				}
				return nil
			}
			if err := key.Parse(nil, &last); err != nil {
				panic("sqs: a row of sqs/source has a key of another form")
			}
			out.QueueUrls = append(out.QueueUrls, *urlOf(call, q.Account, last))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
