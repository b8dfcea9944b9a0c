package compute

import (
	"strings"
	"testing"
	"time"
)

// TestTelemetry: an extension that has subscribed is told, over HTTP in the environment's own network, what was told and
// printed from the beginning on.
func TestTelemetry(t *testing.T) {
	b := newBench(t, false)
	if strings.HasPrefix(b.process.Isolation(), "NONE") {
		t.Skip(b.process.Isolation())
	}
	s := b.goSpec()
	s.Name, s.Timeout, s.Layers, s.Variables = "f", 30*time.Second, []string{b.extensionLayer("watcher")}, map[string]string{"EXT": "telemetry"}
	if r := b.invoke(s, `{"Do":"print","Arg":"hello"}`); r.Failed {
		t.Fatalf("%+v %s", r, r.Payload)
	}
	b.pool.Drop(s.Name)
	b.order("telemetry", `watcher: subscribed 400 {"errorMessage":"URI port is not provided; types should not be empty","errorType":"ValidationError"}`, `watcher: subscribed 200 "OK"`)
	b.order("the log", "TELEMETRY\tName: watcher\tState: Subscribed\tTypes: [platform, function]")
	b.order("events", `watcher: got platform.initStart {"initializationType":"on-demand","phase":"init","functionName":"f","functionVersion":"$LATEST"}`,
		`watcher: got platform.extension {"name":"watcher","state":"Ready","events":["INVOKE","SHUTDOWN"]}`,
		`watcher: got platform.telemetrySubscription {"name":"watcher","state":"Subscribed","types":["platform","function"]}`,
		`watcher: got platform.initRuntimeDone {"initializationType":"on-demand","phase":"init","status":"success"}`,
		`watcher: got platform.initReport {`, `watcher: got platform.start {"requestId":`, `watcher: got function "hello"`, `watcher: got platform.runtimeDone {`,
		`watcher: got platform.report {`, "watcher: SHUTDOWN SPINDOWN")
}

func TestReadSubscription(t *testing.T) {
	const good = `{"schemaVersion":"2022-12-13","types":["platform"],"destination":{"protocol":"HTTP","URI":"http://sandbox.local:8080/a"}}`
	s, fault := readSubscription([]byte(good))
	if fault != "" || s.port != 8080 || s.path != "/a" || s.items != 1000 || s.bytes != 256<<10 || s.every != 10*time.Second {
		t.Errorf("%q %+v", fault, s)
	}
	for replace, want := range map[string]string{
		`"HTTP"|"TCP"`:              "protocol is not HTTP",
		`sandbox.local|example.com`: "URI is not one of http://sandbox.localdomain",
		`:8080|`:                    "URI port is not provided",
		`:8080|:0`:                  "URI port is not provided",
		`"platform"|`:               "types should not be empty",
		`"platform"|"all"`:          "the type all is not known",
		`2022-12-13|2020-08-15`:     "schemaVersion is not known",
		`"types"|"buffering":{"maxItems":24},"types"`:     "maxItems is out of its bounds",
		`"types"|"buffering":{"maxBytes":1},"types"`:      "maxBytes is out of its bounds",
		`"types"|"buffering":{"timeoutMs":10001},"types"`: "timeoutMs is out of its bounds",
		`{"schema|{{`: "the body is not the JSON of a subscription",
	} {
		old, with, _ := strings.Cut(replace, "|")
		if _, fault := readSubscription([]byte(strings.Replace(good, old, with, 1))); fault != want {
			t.Errorf("%s: %q, want %q", replace, fault, want)
		}
	}
}

func FuzzReadSubscription(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":"2022-12-13","types":["platform"],"buffering":{"maxItems":25},"destination":{"protocol":"HTTP","URI":"http://sandbox.local:8080/a"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, fault := readSubscription(b); fault == "" && (s.port <= 0 || s.port > 65535 || s.items < 25 || s.bytes < 256<<10 || s.every < time.Second) {
			t.Errorf("%q: %+v", b, s)
		}
	})
}
