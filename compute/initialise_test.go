package compute

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// numbers are what differs from run to run in a log.
var numbers = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{4}-[0-9T:.-]+Z|[0-9]+(\.[0-9]+)? (ms|MB)`)

// TestInitialisation: what fails before the first invocation is tried again in it, and told of.
func TestInitialisation(t *testing.T) {
	b := newBench(t, false)
	b.process.initLimit = 200 * time.Millisecond
	good := b.goSpec()
	for i, test := range []struct {
		name, init string
		timeout    time.Duration
		code       string // "" for the good one
		kind, log  string
	}{
		{"slow", "sleep:900ms", 30 * time.Second, "", "", "INIT_REPORT Init Duration: #\tPhase: init\tStatus: timeout|START RequestId: # Version: $LATEST|END RequestId: #|" +
			"REPORT RequestId: #\tDuration: #\tBilled Duration: #\tMemory Size: #\tMax Memory Used: #\t"},
		{"too slow", "sleep:60s", 300 * time.Millisecond, "", "Sandbox.Timedout", "INIT_REPORT Init Duration: #\tPhase: init\tStatus: timeout|# # Task timed out after 0.30 seconds|" +
			"INIT_REPORT Init Duration: #\tPhase: invoke\tStatus: timeout|START RequestId: # Version: $LATEST|END RequestId: #|" +
			"REPORT RequestId: #\tDuration: #\tBilled Duration: #\tMemory Size: #\tMax Memory Used: #\tStatus: timeout\t"},
		{"exits", "exit", 3 * time.Second, "", "Runtime.ExitError", "INIT_REPORT Init Duration: #\tPhase: init\tStatus: error\tError Type: Runtime.ExitError|" +
			"INIT_REPORT Init Duration: #\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError|START RequestId: # Version: $LATEST|END RequestId: #|" +
			"REPORT RequestId: #\tDuration: #\tBilled Duration: #\tMemory Size: #\tMax Memory Used: #\tStatus: error\tError Type: Runtime.ExitError\t"},
		{"reports", "error", 3 * time.Second, "", "My.InitError", "INIT_REPORT Init Duration: #\tPhase: init\tStatus: error\tError Type: My.InitError|" +
			"INIT_REPORT Init Duration: #\tPhase: invoke\tStatus: error\tError Type: My.InitError|START RequestId: # Version: $LATEST|END RequestId: #|" +
			"REPORT RequestId: #\tDuration: #\tBilled Duration: #\tMemory Size: #\tMax Memory Used: #\tStatus: error\tError Type: My.InitError\t"},
		{"has no bootstrap", "", 3 * time.Second, b.put(packed(file{"main", 0o755, "x"})), "Runtime.InvalidEntrypoint",
			"INIT_REPORT Init Duration: #\tPhase: init\tStatus: error\tError Type: Runtime.InvalidEntrypoint|" +
				"INIT_REPORT Init Duration: #\tPhase: invoke\tStatus: error\tError Type: Runtime.InvalidEntrypoint|START RequestId: # Version: $LATEST|END RequestId: #|" +
				"REPORT RequestId: #\tDuration: #\tBilled Duration: #\tMemory Size: #\tMax Memory Used: #\tStatus: error\tError Type: Runtime.InvalidEntrypoint\t"},
		{"well", "", 3 * time.Second, "", "", "START RequestId: # Version: $LATEST|END RequestId: #|" +
			"REPORT RequestId: #\tDuration: #\tBilled Duration: #\tMemory Size: #\tMax Memory Used: #\tInit Duration: #\t"},
	} {
		b.mu.Lock()
		b.lines = nil
		b.mu.Unlock()
		b.process.initLimit = 200 * time.Millisecond
		if test.name != "slow" && test.name != "too slow" {
			b.process.initLimit = initLimit
		}
		s := good
		s.Name, s.Timeout, s.Variables = fmt.Sprint("i", i), test.timeout, map[string]string{"INIT": test.init}
		if test.code != "" {
			s.Code = test.code
		}
		r := b.invoke(s, `{"Do":"echo"}`)
		var lines []string
		for _, line := range strings.Split(b.log(), "\n") {
			if !strings.HasPrefix(line, "fogbank: ") {
				lines = append(lines, numbers.ReplaceAllString(line, "#"))
			}
		}
		if got := strings.Join(lines, "|"); got != test.log || r.Type != test.kind {
			t.Errorf("%s: %s\n got %s\nwant %s", test.name, r.Type, got, test.log)
		}
		if test.name == "slow" && r.Duration < 900*time.Millisecond {
			t.Errorf("the second initialisation is not a part of the invocation: %v", r.Duration)
		}
	}
}

// TestFacts: what is told of an environment, in its order, with the figures that matter.
func TestFacts(t *testing.T) {
	b := newBench(t, false)
	s := b.goSpec()
	var facts []Fact
	s.Tell = func(f Fact) {
		b.mu.Lock()
		defer b.mu.Unlock()
		facts = append(facts, f)
	}
	b.invoke(s, `{"Do":"echo"}`)
	b.invoke(s, `{"Do":"fail","Arg":"no stock"}`)
	var got []string
	for _, f := range facts {
		doc, err := json.Marshal(f.Record)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Type+" "+regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|(Ms|MB)":[0-9.]+`).ReplaceAllString(string(doc), "#"))
	}
	want := []string{
		`platform.initStart {"initializationType":"on-demand","phase":"init","functionName":"f","functionVersion":"$LATEST"}`,
		`platform.initRuntimeDone {"initializationType":"on-demand","phase":"init","status":"success"}`,
		`platform.initReport {"initializationType":"on-demand","phase":"init","status":"success","metrics":{"duration#}}`,
		`platform.start {"requestId":"#","version":"$LATEST"}`,
		`platform.runtimeDone {"requestId":"#","status":"success","metrics":{"duration#,"producedBytes":13}}`,
		`platform.report {"requestId":"#","status":"success","metrics":{"duration#,"billedDuration#,"memorySize#,"maxMemoryUsed#,"initDuration#}}`,
		`platform.start {"requestId":"#","version":"$LATEST"}`,
		`platform.runtimeDone {"requestId":"#","status":"error","errorType":"errorString","metrics":{"duration#}}`,
		`platform.report {"requestId":"#","status":"success","metrics":{"duration#,"billedDuration#,"memorySize#,"maxMemoryUsed#}}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
