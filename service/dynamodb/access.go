package dynamodb

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"fogbank/api/dynamodb"
	streamsapi "fogbank/api/dynamodbstreams"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/wire/attribute"
)

// named is an input with a TableName.
type named interface{ GetTableName() string }

// saving is an input with a BackupArn.
type saving interface{ GetBackupArn() string }

// arned is an input with a ResourceArn.
type arned interface{ GetResourceArn() string }

func tableARN(call *aws.Call, nameOrARN string) aws.ARN {
	if strings.HasPrefix(nameOrARN, "arn:") {
		return aws.ARN(nameOrARN)
	}
	return aws.MakeARN("dynamodb", call.Region, call.Account, "table/"+nameOrARN)
}

// Access returns the tables and indexes an input touches, with the partition keys for dynamodb:LeadingKeys.
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	call := aws.CallFrom(ctx)
	switch in := in.(type) {
	case *dynamodb.GetItemInput:
		return s.onItems(ctx, "", in.TableName, in.Key), nil
	case *dynamodb.PutItemInput:
		return s.onItems(ctx, "", in.TableName, in.Item), nil
	case *dynamodb.UpdateItemInput:
		return s.onItems(ctx, "", in.TableName, in.Key), nil
	case *dynamodb.DeleteItemInput:
		return s.onItems(ctx, "", in.TableName, in.Key), nil
	case *dynamodb.QueryInput:
		return aws.On(indexARN(call, in.TableName, in.IndexName)), nil
	case *dynamodb.ScanInput:
		return aws.On(indexARN(call, in.TableName, in.IndexName)), nil
	case *dynamodb.BatchGetItemInput:
		var list []aws.Access
		for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
			list = append(list, s.onItems(ctx, "", name, in.RequestItems[name].Keys...)...)
		}
		return list, nil
	case *dynamodb.BatchWriteItemInput:
		return s.onBatch(ctx, in), nil
	case *dynamodb.TransactGetItemsInput:
		var list []aws.Access
		for i := range in.TransactItems {
			list = append(list, s.onItems(ctx, "dynamodb:GetItem", in.TransactItems[i].Get.TableName, in.TransactItems[i].Get.Key)...)
		}
		return list, nil
	case *dynamodb.TransactWriteItemsInput:
		return s.onTransaction(ctx, in), nil
	case *dynamodb.ExecuteStatementInput:
		return s.accessOf(ctx, 1, func(int) (string, []attribute.Value) { return in.Statement, in.Parameters }), nil
	case *dynamodb.BatchExecuteStatementInput:
		return s.accessOf(ctx, len(in.Statements), func(i int) (string, []attribute.Value) {
			return in.Statements[i].Statement, in.Statements[i].Parameters
		}), nil
	case *dynamodb.ExecuteTransactionInput:
		return s.accessOf(ctx, len(in.TransactStatements), func(i int) (string, []attribute.Value) {
			return in.TransactStatements[i].Statement, in.TransactStatements[i].Parameters
		}), nil
	case *dynamodb.RestoreTableFromBackupInput:
		return aws.On(aws.ARN(in.BackupArn), tableARN(call, in.TargetTableName)), nil
	case *dynamodb.RestoreTableToPointInTimeInput:
		return aws.On(tableARN(call, deref(cmp.Or(in.SourceTableName, in.SourceTableArn))), tableARN(call, in.TargetTableName)), nil
	case saving:
		return aws.On(aws.ARN(in.GetBackupArn())), nil
	case named:
		if name := in.GetTableName(); name != "" {
			return aws.On(tableARN(call, name)), nil
		}
	case arned:
		return aws.On(aws.ARN(in.GetResourceArn())), nil
	}
	return aws.On("*"), nil
}

func indexARN(call *aws.Call, table string, index *string) aws.ARN {
	arn := tableARN(call, table)
	if index != nil {
		arn += aws.ARN("/index/" + *index)
	}
	return arn
}

