package dynamodb

import (
	"context"
	"strings"

	"fogbank/api/dynamodb"
	"fogbank/aws"
)

// Exports go to S3 and imports come from there, which is not here. Neither can be begun, so there are none to be found.

// ListExports lists none.
func (s *Service) ListExports(context.Context, *dynamodb.ListExportsInput) (*dynamodb.ListExportsOutput, error) {
	return &dynamodb.ListExportsOutput{ExportSummaries: []dynamodb.ExportSummary{}}, nil
}

// DescribeExport finds none.
func (s *Service) DescribeExport(_ context.Context, in *dynamodb.DescribeExportInput) (*dynamodb.DescribeExportOutput, error) {
	if !ofTable(in.ExportArn, "/export/") {
		return nil, validation("Invalid Export ARN")
	}
	return nil, dynamodb.ExportNotFoundException("Export not found: %s", in.ExportArn)
}

// ListImports lists none.
func (s *Service) ListImports(context.Context, *dynamodb.ListImportsInput) (*dynamodb.ListImportsOutput, error) {
	return &dynamodb.ListImportsOutput{ImportSummaryList: []dynamodb.ImportSummary{}}, nil
}

// DescribeImport finds none.
func (s *Service) DescribeImport(_ context.Context, in *dynamodb.DescribeImportInput) (*dynamodb.DescribeImportOutput, error) {
	if !ofTable(in.ImportArn, "/import/") {
		return nil, validation("Invalid Import ARN")
	}
	return nil, dynamodb.ImportNotFoundException("Import not found: %s", in.ImportArn)
}

// ofTable reports whether the ARN is of something that a table has, of the kind that stands between the two names.
func ofTable(arn, kind string) bool {
	p, ok := aws.ARN(arn).Parse()
	return ok && p.Service == "dynamodb" && strings.HasPrefix(p.Resource, "table/") && strings.Contains(p.Resource, kind)
}
