package dynamodb

import (
	"context"

	"fogbank/api/dynamodb"
)

// Contributor Insights reports to CloudWatch, which is not here. It is therefore off for every table and index, and
// turning it on is not implemented rather than pretended.

// insightsTarget returns the table, after checking that it has the index if one is named.
func (s *Service) insightsTarget(ctx context.Context, table string, index *string) (*schema, error) {
	t, err := s.schema(ctx, table)
	if err != nil {
		return nil, noSuchTable(err, table)
	}
	if index != nil && t.index(*index) == nil {
		return nil, dynamodb.ResourceNotFoundException("Requested resource not found: Index: %s not found for table: %s", *index, t.Name)
	}
	return t, nil
}

// DescribeContributorInsights says that it is off.
func (s *Service) DescribeContributorInsights(ctx context.Context, in *dynamodb.DescribeContributorInsightsInput) (*dynamodb.DescribeContributorInsightsOutput, error) {
	t, err := s.insightsTarget(ctx, in.TableName, in.IndexName)
	if err != nil {
		return nil, err
	}
	return &dynamodb.DescribeContributorInsightsOutput{TableName: new(t.Name), IndexName: in.IndexName, ContributorInsightsStatus: new(dynamodb.ContributorInsightsStatusDisabled)}, nil
}

// ListContributorInsights lists the tables and indexes it was ever turned on for: none.
func (s *Service) ListContributorInsights(ctx context.Context, in *dynamodb.ListContributorInsightsInput) (*dynamodb.ListContributorInsightsOutput, error) {
	if in.TableName != nil {
		if _, err := s.insightsTarget(ctx, *in.TableName, nil); err != nil {
			return nil, err
		}
	}
	return &dynamodb.ListContributorInsightsOutput{ContributorInsightsSummaries: []dynamodb.ContributorInsightsSummary{}}, nil
}

// UpdateContributorInsights turns it off, which it is; turning it on answers NotImplemented.
func (s *Service) UpdateContributorInsights(ctx context.Context, in *dynamodb.UpdateContributorInsightsInput) (*dynamodb.UpdateContributorInsightsOutput, error) {
	t, err := s.insightsTarget(ctx, in.TableName, in.IndexName)
	if err != nil {
		return nil, err
	}
	if in.ContributorInsightsAction != dynamodb.ContributorInsightsActionDisable {
		return s.Unimplemented.UpdateContributorInsights(ctx, in)
	}
	return &dynamodb.UpdateContributorInsightsOutput{TableName: new(t.Name), IndexName: in.IndexName, ContributorInsightsStatus: new(dynamodb.ContributorInsightsStatusDisabled)}, nil
}
