package lambda

import (
	"slices"
	"strings"
	"testing"

	"fogbank/compute"
)

func TestLogFormat(t *testing.T) {
	l := logging{Format: "JSON", App: "WARN", System: "INFO"}
	for _, test := range []struct{ text, want string }{
		{`{"level":"INFO","message":"m"}`, ""},
		{`{"level":"error","message":"m"}`, `{"level":"error","message":"m"}`},
		{`{"message":"m"}`, `{"message":"m"}`},
		{"2026-01-02T03:04:05.678Z\ti\tERROR\tbad\tthing", `{"timestamp":"2026-01-02T03:04:05.678Z","level":"ERROR","message":"bad\tthing","requestId":"i"}`},
		{"2026-01-02T03:04:05.678Z\ti\tINFO\tfine", ""},
		{"[WARNING]\t2026-01-02T03:04:05.678Z\ti\thm", `{"timestamp":"2026-01-02T03:04:05.678Z","level":"WARN","message":"hm","requestId":"i"}`},
		{"printed", "printed"},
		{"{not JSON", "{not JSON"},
	} {
		got, ok := l.line(test.text)
		if !ok {
			got = ""
		}
		if got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.text, got, test.want)
		}
		if text, ok := (logging{}).line(test.text); !ok || text != test.text {
			t.Errorf("as text: %q", text)
		}
	}
}

func TestFacts(t *testing.T) {
	bytes := 4
	for _, test := range []struct {
		kind        string
		record      compute.Record
		text, level string
		json        string
	}{
		{"platform.start", compute.Start{RequestID: "i", Version: "$LATEST", Tracing: &compute.Tracing{Type: "X-Amzn-Trace-Id", Value: "Root=1"}},
			"START RequestId: i Version: $LATEST", "INFO", `{"requestId":"i","version":"$LATEST","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}`},
		{"platform.report", compute.Report{RequestID: "i", Status: "timeout", Metrics: compute.Metrics{Duration: 1.5, Billed: 2, MemoryMB: 128, MaxMemoryMB: 32}},
			"END RequestId: i|REPORT RequestId: i\tDuration: 1.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 32 MB\tStatus: timeout\t", "WARN",
			`{"requestId":"i","status":"timeout","metrics":{"durationMs":1.5,"billedDurationMs":2,"memorySizeMB":128,"maxMemoryUsedMB":32}}`},
		{"platform.report", compute.Report{RequestID: "i", Status: "error", ErrorType: "Runtime.ExitError", Metrics: compute.Metrics{Duration: 1.5, Billed: 2, MemoryMB: 128, MaxMemoryMB: 32, Init: 0.25}},
			"END RequestId: i|REPORT RequestId: i\tDuration: 1.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 32 MB\tInit Duration: 0.25 ms\tStatus: error\tError Type: Runtime.ExitError\t", "WARN",
			`{"requestId":"i","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":1.5,"billedDurationMs":2,"memorySizeMB":128,"maxMemoryUsedMB":32,"initDurationMs":0.25}}`},
		{"platform.initReport", compute.InitReport{Kind: "on-demand", Phase: "init", Status: "timeout", Metrics: compute.Metrics{Duration: 10000.5}},
			"INIT_REPORT Init Duration: 10000.50 ms\tPhase: init\tStatus: timeout", "WARN", `{"initializationType":"on-demand","phase":"init","status":"timeout","metrics":{"durationMs":10000.5}}`},
		{"platform.initReport", compute.InitReport{Kind: "on-demand", Phase: "invoke", Status: "error", ErrorType: "Runtime.ExitError"},
			"INIT_REPORT Init Duration: 0.00 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError", "WARN",
			`{"initializationType":"on-demand","phase":"invoke","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":0}}`},
		{"platform.initReport", compute.InitReport{Kind: "on-demand", Phase: "init", Status: "success"}, "", "DEBUG", `{"initializationType":"on-demand","phase":"init","status":"success","metrics":{"durationMs":0}}`},
		{"platform.initReport", compute.InitReport{Kind: "provisioned-concurrency", Phase: "init", Status: "success", Metrics: compute.Metrics{Duration: 2}},
			"INIT_REPORT Init Duration: 2.00 ms", "INFO", `{"initializationType":"provisioned-concurrency","phase":"init","status":"success","metrics":{"durationMs":2}}`},
		{"platform.initStart", compute.InitStart{Kind: "on-demand", Phase: "init", Function: "f", Version: "1"}, "", "DEBUG", `{"initializationType":"on-demand","phase":"init","functionName":"f","functionVersion":"1"}`},
		{"platform.initRuntimeDone", compute.InitRuntimeDone{Kind: "on-demand", Phase: "init", Status: "success"}, "", "DEBUG", `{"initializationType":"on-demand","phase":"init","status":"success"}`},
		{"platform.runtimeDone", compute.RuntimeDone{RequestID: "i", Status: "success", Metrics: compute.Metrics{Duration: 1, ProducedBytes: &bytes}}, "", "DEBUG",
			`{"requestId":"i","status":"success","metrics":{"durationMs":1,"producedBytes":4}}`},
	} {
		f := compute.Fact{At: moment, Type: test.kind, Record: test.record}
		want := `{"time":"2026-01-02T03:04:05.678Z","type":"` + test.kind + `","record":` + test.json + `}`
		for _, level := range levels {
			got := strings.Join(logging{Format: "JSON", System: level}.facts(f), "|")
			if passes := slices.Index(levels, test.level) >= slices.Index(levels, level); passes && got != want || !passes && got != "" {
				t.Errorf("%s at %s:\n got %s\nwant %s", test.kind, level, got, want)
			}
		}
		if got := strings.Join(logging{}.facts(f), "|"); got != test.text {
			t.Errorf("as text: %q, want %q", got, test.text)
		}
	}
}

func FuzzLogLine(f *testing.F) {
	f.Add("[WARNING]\t2026-01-02T03:04:05.678Z\ti\thm")
	f.Fuzz(func(_ *testing.T, text string) {
		(logging{Format: "JSON", App: "WARN", System: "INFO"}).line(text)
	})
}

func FuzzURLAnswer(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":1,"B":"x"},"cookies":["c=1"],"body":"aGk=","isBase64Encoded":true}`))
	f.Add([]byte(`"text"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := readURLAnswer(b); ok && (a.Status < 100 || a.Status > 599) {
			t.Errorf("%q: %d", b, a.Status)
		}
	})
}
