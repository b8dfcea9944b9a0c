package dynamodb

import (
	"context"

	"fogbank/api/dynamodb"
)

// Global tables cannot be made here, so there are none to be found. Those of the version of 2017 can be made no more in AWS either.

// ListGlobalTables lists none.
func (s *Service) ListGlobalTables(context.Context, *dynamodb.ListGlobalTablesInput) (*dynamodb.ListGlobalTablesOutput, error) {
	return &dynamodb.ListGlobalTablesOutput{GlobalTables: []dynamodb.GlobalTable{}}, nil
}

var errGlobalVersion = validation(invalidParameter + "DynamoDB global tables version 2017.11.29 is not supported. " +
	"We recommend using DynamoDB global tables version 2019.11.21, instead of version 2017.11.29 (Legacy).")

// CreateGlobalTable refuses, as DynamoDB does by now.
func (s *Service) CreateGlobalTable(context.Context, *dynamodb.CreateGlobalTableInput) (*dynamodb.CreateGlobalTableOutput, error) {
	return nil, errGlobalVersion
}

// UpdateGlobalTable refuses to add replicas, and finds no global table to take any away from.
func (s *Service) UpdateGlobalTable(_ context.Context, in *dynamodb.UpdateGlobalTableInput) (*dynamodb.UpdateGlobalTableOutput, error) {
	if len(in.ReplicaUpdates) == 0 {
		return nil, validation("One or more parameter values were invalid")
	}
	for _, u := range in.ReplicaUpdates {
		if u.Create != nil {
			return nil, errGlobalVersion
		}
	}
	return nil, noGlobalTable("Global table not found: ", in.GlobalTableName)
}

// DescribeGlobalTable finds none.
func (s *Service) DescribeGlobalTable(_ context.Context, in *dynamodb.DescribeGlobalTableInput) (*dynamodb.DescribeGlobalTableOutput, error) {
	return nil, noGlobalTable("Global table not found: ", in.GlobalTableName)
}

// DescribeGlobalTableSettings finds none.
func (s *Service) DescribeGlobalTableSettings(_ context.Context, in *dynamodb.DescribeGlobalTableSettingsInput) (*dynamodb.DescribeGlobalTableSettingsOutput, error) {
	return nil, noGlobalTable("", in.GlobalTableName)
}

// UpdateGlobalTableSettings finds none.
func (s *Service) UpdateGlobalTableSettings(_ context.Context, in *dynamodb.UpdateGlobalTableSettingsInput) (*dynamodb.UpdateGlobalTableSettingsOutput, error) {
	return nil, noGlobalTable("", in.GlobalTableName)
}

func noGlobalTable(what, name string) error {
	return dynamodb.GlobalTableNotFoundException("%sGlobal table with name: '%s' does not exist.", what, name)
}

// DescribeTableReplicaAutoScaling finds no replicas: a table of one region has none to be scaled.
func (s *Service) DescribeTableReplicaAutoScaling(_ context.Context, in *dynamodb.DescribeTableReplicaAutoScalingInput) (*dynamodb.DescribeTableReplicaAutoScalingOutput, error) {
	return nil, dynamodb.ResourceNotFoundException("Global table with name: '%s' does not exist.", tableName(in.TableName))
}
