package dynamodb

import (
	"context"
	"reflect"
	"slices"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/store"
)

// restored is where a table comes from that was made from a backup or another table.
type restored struct {
	Backup     aws.ARN `json:",omitempty"`
	Source     aws.ARN
	At         time.Time
	InProgress bool `json:",omitempty"`
}

// restoring reports whether the table's items are still being copied; until then it takes no requests.
func (t *table) restoring() bool { return t.Restored != nil && t.Restored.InProgress }

func (r *restored) describe(d *dynamodb.TableDescription) {
	if r == nil || !r.InProgress { // nothing tells later where a table comes from
		return
	}
	d.RestoreSummary = &dynamodb.RestoreSummary{SourceTableArn: new(string(r.Source)), RestoreDateTime: r.At, RestoreInProgress: r.InProgress}
	if r.Backup != "" {
		d.RestoreSummary.SourceBackupArn = new(string(r.Backup))
	}
}

// overrides are what a restored table may have otherwise than its source.
type overrides struct {
	target     string
	billing    *string
	throughput *dynamodb.ProvisionedThroughput
	local      []dynamodb.LocalSecondaryIndex
	global     []dynamodb.GlobalSecondaryIndex
	encryption *dynamodb.SSESpecification
}

// restoredTable returns the record of a table like source. Streams, Time to Live, tags, policies, protection and
// point-in-time recovery do not go with it.
func (s *Service) restoredTable(ctx context.Context, source table, o *overrides, from restored) (table, error) {
	call := aws.CallFrom(ctx)
	t := table{ID: s.world.Uint64(), Version: 1, Name: o.target, UUID: s.world.UUID(), Created: s.world.Now(),
		ARN:        aws.MakeARN("dynamodb", call.Region, call.Account, "table/"+o.target),
		Attributes: source.Attributes, Keys: source.Keys, LastIndex: source.LastIndex, Billing: source.Billing, Class: source.Class, Encryption: source.Encryption,
		Throughput: throughput{Read: source.Throughput.Read, Write: source.Throughput.Write}, Restored: &from}
	t.OnDemand = t.Created
	if err := checkName(t.Name); err != nil {
		return t, err
	}
	if err := t.overrideBilling(o); err != nil {
		return t, err
	}
	if err := t.keepIndexes(source.lasting(t.Billing), o); err != nil {
		return t, err
	}
	if e := o.encryption; e != nil {
		t.Encryption = nil
		if deref(e.Enabled) {
			t.Encryption = &encryption{deref(e.KMSMasterKeyId)}
		}
	}
	t.Attributes = slices.DeleteFunc(slices.Clone(t.Attributes), func(a dynamodb.AttributeDefinition) bool { return !uses(t.Keys, t.Indexes, a.AttributeName) })
	return t, nil
}

// keepIndexes takes over the source's indexes, or those of them that the overrides want: these may have other names, but new
// ones cannot be asked for.
func (t *table) keepIndexes(source []index, o *overrides) error {
	taken := map[int]bool{}
	keep := func(name string, local bool, keys []dynamodb.KeySchemaElement, p dynamodb.Projection) (*index, error) {
		for _, x := range source {
			if x.Local == local && !taken[x.ID] && reflect.DeepEqual(keys, x.Keys) && deref(p.ProjectionType) == x.Projection && sameNames(p.NonKeyAttributes, x.Include) {
				taken[x.ID] = true
				x.Name = name
				t.Indexes = append(t.Indexes, x)
				return &t.Indexes[len(t.Indexes)-1], nil
			}
		}
		return nil, validation("Invalid Request: Index %s does not match a secondary index that existed in the source table and cannot be created during the restore operation", name)
	}
	for _, x := range source {
		if x.Local && o.local == nil || !x.Local && o.global == nil {
			t.Indexes = append(t.Indexes, x)
		}
	}
	for _, w := range o.local {
		if _, err := keep(w.IndexName, true, w.KeySchema, w.Projection); err != nil {
			return err
		}
	}
	for _, w := range o.global {
		x, err := keep(w.IndexName, false, w.KeySchema, w.Projection)
		if err != nil {
			return err
		}
		if err := x.override(t, w.ProvisionedThroughput); err != nil {
			return err
		}
	}
	return nil
}

