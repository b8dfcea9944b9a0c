package sqs

import (
	"context"
	"errors"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
)

// keys holds one row: the key receipt handles are sealed with.
var keys = store.NewTable[[]byte]("sqs/key", store.Global)

var sealers = store.Derive(keys, func(_ store.Key, key []byte) (*sealer, error) { return &sealer{key}, nil })

var errNoKey = errors.New("sqs: the key of receipt handles is not drawn yet")

// sealing is Update with the sealer of the store's handles. The key is drawn at the first use.
func (s *Service) sealing(ctx context.Context, f func(*store.Tx, *sealer) error, locks ...string) error {
	body := func(tx *store.Tx) error {
		seal, ok, err := sealers.Get(tx, store.K())
		if err != nil {
			return err
		}
		if !ok {
			return errNoKey
		}
		return f(tx, seal)
	}
	err := s.db.Update(ctx, body, locks...)
	if err != errNoKey {
		return err
	}
	drawn := make([]byte, 32)
	s.world.Read(drawn)
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if !keys.Has(tx, store.K()) {
			keys.Put(tx, store.K(), drawn)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.db.Update(ctx, body, locks...)
}

// receiptFor opens a handle given for a queue.
func (s *sealer) receiptFor(q *live, handle string) (receipt, error) {
	r, ok := s.open(handle)
	switch {
	case !ok:
		return r, sqs.ReceiptHandleIsInvalid("The input receipt handle \"%s\" is not a valid receipt handle.", clip(handle))
	case r.Queue != q.ID:
		return r, sqs.ReceiptHandleIsInvalid("The receipt handle \"%s\" is not valid for this queue.", clip(handle))
	}
	return r, nil
}

func handleExpired(handle string) error {
	return invalidValue(clip(handle), "ReceiptHandle", "The receipt handle has expired")
}

func notAvailable(handle string) error {
	return invalidValue(clip(handle), "ReceiptHandle", "Message does not exist or is not available for visibility timeout change.")
}

// delete removes the message of a receipt. In a standard queue it is no error when the message is gone, or was
// received again since: then it stays. In a FIFO queue the receipt must not have expired.
func (q *live) delete(tx *store.Tx, r receipt, handle string, now int64) error {
	if q.FIFO {
		return q.deleteFIFO(tx, r, handle, now)
	}
	if st, ok := states.Get(tx, slotKey(q.Space, r.Slot)); ok && st.Received == r.Number {
		q.remove(tx, r.Slot, st)
	}
	return nil
}

// hide sets how long, from now on, the message of a receipt stays hidden.
func (q *live) hide(tx *store.Tx, r receipt, handle string, seconds int64, now int64) error {
	if q.FIFO {
		return q.hideFIFO(tx, r, handle, seconds, now)
	}
	st, ok := states.Get(tx, slotKey(q.Space, r.Slot))
	if !ok || st.Received != r.Number {
		return notAvailable(handle)
	}
	if st.Due <= now {
		return sqs.MessageNotInflight("The message referred to isn't in flight.")
	}
	if err := st.mayHide(seconds, now); err != nil {
		return err
	}
	is := st
	is.Due = max(now+seconds*int64(time.Second), q.front(tx).Cursor)
	q.reschedule(tx, r.Slot, st, is, now)
	tx.Wake(q.topic)
	return nil
}

// mayHide refuses to hide a message for more than twelve hours after it was received.
func (s *state) mayHide(seconds, now int64) error {
	if now+seconds*int64(time.Second) > s.Taken+maxVisibility*int64(time.Second) {
		return invalidValue(seconds, "VisibilityTimeout",
			"Total VisibilityTimeout for the message is beyond the limit [%d seconds]", maxVisibility)
	}
	return nil
}

// checkTimeout checks a new visibility timeout.
func checkTimeout(seconds int32) error {
	if seconds < 0 || seconds > maxVisibility {
		return invalidValue(seconds, "VisibilityTimeout", "VisibilityTimeout must be an integer between 0 and %d", maxVisibility)
	}
	return nil
}

// withReceipts runs f in a transaction on the queue at url; FIFO queues take turns.
func (s *Service) withReceipts(ctx context.Context, url string, f func(tx *store.Tx, q *live, seal *sealer, now int64) error) error {
	account, name, err := address(url)
	if err != nil {
		return err
	}
	var locks []string
	if isFIFO(name) {
		locks = []string{string(aws.MakeARN("sqs", aws.CallFrom(ctx).Region, account, name))}
	}
	now := s.world.Now().UnixNano()
	return s.sealing(ctx, func(tx *store.Tx, seal *sealer) error {
		q, err := owned(tx, account, name)
		if err != nil {
			return err
		}
		return f(tx, q, seal, now)
	}, locks...)
}

// DeleteMessage removes a received message.
func (s *Service) DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput) (*sqs.DeleteMessageOutput, error) {
	err := s.withReceipts(ctx, in.QueueUrl, func(tx *store.Tx, q *live, seal *sealer, now int64) error {
		r, err := seal.receiptFor(q, in.ReceiptHandle)
		if err != nil {
			return err
		}
		return q.delete(tx, r, in.ReceiptHandle, now)
	})
	if err != nil {
		return nil, err
	}
	return &sqs.DeleteMessageOutput{}, nil
}

