package dynamodb

import (
	"context"
	"slices"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/store"
)

// UpdateTable changes billing, throughput, stream, indexes, class or protection. The answer says UPDATING; the change has taken
// effect, save for a new index on a table with items, which is filled in the background.
func (s *Service) UpdateTable(ctx context.Context, in *dynamodb.UpdateTableInput) (*dynamodb.UpdateTableOutput, error) {
	now := s.world.Now()
	streamID := s.world.Uint64()
	if err := checkStream(in.StreamSpecification); err != nil {
		return nil, err
	}
	var out *dynamodb.TableDescription
	var t table
	err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		var ok bool
		t, ok = tables.Get(tx, tableKey(tableName(in.TableName)))
		if !ok {
			return noSuchTable(errNoTable, in.TableName)
		}
		if err := t.settled(); err != nil {
			return err
		}
		changed, err := t.update(in, now)
		if err != nil {
			return err
		}
		streamed, err := changeStream(tx, &t, in.StreamSpecification, streamID, now)
		if err != nil {
			return err
		}
		indexed, err := t.updateIndexes(tx, in, now)
		if err != nil {
			return err
		}
		if !changed && !streamed && !indexed {
			return validation("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required")
		}
		t.Version++
		t.enter(tx, dynamodb.TableStatusUpdating, s.transitionEnd(now))
		out = compile(t).describe(nil, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, &t)
	return &dynamodb.UpdateTableOutput{TableDescription: out}, nil
}

// update applies the settings that concern the record alone.
func (t *table) update(in *dynamodb.UpdateTableInput, now time.Time) (changed bool, err error) {
	was := t.Throughput
	switch mode := deref(in.BillingMode); {
	case mode != "" && mode != t.Billing:
		if err := t.bill(mode, in.ProvisionedThroughput); err != nil {
			return false, err
		}
		if mode == dynamodb.BillingModePayPerRequest {
			t.OnDemand = now
			for i := range t.Indexes {
				t.Indexes[i].Throughput = throughput{}
			}
		}
		changed = true
	case in.ProvisionedThroughput != nil && t.Billing == dynamodb.BillingModePayPerRequest:
		return false, t.bill(t.Billing, in.ProvisionedThroughput)
	case in.ProvisionedThroughput != nil:
		p := in.ProvisionedThroughput
		if p.ReadCapacityUnits == was.Read && p.WriteCapacityUnits == was.Write {
			return false, validation("The provisioned throughput for the table will not change. The requested value equals the current value. "+
				"Current ReadCapacityUnits provisioned for the table: %d. Requested ReadCapacityUnits: %d. "+
				"Current WriteCapacityUnits provisioned for the table: %d. Requested WriteCapacityUnits: %d. "+
				"Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.",
				was.Read, p.ReadCapacityUnits, was.Write, p.WriteCapacityUnits)
		}
		if t.Throughput, err = was.to(p.ReadCapacityUnits, p.WriteCapacityUnits, now); err != nil {
			return false, err
		}
		changed = true
	case mode != "":
		changed = true
	}
	if in.DeletionProtectionEnabled != nil {
		t.Protected, changed = *in.DeletionProtectionEnabled, true
	}
	if in.TableClass != nil {
		t.Class, changed = *in.TableClass, true
	}
	if spec := in.SSESpecification; spec != nil {
		t.Encryption, changed = nil, true
		if deref(spec.Enabled) {
			t.Encryption = &encryption{deref(spec.KMSMasterKeyId)}
		}
	}
	return changed, nil
}

func changeStream(tx *store.Tx, t *table, spec *dynamodb.StreamSpecification, id uint64, now time.Time) (changed bool, err error) {
	switch {
	case spec == nil:
		return false, nil
	case spec.StreamEnabled && t.Stream != nil:
		return false, validation("Table already has an enabled stream: TableName: %s", t.Name)
	case !spec.StreamEnabled && t.Stream == nil:
		return false, validation("Table is already disabled for stream: TableName: %s", t.Name)
	case spec.StreamEnabled:
		openStream(tx, t, newStream(tx, t, id, deref(spec.StreamViewType), now))
	default:
		endStream(tx, t, now)
	}
	return true, nil
}

