package dynamodb

import (
	"context"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/store"
)

// recovery is a table's setting of point-in-time recovery.
type recovery struct {
	Since time.Time // when it was enabled, or up to when history has been forgotten since
	Days  int32
}

// maxRecovery is AWS's longest recovery period, in days, and the default.
const maxRecovery = 35

// Retain bounds the recovery period of all tables to whole days, at least one; DescribeContinuousBackups shows the
// bound. Without it, a table may be restored to any second of 35 days, as in AWS. Call it before Start.
func (s *Service) Retain(days int) { s.retain = int32(max(1, min(days, maxRecovery))) }

// longest is the longest recovery period allowed, in days.
func (s *Service) longest() int32 {
	if s.retain == 0 {
		return maxRecovery
	}
	return s.retain
}

// earliest is the first second the table can be restored to.
func (r *recovery) earliest(longest int32, now time.Time) time.Time {
	t := now.AddDate(0, 0, -int(min(r.Days, longest)))
	if t.Before(r.Since) {
		t = r.Since
	}
	return t.Add(time.Second - 1).Truncate(time.Second)
}

func (t *table) describeRecovery(longest int32, now time.Time) *dynamodb.ContinuousBackupsDescription {
	d := &dynamodb.PointInTimeRecoveryDescription{PointInTimeRecoveryStatus: new(dynamodb.PointInTimeRecoveryStatusDisabled)}
	if r := t.Recovery; r != nil {
		d = &dynamodb.PointInTimeRecoveryDescription{PointInTimeRecoveryStatus: new(dynamodb.PointInTimeRecoveryStatusEnabled),
			EarliestRestorableDateTime: new(r.earliest(longest, now)), LatestRestorableDateTime: new(now), RecoveryPeriodInDays: new(min(r.Days, longest))}
	}
	return &dynamodb.ContinuousBackupsDescription{ContinuousBackupsStatus: dynamodb.ContinuousBackupsStatusEnabled, PointInTimeRecoveryDescription: d}
}

func tableNotFound(nameOrARN string) error {
	return dynamodb.TableNotFoundException("Table not found: %s", tableName(nameOrARN))
}

// DescribeContinuousBackups returns the setting. Continuous backups as such are always on, as in AWS; what can be
// switched is point-in-time recovery.
func (s *Service) DescribeContinuousBackups(ctx context.Context, in *dynamodb.DescribeContinuousBackupsInput) (*dynamodb.DescribeContinuousBackupsOutput, error) {
	now := s.world.Now()
	t, err := s.schema(ctx, in.TableName)
	if err == errNoTable {
		return nil, tableNotFound(in.TableName)
	}
	if err != nil {
		return nil, err
	}
	return &dynamodb.DescribeContinuousBackupsOutput{ContinuousBackupsDescription: t.describeRecovery(s.longest(), now)}, nil
}

// UpdateContinuousBackups turns point-in-time recovery on or off, or changes its period. What is older than it was turned on
// cannot be restored.
func (s *Service) UpdateContinuousBackups(ctx context.Context, in *dynamodb.UpdateContinuousBackupsInput) (*dynamodb.UpdateContinuousBackupsOutput, error) {
	spec := in.PointInTimeRecoverySpecification
	days := int32(maxRecovery)
	if spec.RecoveryPeriodInDays != nil {
		days = *spec.RecoveryPeriodInDays
	}
	if !spec.PointInTimeRecoveryEnabled && spec.RecoveryPeriodInDays != nil {
		return nil, validation("Invalid Request: Cannot specify RecoveryPeriodInDays when disabling point-in-time recovery.")
	}
	if days < 1 || days > maxRecovery {
		return nil, validation("RecoveryPeriodInDays must be between 1 and %d", maxRecovery)
	}
	now := s.world.Now()
	var out *dynamodb.ContinuousBackupsDescription
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		t, ok := tableIn(tx, tableName(in.TableName))
		if !ok {
			return tableNotFound(in.TableName)
		}
		switch {
		case !spec.PointInTimeRecoveryEnabled:
			t.Recovery = nil
		case t.Recovery == nil:
			t.Recovery = &recovery{Since: now, Days: days}
		default:
			t.Recovery = &recovery{Since: t.Recovery.earliest(s.longest(), now), Days: days}
		}
		t.Version++
		tables.Put(tx, store.K(t.Name), t)
		forgets.Set(tx, store.K(t.ID), now, forgetJob{t.Name})
		out = t.describeRecovery(s.longest(), now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.UpdateContinuousBackupsOutput{ContinuousBackupsDescription: out}, nil
}