// DeleteMessageBatch removes up to ten received messages. Each succeeds or fails by itself.
func (s *Service) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
	if err := checkBatch(len(in.Entries), "DeleteMessageBatchRequestEntry", func(i int) string { return in.Entries[i].Id }); err != nil {
		return nil, err
	}
	var out *sqs.DeleteMessageBatchOutput
	err := s.withReceipts(ctx, in.QueueUrl, func(tx *store.Tx, q *live, seal *sealer, now int64) error {
		out = &sqs.DeleteMessageBatchOutput{}
		for _, e := range in.Entries {
			r, err := seal.receiptFor(q, e.ReceiptHandle)
			if err == nil {
				err = q.delete(tx, r, e.ReceiptHandle, now)
			}
			if err != nil {
				out.Failed = append(out.Failed, failedEntry(e.Id, err))
			} else {
				out.Successful = append(out.Successful, sqs.DeleteMessageBatchResultEntry{Id: e.Id})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ChangeMessageVisibility sets how long a message in flight stays hidden, from now on.
func (s *Service) ChangeMessageVisibility(ctx context.Context, in *sqs.ChangeMessageVisibilityInput) (*sqs.ChangeMessageVisibilityOutput, error) {
	if err := checkTimeout(in.VisibilityTimeout); err != nil {
		return nil, err
	}
	err := s.withReceipts(ctx, in.QueueUrl, func(tx *store.Tx, q *live, seal *sealer, now int64) error {
		r, err := seal.receiptFor(q, in.ReceiptHandle)
		if err != nil {
			return err
		}
		return q.hide(tx, r, in.ReceiptHandle, int64(in.VisibilityTimeout), now)
	})
	if err != nil {
		return nil, err
	}
	return &sqs.ChangeMessageVisibilityOutput{}, nil
}

// ChangeMessageVisibilityBatch does so for up to ten messages. Each succeeds or fails by itself.
func (s *Service) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if err := checkBatch(len(in.Entries), "ChangeMessageVisibilityBatchRequestEntry", func(i int) string { return in.Entries[i].Id }); err != nil {
		return nil, err
	}
	var out *sqs.ChangeMessageVisibilityBatchOutput
	err := s.withReceipts(ctx, in.QueueUrl, func(tx *store.Tx, q *live, seal *sealer, now int64) error {
		out = &sqs.ChangeMessageVisibilityBatchOutput{}
		for i := range in.Entries {
			e := &in.Entries[i]
			err := checkTimeout(e.GetVisibilityTimeout())
			var r receipt
			if err == nil {
				r, err = seal.receiptFor(q, e.ReceiptHandle)
			}
			if err == nil {
				err = q.hide(tx, r, e.ReceiptHandle, int64(e.GetVisibilityTimeout()), now)
			}
			if err != nil {
				out.Failed = append(out.Failed, failedEntry(e.Id, err))
			} else {
				out.Successful = append(out.Successful, sqs.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