// updateIndexes creates, deletes or changes global indexes; of the first two AWS allows one in a call.
func (t *table) updateIndexes(tx *store.Tx, in *dynamodb.UpdateTableInput, now time.Time) (changed bool, err error) {
	made := 0
	for _, u := range in.GlobalSecondaryIndexUpdates {
		switch {
		case u.Create != nil:
			made++
			err = t.createIndex(tx, in, u.Create, now)
		case u.Delete != nil:
			made++
			err = t.deleteIndex(tx, u.Delete.IndexName, now)
		case u.Update != nil:
			err = t.throttleIndex(u.Update, now)
		default:
			err = validation(invalidParameter + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null")
		}
		if err != nil {
			return false, err
		}
	}
	if made > 1 {
		return false, dynamodb.LimitExceededException("Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table")
	}
	return len(in.GlobalSecondaryIndexUpdates) > 0, nil
}

func (t *table) createIndex(tx *store.Tx, in *dynamodb.UpdateTableInput, c *dynamodb.CreateGlobalSecondaryIndexAction, now time.Time) error {
	for _, a := range in.AttributeDefinitions {
		if had := t.typeOf(a.AttributeName); had == 0 {
			t.Attributes = append(slices.Clip(t.Attributes), a)
		} else if had.String() != a.AttributeType {
			return validation(invalidParameter+"Attribute %s is already defined with type %s", a.AttributeName, had)
		}
	}
	for _, x := range t.Indexes {
		if x.Name == c.IndexName {
			return validation("Attempting to create an index which already exists")
		}
	}
	if err := checkDefined(in.AttributeDefinitions, c.KeySchema); err != nil { // those of the request, all of them
		return err
	}
	t.Indexes = slices.Clip(t.Indexes)
	if err := t.addGlobal(c); err != nil {
		return err
	}
	x := &t.Indexes[len(t.Indexes)-1]
	x.Filling = true
	fills.Set(tx, store.K(t.ID, x.ID), now, fillJob{Table: t.Name, Index: x.ID})
	return t.checkUsed()
}

var errNoIndex = dynamodb.ResourceNotFoundException("Requested resource not found")

func (t *table) globalIndex(name string) (int, error) {
	i := slices.IndexFunc(t.Indexes, func(x index) bool { return x.Name == name && !x.Local })
	if i < 0 {
		return i, errNoIndex
	}
	return i, nil
}

func (t *table) deleteIndex(tx *store.Tx, name string, now time.Time) error {
	i, err := t.globalIndex(name)
	if err != nil {
		return err
	}
	purges.Set(tx, store.K(t.ID, t.Indexes[i].ID), now, purgeJob{t.ID, t.Indexes[i].ID})
	t.Indexes = slices.Delete(slices.Clone(t.Indexes), i, i+1)
	t.Attributes = slices.DeleteFunc(slices.Clone(t.Attributes), func(a dynamodb.AttributeDefinition) bool { return !t.uses(a.AttributeName) })
	return nil
}

// uses reports whether a key of the table or an index has the attribute.
func (t *table) uses(name string) bool {
	is := func(k dynamodb.KeySchemaElement) bool { return k.AttributeName == name }
	if slices.ContainsFunc(t.Keys, is) {
		return true
	}
	return slices.ContainsFunc(t.Indexes, func(x index) bool { return slices.ContainsFunc(x.Keys, is) })
}

func (t *table) throttleIndex(u *dynamodb.UpdateGlobalSecondaryIndexAction, now time.Time) error {
	i, err := t.globalIndex(u.IndexName)
	if err != nil || u.ProvisionedThroughput == nil {
		return err
	}
	t.Indexes = slices.Clone(t.Indexes)
	p := u.ProvisionedThroughput
	t.Indexes[i].Throughput, err = t.Indexes[i].Throughput.to(p.ReadCapacityUnits, p.WriteCapacityUnits, now)
	return err
}
