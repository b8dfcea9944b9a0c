package dynamodb

import (
	"context"
	"errors"

	"fogbank/api/dynamodb"
	"fogbank/service/dynamodb/expr"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// GetItem returns the item with the key. Every read is consistent; ConsistentRead changes only the capacity.
func (s *Service) GetItem(ctx context.Context, in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
	sel, err := selection(in.ProjectionExpression, in.AttributesToGet, in.ExpressionAttributeNames, in.Key)
	if err != nil {
		return nil, err
	}
	out := &dynamodb.GetItemOutput{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		t, err := schemaIn(tx, tableName(in.TableName))
		if err != nil {
			return err
		}
		if err := t.checkKey(in.Key); err != nil {
			return err
		}
		if err := s.meters.admitRead(t, nil); err != nil {
			return err
		}
		item, ok := items.Get(tx, t.itemKey(in.Key))
		s.meters.chargeRead(t, nil, readUnits(item.Size(), deref(in.ConsistentRead)))
		out.Item = nil
		if ok {
			out.Item = sel.Of(item)
		}
		if asked(in.ReturnConsumedCapacity) {
			u := used{table: readUnits(item.Size(), deref(in.ConsistentRead))}
			out.ConsumedCapacity = u.report(in.ReturnConsumedCapacity, t, t.Name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// selection checks what a read asks to be returned, and the keys, in DynamoDB's order.
func selection(projection *string, names []string, placeholders map[string]string, keys ...attribute.Item) (sel expr.Selection, err error) {
	r := expr.Request{Names: placeholders}
	if projection != nil || names != nil || placeholders != nil {
		var p parameters
		if err := p.old("AttributesToGet", names != nil).expression("ProjectionExpression", projection != nil).check(); err != nil {
			return sel, err
		}
		if err := r.Given(projection != nil, nil); err != nil {
			return sel, err
		}
	}
	for _, key := range keys {
		if err := key.Check(); err != nil {
			return sel, err
		}
	}
	if names != nil {
		return selectNames(names)
	}
	if err := r.Check(); err != nil {
		return sel, err
	}
	if sel, err = r.Selection(projection); err != nil {
		return sel, err
	}
	return sel, r.Finish()
}

func selectNames(names []string) (expr.Selection, error) {
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			return expr.Selection{}, validation(invalidParameter+"Duplicate value in attribute name: %s", n)
		}
		seen[n] = true
	}
	return expr.SelectNames(names), nil
}

// givenCondition refuses placeholders without the condition that would have them.
func givenCondition(r *expr.Request, condition *string) error {
	return r.Given(condition != nil, []*string{condition}, "ConditionExpression")
}

// checkReturned refuses ReturnValues that only UpdateItem knows.
func checkReturned(values *string) error {
	if v := deref(values); v != "" && v != dynamodb.ReturnValueNone && v != dynamodb.ReturnValueAllOld {
		return validation("ReturnValues can only be ALL_OLD or NONE")
	}
	return nil
}

// conditional binds the condition of a write given as expression or in the older form.
func conditional(r *expr.Request, condition *string, expected map[string]dynamodb.ExpectedAttributeValue, operator *string) (t expr.Test, err error) {
	if expected != nil || operator != nil {
		return expectations(expected, operator)
	}
	return r.Test(expr.Condition, condition)
}

// PutItem stores the item in place of the one with its key.
func (s *Service) PutItem(ctx context.Context, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	var p parameters
	p.old("Expected", in.Expected != nil).old("ConditionalOperator", in.ConditionalOperator != nil)
	if err := p.expression("ConditionExpression", in.ConditionExpression != nil).check(); err != nil {
		return nil, err
	}
	r := expr.Request{Names: in.ExpressionAttributeNames, Values: in.ExpressionAttributeValues}
	if err := givenCondition(&r, in.ConditionExpression); err != nil {
		return nil, err
	}
	if err := in.Item.Check(); err != nil {
		return nil, err
	}
	if err := checkReturned(in.ReturnValues); err != nil {
		return nil, err
	}
	if in.Item.Size() > maxItem {
		return nil, errItemSize
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	test, err := conditional(&r, in.ConditionExpression, in.Expected, in.ConditionalOperator)
	if err == nil {
		err = r.Finish()
	}
	if err != nil {
		return nil, err
	}
	look := deref(in.ReturnValues) == dynamodb.ReturnValueAllOld || asked(in.ReturnConsumedCapacity)
	w := &write{kind: putItem, keys: in.Item, test: test, look: look}
	w.measured(in.ReturnItemCollectionMetrics)
	err = s.updateOne(ctx, w, func() error {
		if w.t, err = s.schema(ctx, in.TableName); err != nil {
			return err
		}
		if err := w.t.checkItem(in.Item); err != nil {
			return err
		}
		w.key = w.t.itemKey(in.Item)
		return nil
	})
	if err != nil {
		return nil, w.failed(err, in.ReturnValuesOnConditionCheckFailure)
	}
	out := &dynamodb.PutItemOutput{ItemCollectionMetrics: w.metrics()}
	if deref(in.ReturnValues) == dynamodb.ReturnValueAllOld {
		out.Attributes = w.old
	}
	out.ConsumedCapacity = w.report(in.ReturnConsumedCapacity)
	return out, nil
}

// updateOne runs one write; prepare checks it against its table and places it.
func (s *Service) updateOne(ctx context.Context, w *write, prepare func() error) error {
	for {
		if err := prepare(); err != nil {
			return err
		}
		if err := s.ongoing.refuse(w.key); err != nil {
			return err
		}
		one := [1]*write{w}
		if err := s.commit(ctx, one[:]); !errors.Is(err, errReshaped) {
			return err
		}
	}
}

// report returns the capacity the write consumed.
func (w *write) report(mode *string) *dynamodb.ConsumedCapacity {
	if !asked(mode) {
		return nil
	}
	var u used
	w.consumed(&u, 1)
	return u.report(mode, w.t, w.t.Name)
}

// failed returns the error for the client: a failed condition shows the item when that was asked for.
func (w *write) failed(err error, show *string) error {
	var we *writeError
	if errors.As(err, &we) {
		err = we.err
	}
	if err == errConditional && deref(show) == dynamodb.ReturnValuesOnConditionCheckFailureAllOld && w.old != nil {
		e := dynamodb.ConditionalCheckFailedException("The conditional request failed")
		e.Detail = &dynamodb.ConditionalCheckFailedExceptionDetail{Item: w.old}
		return e
	}
	return err
}

// DeleteItem removes the item with the key, if there is one.
func (s *Service) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput) (*dynamodb.DeleteItemOutput, error) {
	var p parameters
	p.old("Expected", in.Expected != nil).old("ConditionalOperator", in.ConditionalOperator != nil)
	if err := p.expression("ConditionExpression", in.ConditionExpression != nil).check(); err != nil {
		return nil, err
	}
	r := expr.Request{Names: in.ExpressionAttributeNames, Values: in.ExpressionAttributeValues}
	if err := givenCondition(&r, in.ConditionExpression); err != nil {
		return nil, err
	}
	if err := in.Key.Check(); err != nil {
		return nil, err
	}
	if err := checkReturned(in.ReturnValues); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	test, err := conditional(&r, in.ConditionExpression, in.Expected, in.ConditionalOperator)
	if err == nil {
		err = r.Finish()
	}
	if err != nil {
		return nil, err
	}
	w := &write{kind: deleteItem, keys: in.Key, test: test}
	w.measured(in.ReturnItemCollectionMetrics)
	if err := s.updateOne(ctx, w, func() error { return s.placeKey(ctx, w, in.TableName) }); err != nil {
		return nil, w.failed(err, in.ReturnValuesOnConditionCheckFailure)
	}
	out := &dynamodb.DeleteItemOutput{ItemCollectionMetrics: w.metrics()}
	if deref(in.ReturnValues) == dynamodb.ReturnValueAllOld {
		out.Attributes = w.old
	}
	out.ConsumedCapacity = w.report(in.ReturnConsumedCapacity)
	return out, nil
}

// placeKey finds the table of a write that has a Key and checks it.
func (s *Service) placeKey(ctx context.Context, w *write, table string) (err error) {
	if w.t, err = s.schema(ctx, table); err != nil {
		return err
	}
	if err := w.t.checkKey(w.keys); err != nil {
		return err
	}
	w.key = w.t.itemKey(w.keys)
	return nil
}

// placeUpdate is placeKey for an update, which must leave the key alone.
func (s *Service) placeUpdate(ctx context.Context, w *write, table string) error {
	if err := s.placeKey(ctx, w, table); err != nil {
		return err
	}
	for _, name := range [...]string{w.t.hash.name, w.t.sort.name} {
		if name != "" && w.change.Writes(name) {
			return validation(invalidParameter+"Cannot update attribute %s. This attribute is part of the key", name)
		}
	}
	return nil
}

// UpdateItem changes attributes of the item with the key, making it if it is not there.
func (s *Service) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput) (*dynamodb.UpdateItemOutput, error) {
	w, err := bindUpdate(in)
	if err != nil {
		return nil, err
	}
	w.measured(in.ReturnItemCollectionMetrics)
	if err := s.updateOne(ctx, w, func() error { return s.placeUpdate(ctx, w, in.TableName) }); err != nil {
		return nil, w.failed(err, in.ReturnValuesOnConditionCheckFailure)
	}
	return &dynamodb.UpdateItemOutput{
		Attributes:            w.returned(deref(in.ReturnValues)),
		ConsumedCapacity:      w.report(in.ReturnConsumedCapacity),
		ItemCollectionMetrics: w.metrics(),
	}, nil
}

// bindUpdate checks all of an UpdateItem request that does not depend on its table.
func bindUpdate(in *dynamodb.UpdateItemInput) (*write, error) {
	var p parameters
	p.old("AttributeUpdates", in.AttributeUpdates != nil).old("Expected", in.Expected != nil).old("ConditionalOperator", in.ConditionalOperator != nil)
	p.expression("UpdateExpression", in.UpdateExpression != nil).expression("ConditionExpression", in.ConditionExpression != nil)
	if err := p.check(); err != nil {
		return nil, err
	}
	r := expr.Request{Names: in.ExpressionAttributeNames, Values: in.ExpressionAttributeValues}
	if err := r.Given(len(p.expressions) > 0, []*string{in.UpdateExpression, in.ConditionExpression}, "UpdateExpression", "ConditionExpression"); err != nil {
		return nil, err
	}
	if err := in.Key.Check(); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	w := &write{kind: updateItem, keys: in.Key}
	var err error
	if in.AttributeUpdates != nil {
		w.change, err = edits(in.AttributeUpdates)
	} else {
		w.change, err = r.Change(in.UpdateExpression)
	}
	if err != nil {
		return nil, err
	}
	if w.test, err = conditional(&r, in.ConditionExpression, in.Expected, in.ConditionalOperator); err != nil {
		return nil, err
	}
	return w, r.Finish()
}

// returned is the Attributes of an UpdateItem's answer, nil when there are none.
func (w *write) returned(values string) attribute.Item {
	var out attribute.Item
	targets := w.change.Targets()
	switch values {
	case dynamodb.ReturnValueAllOld:
		out = w.old
	case dynamodb.ReturnValueAllNew:
		out = w.new
	case dynamodb.ReturnValueUpdatedOld:
		out = targets.Of(w.old)
	case dynamodb.ReturnValueUpdatedNew:
		out = targets.Of(w.new)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
