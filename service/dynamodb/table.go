package dynamodb

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// CreateTable makes a table. The answer says CREATING; the table can be used from then on, unless transitions linger.
func (s *Service) CreateTable(ctx context.Context, in *dynamodb.CreateTableInput) (*dynamodb.CreateTableOutput, error) {
	call := aws.CallFrom(ctx)
	now := s.world.Now()
	name := tableName(in.TableName)
	if err := checkName(name); err != nil {
		return nil, err
	}
	t := table{ID: s.world.Uint64(), Version: 1, Name: name, UUID: s.world.UUID(), Created: now,
		ARN:        aws.MakeARN("dynamodb", call.Region, call.Account, "table/"+name),
		Attributes: in.AttributeDefinitions, Keys: in.KeySchema, Protected: deref(in.DeletionProtectionEnabled), Class: deref(in.TableClass)}
	if err := t.define(in); err != nil {
		return nil, err
	}
	if spec := in.SSESpecification; spec != nil && deref(spec.Enabled) {
		t.Encryption = &encryption{deref(spec.KMSMasterKeyId)}
	}
	if in.ResourcePolicy != nil {
		t.Policy = &policyDocument{*in.ResourcePolicy, s.world.UUID()}
	}
	t.OnDemand = now
	streamID := s.world.Uint64()
	var out *dynamodb.TableDescription
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if err := refuseTaken(tx, name); err != nil {
			return err
		}
		made := t
		if spec := in.StreamSpecification; spec != nil && spec.StreamEnabled {
			openStream(tx, &made, newStream(tx, &made, streamID, deref(spec.StreamViewType), now))
		}
		made.enter(tx, dynamodb.TableStatusCreating, s.transitionEnd(now))
		out = compile(made).describe(nil, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, &t)
	return &dynamodb.CreateTableOutput{TableDescription: out}, nil
}

// checkName refuses what is no name for a table. The model allows ARNs where names are meant, so it does not tell.
func checkName(name string) error {
	problem := ""
	switch {
	case len(name) < 3:
		problem = "Member must have length greater than or equal to 3"
	case len(name) > 255:
		problem = "Member must have length less than or equal to 255"
	case strings.ContainsFunc(name, notInName):
		problem = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
	default:
		return nil
	}
	return validation("1 validation error detected: Value '%s' at 'tableName' failed to satisfy constraint: %s", name, problem)
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-')
}

