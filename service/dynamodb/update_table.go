package dynamodb

import (
	"context"
	"slices"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/store"
	"fogbank/wire"
)

// UpdateTable changes billing, throughput, stream, indexes, class, encryption or protection. Most of it takes effect at once; a new
// throughput with the end of the transition, and a new index when it is filled.
func (s *Service) UpdateTable(ctx context.Context, in *dynamodb.UpdateTableInput) (*dynamodb.UpdateTableOutput, error) {
	if in.ReplicaUpdates != nil || in.OnDemandThroughput != nil || in.WarmThroughput != nil {
		return nil, wire.NotImplemented("dynamodb", "UpdateTable of replicas, OnDemandThroughput or WarmThroughput")
	}
	if err := checkUpdate(in); err != nil {
		return nil, err
	}
	now := s.world.Now()
	streamID := s.world.Uint64()
	var out *dynamodb.TableDescription
	var t table
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		u := tableUpdate{tx: tx, in: in, now: now, ends: s.transitionEnd(now)}
		var ok bool
		t, ok = tables.Get(tx, tableKey(tableName(in.TableName)))
		if !ok || t.restoring() {
			return noSuchTable(errNoTable, in.TableName)
		}
		if err := t.settled(); err != nil {
			return err
		}
		if err := t.admitIndexes(in.GlobalSecondaryIndexUpdates); err != nil {
			return err
		}
		t.Indexes = slices.Clone(t.Indexes)
		for _, step := range [...]func(*tableUpdate) error{t.updateBilling, t.updateIndexes, t.updateRest} {
			if err := step(&u); err != nil {
				return err
			}
		}
		if err := t.updateStream(&u, streamID); err != nil {
			return err
		}
		t.Version++
		t.await(tx)
		out = compile(t).describe(nil, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, &t)
	return &dynamodb.UpdateTableOutput{TableDescription: out}, nil
}

// tableUpdate is an UpdateTable under way.
type tableUpdate struct {
	tx       *store.Tx
	in       *dynamodb.UpdateTableInput
	now      time.Time
	ends     time.Time // when what it begins ends
	switched bool      // the billing mode is another now
}

// begin makes the table UPDATING.
func (t *table) begin(u *tableUpdate, what *change) {
	t.Status, t.Ends, t.Change = dynamodb.TableStatusUpdating, u.ends, what
}

// begin gives the index a status.
func (x *index) begin(u *tableUpdate, status string) { x.Status, x.Ends = status, u.ends }

// checkUpdate checks all of an UpdateTable that does not depend on its table.
func checkUpdate(in *dynamodb.UpdateTableInput) error {
	updates := len(in.GlobalSecondaryIndexUpdates)
	switch others := others(in); {
	case others == 0 && updates == 0:
		return validation("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, SSESpecification, ReplicaUpdates, " +
			"MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required")
	case in.GlobalSecondaryIndexUpdates != nil && updates == 0:
		return validation(invalidParameter + "List of GlobalSecondaryIndexUpdates is empty")
	case in.SSESpecification != nil && others+updates > 1:
		return validation(invalidParameter + "Server-Side Encryption modification must be the only operation in the request")
	case in.TableClass != nil && others+updates > 1:
		return validation(invalidParameter + "TableClass modification must be the only operation in the request")
	case in.DeletionProtectionEnabled != nil && others+updates > 1:
		return validation(invalidParameter + "DeletionProtection modification must be the only operation in the request")
	}
	if err := checkStream(in.StreamSpecification); err != nil {
		return err
	}
	moved, err := checkIndexUpdates(in.GlobalSecondaryIndexUpdates)
	throttled := in.ProvisionedThroughput != nil || deref(in.BillingMode) == dynamodb.BillingModeProvisioned
	switch {
	case err != nil:
		return err
	case throttled && in.StreamSpecification != nil:
		return validation(invalidParameter + "You cannot modify stream status while updating table IOPS")
	case throttled && moved:
		return validation(invalidParameter + "You cannot create or delete index while updating table IOPS")
	case in.StreamSpecification != nil && moved:
		return validation(invalidParameter + "You cannot create or delete index while changing stream status")
	}
	return nil
}

// others counts what an UpdateTable asks besides updates of indexes. Billing mode and throughput are one.
func others(in *dynamodb.UpdateTableInput) (n int) {
	for _, asked := range [...]bool{in.BillingMode != nil || in.ProvisionedThroughput != nil, in.StreamSpecification != nil,
		in.SSESpecification != nil, in.TableClass != nil, in.DeletionProtectionEnabled != nil} {
		if asked {
			n++
		}
	}
	return n
}

