package dynamodb

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/service/dynamodb/partiql"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// BatchExecuteStatement runs up to 25 statements, which are all reads or all writes. Each succeeds or fails for itself.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.batching.html
func (s *Service) BatchExecuteStatement(ctx context.Context, in *dynamodb.BatchExecuteStatementInput) (*dynamodb.BatchExecuteStatementOutput, error) {
	statements := make([]*partiql.Statement, len(in.Statements))
	problems := make([]error, len(in.Statements))
	reads, writes := 0, 0
	for i := range in.Statements {
		st, err := partiql.Parse(in.Statements[i].Statement, in.Statements[i].Parameters)
		switch {
		case err != nil:
			problems[i] = err
			continue
		case st.Kind == partiql.Exists:
			problems[i] = validation("EXISTS is only supported in ExecuteTransaction")
			continue
		case st.Kind == partiql.Select:
			reads++
		default:
			writes++
		}
		statements[i] = st
	}
	if reads > 0 && writes > 0 {
		return nil, validation("Statements in a batch must be either all reads or all writes")
	}
	if reads > 0 {
		return s.batchSelect(ctx, in, statements, problems)
	}
	return s.batchWrite(ctx, in, statements, problems)
}

// batchSelect gets one item for each statement, from one snapshot.
func (s *Service) batchSelect(ctx context.Context, in *dynamodb.BatchExecuteStatementInput, statements []*partiql.Statement, refused []error) (*dynamodb.BatchExecuteStatementOutput, error) {
	var out *dynamodb.BatchExecuteStatementOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		out = &dynamodb.BatchExecuteStatementOutput{Responses: make([]dynamodb.BatchStatementResponse, len(statements))}
		problems := slices.Clone(refused)
		var capacities tableCapacities
		for i, st := range statements {
			if st == nil {
				continue
			}
			plan := selectPlan{st: st, base: page{consistent: deref(in.Statements[i].ConsistentRead), meters: &s.meters}}
			problems[i] = plan.one(tx, &out.Responses[i], &capacities)
		}
		out.ConsumedCapacity = capacities.report(in.ReturnConsumedCapacity)
		return refuse(out, problems, nil)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// one answers a SELECT that must fix the whole key of the table.
func (l *selectPlan) one(tx *store.Tx, out *dynamodb.BatchStatementResponse, capacities *tableCapacities) error {
	if err := l.make(tx); err != nil {
		return err
	}
	if !l.whole || len(l.partitions) != 1 {
		return validation("Select statements within BatchExecuteStatement must specify the primary key in the where clause.")
	}
	found, _, err := l.read(tx, &nextPage{})
	if err != nil {
		return err
	}
	capacities.of(l.base.t, l.st.Table).merge(&found.used)
	out.TableName = new(l.st.Table)
	if len(found.items) > 0 {
		out.Item = found.items[0]
	}
	return nil
}

var statementErrors = map[string]string{
	"ConditionalCheckFailedException":          dynamodb.BatchStatementErrorCodeEnumConditionalCheckFailed,
	"ItemCollectionSizeLimitExceededException": dynamodb.BatchStatementErrorCodeEnumItemCollectionSizeLimitExceeded,
	"DuplicateItemException":                   dynamodb.BatchStatementErrorCodeEnumDuplicateItem,
	"ResourceNotFoundException":                dynamodb.BatchStatementErrorCodeEnumResourceNotFound,
	"TransactionConflictException":             dynamodb.BatchStatementErrorCodeEnumTransactionConflict,
	"ValidationException":                      dynamodb.BatchStatementErrorCodeEnumValidationError,

	"ProvisionedThroughputExceededException": dynamodb.BatchStatementErrorCodeEnumProvisionedThroughputExceeded,
}

// refuse puts the problems of single statements into the answer; what is no problem of a statement fails the request.
func refuse(out *dynamodb.BatchExecuteStatementOutput, problems []error, shown []attribute.Item) error {
	for i, err := range problems {
		if err == nil {
			continue
		}
		e := aws.AsError(err)
		code, ok := statementErrors[e.Code]
		if !ok {
			return err
		}
		out.Responses[i] = dynamodb.BatchStatementResponse{Error: &dynamodb.BatchStatementError{Code: new(code), Message: new(e.Message)}}
		if shown != nil {
			out.Responses[i].Error.Item = shown[i]
		}
	}
	return nil
}

// batchWrite makes the writes in one transaction, in their order; one that fails leaves nothing behind.
func (s *Service) batchWrite(ctx context.Context, in *dynamodb.BatchExecuteStatementInput, statements []*partiql.Statement, refused []error) (*dynamodb.BatchExecuteStatementOutput, error) {
	for {
		problems := slices.Clone(refused)
		list := make([]*write, len(statements))
		for i, st := range statements {
			if st == nil {
				continue
			}
			t, err := s.schema(ctx, st.Table)
			w := &write{}
			if err == nil {
				err = w.state(t, st)
			}
			if err == nil {
				err = s.ongoing.refuse(w.key)
			}
			if problems[i] = err; err == nil {
				w.look = w.look || asked(in.ReturnConsumedCapacity)
				list[i] = w
			}
		}
		shown, err := s.commitEach(ctx, list, problems)
		if errors.Is(err, errReshaped) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range shown {
			if deref(in.Statements[i].ReturnValuesOnConditionCheckFailure) != dynamodb.ReturnValuesOnConditionCheckFailureAllOld {
				shown[i] = nil
			}
		}
		out := &dynamodb.BatchExecuteStatementOutput{Responses: make([]dynamodb.BatchStatementResponse, len(statements))}
		var capacities tableCapacities
		for i, w := range list {
			if w == nil || problems[i] != nil {
				continue
			}
			w.consumed(capacities.of(w.t, statements[i].Table), 1)
			out.Responses[i] = dynamodb.BatchStatementResponse{TableName: new(statements[i].Table), Item: w.returned(statements[i].Returning)}
		}
		out.ConsumedCapacity = capacities.report(in.ReturnConsumedCapacity)
		return out, refuse(out, problems, shown)
	}
}

// commitEach runs the writes that are not nil and puts what each met into problems. It returns the items
// that failed conditions. When they do not fit one transaction, each has its own.
func (s *Service) commitEach(ctx context.Context, list []*write, problems []error) ([]attribute.Item, error) {
	now := s.world.Now()
	shown := make([]attribute.Item, len(list))
	run := func(part []int) error {
		var locks []string
		for _, i := range part {
			list[i].on = s
			locks = append(locks, list[i].lock())
		}
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			for _, i := range part {
				w := list[i]
				t, err := schemaIn(tx, w.t.Name)
				if err != nil {
					return err
				}
				if !t.same(w.t) {
					return errReshaped
				}
				shown[i] = nil
				if problems[i] = w.run(tx, now); problems[i] == errConditional {
					shown[i] = w.old
				}
			}
			return nil
		}, locks...)
		for _, i := range part {
			if err == nil && (problems[i] == nil || refusedByItem(problems[i])) {
				s.meters.charge(list[i], 1)
			}
		}
		return err
	}
	var all []int
	for i, w := range list {
		if w != nil {
			all = append(all, i)
		}
	}
	err := run(all)
	if !errors.Is(err, store.ErrTooLarge) {
		return shown, err
	}
	for _, i := range all {
		if err := run([]int{i}); err != nil {
			return shown, err
		}
	}
	return shown, nil
}

