package dynamodb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/service/dynamodb/expr"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// Limits of transactions.
const (
	maxTransact      = 100
	maxTransactBytes = 4 << 20
	tokenLife        = 10 * time.Minute
)

// token is what a ClientRequestToken stands for.
type token struct {
	Request []byte // SHA-256 of what was asked
	At      time.Time
}

var (
	tokens   = store.NewTable[token]("dynamodb/token", store.Regional)
	tokenEnd = store.NewTimers[bool]("dynamodb/token")
)

// TransactGetItems gets up to 100 items as they are at one moment.
func (s *Service) TransactGetItems(ctx context.Context, in *dynamodb.TransactGetItemsInput) (*dynamodb.TransactGetItemsOutput, error) {
	if err := checkCount(len(in.TransactItems)); err != nil {
		return nil, err
	}
	selections := make([]expr.Selection, len(in.TransactItems))
	for i := range in.TransactItems {
		g := &in.TransactItems[i].Get
		var err error
		if selections[i], err = selection(g.ProjectionExpression, nil, g.ExpressionAttributeNames, g.Key); err != nil {
			return nil, err
		}
	}
	var out *dynamodb.TransactGetItemsOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		out = &dynamodb.TransactGetItemsOutput{Responses: make([]dynamodb.ItemResponse, len(in.TransactItems))}
		return s.transactGet(tx, in, selections, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) transactGet(tx *store.Tx, in *dynamodb.TransactGetItemsInput, selections []expr.Selection, out *dynamodb.TransactGetItemsOutput) error {
	places := make([]store.Key, len(in.TransactItems))
	schemas := make([]*schema, len(in.TransactItems))
	problems := make([]error, len(in.TransactItems))
	for i := range in.TransactItems {
		g := &in.TransactItems[i].Get
		t, err := schemaIn(tx, tableName(g.TableName))
		if err != nil {
			return err
		}
		schemas[i] = t
		if problems[i] = t.checkKey(g.Key); problems[i] == nil {
			places[i] = t.itemKey(g.Key)
			if slices.Contains(places[:i], places[i]) {
				return validation("Transaction request cannot include multiple operations on one item")
			}
		}
	}
	if err := cancelled(problems, nil); err != nil {
		return err
	}
	for i, t := range schemas {
		if problems[i] = s.ongoing.refuse(places[i]); problems[i] == nil {
			problems[i] = s.meters.admitRead(t, nil)
		}
	}
	if err := cancelled(problems, nil); err != nil {
		return err
	}
	size := 0
	var capacities tableCapacities
	for i := range in.TransactItems {
		item, ok := items.Get(tx, places[i])
		if size += item.Size(); size > maxTransactBytes {
			return validation("Collection size of items in transaction exceeds limit")
		}
		if ok {
			if found := selections[i].Of(item); len(found) > 0 { // unlike GetItem, no Item is told of which nothing is wanted
				out.Responses[i].Item = found
			}
		}
		units := 2 * readUnits(item.Size(), true)
		s.meters.chargeRead(schemas[i], nil, units)
		capacities.of(schemas[i], in.TransactItems[i].Get.TableName).add("", units)
	}
	out.ConsumedCapacity = capacities.report(in.ReturnConsumedCapacity)
	return nil
}

func checkCount(n int) error {
	if n > maxTransact {
		return validation("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to %d", maxTransact)
	}
	return nil
}

// tableCapacities adds up what a request consumed, by table, in the order of first use.
type tableCapacities struct {
	names  []string
	tables []*schema
	used   []*used
}

func (c *tableCapacities) of(t *schema, name string) *used {
	if i := slices.Index(c.names, name); i >= 0 {
		return c.used[i]
	}
	c.names, c.tables, c.used = append(c.names, name), append(c.tables, t), append(c.used, &used{})
	return c.used[len(c.used)-1]
}

func (c *tableCapacities) report(mode *string) (list []dynamodb.ConsumedCapacity) {
	for i, u := range c.used {
		if r := u.report(mode, c.tables[i], c.names[i]); r != nil {
			list = append(list, *r)
		}
	}
	return list
}

// cancelled returns the TransactionCanceledException of the problems of a request's parts, nil when there is none. items are
// those to be shown with failed conditions.
func cancelled(problems []error, shown []attribute.Item) error {
	if !slices.ContainsFunc(problems, func(err error) bool { return err != nil }) {
		return nil
	}
	reasons := make([]dynamodb.CancellationReason, len(problems))
	codes := make([]string, len(problems))
	for i, err := range problems {
		codes[i] = "None"
		if err != nil {
			e := aws.AsError(err)
			switch e.Code {
			case "ConditionalCheckFailedException":
				codes[i] = "ConditionalCheckFailed"
			case "DuplicateItemException":
				codes[i] = "DuplicateItem"
			case "ItemCollectionSizeLimitExceededException":
				codes[i] = "ItemCollectionSizeLimitExceeded"
			case "TransactionConflictException":
				codes[i] = "TransactionConflict"
			case "ValidationException":
				codes[i] = "ValidationError"
			case "ProvisionedThroughputExceededException":
				codes[i] = "ProvisionedThroughputExceeded"
			default:
				return err
			}
			reasons[i].Message = new(e.Message)
			if shown != nil {
				reasons[i].Item = shown[i]
			}
		}
		reasons[i].Code = new(codes[i])
	}
	e := dynamodb.TransactionCanceledException("Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", strings.Join(codes, ", "))
	e.Detail = &dynamodb.TransactionCanceledExceptionDetail{CancellationReasons: reasons}
	return e
}

// part is one action of a TransactWriteItems.
type part struct {
	w     *write
	table string
	show  *string
}

// TransactWriteItems makes up to 100 writes and checks, all or none.
func (s *Service) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	if err := checkCount(len(in.TransactItems)); err != nil {
		return nil, err
	}
	parts := make([]part, len(in.TransactItems))
	for i := range in.TransactItems {
		var err error
		if parts[i], err = bindPart(&in.TransactItems[i]); err != nil {
			return nil, err
		}
		parts[i].w.look = parts[i].w.look || asked(in.ReturnConsumedCapacity)
		parts[i].w.measured(in.ReturnItemCollectionMetrics)
	}
	digest := digestOf(in)
	for {
		problems := make([]error, len(parts))
		if err := s.placeParts(ctx, parts, problems); err != nil {
			return nil, err
		}
		if err := cancelled(problems, nil); err != nil {
			return nil, err
		}
		repeated, err := s.transact(ctx, in.ClientRequestToken, digest, parts)
		if errors.Is(err, errReshaped) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return transactOutput(in, parts, repeated), nil
	}
}

