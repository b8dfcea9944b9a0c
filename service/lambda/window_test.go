package lambda_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/compute"
)

// gather is a function that answers, as its window's state, the keys it got so far, and with "big" among them more than a
// window's state may have. It notes "keys" for a batch and "=keys" for the last call, "~keys" when that was early.
func (s *site) gather(_ context.Context, _ compute.Spec, in compute.Invocation, _ func(string)) ([]byte, error) {
	var batch struct {
		Records []struct {
			Dynamodb struct{ Keys map[string]map[string]string }
		}
		State struct {
			Keys []string
			Fill string
		}
		Final bool `json:"isFinalInvokeForWindow"`
		Early bool `json:"isWindowTerminatedEarly"`
	}
	if err := json.Unmarshal(in.Payload, &batch); err != nil {
		return nil, err
	}
	keys := batch.State.Keys
	for _, r := range batch.Records {
		keys = append(keys, r.Dynamodb.Keys["id"]["S"])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(keys, s.refuse) {
		return nil, compute.FakeError{Type: "Error", Message: "refused"}
	}
	mark := ""
	switch {
	case batch.Early:
		mark = "~"
	case batch.Final:
		mark = "="
	}
	s.events = append(s.events, mark+strings.Join(keys, ","))
	fill := ""
	if len(keys) > 0 && keys[len(keys)-1] == "big" {
		fill = strings.Repeat("x", 1<<20)
	}
	return fmt.Appendf(nil, `{"state":{"Keys":["%s"],"Fill":"%s"}}`, strings.Join(keys, `","`), fill), nil
}

// TestEarlyWindow shows that a state that is too large ends its window early, also when the server stops meanwhile.
func TestEarlyWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		stream := s.table()
		s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"f","Handler":"gather"}`)
		s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"`+stream+`","StartingPosition":"TRIM_HORIZON","TumblingWindowInSeconds":900,"MaximumBatchingWindowInSeconds":1}`)
		s.put("a", "big")
		s.want("ended early", "a,big ~a,big")
		s.put("b")
		s.want("the same window without the state", "b")
		s.refuseAll("big")
		s.put("big")
		s.want("held up", "")
		s.refuseAll("")
		time.Sleep(time.Minute)
		s.want("with the state of before the failure", "b,big ~b,big")
		s.close()
		s.open()
		s.put("c")
		s.want("a fresh state, after a restart too", "c")
		time.Sleep(15 * time.Minute)
		s.want("the window's end", "=c")
	})
}

// TestWindowsOfLanes shows that every lane has windows of its own, and that those of lanes there are no more are ended.
func TestWindowsOfLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		stream := s.table()
		s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"f","Handler":"gather"}`)
		s.put("a", "b", "c", "d", "a", "b", "c", "d")
		m := s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"`+stream+`","StartingPosition":"TRIM_HORIZON","TumblingWindowInSeconds":600,"ParallelizationFactor":2,"BatchSize":4}`)["UUID"].(string)
		got := strings.Fields(s.seen())
		slices.Sort(got)
		if want := "a,c,a,c b,d,b,d"; strings.Join(got, " ") != want {
			t.Errorf("by lanes: %q, want %q", got, want)
		}
		s.do("lambda UpdateEventSourceMapping", `{"UUID":"`+m+`","ParallelizationFactor":1,"MaximumBatchingWindowInSeconds":1}`)
		got = strings.Fields(s.seen())
		slices.Sort(got)
		if want := "~a,c,a,c ~b,d,b,d"; strings.Join(got, " ") != want {
			t.Errorf("ended with the lanes: %q, want %q", got, want)
		}
		s.put("a", "b")
		s.want("one lane", "a,b")
		s.do("lambda DeleteEventSourceMapping", `{"UUID":"`+m+`"}`)
		time.Sleep(time.Hour)
		s.want("gone with the mapping", "")
	})
}

// TestLaneFailures shows that a lane bisects its batches and gives its records up without the others noticing.
func TestLaneFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		stream := s.table()
		s.refuseAll("x")
		s.put("b", "x", "d", "f", "a", "c")
		s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"`+stream+`","StartingPosition":"TRIM_HORIZON","ParallelizationFactor":2,"BatchSize":4,"MaximumRetryAttempts":1,"BisectBatchOnFunctionError":true}`)
		var even, odd []string
		for _, batch := range strings.Fields(s.seen()) {
			if strings.ContainsAny(batch, "bdfx") {
				even = append(even, batch)
			} else {
				odd = append(odd, batch)
			}
		}
		if got, want := strings.Join(even, " "), "!b,x,d,f !b,x b !x !x,d,f !x d,f"; got != want {
			t.Errorf("the lane that fails: %q, want %q", got, want)
		}
		if got, want := strings.Join(odd, " "), "a,c"; got != want {
			t.Errorf("the other: %q, want %q", got, want)
		}
	})
}