// override gives an index of a restored table the throughput that was asked for.
func (x *index) override(t *table, p *dynamodb.ProvisionedThroughput) error {
	switch {
	case p != nil && t.Billing == dynamodb.BillingModePayPerRequest:
		return validation("Invalid Request: Cannot override ProvisionedThroughput if BillingMode is overridden to PAY_PER_REQUEST for index %s", x.Name)
	case p == nil && t.Billing == dynamodb.BillingModeProvisioned:
		return validation("Invalid Request: Must specify provisioned throughput for index %s", x.Name)
	case p != nil:
		x.Throughput = throughput{Read: p.ReadCapacityUnits, Write: p.WriteCapacityUnits}
	}
	return nil
}

// sameNames reports whether two lists hold the same names.
func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// overrideBilling applies the billing mode and throughput that a restored table is to have.
func (t *table) overrideBilling(o *overrides) error {
	mode := deref(o.billing)
	switch {
	case mode == dynamodb.BillingModeProvisioned && o.throughput == nil:
		return validation("Invalid Request: Must override ProvisionedThroughput if BillingMode is overridden to PROVISIONED")
	case mode == dynamodb.BillingModePayPerRequest && o.throughput != nil:
		return validation("Invalid Request: Cannot override ProvisionedThroughput if BillingMode is overridden to PAY_PER_REQUEST")
	case mode == "" && o.throughput != nil && t.Billing == dynamodb.BillingModePayPerRequest:
		return validation("Invalid Request: Cannot override ProvisionedThroughput unless BillingMode is PROVISIONED")
	case mode == "" && o.throughput == nil:
		return nil
	case mode == "":
		mode = t.Billing
	}
	return t.bill(mode, o.throughput)
}

// RestoreTableFromBackup makes a new table with the items of a backup. They are copied in the background; until that
// is done the table is CREATING.
func (s *Service) RestoreTableFromBackup(ctx context.Context, in *dynamodb.RestoreTableFromBackupInput) (*dynamodb.RestoreTableFromBackupOutput, error) {
	now := s.world.Now()
	o := overrides{in.TargetTableName, in.BillingModeOverride, in.ProvisionedThroughputOverride, in.LocalSecondaryIndexOverride, in.GlobalSecondaryIndexOverride, in.SSESpecificationOverride}
	var b backup
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		_, b, err = findBackup(tx, in.BackupArn)
		return err
	})
	if err != nil {
		return nil, err
	}
	t, err := s.restoredTable(ctx, b.Table, &o, restored{Backup: b.ARN, Source: b.Table.ARN, At: b.Created, InProgress: true})
	if err != nil {
		return nil, err
	}
	job := copyJob{ID: s.world.Uint64(), Target: copyTarget{Table: t.Name}}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		key, b, err := findBackup(tx, in.BackupArn)
		if err != nil {
			return err
		}
		if b.Status != dynamodb.BackupStatusAvailable {
			return dynamodb.BackupInUseException("Backup is being created: %s", in.BackupArn)
		}
		if b.Reading > 0 {
			return dynamodb.BackupInUseException("Backup is being used to restore another table: %s", in.BackupArn)
		}
		if err := refuseTarget(tx, t.Name); err != nil {
			return err
		}
		b.Reading++
		backups.Put(tx, key, b)
		tables.Put(tx, store.K(t.Name), t)
		job.Source = copySource{Backup: b.ID, Key: []byte(key)}
		job.start(tx, now.Add(s.linger))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.RestoreTableFromBackupOutput{TableDescription: compile(t).describe(nil, now)}, nil
}