// bindPart checks all of an action that does not depend on its table.
func bindPart(in *dynamodb.TransactWriteItem) (p part, err error) {
	given := 0
	r := expr.Request{}
	var condition, update *string
	w := &write{}
	if in.ConditionCheck != nil {
		c := in.ConditionCheck
		given++
		p, condition = part{w, c.TableName, c.ReturnValuesOnConditionCheckFailure}, &c.ConditionExpression
		w.kind, w.keys, r = checkItem, c.Key, expr.Request{Names: c.ExpressionAttributeNames, Values: c.ExpressionAttributeValues}
	}
	if in.Put != nil {
		c := in.Put
		given++
		p, condition = part{w, c.TableName, c.ReturnValuesOnConditionCheckFailure}, c.ConditionExpression
		w.kind, w.keys, r = putItem, c.Item, expr.Request{Names: c.ExpressionAttributeNames, Values: c.ExpressionAttributeValues}
	}
	if in.Delete != nil {
		c := in.Delete
		given++
		p, condition = part{w, c.TableName, c.ReturnValuesOnConditionCheckFailure}, c.ConditionExpression
		w.kind, w.keys, r = deleteItem, c.Key, expr.Request{Names: c.ExpressionAttributeNames, Values: c.ExpressionAttributeValues}
	}
	if in.Update != nil {
		c := in.Update
		given++
		p, condition, update = part{w, c.TableName, c.ReturnValuesOnConditionCheckFailure}, c.ConditionExpression, &c.UpdateExpression
		w.kind, w.keys, r = updateItem, c.Key, expr.Request{Names: c.ExpressionAttributeNames, Values: c.ExpressionAttributeValues}
	}
	if given != 1 {
		return p, validation("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	if update != nil {
		err = r.Given(true, []*string{update}, "UpdateExpression", "ConditionExpression")
	} else {
		err = givenCondition(&r, condition)
	}
	if err != nil {
		return p, err
	}
	if err := w.keys.Check(); err != nil {
		return p, err
	}
	if err := r.Check(); err != nil {
		return p, err
	}
	if w.change, err = r.Change(update); err != nil {
		return p, err
	}
	if w.test, err = r.Test(expr.Condition, condition); err != nil {
		return p, err
	}
	return p, r.Finish()
}

// placeParts finds the tables and keys of the actions. What is wrong with a single action goes to problems,
// except for empty keys, which AWS refuses with the whole request.
func (s *Service) placeParts(ctx context.Context, parts []part, problems []error) error {
	size := 0
	seen := make(map[store.Key]bool, len(parts))
	for i := range parts {
		w := parts[i].w
		var err error
		switch w.kind {
		case putItem:
			if w.t, err = s.schema(ctx, parts[i].table); err == nil {
				if err = w.t.checkItem(w.keys); err == nil {
					w.key = w.t.itemKey(w.keys)
				}
			}
		case updateItem:
			err = s.placeUpdate(ctx, w, parts[i].table)
		default:
			err = s.placeKey(ctx, w, parts[i].table)
		}
		if err != nil {
			e := aws.AsError(err)
			if e.Code != "ValidationException" || strings.Contains(e.Message, "cannot contain an empty") && !strings.Contains(e.Message, "secondary index") {
				return err
			}
			problems[i] = err
			continue
		}
		if seen[w.key] {
			return validation("Transaction request cannot include multiple operations on one item")
		}
		seen[w.key] = true
		if size += w.keys.Size(); size > maxTransactBytes {
			return validation("Collection size of items in transaction exceeds limit")
		}
	}
	return nil
}

// transact runs all actions in one transaction; repeated is true when the token says that the request of this digest
// was done before.
func (s *Service) transact(ctx context.Context, token *string, digest []byte, parts []part) (repeated bool, err error) {
	locks := make([]string, 0, len(parts))
	for i := range parts {
		parts[i].w.on = s
		locks = append(locks, parts[i].w.lock())
	}
	now := s.world.Now()
	end, met := s.ongoing.begin(ctx, token, parts)
	if met == nil {
		defer end()
	} else if done, err := s.answered(ctx, token, met, now); err != nil || !done {
		return false, cmp.Or(err, met)
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		repeated, err = useToken(tx, token, digest, now)
		if err != nil || repeated {
			return err
		}
		problems := make([]error, len(parts))
		shown := make([]attribute.Item, len(parts))
		for i := range parts {
			w := parts[i].w
			t, err := schemaIn(tx, w.t.Name)
			if err != nil {
				return err
			}
			if !t.same(w.t) {
				return errReshaped
			}
			if problems[i] = w.run(tx, now); problems[i] == errConditional && deref(parts[i].show) == dynamodb.ReturnValuesOnConditionCheckFailureAllOld {
				shown[i] = w.old
			}
		}
		return cancelled(problems, shown)
	}, locks...)
	if err == nil && !repeated {
		for i := range parts {
			s.meters.charge(parts[i].w, 2)
		}
	}
	if errors.Is(err, store.ErrTooLarge) {
		err = validation("Collection size of items in transaction exceeds limit")
	}
	return repeated, err
}

