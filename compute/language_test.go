package compute

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// languageTests are functions in Python and JavaScript, and what becomes of an event.
var languageTests = []struct {
	name, runtime, handler string
	files                  []file
	event                  string
	want                   string // the answer, or for a failure its type and message
	log                    string // found in the log
}{
	{"python", "python3.11", "app.handler", []file{{"app.py", 0o644, `
def handler(event, context):
    print("got", event["name"])
    return {"hello": event["name"], "left": 0 < context.get_remaining_time_in_millis() <= 3000,
            "fn": context.function_name, "arn": context.invoked_function_arn, "mb": context.memory_limit_in_mb}
`}}, `{"name":"Zoë"}`, `{"hello": "Zoë", "left": true, "fn": "f", "arn": "arn:aws:lambda:us-east-1:000000000000:function:f", "mb": "128"}`, "got Zoë"},
	{"python package", "python3.11", "src/app.deep.handler", []file{{"src/app/__init__.py", 0o644, ""}, {"src/app/deep.py", 0o644, `
from decimal import Decimal
def handler(event, context):
    return Decimal("1.5")
`}}, `{}`, `1.5`, ""},
	{"python raises", "python3.11", "app.handler", []file{{"app.py", 0o644, `
class NoStock(Exception):
    pass
def handler(event, context):
    raise NoStock("none left")
`}}, `{}`, `NoStock: none left`, "[ERROR] NoStock: none left"},
	{"python logging", "python3.11", "app.handler", []file{{"app.py", 0o644, `
import logging
log = logging.getLogger()
log.setLevel(logging.INFO)
def handler(event, context):
    log.info("from logging")
`}}, `{}`, `null`, "[INFO]\t"},
	{"python no module", "python3.11", "nope.handler", []file{{"app.py", 0o644, ""}}, `{}`,
		`Runtime.ImportModuleError: Unable to import module 'nope': No module named 'nope'`, ""},
	{"python no handler", "python3.11", "app.nope", []file{{"app.py", 0o644, ""}}, `{}`,
		`Runtime.HandlerNotFound: Handler 'nope' missing on module 'app'`, ""},
	{"python unserialisable", "python3.11", "app.handler", []file{{"app.py", 0o644, "def handler(e, c):\n    return object()\n"}}, `{}`,
		`Runtime.MarshalError: Unable to marshal response: Object of type object is not JSON serializable`, ""},
	{"python exits", "python3.11", "app.handler", []file{{"app.py", 0o644, "import sys\ndef handler(e, c):\n    sys.exit(4)\n"}}, `{}`,
		`Runtime.ExitError: RequestId: ID Error: Runtime exited with error: exit status 4`, ""},

	{"ruby", "ruby3.3", "app.handler", []file{{"app.rb", 0o644, `
def handler(event:, context:)
  puts "got #{event['name']}"
  { hello: event['name'], left: context.get_remaining_time_in_millis.positive?, fn: context.function_name }
end`}}, `{"name":"Zoë"}`, `{"hello":"Zoë","left":true,"fn":"f"}`, "got Zoë"},
	{"ruby class", "ruby3.3", "lib/app.Shop::Order.place", []file{{"lib/app.rb", 0o644, `
module Shop
  class Order
    def self.place(event:, context:) = [event["n"], context.memory_limit_in_mb]
  end
end`}}, `{"n":2}`, `[2,"128"]`, ""},
	{"ruby raises", "ruby3.3", "app.handler", []file{{"app.rb", 0o644, `
class NoStock < StandardError; end
def handler(event:, context:) = raise(NoStock, "none left")`}}, `{}`, `Function<NoStock>: none left`, "none left"},
	{"ruby no file", "ruby3.3", "nope.handler", []file{{"app.rb", 0o644, ""}}, `{}`, `Init<LoadError>: cannot load such file -- /var/task/nope`, ""},
	{"ruby no method", "ruby3.3", "app.nope", []file{{"app.rb", 0o644, ""}}, `{}`, "Init<NameError>: undefined method 'nope' for main", ""},

	{"node async", "nodejs20.x", "index.handler", []file{{"index.js", 0o644, `
exports.handler = async (event, context) => {
  console.log('got', event.name);
  return { hello: event.name, left: context.getRemainingTimeInMillis() > 0, fn: context.functionName };
};`}}, `{"name":"Zoë"}`, `{"hello":"Zoë","left":true,"fn":"f"}`, "\tINFO\tgot Zoë"},
	{"node module", "nodejs20.x", "src/index.handler", []file{{"src/index.mjs", 0o644, `
import { basename } from 'node:path';
export const handler = async (event) => basename('/a/' + event.name);`}}, `{"name":"b"}`, `"b"`, ""},
	{"node module by package.json", "nodejs20.x", "index.handler", []file{{"package.json", 0o644, `{"type":"module"}`}, {"index.js", 0o644, `
const one = await Promise.resolve(1);
export const handler = async () => one;`}}, `{}`, `1`, ""},
	{"node callback", "nodejs20.x", "index.handler", []file{{"index.js", 0o644, `
exports.handler = (event, context, callback) => { setTimeout(() => callback(null, 'later'), 5); };`}}, `{}`, `"later"`, ""},
	{"node callback error", "nodejs20.x", "index.handler", []file{{"index.js", 0o644, `
exports.handler = (event, context, callback) => callback(new RangeError('too far'));`}}, `{}`, `RangeError: too far`, "Invoke Error"},
	{"node silence", "nodejs20.x", "index.handler", []file{{"index.js", 0o644, `exports.handler = () => {};`}}, `{}`, `null`, ""},
	{"node undefined", "nodejs20.x", "index.handler", []file{{"index.cjs", 0o644, `exports.handler = async () => {};`}}, `{}`, `null`, ""},
	{"node throws", "nodejs20.x", "index.handler", []file{{"index.js", 0o644, `
class NoStock extends Error { constructor(m) { super(m); this.name = 'NoStock'; } }
exports.handler = async () => { throw new NoStock('none left'); };`}}, `{}`, `NoStock: none left`, "\tERROR\tInvoke Error"},
	{"node garbage", "nodejs20.x", "index.handler", []file{{"index.js", 0o644, `
exports.handler = async () => {
  let live = [];
  for (let i = 0; i < 600; i++) live[i % 8] = Array.from({ length: 5000 }, (_, j) => ({ j, s: 'k' + i + j }));
  return live.length;
};`}}, `{}`, `8`, ""},
	{"node no module", "nodejs20.x", "nope.handler", []file{{"index.js", 0o644, ""}}, `{}`,
		`Runtime.ImportModuleError: Error: Cannot find module 'nope'`, ""},
	{"node no handler", "nodejs20.x", "index.nope", []file{{"index.js", 0o644, ""}}, `{}`,
		`Runtime.HandlerNotFound: index.nope is undefined or not exported`, ""},
	{"node syntax", "nodejs20.x", "index.handler", []file{{"index.js", 0o644, "exports.handler = ("}}, `{}`,
		`Runtime.UserCodeSyntaxError: SyntaxError: Unexpected end of input`, ""},
	{"node rejection nobody handles", "nodejs20.x", "index.handler", []file{{"index.js", 0o644, `
exports.handler = (e, c, done) => { Promise.reject(new Error('lost')); };`}}, `{}`, `Runtime.UnhandledPromiseRejection: Error: lost`, ""},
}