// RestoreTableToPointInTime makes a new table with the items another had at a moment of its recovery period, or has now. They are copied in the background while the source is written; until that is done the table is CREATING.
func (s *Service) RestoreTableToPointInTime(ctx context.Context, in *dynamodb.RestoreTableToPointInTimeInput) (*dynamodb.RestoreTableToPointInTimeOutput, error) {
	now := s.world.Now()
	o := overrides{in.TargetTableName, in.BillingModeOverride, in.ProvisionedThroughputOverride, in.LocalSecondaryIndexOverride, in.GlobalSecondaryIndexOverride, in.SSESpecificationOverride}
	name, at, err := restorePoint(in, now)
	if err != nil {
		return nil, err
	}
	source, err := s.schema(ctx, name)
	if err == errNoTable {
		return nil, tableNotFound(name)
	}
	if err != nil {
		return nil, err
	}
	t, err := s.restoredTable(ctx, source.table, &o, restored{Source: source.ARN, At: at, InProgress: true})
	if err != nil {
		return nil, err
	}
	job := copyJob{ID: s.world.Uint64(), Target: copyTarget{Table: t.Name}, As: moment{At: at}}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		from, ok := tableIn(tx, name)
		if !ok {
			return tableNotFound(name)
		}
		if from.Recovery == nil {
			return dynamodb.PointInTimeRecoveryUnavailableException("Point in time recovery is not enabled for table '%s'", name)
		}
		if !deref(in.UseLatestRestorableTime) && (at.Before(from.Recovery.earliest(s.longest(), now)) || at.After(now)) {
			return dynamodb.InvalidRestoreTimeException("RestoreDateTime '%s' must be within EarliestRestorableDateTime '%s' and LatestRestorableDateTime '%s'",
				stamp(at), stamp(from.Recovery.earliest(s.longest(), now)), stamp(now))
		}
		if err := refuseTarget(tx, t.Name); err != nil {
			return err
		}
		tables.Put(tx, store.K(t.Name), t)
		from.startCopy(tx, job, now, now.Add(s.linger))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.RestoreTableToPointInTimeOutput{TableDescription: compile(t).describe(nil, now)}, nil
}

// stamp is how moments stand in refusals.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// refuseTarget refuses the name of a table to be restored that another has.
func refuseTarget(tx *store.Tx, name string) error {
	t, ok := tables.Get(tx, tableKey(name))
	switch {
	case !ok:
		return nil
	case t.restoring() && t.Restored.Backup != "":
		return dynamodb.TableInUseException("Table: %s is already being restored from backup: %s", name, t.Restored.Backup)
	case t.restoring():
		return dynamodb.TableInUseException("Table is being used: %s", name)
	}
	return dynamodb.TableAlreadyExistsException("Table already exists: %s", name)
}

// restorePoint returns the source and the moment a request names.
func restorePoint(in *dynamodb.RestoreTableToPointInTimeInput, now time.Time) (name string, at time.Time, err error) {
	switch {
	case in.SourceTableName != nil && in.SourceTableArn != nil:
		return "", at, validation("Invalid Request: Must provide exactly one of: sourceTableArn, sourceTableName")
	case in.SourceTableName != nil:
		name = *in.SourceTableName
	case in.SourceTableArn != nil:
		if name, err = arnTable(*in.SourceTableArn); err != nil {
			return "", at, err
		}
	default:
		return "", at, validation("The parameter 'TableName' is required but was not present in the request")
	}
	latest := deref(in.UseLatestRestorableTime)
	switch {
	case latest && in.RestoreDateTime != nil:
		return "", at, validation("Invalid Request: Both RestoreDateTime and UseLatestRestorableTime cannot be set for point-in-time restore request. " +
			"Please specify either RestoreDateTime or UseLatestRestorableTime")
	case latest:
		return name, now, nil
	case in.RestoreDateTime == nil:
		return "", at, validation("Invalid Request: Either one of RestoreDateTime or UseLatestRestorableTime must be specified, but not both")
	}
	return name, *in.RestoreDateTime, nil
}
