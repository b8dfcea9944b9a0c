package dynamodb

import (
	"context"
	"errors"
	"maps"
	"slices"

	"fogbank/api/dynamodb"
	"fogbank/service/dynamodb/expr"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// Limits of the batch operations.
const (
	maxBatchGet   = 100
	maxBatchWrite = 25
	maxBatchBytes = 16 << 20
	maxCommit     = 3 << 20 // of item bytes put into one transaction; their images and entries come on top
)

// BatchGetItem gets up to 100 items of any tables, from one snapshot; what exceeds 16 MB is left as UnprocessedKeys.
func (s *Service) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
	total := 0
	names := slices.Sorted(maps.Keys(in.RequestItems))
	selections := make([]expr.Selection, len(names))
	for i, name := range names {
		k := in.RequestItems[name]
		total += len(k.Keys)
		sel, err := selection(k.ProjectionExpression, k.AttributesToGet, k.ExpressionAttributeNames, k.Keys...)
		if err != nil {
			return nil, err
		}
		selections[i] = sel
	}
	if total > maxBatchGet {
		return nil, validation("Too many items requested for the BatchGetItem call")
	}
	var out *dynamodb.BatchGetItemOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		out = &dynamodb.BatchGetItemOutput{Responses: map[string][]attribute.Item{}, UnprocessedKeys: map[string]dynamodb.KeysAndAttributes{}}
		size := 0
		for i, name := range names {
			if err := s.getAll(tx, in, name, &selections[i], &size, out); err != nil {
				return err
			}
		}
		left := 0
		for _, k := range out.UnprocessedKeys {
			left += len(k.Keys)
		}
		if left == total && total > 0 {
			return errThroughput // nothing was read: no item alone is too large
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// getAll answers for one table of a BatchGetItem.
func (s *Service) getAll(tx *store.Tx, in *dynamodb.BatchGetItemInput, name string, sel *expr.Selection, size *int, out *dynamodb.BatchGetItemOutput) error {
	k := in.RequestItems[name]
	t, err := schemaIn(tx, tableName(name))
	if err != nil {
		return err
	}
	seen := make(map[store.Key]bool, len(k.Keys))
	for _, key := range k.Keys {
		if err := t.checkKey(key); err != nil {
			return err
		}
		if place := t.itemKey(key); seen[place] {
			return validation("Provided list of item keys contains duplicates")
		} else {
			seen[place] = true
		}
	}
	var u used
	found := make([]attribute.Item, 0, len(k.Keys))
	for i, key := range k.Keys {
		left := s.meters.admitRead(t, nil) != nil
		var item attribute.Item
		var ok bool
		if !left {
			item, ok = items.Get(tx, t.itemKey(key))
			*size += item.Size()
			left = *size > maxBatchBytes
		}
		if left {
			rest := k
			rest.Keys = k.Keys[i:]
			out.UnprocessedKeys[name] = rest
			break
		}
		units := readUnits(item.Size(), deref(k.ConsistentRead))
		s.meters.chargeRead(t, nil, units)
		u.add("", units)
		if ok {
			found = append(found, sel.Of(item))
		}
	}
	out.Responses[name] = found
	if c := u.report(in.ReturnConsumedCapacity, t, name); c != nil {
		out.ConsumedCapacity = append(out.ConsumedCapacity, *c)
	}
	return nil
}

// BatchWriteItem puts and deletes up to 25 items of any tables. Each is done whole, though not all or none:
// large batches take several transactions.
func (s *Service) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput) (*dynamodb.BatchWriteItemOutput, error) {
	names := slices.Sorted(maps.Keys(in.RequestItems))
	if err := checkBatch(in, names); err != nil {
		return nil, err
	}
	for {
		writes, owners, err := s.placeBatch(ctx, in, names)
		if err != nil {
			return nil, err
		}
		refused, last, err := s.commitBatch(ctx, writes)
		if errors.Is(err, errReshaped) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if last != nil && !slices.Contains(refused, false) {
			return nil, last
		}
		return batchOutput(in, names, writes, owners, refused), nil
	}
}

// batchOutput tells what a BatchWriteItem did and what of it is left to do.
func batchOutput(in *dynamodb.BatchWriteItemInput, names []string, writes []*write, owners []int, refused []bool) *dynamodb.BatchWriteItemOutput {
	out := &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]dynamodb.WriteRequest{}}
	var capacities tableCapacities
	var metrics collectionMetrics
	first := 0 // of the writes of a table
	for i, w := range writes {
		if i > 0 && owners[i] != owners[i-1] {
			first = i
		}
		name := names[owners[i]]
		if refused[i] {
			out.UnprocessedItems[name] = append(out.UnprocessedItems[name], in.RequestItems[name][i-first])
			continue
		}
		w.consumed(capacities.of(w.t, name), 1)
		metrics.add(name, w)
	}
	out.ConsumedCapacity, out.ItemCollectionMetrics = capacities.report(in.ReturnConsumedCapacity), metrics
	return out
}

// checkBatch checks all of a BatchWriteItem that does not depend on its tables.
func checkBatch(in *dynamodb.BatchWriteItemInput, names []string) error {
	total := 0
	for _, name := range names {
		for _, r := range in.RequestItems[name] {
			total++
			var err error
			switch {
			case r.PutRequest != nil && r.DeleteRequest != nil:
				err = validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
			case r.PutRequest != nil:
				err = r.PutRequest.Item.Check()
			case r.DeleteRequest != nil:
				err = r.DeleteRequest.Key.Check()
			default:
				err = validation("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
			}
			if err != nil {
				return err
			}
		}
	}
	if total > maxBatchWrite {
		return validation("Too many items requested for the BatchWriteItem call")
	}
	return nil
}

// placeBatch makes the writes of a batch; owners tells which of names each belongs to.
// There are at most maxBatchWrite, so room for them never moves.
func (s *Service) placeBatch(ctx context.Context, in *dynamodb.BatchWriteItemInput, names []string) (writes []*write, owners []int, err error) {
	room := make([]write, 0, maxBatchWrite)
	for owner, name := range names {
		t, err := s.schema(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range in.RequestItems[name] {
			room = append(room, write{t: t, look: asked(in.ReturnConsumedCapacity)})
			w := &room[len(room)-1]
			w.measured(in.ReturnItemCollectionMetrics)
			if r.PutRequest != nil {
				w.kind, w.keys = putItem, r.PutRequest.Item
				if err = t.checkKeyTypes(w.keys); err == nil {
					err = t.checkItem(w.keys)
				}
			} else {
				w.kind, w.keys = deleteItem, r.DeleteRequest.Key
				err = t.checkKey(w.keys)
			}
			if err != nil {
				return nil, nil, err
			}
			w.key = t.itemKey(w.keys)
			if slices.ContainsFunc(writes, func(o *write) bool { return o.key == w.key }) {
				return nil, nil, validation("Provided list of item keys contains duplicates")
			}
			writes, owners = append(writes, w), append(owners, owner)
		}
	}
	return writes, owners, nil
}

// commitInParts commits the writes, as many to a transaction as fit well.
func (s *Service) commitInParts(ctx context.Context, writes []*write) error {
	for len(writes) > 0 {
		n, size := 0, 0
		for n < len(writes) {
			copies := 1 + len(writes[n].t.indexes)
			if size += writes[n].keys.Size() * copies; n > 0 && size > maxCommit {
				break
			}
			n++
		}
		if err := s.commit(ctx, writes[:n]); err != nil {
			return err
		}
		writes = writes[n:]
	}
	return nil
}
