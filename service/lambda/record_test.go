package lambda

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"fogbank/aws"
	"fogbank/compute"
)

var moment = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

func TestAsyncRecord(t *testing.T) {
	r := reference{"000000000000", "us-east-1", "f", ""}
	e := event{RequestID: "id", Payload: []byte(`{"a":1}`)}
	failure := compute.Failure("", "Error", "no stock")
	for _, test := range []struct {
		condition string
		count     int
		res       compute.Result
		want      string
	}{
		{"RetriesExhausted", 3, failure, `{"version":"1.0","timestamp":"2026-01-02T03:04:05.678Z","requestContext":{"requestId":"id",` +
			`"functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":3},` +
			`"requestPayload":{"a":1},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},` +
			`"responsePayload":{"errorType":"Error","errorMessage":"no stock"}}`},
		{"Success", 1, compute.Result{Payload: []byte(`"ok"`)}, `{"version":"1.0","timestamp":"2026-01-02T03:04:05.678Z","requestContext":{"requestId":"id",` +
			`"functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST","condition":"Success","approximateInvokeCount":1},` +
			`"requestPayload":{"a":1},"responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"responsePayload":"ok"}`},
		{"EventAgeExceeded", 2, compute.Result{}, `{"version":"1.0","timestamp":"2026-01-02T03:04:05.678Z","requestContext":{"requestId":"id",` +
			`"functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST","condition":"EventAgeExceeded","approximateInvokeCount":2},` +
			`"requestPayload":{"a":1}}`},
	} {
		if got := string(asyncRecord(moment, r, &function{}, test.condition, test.count, e, test.res)); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.condition, got, test.want)
		}
	}
}

func TestRefer(t *testing.T) {
	ctx := aws.WithCall(t.Context(), &aws.Call{Account: "000000000000", Region: "us-east-1"})
	const base = "arn:aws:lambda:us-east-1:000000000000:function:f"
	for _, test := range []struct{ name, qualifier, want string }{
		{"f", "", base},
		{"f", "$LATEST", base + ":$LATEST"},
		{"f:7", "", base + ":7"},
		{"f:7", "7", base + ":7"},
		{"f:7", "8", ""},
		{"function:f", "", base},
		{"111111111111:function:f:v", "", "arn:aws:lambda:us-east-1:111111111111:function:f:v"},
		{base, "", base},
		{base + ":v", "", base + ":v"},
		{"arn:aws:lambda:eu-west-1:000000000000:function:f", "", ""},
		{"arn:aws:sqs:us-east-1:000000000000:f:g", "", ""},
		{"a:b:c:d", "", ""},
		{"", "", ""},
		{strings.Repeat("f", 65), "", ""},
	} {
		r, err := refer(ctx, test.name, test.qualifier)
		if err != nil != (test.want == "") || err == nil && string(r.arn()) != test.want {
			t.Errorf("%s %s: %s %v", test.name, test.qualifier, r.arn(), err)
		}
	}
}

