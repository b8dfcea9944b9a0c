package lambda

import "testing"

func TestLogFormat(t *testing.T) {
	l := logging{Format: "JSON", App: "WARN", System: "INFO"}
	for _, test := range []struct{ text, want string }{
		{"START RequestId: i Version: $LATEST", `{"time":"2026-01-02T03:04:05.678Z","type":"platform.start","record":{"requestId":"i","version":"$LATEST"}}`},
		{"END RequestId: i", ""},
		{"REPORT RequestId: i\tDuration: 1.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 32 MB\tStatus: timeout\t",
			`{"time":"2026-01-02T03:04:05.678Z","type":"platform.report","record":{"metrics":{"billedDurationMs":2,"durationMs":1.5,"maxMemoryUsedMB":32,"memorySizeMB":128},"requestId":"i","status":"timeout"}}`},
		{`{"level":"INFO","message":"m"}`, ""},
		{`{"level":"error","message":"m"}`, `{"level":"error","message":"m"}`},
		{`{"message":"m"}`, `{"message":"m"}`},
		{"2026-01-02T03:04:05.678Z\ti\tERROR\tbad\tthing", `{"timestamp":"2026-01-02T03:04:05.678Z","level":"ERROR","message":"bad\tthing","requestId":"i"}`},
		{"2026-01-02T03:04:05.678Z\ti\tINFO\tfine", ""},
		{"[WARNING]\t2026-01-02T03:04:05.678Z\ti\thm", `{"timestamp":"2026-01-02T03:04:05.678Z","level":"WARN","message":"hm","requestId":"i"}`},
		{"printed", "printed"},
		{"{not JSON", "{not JSON"},
	} {
		got, ok := l.line(moment, test.text)
		if !ok {
			got = ""
		}
		if got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.text, got, test.want)
		}
		if text, ok := (logging{}).line(moment, test.text); !ok || text != test.text {
			t.Errorf("as text: %q", text)
		}
	}
}

func FuzzLogLine(f *testing.F) {
	f.Add("REPORT RequestId: i\tDuration: 1.50 ms\t")
	f.Add("[WARNING]\t2026-01-02T03:04:05.678Z\ti\thm")
	f.Fuzz(func(_ *testing.T, text string) {
		(logging{Format: "JSON", App: "WARN", System: "INFO"}).line(moment, text)
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
