package dynamodb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/store"
)

// backup is the stored record of a backup: at (table's name, last part of its ARN).
type backup struct {
	ID      uint64
	ARN     aws.ARN
	Name    string
	Table   table // the definition at the time
	Created time.Time
	Expires time.Time `json:",omitzero"`
	Status  string
	Type    string
	Count   int64
	Bytes   int64
	Reading int `json:",omitempty"` // how many restores are reading it
}

var backups = store.NewTable[backup]("dynamodb/backup", store.Regional)

// newBackup returns a backup of the table as it is now.
func newBackup(t table, id uint64, name, kind string, now time.Time) (store.Key, backup) {
	label := fmt.Sprintf("%014d-%08x", now.UnixMilli(), uint32(id))
	t.Copying, t.Restored = 0, nil
	t.Status, t.Ends, t.Change, t.Wanted = "", time.Time{}, nil, nil
	t.Indexes = t.lasting(t.Billing)
	return store.K(t.Name, label), backup{ID: id, ARN: t.ARN + aws.ARN("/backup/"+label), Name: name, Table: t, Created: now,
		Status: dynamodb.BackupStatusCreating, Type: kind}
}

// backupKey returns the place of the backup with the ARN.
func backupKey(arn string) (store.Key, error) {
	p, ok := aws.ARN(arn).Parse()
	name, found := strings.CutPrefix(p.Resource, "table/")
	name, label, cut := strings.Cut(name, "/backup/")
	switch {
	case ok && p.Service != "dynamodb":
		return "", validation("Invalid Request: BackupArn is not valid")
	case !ok || !found || !cut:
		return "", validation("Invalid Backup ARN")
	}
	return store.K(name, label), nil
}

// findBackup returns the backup with the ARN.
func findBackup(tx *store.Tx, arn string) (store.Key, backup, error) {
	key, err := backupKey(arn)
	if err != nil {
		return "", backup{}, err
	}
	b, ok := backups.Get(tx, key)
	if !ok || string(b.ARN) != arn {
		return "", b, dynamodb.BackupNotFoundException("Backup not found: %s", arn)
	}
	return key, b, nil
}