// DescribeTable describes the table; its counts are exact for small tables and estimated for large ones.
func (s *Service) DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput) (*dynamodb.DescribeTableOutput, error) {
	var out *dynamodb.TableDescription
	now := s.world.Now()
	err := s.db.View(ctx, func(tx *store.Tx) error {
		t, err := anySchema(tx, tableName(in.TableName))
		if err != nil {
			return noSuchTable(err, in.TableName)
		}
		out = t.describe(t.estimates(tx), now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.DescribeTableOutput{Table: out}, nil
}

// noSuchTable gives the refusal of the operations on tables, which name the one that is missing.
func noSuchTable(err error, nameOrARN string) error {
	if err != errNoTable {
		return err
	}
	return dynamodb.ResourceNotFoundException("Requested resource not found: Table: %s not found", tableName(nameOrARN))
}

// DeleteTable removes the table. Its items are removed in the background, out of sight; its stream can be read for a day more.
// If the table is already in the DELETING state, no error is returned.
func (s *Service) DeleteTable(ctx context.Context, in *dynamodb.DeleteTableInput) (*dynamodb.DeleteTableOutput, error) {
	var out *dynamodb.TableDescription
	var t table
	now := s.world.Now()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		var ok bool
		t, ok = tables.Get(tx, tableKey(tableName(in.TableName)))
		if !ok {
			return noSuchTable(errNoTable, in.TableName)
		}
		if t.Status == dynamodb.TableStatusDeleting {
			out = compile(t).describe(nil, now)
			return nil
		}
		if err := t.settled(); err != nil {
			return err
		}
		if err := t.admitEnd(); err != nil {
			return err
		}
		if t.Copying > 0 {
			return t.inUse("Table is being backed up: %s", t.Name)
		}
		if t.Protected {
			return validation("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
		}
		gone := t
		endStream(tx, &gone, now)
		gone.enter(tx, dynamodb.TableStatusDeleting, s.transitionEnd(now))
		t.Status = gone.Status
		out = compile(t).describe(nil, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, &t)
	return &dynamodb.DeleteTableOutput{TableDescription: out}, nil
}

// ListTables lists the names of tables in order, 100 to a page unless Limit says less.
func (s *Service) ListTables(ctx context.Context, in *dynamodb.ListTablesInput) (*dynamodb.ListTablesOutput, error) {
	limit := 100
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	r := store.Range{Limit: limit + 1}
	if in.ExclusiveStartTableName != nil {
		r.After = store.K(*in.ExclusiveStartTableName)
	}
	out := &dynamodb.ListTablesOutput{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		names := []string{}
		for key := range tables.Keys(tx, r) {
			var name string
			if err := key.Parse(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		out.LastEvaluatedTableName = nil
		if len(names) > limit {
			names = names[:limit]
			out.LastEvaluatedTableName = new(names[limit-1])
		}
		out.TableNames = names
		return nil
	})
	return out, err
}

// describe returns the table's description.
func (t *schema) describe(e estimates, now time.Time) *dynamodb.TableDescription {
	d := &dynamodb.TableDescription{
		TableName: new(t.Name), TableArn: new(string(t.ARN)), TableId: new(t.UUID), TableStatus: new(t.status()),
		CreationDateTime: new(t.Created), AttributeDefinitions: sortedBy(t.Attributes, func(a dynamodb.AttributeDefinition) string { return a.AttributeName }), KeySchema: t.Keys,
		ItemCount: new(e[""].count), TableSizeBytes: new(e[""].bytes), DeletionProtectionEnabled: new(t.Protected),
		ProvisionedThroughput: t.Throughput.describe(now),
	}
	t.Restored.describe(d)
	if t.Billing == dynamodb.BillingModePayPerRequest {
		d.BillingModeSummary = &dynamodb.BillingModeSummary{BillingMode: new(t.Billing), LastUpdateToPayPerRequestDateTime: new(t.OnDemand)}
	}
	if t.Class != "" {
		d.TableClassSummary = &dynamodb.TableClassSummary{TableClass: new(t.Class)}
	}
	if t.Encryption != nil {
		d.SSEDescription = &dynamodb.SSEDescription{Status: new(dynamodb.SSEStatusEnabled), SSEType: new(dynamodb.SSETypeKms)}
		if t.Encryption.Key != "" {
			d.SSEDescription.KMSMasterKeyArn = new(t.Encryption.Key)
		}
	}
	if st := t.Stream; st != nil {
		d.StreamSpecification = &dynamodb.StreamSpecification{StreamEnabled: true, StreamViewType: new(st.View)}
		d.LatestStreamArn, d.LatestStreamLabel = new(string(st.ARN)), new(st.Label)
	}
	for i := range t.Indexes {
		x := &t.Indexes[i]
		x.describe(&t.table, e[x.Name], now, d)
	}
	return d
}

// sortedBy returns the list in the order in which DynamoDB shows it, that of the names.
func sortedBy[T any](list []T, name func(T) string) []T {
	return slices.SortedFunc(slices.Values(list), func(a, b T) int { return strings.Compare(name(a), name(b)) })
}

// status is the IndexStatus: the indexes of a new table are CREATING with it, one made on a live table until it is filled.
func (x *index) status(t *table) string {
	switch {
	case t.status() == dynamodb.TableStatusCreating || x.Filling:
		return dynamodb.IndexStatusCreating
	case x.Status != "":
		return x.Status
	}
	return dynamodb.IndexStatusActive
}

func (x *index) describe(t *table, e estimate, now time.Time, d *dynamodb.TableDescription) {
	arn := new(string(t.ARN) + "/index/" + x.Name)
	p := &dynamodb.Projection{ProjectionType: new(x.Projection), NonKeyAttributes: sortedBy(x.Include, func(name string) string { return name })}
	if x.Local {
		d.LocalSecondaryIndexes = append(d.LocalSecondaryIndexes, dynamodb.LocalSecondaryIndexDescription{
			IndexName: new(x.Name), KeySchema: x.Keys, Projection: p, IndexArn: arn, ItemCount: new(e.count), IndexSizeBytes: new(e.bytes)})
		return
	}
	g := dynamodb.GlobalSecondaryIndexDescription{IndexName: new(x.Name), KeySchema: x.Keys, Projection: p, IndexArn: arn,
		ItemCount: new(e.count), IndexSizeBytes: new(e.bytes), IndexStatus: new(x.status(t)), ProvisionedThroughput: x.Throughput.describe(now)}
	if x.Filling || x.Status == dynamodb.IndexStatusCreating { // of indexes made on a live table only
		g.Backfilling = new(x.Filling)
	}
	d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, g)
}

func (p throughput) describe(now time.Time) *dynamodb.ProvisionedThroughputDescription {
	d := &dynamodb.ProvisionedThroughputDescription{ReadCapacityUnits: new(p.Read), WriteCapacityUnits: new(p.Write), NumberOfDecreasesToday: new(p.today(now))}
	if !p.Increased.IsZero() {
		d.LastIncreaseDateTime = new(p.Increased)
	}
	if !p.Decreased.IsZero() {
		d.LastDecreaseDateTime = new(p.Decreased)
	}
	return d
}

// estimate is how much a table holds.
type estimate struct{ count, bytes int64 }

// A sample is how much an estimate reads at most.
const (
	sampleItems = 2000
	sampleBytes = 1 << 20
)

// estimates are those of a table, under "", and of its indexes by name.
type estimates map[string]estimate

func (t *schema) estimates(tx *store.Tx) estimates {
	e := estimates{"": sampled(items.Scan(tx, store.Range{Prefix: t.prefix}), len(t.prefix))}
	for _, x := range t.indexes {
		e[x.Name] = sampled(entries.Scan(tx, store.Range{Prefix: x.prefix}), len(x.prefix))
	}
	return e
}

// sampled counts rows while they are few. Of many it has read those whose hashes come first; since hashes spread evenly,
// how far it came tells how many there are.
func sampled(rows iter.Seq2[store.Key, attribute.Item], prefix int) (e estimate) {
	for key, item := range rows {
		e.count++
		e.bytes += int64(item.Size())
		if e.count == sampleItems || e.bytes > sampleBytes {
			at := key[prefix+1:]
			share := (float64(at[0])*65536 + float64(at[1])*256 + float64(at[2]) + 1) / (1 << 24)
			return estimate{int64(float64(e.count) / share), int64(float64(e.bytes) / share)}
		}
	}
	return e
}

// arnTable returns the name of the table whose ARN is given.
func arnTable(arn string) (string, error) {
	p, ok := aws.ARN(arn).Parse()
	name, table := strings.CutPrefix(p.Resource, "table/")
	switch {
	case !strings.HasPrefix(arn, "arn:"):
		return "", validation(invalidParameter+"ARNs must start with 'arn:': %s", arn)
	case !ok || p.Service != "dynamodb" || !table || name == "":
		return "", validation(invalidParameter+"Provided Arn is not a DynamoDB resource arn: %s", arn)
	}
	return name, nil
}

// change applies f to the record of the table with the ARN.
func (s *Service) changeByARN(ctx context.Context, arn string, f func(*table) error) error {
	name, err := arnTable(arn)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		t, ok := tableIn(tx, name)
		if !ok {
			return dynamodb.ResourceNotFoundException("Requested resource not found: ResourceArn: %s not found", arn)
		}
		if err := f(&t); err != nil {
			return err
		}
		t.Version++
		tables.Put(tx, store.K(name), t)
		return nil
	})
}
