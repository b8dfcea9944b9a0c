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
	if r == nil {
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
	if err := t.keepIndexes(source.Indexes, o); err != nil {
		return t, err
	}
	if o.billing != nil || o.throughput != nil {
		mode := t.Billing
		if o.billing != nil {
			mode = *o.billing
		}
		if err := t.bill(mode, o.throughput); err != nil {
			return t, err
		}
	}
	if e := o.encryption; e != nil {
		t.Encryption = nil
		if deref(e.Enabled) {
			t.Encryption = &encryption{deref(e.KMSMasterKeyId)}
		}
	}
	t.Attributes = slices.DeleteFunc(slices.Clone(t.Attributes), func(a dynamodb.AttributeDefinition) bool { return !t.uses(a.AttributeName) })
	return t, nil
}

// keepIndexes takes over the source's indexes, or those of them that the overrides name: new ones cannot be asked for.
func (t *table) keepIndexes(source []index, o *overrides) error {
	wanted := 0
	for _, x := range source {
		x.Filling = false
		if x.Local && o.local != nil {
			i := slices.IndexFunc(o.local, func(w dynamodb.LocalSecondaryIndex) bool {
				return w.IndexName == x.Name && reflect.DeepEqual(w.KeySchema, x.Keys) && deref(w.Projection.ProjectionType) == x.Projection
			})
			if i < 0 {
				continue
			}
			wanted++
		}
		if !x.Local && o.global != nil {
			i := slices.IndexFunc(o.global, func(w dynamodb.GlobalSecondaryIndex) bool {
				return w.IndexName == x.Name && reflect.DeepEqual(w.KeySchema, x.Keys) && deref(w.Projection.ProjectionType) == x.Projection
			})
			if i < 0 {
				continue
			}
			wanted++
			if p := o.global[i].ProvisionedThroughput; p != nil {
				x.Throughput = throughput{Read: p.ReadCapacityUnits, Write: p.WriteCapacityUnits}
			}
		}
		t.Indexes = append(t.Indexes, x)
	}
	if wanted != len(o.local)+len(o.global) {
		return validation(invalidParameter + "Indexes of a restored table must match those of its source")
	}
	return nil
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
		if err := refuseTaken(tx, t.Name, dynamodb.TableAlreadyExistsException); err != nil {
			return err
		}
		b.Reading++
		backups.Put(tx, key, b)
		tables.Put(tx, store.K(t.Name), t)
		job.Source = copySource{Backup: b.ID, Key: []byte(key)}
		job.start(tx, now)
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
			return dynamodb.InvalidRestoreTimeException("An invalid restore time was specified. RestoreDateTime must be between EarliestRestorableDateTime and LatestRestorableDateTime.")
		}
		if err := refuseTaken(tx, t.Name, dynamodb.TableAlreadyExistsException); err != nil {
			return err
		}
		tables.Put(tx, store.K(t.Name), t)
		from.startCopy(tx, job, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.RestoreTableToPointInTimeOutput{TableDescription: compile(t).describe(nil, now)}, nil
}

// restorePoint returns the source and the moment a request names.
func restorePoint(in *dynamodb.RestoreTableToPointInTimeInput, now time.Time) (name string, at time.Time, err error) {
	switch {
	case in.SourceTableName != nil:
		name = *in.SourceTableName
	case in.SourceTableArn != nil:
		if name, err = arnTable(*in.SourceTableArn); err != nil {
			return "", at, err
		}
	default:
		return "", at, validation("Either SourceTableName or SourceTableArn must be specified")
	}
	latest := deref(in.UseLatestRestorableTime)
	switch {
	case latest && in.RestoreDateTime != nil:
		return "", at, validation("RestoreDateTime cannot be specified when UseLatestRestorableTime is true")
	case latest:
		return name, now, nil
	case in.RestoreDateTime == nil:
		return "", at, validation("Either RestoreDateTime or UseLatestRestorableTime must be specified")
	}
	return name, *in.RestoreDateTime, nil
}
