package source

import "encoding/json"

// FailedItems reads a partial batch response: the identifiers that failed. An empty or null answer means
// that none did; ok is false when it is of no such form.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func FailedItems(payload []byte) (failed map[string]bool, ok bool) {
	var doc *struct {
		Items []struct {
			ID *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if len(payload) == 0 {
		return nil, true
	}
	if payload[0] == '"' && json.Valid(payload) {
		return nil, string(payload) == `""`
	}
	if json.Unmarshal(payload, &doc) != nil {
		return nil, false
	}
	if doc == nil {
		return nil, true
	}
	failed = map[string]bool{}
	for _, item := range doc.Items {
		if item.ID == nil || *item.ID == "" {
			return nil, false
		}
		failed[*item.ID] = true
	}
	return failed, true
}

// FirstFailed is the index of the first of n items, named by id, that a partial batch response says failed;
// an answer that cannot be right fails all.
func FirstFailed(payload []byte, n int, id func(int) string) (first int, failed bool) {
	items, ok := FailedItems(payload)
	if !ok {
		return 0, true
	}
	if len(items) == 0 {
		return n, false
	}
	for i := range n {
		if items[id(i)] {
			return i, true
		}
	}
	return 0, true
}

// BatchInfo says which records of a stream were given up, as dead letters do.
type BatchInfo struct {
	ShardID   string `json:"shardId"`
	Start     string `json:"startSequenceNumber"`
	End       string `json:"endSequenceNumber"`
	FirstAt   string `json:"approximateArrivalOfFirstRecord"`
	LastAt    string `json:"approximateArrivalOfLastRecord"`
	BatchSize int    `json:"batchSize"`
	StreamARN string `json:"streamArn"`
}

// stampForm is how moments are written in dead letters.
const stampForm = "2006-01-02T15:04:05.000Z"

// Batch describes records of a shard; there must be one.
func Batch(stream, shard string, records []Record) *BatchInfo {
	first, last := &records[0], &records[len(records)-1]
	return &BatchInfo{ShardID: shard, Start: first.Sequence, End: last.Sequence, FirstAt: first.At.UTC().Format(stampForm),
		LastAt: last.At.UTC().Format(stampForm), BatchSize: len(records), StreamARN: stream}
}
