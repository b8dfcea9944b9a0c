package sqs

import (
	"fogbank/api/sqs"
	"fogbank/aws"
)

// checkBatch applies the rules every batch request obeys: 1 to 10 entries with distinct ids of a certain form.
func checkBatch(n int, entry string, id func(i int) string) error {
	switch {
	case n == 0:
		return sqs.EmptyBatchRequest("There should be at least one %s in the request.", entry)
	case n > maxBatch:
		return sqs.TooManyEntriesInBatchRequest("Maximum number of entries per request are %d. You have sent %d.", maxBatch, n)
	}
	for i := range n {
		if !isEntryID(id(i)) {
			return sqs.InvalidBatchEntryId("A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		for j := range i {
			if id(j) == id(i) {
				return sqs.BatchEntryIdsNotDistinct("Id %s repeated.", id(i))
			}
		}
	}
	return nil
}

func isEntryID(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 80
}

// failedEntry reports one entry of a batch that did not succeed.
func failedEntry(id string, err error) sqs.BatchResultErrorEntry {
	e := aws.AsError(err)
	return sqs.BatchResultErrorEntry{Id: id, Code: e.Code, Message: new(e.Message), SenderFault: e.Fault == aws.Sender}
}
