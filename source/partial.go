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
