package dynamodb

import (
	"context"

	"fogbank/api/dynamodb"
)

// Global tables, of the version of 2017, cannot be made here; so there are none to be found.

// ListGlobalTables lists none.
func (s *Service) ListGlobalTables(context.Context, *dynamodb.ListGlobalTablesInput) (*dynamodb.ListGlobalTablesOutput, error) {
	return &dynamodb.ListGlobalTablesOutput{GlobalTables: []dynamodb.GlobalTable{}}, nil
}

// DescribeGlobalTable finds none.
func (s *Service) DescribeGlobalTable(_ context.Context, in *dynamodb.DescribeGlobalTableInput) (*dynamodb.DescribeGlobalTableOutput, error) {
	return nil, noGlobalTable(in.GlobalTableName)
}

// DescribeGlobalTableSettings finds none.
func (s *Service) DescribeGlobalTableSettings(_ context.Context, in *dynamodb.DescribeGlobalTableSettingsInput) (*dynamodb.DescribeGlobalTableSettingsOutput, error) {
	return nil, noGlobalTable(in.GlobalTableName)
}

func noGlobalTable(name string) error {
	return dynamodb.GlobalTableNotFoundException("Global table not found: Global table with name: '%s' does not exist.", name)
}