// CreateBackup keeps the table as it is at this moment. The copying is done in the background, while the table is
// written; until then the backup says CREATING.
func (s *Service) CreateBackup(ctx context.Context, in *dynamodb.CreateBackupInput) (*dynamodb.CreateBackupOutput, error) {
	now := s.world.Now()
	made := s.newJobs()
	var b backup
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		t, ok := tableIn(tx, tableName(in.TableName))
		if !ok {
			return tableNotFound(in.TableName)
		}
		var key store.Key
		key, b = newBackup(t, made.backup, in.BackupName, dynamodb.BackupTypeUser, now)
		t.startCopy(tx, copyJob{ID: made.job, Target: copyTarget{Backup: made.backup, Key: []byte(key)}}, now, now.Add(s.linger))
		backups.Put(tx, key, b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.CreateBackupOutput{BackupDetails: b.details()}, nil
}

// jobs are the identifiers of a backup and of the copying into it.
type jobs struct{ backup, job uint64 }

func (s *Service) newJobs() jobs { return jobs{s.world.Uint64(), s.world.Uint64()} }

// systemBackupLife is how long the last backup of a deleted table is kept.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Point-in-time-recovery.html
const systemBackupLife = 35 * 24 * time.Hour

var backupEnds = store.NewTimers[string]("dynamodb/backup") // backup's key → ARN

// letGo removes the items of a deleted table in the background. With point-in-time recovery they go to a last backup first,
// which is free of charge in AWS and kept for 35 days.
func (t *table) letGo(tx *store.Tx, last jobs, now time.Time) {
	if t.Recovery == nil {
		purges.Set(tx, store.K(t.ID, 0), now, purgeJob{ID: t.ID})
		return
	}
	key, b := newBackup(*t, last.backup, t.Name+"$DeletedTableBackup", dynamodb.BackupTypeSystem, now)
	b.Expires = now.Add(systemBackupLife)
	backups.Put(tx, key, b)
	backupEnds.Set(tx, key, b.Expires, string(b.ARN))
	copyJob{ID: last.job, Source: copySource{Table: t.Name, ID: t.ID}, Target: copyTarget{Backup: b.ID, Key: []byte(key)}, As: moment{now, t.Version + 1}}.start(tx, now)
}

// endBackup removes a backup that has expired.
func (s *Service) endBackup(ctx context.Context, _ store.Key, arn string) error {
	_, err := s.removeBackup(ctx, arn, func(*backup) error { return nil })
	if err != nil && aws.AsError(err).Code == "BackupNotFoundException" {
		return nil
	}
	return err
}

// startCopy has the table copied as it is now, beginning later if need be. From the new version on every change is remembered.
func (t *table) startCopy(tx *store.Tx, j copyJob, now, begin time.Time) {
	t.Copying++
	t.Version++
	tables.Put(tx, store.K(t.Name), *t)
	j.Source = copySource{Table: t.Name, ID: t.ID}
	if j.As.At.IsZero() {
		j.As.At = now
	}
	j.As.Version = t.Version
	j.start(tx, begin)
}

func (b *backup) details() *dynamodb.BackupDetails {
	d := &dynamodb.BackupDetails{BackupArn: string(b.ARN), BackupName: b.Name, BackupStatus: b.Status, BackupType: b.Type,
		BackupCreationDateTime: b.Created, BackupSizeBytes: new(b.Bytes)}
	if !b.Expires.IsZero() {
		d.BackupExpiryDateTime = new(b.Expires)
	}
	return d
}

func (b *backup) describe() *dynamodb.BackupDescription {
	t := &b.Table
	source := &dynamodb.SourceTableDetails{TableName: t.Name, TableId: t.UUID, TableArn: new(string(t.ARN)), TableSizeBytes: new(b.Bytes), ItemCount: new(b.Count),
		KeySchema: t.Keys, TableCreationDateTime: t.Created, BillingMode: new(t.Billing),
		ProvisionedThroughput: dynamodb.ProvisionedThroughput{ReadCapacityUnits: t.Throughput.Read, WriteCapacityUnits: t.Throughput.Write}}
	f := &dynamodb.SourceTableFeatureDetails{}
	for _, x := range t.Indexes {
		name, p := new(x.Name), &dynamodb.Projection{ProjectionType: new(x.Projection), NonKeyAttributes: x.Include}
		if x.Local {
			f.LocalSecondaryIndexes = append(f.LocalSecondaryIndexes, dynamodb.LocalSecondaryIndexInfo{IndexName: name, KeySchema: x.Keys, Projection: p})
			continue
		}
		f.GlobalSecondaryIndexes = append(f.GlobalSecondaryIndexes, dynamodb.GlobalSecondaryIndexInfo{IndexName: name, KeySchema: x.Keys, Projection: p,
			ProvisionedThroughput: &dynamodb.ProvisionedThroughput{ReadCapacityUnits: x.Throughput.Read, WriteCapacityUnits: x.Throughput.Write}})
	}
	if t.Stream != nil {
		f.StreamDescription = &dynamodb.StreamSpecification{StreamEnabled: true, StreamViewType: new(t.Stream.View)}
	}
	if t.TTL != nil && t.TTL.Enabled {
		f.TimeToLiveDescription = &dynamodb.TimeToLiveDescription{TimeToLiveStatus: new(dynamodb.TimeToLiveStatusEnabled), AttributeName: new(t.TTL.Attribute)}
	}
	if t.Encryption != nil {
		f.SSEDescription = &dynamodb.SSEDescription{Status: new(dynamodb.SSEStatusEnabled), SSEType: new(dynamodb.SSETypeKms)}
	}
	return &dynamodb.BackupDescription{BackupDetails: b.details(), SourceTableDetails: source, SourceTableFeatureDetails: f}
}

// DescribeBackup describes a backup and the table it was made of.
func (s *Service) DescribeBackup(ctx context.Context, in *dynamodb.DescribeBackupInput) (*dynamodb.DescribeBackupOutput, error) {
	out := &dynamodb.DescribeBackupOutput{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		_, b, err := findBackup(tx, in.BackupArn)
		out.BackupDescription = b.describe()
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteBackup removes a backup, its items in the background. One that is being made or read cannot be deleted.
func (s *Service) DeleteBackup(ctx context.Context, in *dynamodb.DeleteBackupInput) (*dynamodb.DeleteBackupOutput, error) {
	return s.removeBackup(ctx, in.BackupArn, func(b *backup) error {
		if b.Type == dynamodb.BackupTypeSystem {
			return validation("Invalid Request: User is not allowed to delete the system backup with arn %s. It will automatically expire on %s",
				b.ARN, b.Expires.UTC().Format("2006-01-02T15:04:05.000Z"))
		}
		return nil
	})
}

// removeBackup removes a backup that may be removed.
func (s *Service) removeBackup(ctx context.Context, arn string, may func(*backup) error) (*dynamodb.DeleteBackupOutput, error) {
	now := s.world.Now()
	out := &dynamodb.DeleteBackupOutput{}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		key, b, err := findBackup(tx, arn)
		if err != nil {
			return err
		}
		if err := may(&b); err != nil {
			return err
		}
		switch {
		case b.Status == dynamodb.BackupStatusCreating:
			return dynamodb.BackupInUseException("Backup is being created: %s", arn)
		case b.Reading > 0:
			return dynamodb.BackupInUseException("Backup is being used to restore table: %s", arn)
		}
		backups.Delete(tx, key)
		purges.Set(tx, store.K(b.ID, 0), now, purgeJob{ID: b.ID})
		b.Status = dynamodb.BackupStatusDeleted
		out.BackupDescription = b.describe()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ListBackups lists backups by table and time, those that users made unless BackupType says otherwise, 100 to a page unless Limit says less.
func (s *Service) ListBackups(ctx context.Context, in *dynamodb.ListBackupsInput) (*dynamodb.ListBackupsOutput, error) {
	limit := 100
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if from, to := in.TimeRangeLowerBound, in.TimeRangeUpperBound; from != nil && to != nil && from.After(*to) {
		return nil, validation(invalidParameter + "Time range lower bound must be less than or equal to upper bound")
	}
	r := store.Range{}
	if in.TableName != nil {
		r.Prefix = store.K(tableName(*in.TableName))
	}
	if in.ExclusiveStartBackupArn != nil {
		key, err := backupKey(*in.ExclusiveStartBackupArn)
		if err != nil {
			return nil, err
		}
		r.After = key
	}
	var out *dynamodb.ListBackupsOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		out = &dynamodb.ListBackupsOutput{BackupSummaries: []dynamodb.BackupSummary{}}
		for _, b := range backups.Scan(tx, r) {
			if !b.wanted(in) {
				continue
			}
			if len(out.BackupSummaries) == limit {
				out.LastEvaluatedBackupArn = out.BackupSummaries[limit-1].BackupArn
				break
			}
			out.BackupSummaries = append(out.BackupSummaries, b.summary())
		}
		return nil
	})
	return out, err
}

func (b *backup) wanted(in *dynamodb.ListBackupsInput) bool {
	kind := deref(in.BackupType)
	if kind == "" {
		kind = dynamodb.BackupTypeFilterUser
	}
	switch {
	case kind != dynamodb.BackupTypeFilterAll && kind != b.Type:
		return false
	case in.TimeRangeLowerBound != nil && b.Created.Before(*in.TimeRangeLowerBound):
		return false
	}
	return in.TimeRangeUpperBound == nil || b.Created.Before(*in.TimeRangeUpperBound)
}

func (b *backup) summary() dynamodb.BackupSummary {
	d := b.details()
	return dynamodb.BackupSummary{TableName: new(b.Table.Name), TableId: new(b.Table.UUID), TableArn: new(string(b.Table.ARN)), BackupArn: new(d.BackupArn), BackupName: new(b.Name),
		BackupCreationDateTime: new(b.Created), BackupExpiryDateTime: d.BackupExpiryDateTime, BackupStatus: new(b.Status), BackupType: new(b.Type), BackupSizeBytes: new(b.Bytes)}
}