// checkIndexUpdates refuses entries without one action and actions on one index; moved is true when an index is created or deleted.
func checkIndexUpdates(updates []dynamodb.GlobalSecondaryIndexUpdate) (moved bool, err error) {
	seen := map[string]bool{}
	for _, u := range updates {
		actions, name := 0, ""
		if u.Create != nil {
			actions, name, moved = actions+1, u.Create.IndexName, true
		}
		if u.Delete != nil {
			actions, name, moved = actions+1, u.Delete.IndexName, true
		}
		if u.Update != nil {
			actions, name = actions+1, u.Update.IndexName
		}
		switch {
		case actions == 0:
			return false, validation(invalidParameter + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null")
		case actions > 1:
			return false, validation(invalidParameter + "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object")
		case seen[name]:
			return false, validation(invalidParameter+"Only one global secondary index update per index is allowed simultaneously. Index: %s", name)
		}
		seen[name] = true
	}
	return moved, nil
}

// updateBilling changes the billing mode or the throughput of the table.
func (t *table) updateBilling(u *tableUpdate) error {
	mode, p := deref(u.in.BillingMode), u.in.ProvisionedThroughput
	if mode == "" {
		mode = t.Billing
	}
	switch {
	case mode == dynamodb.BillingModePayPerRequest && p != nil:
		return validation(invalidParameter + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case u.in.BillingMode == nil && p == nil:
		return nil
	case mode == dynamodb.BillingModeProvisioned && p == nil:
		return validation(invalidParameter + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
	case mode == t.Billing && p == nil:
		return nil // PAY_PER_REQUEST once more
	}
	if err := t.admit(throughputChange); err != nil {
		return err
	}
	if mode != t.Billing {
		if err := t.switchBilling(u, mode); err != nil {
			return err
		}
	} else if err := t.updateThroughput(u, p); err != nil {
		return err
	}
	t.begin(u, &change{What: throughputChange})
	return nil
}

// switchBilling changes the billing mode. On the way to PROVISIONED the throughput of every global index must be given, too.
func (t *table) switchBilling(u *tableUpdate, mode string) error {
	u.switched = true
	if err := t.bill(mode, u.in.ProvisionedThroughput); err != nil {
		return err
	}
	if mode == dynamodb.BillingModePayPerRequest {
		t.OnDemand = u.now
	}
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if x.Local {
			continue
		}
		x.Throughput = throughput{}
		if mode == dynamodb.BillingModePayPerRequest {
			continue
		}
		p := throughputOf(u.in, x.Name)
		if p == nil {
			return validation(invalidParameter+"ProvisionedThroughput must be specified for index: %s", x.Name)
		}
		x.Throughput = throughput{Read: p.ReadCapacityUnits, Write: p.WriteCapacityUnits}
		if !x.Filling {
			x.begin(u, dynamodb.IndexStatusUpdating)
		}
	}
	return nil
}

// throughputOf returns the throughput an UpdateTable wants for an index.
func throughputOf(in *dynamodb.UpdateTableInput, index string) *dynamodb.ProvisionedThroughput {
	for _, u := range in.GlobalSecondaryIndexUpdates {
		if u.Update != nil && u.Update.IndexName == index {
			return u.Update.ProvisionedThroughput
		}
	}
	return nil
}

const willNotChange = "The provisioned throughput for the %[1]s will not change. The requested value equals the current value. " +
	"Current ReadCapacityUnits provisioned for the %[2]s: %[3]d. Requested ReadCapacityUnits: %[3]d. " +
	"Current WriteCapacityUnits provisioned for the %[2]s: %[4]d. Requested WriteCapacityUnits: %[4]d. " +
	"Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."

// updateThroughput gives the table the throughput that it has when it is ACTIVE again.
func (t *table) updateThroughput(u *tableUpdate, p *dynamodb.ProvisionedThroughput) error {
	if p.ReadCapacityUnits == t.Throughput.Read && p.WriteCapacityUnits == t.Throughput.Write {
		return validation(willNotChange, "table", "table", p.ReadCapacityUnits, p.WriteCapacityUnits)
	}
	wanted, err := t.Throughput.to(p.ReadCapacityUnits, p.WriteCapacityUnits, u.now)
	t.Wanted = &wanted
	return err
}

// updateIndexes creates, deletes or changes global indexes, all of which may be done.
func (t *table) updateIndexes(u *tableUpdate) (err error) {
	for _, g := range u.in.GlobalSecondaryIndexUpdates {
		switch {
		case g.Create != nil:
			err = t.createIndex(u, g.Create)
		case g.Delete != nil:
			x := t.find(g.Delete.IndexName)
			fills.Cancel(u.tx, store.K(t.ID, x.ID))
			x.Filling = false
			x.begin(u, dynamodb.IndexStatusDeleting)
			t.begin(u, t.Change)
		default:
			err = t.throttleIndex(u, g.Update)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *table) createIndex(u *tableUpdate, c *dynamodb.CreateGlobalSecondaryIndexAction) error {
	if u.in.AttributeDefinitions == nil {
		return validation(invalidParameter+"AttributeDefinitions is not specified for index: %s", c.IndexName)
	}
	if err := checkDefined(u.in.AttributeDefinitions, c.KeySchema); err != nil { // those of the request, all of them
		return err
	}
	for _, a := range u.in.AttributeDefinitions {
		switch had := t.typeOf(a.AttributeName); {
		case !uses(c.KeySchema, nil, a.AttributeName): // what no key uses is let pass, unlike in CreateTable
		case had == 0:
			t.Attributes = append(slices.Clip(t.Attributes), a)
		case had.String() != a.AttributeType:
			return validation(invalidParameter+"Attribute %s is already defined with type %s", a.AttributeName, had)
		}
	}
	globals := 0
	for _, x := range t.Indexes {
		if !x.Local {
			globals++
		}
	}
	switch p := c.ProvisionedThroughput; {
	case globals == maxGlobal:
		return dynamodb.LimitExceededException("Subscriber limit exceeded: Number of global secondary indexes exceeds per-table limit of %d", maxGlobal)
	case p != nil && t.Billing == dynamodb.BillingModePayPerRequest:
		return validation(invalidParameter+"Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: %s when BillingMode is PAY_PER_REQUEST", c.IndexName)
	case p == nil && t.Billing == dynamodb.BillingModeProvisioned:
		return validation(invalidParameter+"Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: %s", c.IndexName)
	}
	if err := t.addGlobal(c); err != nil {
		return err
	}
	t.Indexes[len(t.Indexes)-1].begin(u, dynamodb.IndexStatusCreating)
	t.begin(u, t.Change)
	return nil
}

// uses reports whether a key or an index has the attribute.
func uses(keys []dynamodb.KeySchemaElement, indexes []index, name string) bool {
	is := func(k dynamodb.KeySchemaElement) bool { return k.AttributeName == name }
	return slices.ContainsFunc(keys, is) || slices.ContainsFunc(indexes, func(x index) bool { return slices.ContainsFunc(x.Keys, is) })
}

// throttleIndex gives an index the throughput that it has when it is ACTIVE again. The table stays ACTIVE.
func (t *table) throttleIndex(u *tableUpdate, g *dynamodb.UpdateGlobalSecondaryIndexAction) error {
	x := t.find(g.IndexName)
	p := g.ProvisionedThroughput
	switch {
	case u.switched && p != nil: // which has set it
		return nil
	case p == nil:
		return validation(invalidParameter+"Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: %s", x.Name)
	case t.Billing == dynamodb.BillingModePayPerRequest:
		return validation(invalidParameter+"The only Updates for index: %s when TableThroughputMode is PAY_PER_REQUEST can be to OnDemandThroughput, WarmThroughput", x.Name)
	case p.ReadCapacityUnits == x.Throughput.Read && p.WriteCapacityUnits == x.Throughput.Write:
		return validation(willNotChange, "index "+x.Name, "index "+x.Name, p.ReadCapacityUnits, p.WriteCapacityUnits)
	}
	wanted, err := x.Throughput.to(p.ReadCapacityUnits, p.WriteCapacityUnits, u.now)
	if err != nil {
		return err
	}
	if x.Filling { // CREATING it stays
		x.Throughput = wanted
		return nil
	}
	x.Wanted = &wanted
	x.begin(u, dynamodb.IndexStatusUpdating)
	return nil
}

// updateRest changes class, protection and encryption. Only the first makes the table UPDATING.
func (t *table) updateRest(u *tableUpdate) error {
	if class := u.in.TableClass; class != nil {
		if err := t.admit(classChange); err != nil {
			return err
		}
		t.Class = *class
		t.begin(u, &change{What: classChange, Class: *class})
	}
	if protected := u.in.DeletionProtectionEnabled; protected != nil {
		t.Protected = *protected
	}
	if spec := u.in.SSESpecification; spec != nil {
		t.Encryption = nil
		if deref(spec.Enabled) {
			t.Encryption = &encryption{deref(spec.KMSMasterKeyId)}
		}
	}
	return nil
}

// updateStream enables or disables the stream.
func (t *table) updateStream(u *tableUpdate, id uint64) error {
	spec := u.in.StreamSpecification
	if spec == nil {
		return nil
	}
	if u.in.BillingMode == nil { // which may be changed in the same request
		if err := t.admit(streamChange); err != nil {
			return err
		}
	}
	doing := &change{What: streamChange, Operation: "ENABLE"}
	switch {
	case spec.StreamEnabled && t.Stream != nil:
		return validation("Table already has an enabled stream: TableName: %s", t.Name)
	case !spec.StreamEnabled && t.Stream == nil:
		return validation("Table has no stream to disable: TableName: %s", t.Name)
	case spec.StreamEnabled:
		openStream(u.tx, t, newStream(u.tx, t, id, deref(spec.StreamViewType), u.now))
		doing.Stream = t.Stream.Label
	default:
		doing.Operation, doing.Stream = "DISABLE", t.Stream.Label
		endStream(u.tx, t, u.now)
	}
	t.begin(u, doing)
	return nil
}
