package dynamodb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fogbank/api/dynamodb"
	"fogbank/api/dynamodbstreams"
	"fogbank/wire"
)

// unseen are the errors of the model that no script shows, and why.
var unseen = map[string]string{
	"ContinuousBackupsUnavailableException":    "a table is ready for backups at once",
	"ExportConflictException":                  "there are no exports",
	"GlobalTableAlreadyExistsException":        "there are no global tables",
	"ImportConflictException":                  "there are no imports",
	"IndexNotFoundException":                   "of UpdateGlobalTableSettings; there are no global tables",
	"InternalServerError":                      "would be a mistake of ours",
	"InvalidEndpointException":                 "DescribeEndpoints returns the only one",
	"InvalidExportTimeException":               "there are no exports",
	"ItemCollectionSizeLimitExceededException": "takes 10 GB; TestCollectionLimit shows it with less",
	"ReplicaAlreadyExistsException":            "there are no global tables",
	"ReplicaNotFoundException":                 "there are no global tables",
	"ReplicatedWriteConflictException":         "there are no global tables",
	"RequestLimitExceeded":                     "account quotas are not enforced",
	"ThrottlingException":                      "operations on tables are not limited",
	"TransactionConflictException":             "takes two at once; conflict_test.go shows it",
	"TransactionInProgressException":           "takes two at once; conflict_test.go shows it",
}

// Every operation of the model is in a script, and every error that can occur.
func TestAllIsShown(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil {
		t.Fatal(err)
	}
	var scripts strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	text := "\n" + scripts.String()
	for _, api := range []*wire.API{dynamodb.API, dynamodbstreams.API} {
		for _, op := range api.Operations {
			if !strings.Contains(text, "\n"+api.Name+" "+op.Name+" ") && !strings.Contains(text, "\n"+api.Name+" "+op.Name+"\n") {
				t.Errorf("no script calls %s %s", api.Name, op.Name)
			}
		}
		for _, e := range api.Errors {
			_, excused := unseen[e.Code]
			if shown := strings.Contains(text, `!{"__type":"`+e.Code+`"`); shown == excused {
				t.Errorf("%s: shown by a script %v, excused %v", e.Code, shown, excused)
			}
		}
	}
}