func TestLanguages(t *testing.T) {
	b := newBench(t, false)
	for i, test := range languageTests {
		t.Run(test.name, func(t *testing.T) {
			if err := b.process.Supported(test.runtime); err != nil {
				t.Skip(err)
			}
			s := b.spec(b.put(packed(test.files...)))
			s.Runtime, s.Handler, s.Timeout = test.runtime, test.handler, 3*time.Second
			b.mu.Lock()
			b.lines = nil
			b.mu.Unlock()
			job := s
			job.Name = fmt.Sprint("f", i)
			r := b.invokeAs(job.Name, s, test.event)
			got := string(r.Payload)
			if r.Failed {
				var doc struct{ ErrorType, ErrorMessage string }
				if err := json.Unmarshal(r.Payload, &doc); err != nil {
					t.Fatal(err)
				}
				id := requestID(r)
				got = doc.ErrorType + ": " + strings.Replace(doc.ErrorMessage, id, "ID", 1)
			}
			if got != test.want {
				t.Errorf("got %s\nwant %s\nlog %s", got, test.want, b.log())
			}
			if !strings.Contains(b.log(), test.log) {
				t.Errorf("log %q lacks %q", b.log(), test.log)
			}
			if !r.Failed {
				if again := b.invokeAs(job.Name, s, test.event); string(again.Payload) != test.want || again.Init != 0 {
					t.Errorf("warm: %s %v", again.Payload, again.Init)
				}
			}
		})
	}
}

