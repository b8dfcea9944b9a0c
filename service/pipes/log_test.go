package pipes

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestLevelOf(t *testing.T) {
	for step, want := range map[string]string{
		"EXECUTION_STARTED": "INFO", "EXECUTION_SUCCEEDED": "INFO", "EXECUTION_FAILED": "ERROR", "EXECUTION_PARTIALLY_FAILED": "ERROR",
		"EXECUTION_THROTTLED": "ERROR", "ENRICHMENT_STAGE_ENTERED": "INFO", "ENRICHMENT_STAGE_FAILED": "ERROR", "ENRICHMENT_STAGE_SUCCEEDED": "INFO",
		"ENRICHMENT_TRANSFORMATION_STARTED": "TRACE", "ENRICHMENT_TRANSFORMATION_FAILED": "ERROR", "ENRICHMENT_INVOCATION_SUCCEEDED": "TRACE",
		"TARGET_INVOCATION_STARTED": "TRACE", "TARGET_INVOCATION_PARTIALLY_FAILED": "ERROR", "TARGET_STAGE_SKIPPED": "TRACE",
		"TARGET_STAGE_PARTIALLY_FAILED": "ERROR", "TARGET_STAGE_SUCCEEDED": "INFO",
	} {
		if got := levelOf(step); got != want {
			t.Errorf("%s: %s, want %s", step, got, want)
		}
	}
}

// TestCutRecord shows that a record is cut field by field until it fits, and says so.
func TestCutRecord(t *testing.T) {
	for _, test := range []struct {
		payload, request string
		cut              int // how many fields
	}{
		{"small", "small", 0},
		{strings.Repeat("ü", maxRecord), "small", 1},
		{strings.Repeat(`"`, maxRecord), strings.Repeat("<", maxRecord), 2},
	} {
		l := logRecord{MessageType: "TARGET_INVOCATION_FAILED", Payload: test.payload, Request: test.request, Response: "kept"}
		text := l.encode()
		var back logRecord
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatal(err)
		}
		if len(text) > maxRecord || len(back.Truncated) != test.cut || back.Response != "kept" {
			t.Errorf("%.10q: %d bytes, cut %q", test.payload, len(text), back.Truncated)
		}
	}
}