// TestStored pins the form records are stored in: what is on disk must stay readable.
func TestStored(t *testing.T) {
	for _, test := range []struct {
		record any
		want   string
	}{
		{function{Name: "f", Runtime: "provided.al2023", Role: "r", Handler: "h", Timeout: 3, MemoryMB: 128, TmpMB: 512, Package: "00", PackageBytes: 1,
			Architectures: []string{"x86_64"}, Tracing: "PassThrough", Modified: moment, Revision: "v", Environment: "e", Reserved: new(int32(1))},
			`{"Name":"f","Runtime":"provided.al2023","Role":"r","Handler":"h","Description":"","Timeout":3,"MemoryMB":128,"TmpMB":512,"Variables":null,` +
				`"Package":"00","PackageBytes":1,"Architectures":["x86_64"],"DeadLetter":"","Tracing":"PassThrough","LogGroup":"","Modified":"2026-01-02T03:04:05.678Z",` +
				`"Revision":"v","Environment":"e","Tags":null,"Reserved":1}`},
		{mapping{UUID: "u", Source: "s", Function: "f", Enabled: true, BatchSize: 10, Created: moment, Modified: moment, Revision: "v"},
			`{"UUID":"u","Source":"s","Function":"f","Qualifier":"","Enabled":true,"BatchSize":10,"WindowSeconds":0,"Start":"","Bisect":false,"MaxRetries":0,` +
				`"MaxAgeSeconds":0,"Parallel":0,"Partial":false,"Filters":null,"OnFailure":"","MaxConcurrency":0,"Created":"2026-01-02T03:04:05.678Z",` +
				`"Modified":"2026-01-02T03:04:05.678Z","Revision":"v"}`},
		{alias{Name: "a", Version: "1", Weights: map[string]float64{"2": 0.5}, Revision: "v"},
			`{"Name":"a","Version":"1","Description":"","Weights":{"2":0.5},"Revision":"v"}`},
		{layer{Name: "l", Number: 2, Package: "00", PackageBytes: 1, Unzipped: 3, Created: moment},
			`{"Name":"l","Number":2,"Package":"00","PackageBytes":1,"Unzipped":3,"Description":"","License":"","Runtimes":null,"Architectures":null,"Created":"2026-01-02T03:04:05.678Z"}`},
		{urlConfig{ID: "i", Auth: "NONE", Cors: &cors{Origins: []string{"*"}, MaxAge: new(int32(1))}, Created: moment, Modified: moment},
			`{"ID":"i","Auth":"NONE","Cors":{"Origins":["*"],"MaxAge":1},"Created":"2026-01-02T03:04:05.678Z","Modified":"2026-01-02T03:04:05.678Z"}`},
		{urlPlace{"a", "r", "f", "q"}, `{"Account":"a","Region":"r","Function":"f","Qualifier":"q"}`},
		{event{Function: "f", RequestID: "i", Payload: []byte("{}")}, `{"Function":"f","Qualifier":"","RequestID":"i","Payload":"e30=","ClientContext":""}`},
		{asyncConfig{MaxRetries: new(int32(1)), OnFailure: "d", Modified: moment}, `{"MaxRetries":1,"MaxAge":null,"OnSuccess":"","OnFailure":"d","Modified":"2026-01-02T03:04:05.678Z"}`},
		{sending{Role: "r", Target: "t", Function: "f", Source: "s", Body: []byte("{}"), Letter: &letter{"i", "200", "m"}},
			`{"Role":"r","Target":"t","Function":"f","Source":"s","Success":false,"Body":"e30=","Letter":{"RequestID":"i","ErrorCode":"200","ErrorMessage":"m"}}`},
	} {
		if got := string(mustJSON(test.record)); got != test.want {
			t.Errorf("%T:\n got %s\nwant %s", test.record, got, test.want)
		}
		back := reflect.New(reflect.TypeOf(test.record))
		if err := json.Unmarshal([]byte(test.want), back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), test.record) {
			t.Errorf("%T read back: %+v %v", test.record, back.Elem(), err)
		}
	}
}

func TestReservedVariables(t *testing.T) {
	for _, test := range []struct {
		v    map[string]string
		want string
	}{
		{map[string]string{"A1": "x", "AWS_LAMBDA_EXEC_WRAPPER": "/opt/w", "PATH": "/bin"}, ""},
		{map[string]string{"AWS_SESSION_TOKEN": "x"}, "Reserved keys used in this request: AWS_SESSION_TOKEN"},
		{map[string]string{"BIG": strings.Repeat("x", 4096)}, "exceeded the 4KB limit"},
		{map[string]string{"FITS": strings.Repeat("x", 4000)}, ""},
	} {
		err := checkVariables(test.v)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v", test.want, err)
		}
	}
}

// TestParted pins the form that events, and what is on its way to destinations, are stored in, and that of before.
func TestParted(t *testing.T) {
	e := event{Function: "f", RequestID: "i", Payload: []byte("{}"), Trace: "Root=1"}
	x := sending{Role: "r", Target: "t", Function: "f", Source: "s", Body: []byte("{}")}
	for _, test := range []struct {
		record    encoding.BinaryAppender
		read      encoding.BinaryUnmarshaler
		want, old string
	}{
		{&e, &event{}, "\x01\x62" + `{"Function":"f","Qualifier":"","RequestID":"i","Payload":null,"ClientContext":"","Trace":"Root=1"}{}`,
			`{"Function":"f","Qualifier":"","RequestID":"i","Payload":"e30=","ClientContext":"","Trace":"Root=1"}`},
		{&x, &sending{}, "\x01\x51" + `{"Role":"r","Target":"t","Function":"f","Source":"s","Success":false,"Body":null}{}`,
			`{"Role":"r","Target":"t","Function":"f","Source":"s","Success":false,"Body":"e30="}`},
	} {
		b, err := test.record.AppendBinary(nil)
		if err != nil || string(b) != test.want {
			t.Errorf("%T:\n got %q, %v\nwant %q", test.record, b, err, test.want)
		}
		for _, text := range []string{test.want, test.old} {
			if err := test.read.UnmarshalBinary([]byte(text)); err != nil || !reflect.DeepEqual(test.read, test.record) {
				t.Errorf("%q read back: %+v, %v", text, test.read, err)
			}
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte("\x01\x02{}payload"))
	f.Add([]byte(`{"Function":"f","Payload":"e30="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again event
		if e.UnmarshalBinary(b) != nil {
			return
		}
		stored, err := e.AppendBinary(nil)
		if err == nil {
			err = again.UnmarshalBinary(stored)
		}
		if err != nil || string(again.Payload) != string(e.Payload) {
			t.Errorf("%q became %q: %v", b, stored, err)
		}
	})
}
