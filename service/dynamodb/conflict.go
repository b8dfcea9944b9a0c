package dynamodb

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/store"
)

var (
	errConflict   = dynamodb.TransactionConflictException("Transaction is ongoing for the item")
	errInProgress = dynamodb.TransactionInProgressException("The transaction with the given request token is already in progress.")
)

// ongoing are the items and tokens of transactions that have begun to write and have not answered. A transaction that meets one of
// them is cancelled, a write of a single item refused, as AWS does; nothing depends on it but that answer, since the store orders
// what happens. It is kept in memory, as the transactions themselves are.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling
type ongoing struct {
	waits bool         // transactions that meet wait for each other
	held  atomic.Int64 // len(items): while it is 0, writes of single items need not look

	mu     sync.Mutex
	items  map[store.Key]bool
	tokens map[requestToken]bool
}

// requestToken is a ClientRequestToken, which is the account's in a region.
type requestToken struct{ account, region, token string }

// Wait makes transactions wait for those they meet, instead of being cancelled. Call it before anything is served.
func (s *Service) Wait() { s.ongoing.waits = true }

// begin takes the items of a transaction's parts until end. It fails, and takes none, when another transaction has one of
// them or the token.
func (o *ongoing) begin(ctx context.Context, token *string, parts []part) (end func(), err error) {
	if o.waits {
		return func() {}, nil
	}
	call := aws.CallFrom(ctx)
	id := requestToken{call.Account, call.Region, deref(token)}
	o.mu.Lock()
	defer o.mu.Unlock()
	if token != nil && o.tokens[id] {
		return nil, errInProgress
	}
	problems := make([]error, len(parts))
	for i := range parts {
		if o.items[parts[i].w.key] {
			problems[i] = errConflict
		}
	}
	if err := cancelled(problems, nil); err != nil {
		return nil, err
	}
	if o.items == nil {
		o.items, o.tokens = map[store.Key]bool{}, map[requestToken]bool{}
	}
	for i := range parts {
		o.items[parts[i].w.key] = true
	}
	if token != nil {
		o.tokens[id] = true
	}
	o.held.Store(int64(len(o.items)))
	return func() { o.end(token, id, parts) }, nil
}

func (o *ongoing) end(token *string, id requestToken, parts []part) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range parts {
		delete(o.items, parts[i].w.key)
	}
	if token != nil {
		delete(o.tokens, id)
	}
	o.held.Store(int64(len(o.items)))
}

// refuse returns errConflict when the item is part of an ongoing transaction.
func (o *ongoing) refuse(item store.Key) error {
	if o.held.Load() == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.items[item] {
		return errConflict
	}
	return nil
}

// answered reports whether a request that met an ongoing transaction is the repetition of one that has been done, and
// so writes nothing.
func (s *Service) answered(ctx context.Context, token *string, met error, now time.Time) (done bool, err error) {
	if token == nil || met == errInProgress {
		return false, nil
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		old, ok := tokens.Get(tx, store.K(*token))
		done = ok && now.Sub(old.At) < tokenLife
		return nil
	})
	return done, err
}
