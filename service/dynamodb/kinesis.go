package dynamodb

import (
	"context"
	"fmt"

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
	return nil, s.noDestination(ctx, in.TableName, "KinesisStreamingDestination must be ACTIVE to perform DISABLE operation.")
}

// UpdateKinesisStreamingDestination refuses, since no destination is active.
func (s *Service) UpdateKinesisStreamingDestination(ctx context.Context, in *dynamodb.UpdateKinesisStreamingDestinationInput) (*dynamodb.UpdateKinesisStreamingDestinationOutput, error) {
	return nil, s.noDestination(ctx, in.TableName, fmt.Sprintf("Kinesis streaming is not in ACTIVE state. Updates are only allowed in ACTIVE state. TableName: %s, kdsArn: %s",
		tableName(in.TableName), in.StreamArn))
}

// noDestination refuses; DynamoDB speaks of enabling whatever was asked.
func (s *Service) noDestination(ctx context.Context, table, why string) error {
	if _, err := s.schema(ctx, table); err != nil {
		return noSuchTable(err, table)
	}
	return validation("Table is not in a valid state to enable Kinesis Streaming Destination: %s", why)
}

// DescribeKinesisStreamingDestination lists none.
func (s *Service) DescribeKinesisStreamingDestination(ctx context.Context, in *dynamodb.DescribeKinesisStreamingDestinationInput) (*dynamodb.DescribeKinesisStreamingDestinationOutput, error) {
	t, err := s.schema(ctx, in.TableName)
	if err != nil {
		return nil, noSuchTable(err, in.TableName)
	}
	return &dynamodb.DescribeKinesisStreamingDestinationOutput{TableName: new(t.Name), KinesisDataStreamDestinations: []dynamodb.KinesisDataStreamDestination{}}, nil
}