// TestNodeStreams: handlers that awslambda.streamifyResponse has marked.
func TestNodeStreams(t *testing.T) {
	b := newBench(t, false)
	if err := b.process.Supported("nodejs20.x"); err != nil {
		t.Skip(err)
	}
	for i, test := range []struct {
		name, code, want string
		kind, message    string // of the error
		whole            string // the answer when it is not streamed
	}{
		{name: "writes", code: `async (event, stream, context) => {
  stream.setContentType('text/plain');
  stream.write('hello ');
  stream.write(Buffer.from(event.name));
  stream.write({ left: context.getRemainingTimeInMillis() > 0 });
  stream.end();
}`, want: `text/plain hello Zoë{"left":true}`, whole: `hello Zoë{"left":true}`},
		{name: "pipeline", code: `async (event, stream) => {
  const { pipeline } = require('stream/promises');
  await pipeline(require('stream').Readable.from(['a', 'b', 'c']), stream);
}`, want: "application/octet-stream abc", whole: "abc"},
		{name: "prelude", code: `async (event, stream) => {
  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { 'x-a': '1' } });
  stream.end('made');
}`, want: "application/vnd.awslambda.http-integration-response {\"statusCode\":201,\"headers\":{\"x-a\":\"1\"}}\x00\x00\x00\x00\x00\x00\x00\x00made",
			whole: "{\"statusCode\":201,\"headers\":{\"x-a\":\"1\"}}\x00\x00\x00\x00\x00\x00\x00\x00made"},
		{name: "prelude alone", code: `async (event, stream) => { awslambda.HttpResponseStream.from(stream, { statusCode: 204 }).end(); }`,
			want:  "application/vnd.awslambda.http-integration-response {\"statusCode\":204}\x00\x00\x00\x00\x00\x00\x00\x00",
			whole: "{\"statusCode\":204}\x00\x00\x00\x00\x00\x00\x00\x00"},
		{name: "nothing", code: `async (event, stream) => { stream.end(); }`, want: "application/octet-stream "},
		{name: "throws in the middle", code: `async (event, stream) => { stream.write('half'); throw new RangeError('too far'); }`,
			want: "application/octet-stream half", kind: "RangeError", message: "too far"},
		{name: "throws at once", code: `async () => { throw new RangeError('too far'); }`,
			want: "application/octet-stream ", kind: "RangeError", message: "too far"},
		{name: "later", code: `async (event, stream) => { setTimeout(() => stream.end('later'), 5); }`, want: "application/octet-stream later", whole: "later"},
		{name: "uncaught", code: `async (event, stream) => { stream.write('half'); setTimeout(() => { throw new RangeError('lost'); }, 5); }`, kind: "Runtime.ExitError"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := b.spec(b.put(packed(file{"index.js", 0o644, "exports.handler = awslambda.streamifyResponse(" + test.code + ");"})))
			s.Name, s.Runtime, s.Handler = fmt.Sprint("s", i), "nodejs20.x", "index.handler"
			for range 2 { // again when warm
				to := &sink{}
				r := b.stream(s, `{"name":"Zoë"}`, to)
				var doc struct{ ErrorType, ErrorMessage string }
				json.Unmarshal(r.Payload, &doc)
				if test.want != "" && to.text() != test.want || r.Type != test.kind || test.message != "" && doc.ErrorMessage != test.message {
					t.Errorf("%q, %+v %s\nlog %s", to.text(), r, r.Payload, b.log())
				}
			}
			if r := b.invoke(s, `{"name":"Zoë"}`); r.Type != test.kind || test.kind == "" && string(r.Payload) != test.whole {
				t.Errorf("not streamed: %+v %s", r, r.Payload)
			}
		})
	}
}