// onItems is the access to items of a table, given by their keys or themselves. The account's own root is
// bound by no identity policy, so its calls are spared the look at the table.
func (s *Service) onItems(ctx context.Context, action, table string, items ...attribute.Item) []aws.Access {
	call := aws.CallFrom(ctx)
	a := aws.Access{Action: action, Resource: tableARN(call, table)}
	if call.Principal.Kind == aws.Root && call.Principal.Account == call.Account && !strings.HasPrefix(table, "arn:") {
		return []aws.Access{a}
	}
	if keys := s.leading(ctx, table, items); keys != nil {
		a.Context = map[string][]string{"dynamodb:LeadingKeys": keys}
	}
	return []aws.Access{a}
}

// leading returns the partition keys of the items; nil when the table is not there or a key is no scalar.
func (s *Service) leading(ctx context.Context, table string, items []attribute.Item) (keys []string) {
	err := s.db.View(ctx, func(tx *store.Tx) error {
		if p, ok := aws.ARN(table).Parse(); ok && p.Account != "" && p.Region != "" {
			tx = tx.In(p.Account, p.Region)
		}
		t, err := schemaIn(tx, tableName(table))
		if err != nil {
			return err
		}
		keys = make([]string, 0, len(items))
		for _, item := range items {
			if v, ok := item.Get(t.hash.name); ok {
				keys = append(keys, v.Text())
			}
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return keys
}

func (s *Service) onBatch(ctx context.Context, in *dynamodb.BatchWriteItemInput) (list []aws.Access) {
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		var items []attribute.Item
		for _, r := range in.RequestItems[name] {
			if r.PutRequest != nil {
				items = append(items, r.PutRequest.Item)
			}
			if r.DeleteRequest != nil {
				items = append(items, r.DeleteRequest.Key)
			}
		}
		list = append(list, s.onItems(ctx, "", name, items...)...)
	}
	return list
}

// onTransaction asks for the permission of each action: there is none for transactions as such.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
func (s *Service) onTransaction(ctx context.Context, in *dynamodb.TransactWriteItemsInput) (list []aws.Access) {
	for i := range in.TransactItems {
		it := &in.TransactItems[i]
		if c := it.ConditionCheck; c != nil {
			list = append(list, s.onItems(ctx, "dynamodb:ConditionCheckItem", c.TableName, c.Key)...)
		}
		if c := it.Put; c != nil {
			list = append(list, s.onItems(ctx, "dynamodb:PutItem", c.TableName, c.Item)...)
		}
		if c := it.Delete; c != nil {
			list = append(list, s.onItems(ctx, "dynamodb:DeleteItem", c.TableName, c.Key)...)
		}
		if c := it.Update; c != nil {
			list = append(list, s.onItems(ctx, "dynamodb:UpdateItem", c.TableName, c.Key)...)
		}
	}
	return list
}

// Access returns the stream an input touches.
func (a *Streams) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	switch in := in.(type) {
	case *streamsapi.DescribeStreamInput:
		return aws.On(aws.ARN(in.StreamArn)), nil
	case *streamsapi.GetShardIteratorInput:
		return aws.On(aws.ARN(in.StreamArn)), nil
	case *streamsapi.GetRecordsInput:
		arn, _, _ := strings.Cut(in.ShardIterator, "|")
		if _, ok := aws.ARN(arn).Parse(); !ok {
			return nil, dynamodb.ValidationException("Invalid ShardIterator")
		}
		return aws.On(aws.ARN(arn)), nil
	}
	return aws.On("*"), nil
}

// host returns the host the client used.
func host(ctx context.Context) string {
	if u, err := url.Parse(aws.CallFrom(ctx).Endpoint); err == nil && u.Host != "" {
		return u.Host
	}
	return "dynamodb." + aws.CallFrom(ctx).Region + ".amazonaws.com"
}
