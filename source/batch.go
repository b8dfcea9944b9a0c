package source

import "time"

// stampForm is how moments are written in the news of records given up.
const stampForm = "2006-01-02T15:04:05.000Z"

// BatchInfo says which records of a stream were given up, as failure destinations learn it.
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
type BatchInfo struct {
	ShardID   string `json:"shardId"`
	Start     string `json:"startSequenceNumber"`
	End       string `json:"endSequenceNumber"`
	FirstAt   string `json:"approximateArrivalOfFirstRecord"`
	LastAt    string `json:"approximateArrivalOfLastRecord"`
	BatchSize int    `json:"batchSize"`
	StreamARN string `json:"streamArn"`
}

// Batch describes records of a stream's shard; there is one at least.
func Batch(stream, shard string, records []Record) *BatchInfo {
	first, last := &records[0], &records[len(records)-1]
	stamp := func(at time.Time) string { return at.UTC().Format(stampForm) }
	return &BatchInfo{ShardID: shard, Start: first.Sequence, End: last.Sequence, FirstAt: stamp(first.At), LastAt: stamp(last.At),
		BatchSize: len(records), StreamARN: stream}
}