// ExecuteTransaction runs up to 100 statements, all or none. They are all reads of one item each, or all writes and checks.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.transactions.html
func (s *Service) ExecuteTransaction(ctx context.Context, in *dynamodb.ExecuteTransactionInput) (*dynamodb.ExecuteTransactionOutput, error) {
	statements := make([]*partiql.Statement, len(in.TransactStatements))
	reads := 0
	for i := range statements {
		st, err := partiql.Parse(in.TransactStatements[i].Statement, in.TransactStatements[i].Parameters)
		if err != nil {
			return nil, err
		}
		if st.Kind == partiql.Select {
			reads++
		}
		statements[i] = st
	}
	switch reads {
	case 0:
		return s.transactStatements(ctx, in, statements)
	case len(statements):
		return s.transactSelects(ctx, in, statements)
	}
	return nil, validation("Transaction statements must be either all reads or all writes")
}

// transactSelects is TransactGetItems of the keys that the statements fix.
func (s *Service) transactSelects(ctx context.Context, in *dynamodb.ExecuteTransactionInput, statements []*partiql.Statement) (*dynamodb.ExecuteTransactionOutput, error) {
	var out *dynamodb.ExecuteTransactionOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		out = &dynamodb.ExecuteTransactionOutput{Responses: make([]dynamodb.ItemResponse, len(statements))}
		problems := make([]error, len(statements))
		var capacities tableCapacities
		size := 0
		seen := map[store.Key]bool{}
		for i, st := range statements {
			var found page
			plan := selectPlan{st: st, base: page{consistent: true, meters: &s.meters}}
			err := plan.make(tx)
			if err == nil && (!plan.whole || len(plan.partitions) != 1) {
				err = validation("Where clause does not contain a mandatory equality on all key attributes")
			}
			if err == nil {
				if key, _, ok := plan.base.t.keyIn(st.Conjuncts()); ok {
					place := plan.base.t.itemKey(key)
					if seen[place] {
						return validation("Transaction request cannot include multiple operations on one item")
					}
					seen[place] = true
					err = s.ongoing.refuse(place)
				}
			}
			if err == nil {
				found, _, err = plan.read(tx, &nextPage{})
			}
			if problems[i] = err; err != nil {
				continue
			}
			if len(found.items) > 0 {
				out.Responses[i].Item = found.items[0]
				if size += found.items[0].Size(); size > maxTransactBytes {
					return validation("Collection size of items in transaction exceeds limit")
				}
			}
			s.meters.chargeRead(plan.base.t, nil, found.used.total()) // the other half of what a transaction costs
			capacities.of(plan.base.t, st.Table).add("", 2*found.used.total())
		}
		out.ConsumedCapacity = capacities.report(in.ReturnConsumedCapacity)
		return cancelled(problems, nil)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// transactStatements is TransactWriteItems of what the statements ask.
func (s *Service) transactStatements(ctx context.Context, in *dynamodb.ExecuteTransactionInput, statements []*partiql.Statement) (*dynamodb.ExecuteTransactionOutput, error) {
	digest := sha256.New()
	for i := range in.TransactStatements {
		digest.Write(statementDigest(in.TransactStatements[i].Statement, in.TransactStatements[i].Parameters))
	}
	for {
		parts, err := s.partsOf(ctx, in, statements)
		if err != nil {
			return nil, err
		}
		repeated, err := s.transact(ctx, in.ClientRequestToken, digest.Sum(nil), parts)
		if errors.Is(err, errReshaped) {
			continue
		}
		if err != nil {
			return nil, err
		}
		used := transactOutput(&dynamodb.TransactWriteItemsInput{ReturnConsumedCapacity: in.ReturnConsumedCapacity}, parts, repeated)
		return &dynamodb.ExecuteTransactionOutput{Responses: make([]dynamodb.ItemResponse, len(parts)), ConsumedCapacity: used.ConsumedCapacity}, nil
	}
}

// partsOf fits the statements of a transaction to their tables.
func (s *Service) partsOf(ctx context.Context, in *dynamodb.ExecuteTransactionInput, statements []*partiql.Statement) ([]part, error) {
	parts := make([]part, len(statements))
	problems := make([]error, len(statements))
	seen := map[store.Key]bool{}
	size := 0
	for i, st := range statements {
		t, err := s.schema(ctx, st.Table)
		if err != nil {
			return nil, err
		}
		w := &write{}
		if problems[i] = w.state(t, st); problems[i] != nil {
			continue
		}
		w.look = w.look || asked(in.ReturnConsumedCapacity)
		parts[i] = part{w, st.Table, in.TransactStatements[i].ReturnValuesOnConditionCheckFailure}
		if seen[w.key] {
			return nil, validation("Transaction request cannot include multiple operations on one item")
		}
		seen[w.key] = true
		if size += w.keys.Size(); size > maxTransactBytes {
			return nil, validation("Collection size of items in transaction exceeds limit")
		}
	}
	return parts, cancelled(problems, nil)
}