// digestOf identifies what a request asks.
func digestOf(in *dynamodb.TransactWriteItemsInput) []byte {
	if in.ClientRequestToken == nil {
		return nil
	}
	b := make([]byte, 0, 1024)
	text := func(s *string) {
		if s != nil {
			b = append(append(b, 1), *s...)
		}
		b = append(b, 0)
	}
	common := func(kind byte, table string, item attribute.Item, condition *string, names map[string]string, values attribute.Item) {
		b = append(b, kind)
		text(&table)
		b, _ = item.AppendBinary(b)
		text(condition)
		for _, k := range sortedNames(names) {
			text(&k)
			text(new(names[k]))
		}
		b, _ = values.AppendBinary(b)
	}
	for i := range in.TransactItems {
		it := &in.TransactItems[i]
		if c := it.ConditionCheck; c != nil {
			common('c', c.TableName, c.Key, &c.ConditionExpression, c.ExpressionAttributeNames, c.ExpressionAttributeValues)
		}
		if c := it.Put; c != nil {
			common('p', c.TableName, c.Item, c.ConditionExpression, c.ExpressionAttributeNames, c.ExpressionAttributeValues)
		}
		if c := it.Delete; c != nil {
			common('d', c.TableName, c.Key, c.ConditionExpression, c.ExpressionAttributeNames, c.ExpressionAttributeValues)
		}
		if c := it.Update; c != nil {
			common('u', c.TableName, c.Key, c.ConditionExpression, c.ExpressionAttributeNames, c.ExpressionAttributeValues)
			text(&c.UpdateExpression)
		}
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

func sortedNames(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// useToken notes the token of a request and tells whether it was used for the same one within ten minutes.
func useToken(tx *store.Tx, text *string, digest []byte, now time.Time) (repeated bool, err error) {
	if text == nil {
		return false, nil
	}
	id := store.K(*text)
	if old, ok := tokens.Get(tx, id); ok && now.Sub(old.At) < tokenLife {
		if string(old.Request) != string(digest) {
			return false, dynamodb.IdempotentParameterMismatchException("ClientRequestToken is already in use with different parameters")
		}
		return true, nil
	}
	tokens.Put(tx, id, token{digest, now})
	tokenEnd.Set(tx, id, now.Add(tokenLife), true)
	return false, nil
}

// forget removes a token that has had its time.
func (s *Service) forget(ctx context.Context, id store.Key, _ bool) error {
	now := s.world.Now()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		if t, ok := tokens.Get(tx, id); ok && now.Sub(t.At) >= tokenLife {
			tokens.Delete(tx, id)
		}
		return nil
	})
}

// transactOutput tells what a transaction consumed: two units for each written, or read when the request was a repetition.
func transactOutput(in *dynamodb.TransactWriteItemsInput, parts []part, repeated bool) *dynamodb.TransactWriteItemsOutput {
	out := &dynamodb.TransactWriteItemsOutput{}
	var capacities tableCapacities
	var metrics collectionMetrics
	for i := range parts {
		w := parts[i].w
		u := capacities.of(w.t, parts[i].table)
		if repeated {
			u.add("", 2*readUnits(w.keys.Size(), true))
		} else {
			w.consumed(u, 2)
		}
		if w.kind != checkItem && !repeated {
			metrics.add(parts[i].table, w)
		}
	}
	out.ConsumedCapacity, out.ItemCollectionMetrics = capacities.report(in.ReturnConsumedCapacity), metrics
	return out
}
