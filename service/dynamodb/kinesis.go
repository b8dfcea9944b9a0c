package dynamodb

import (
	"context"

	"fogbank/api/dynamodb"
)

// There are no Kinesis data streams here, so a table's changes cannot be sent to one: these operations answer as
// AWS does when the stream they name does not exist, or when none was set.

// EnableKinesisStreamingDestination refuses the stream, which is not there.
func (s *Service) EnableKinesisStreamingDestination(ctx context.Context, in *dynamodb.EnableKinesisStreamingDestinationInput) (*dynamodb.EnableKinesisStreamingDestinationOutput, error) {
	if _, err := s.schema(ctx, in.TableName); err != nil {
		return nil, noSuchTable(err, in.TableName)
	}
	return nil, dynamodb.ResourceNotFoundException("Requested resource not found: Kinesis Data Stream: %s not found", in.StreamArn)
}

// DisableKinesisStreamingDestination refuses, since no destination is active.
func (s *Service) DisableKinesisStreamingDestination(ctx context.Context, in *dynamodb.DisableKinesisStreamingDestinationInput) (*dynamodb.DisableKinesisStreamingDestinationOutput, error) {
	return nil, s.noDestination(ctx, in.TableName, "disable", "DISABLE")
}

// UpdateKinesisStreamingDestination refuses, since no destination is active.
func (s *Service) UpdateKinesisStreamingDestination(ctx context.Context, in *dynamodb.UpdateKinesisStreamingDestinationInput) (*dynamodb.UpdateKinesisStreamingDestinationOutput, error) {
	return nil, s.noDestination(ctx, in.TableName, "update", "UPDATE")
}

func (s *Service) noDestination(ctx context.Context, table, verb, operation string) error {
	if _, err := s.schema(ctx, table); err != nil {
		return noSuchTable(err, table)
	}
	return validation("Table is not in a valid state to %s Kinesis Streaming Destination: KinesisStreamingDestination must be ACTIVE to perform %s operation.", verb, operation)
}

// DescribeKinesisStreamingDestination lists none.
func (s *Service) DescribeKinesisStreamingDestination(ctx context.Context, in *dynamodb.DescribeKinesisStreamingDestinationInput) (*dynamodb.DescribeKinesisStreamingDestinationOutput, error) {
	t, err := s.schema(ctx, in.TableName)
	if err != nil {
		return nil, noSuchTable(err, in.TableName)
	}
	return &dynamodb.DescribeKinesisStreamingDestinationOutput{TableName: new(t.Name), KinesisDataStreamDestinations: []dynamodb.KinesisDataStreamDestination{}}, nil
}
