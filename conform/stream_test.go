package conform

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"conform/server"
)

// zipped is an archive of one file that may be executed.
func zipped(t *testing.T, name string, body []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// compiled is the package of a Go function of this module.
func compiled(t *testing.T, dir string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bootstrap")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", file, dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return zipped(t, "bootstrap", b)
}

// functionFor makes a function with a role of its own.
func functionFor(t *testing.T, s *server.Server, name string, runtime types.Runtime, handler string, zip []byte) {
	t.Helper()
	_, err := lambda.NewFromConfig(s.Root()).CreateFunction(t.Context(), &lambda.CreateFunctionInput{FunctionName: &name, Runtime: runtime, Handler: &handler,
		Role: roleFor(t, s, name+"-role", "lambda.amazonaws.com"), Code: &types.FunctionCode{ZipFile: zip}, Timeout: aws.Int32(30)})
	if err != nil {
		t.Fatal(err)
	}
}

// streamed invokes a function and puts what comes together, and how it ended.
func streamed(t *testing.T, s *server.Server, in *lambda.InvokeWithResponseStreamInput) (body string, end types.InvokeWithResponseStreamCompleteEvent) {
	t.Helper()
	out, err := lambda.NewFromConfig(s.Root()).InvokeWithResponseStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	defer stream.Close()
	ended := false
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			body += string(e.Value.Payload)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			end, ended = e.Value, true
		}
	}
	if err := stream.Err(); err != nil || !ended {
		t.Fatalf("the stream ended with %v, complete: %v", err, ended)
	}
	return body, end
}

// openURL gives a function an address that everyone may use.
func openURL(t *testing.T, s *server.Server, name string, mode types.InvokeMode) string {
	t.Helper()
	c := lambda.NewFromConfig(s.Root())
	out, err := c.CreateFunctionUrlConfig(t.Context(), &lambda.CreateFunctionUrlConfigInput{FunctionName: &name, AuthType: types.FunctionUrlAuthTypeNone, InvokeMode: mode})
	if err == nil {
		_, err = c.AddPermission(t.Context(), &lambda.AddPermissionInput{FunctionName: &name, StatementId: aws.String("url"), Action: aws.String("lambda:InvokeFunctionUrl"),
			Principal: aws.String("*"), FunctionUrlAuthType: types.FunctionUrlAuthTypeNone})
	}
	if err == nil {
		_, err = c.AddPermission(t.Context(), &lambda.AddPermissionInput{FunctionName: &name, StatementId: aws.String("invoke"), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("*"), InvokedViaFunctionUrl: aws.Bool(true)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return *out.FunctionUrl
}

// get fetches a page below localhost.
func get(t *testing.T, url string) (r *http.Response, body string, err error) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: server.DialLocalhost, DisableKeepAlives: true}}
	if r, err = c.Get(url); err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r, string(b), err
}

// TestStreamByGo reads streamed responses of aws-lambda-go with the Go SDK, and through a function URL.
func TestStreamByGo(t *testing.T) {
	s := start(t)
	functionFor(t, s, "streamer", types.RuntimeProvidedal2023, "bootstrap", compiled(t, "./streamer"))
	who := base64.StdEncoding.EncodeToString([]byte(`{"custom":{"who":"alice"}}`))
	body, end := streamed(t, s, &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("streamer"), LogType: types.LogTypeTail, ClientContext: &who})
	if len(body) != 1<<20+len("alice") || !strings.HasSuffix(body, "efalice") || end.ErrorCode != nil {
		t.Errorf("%d bytes, %+v", len(body), end)
	}
	if tail, err := base64.StdEncoding.DecodeString(aws.ToString(end.LogResult)); err != nil || !strings.HasPrefix(string(tail), "START RequestId: ") || !strings.Contains(string(tail), "\nREPORT ") {
		t.Errorf("log %q, %v", tail, err)
	}
	for _, test := range []struct{ kind, body, code, details string }{
		{"error", "half", "errorString", `"errorMessage":"the disk is gone"`},
		{"refuse", "", "Unhandled", `"errorMessage":"no stock"`},
	} {
		body, end := streamed(t, s, &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("streamer"), Payload: fmt.Appendf(nil, `{"kind":%q}`, test.kind)})
		if body != test.body || aws.ToString(end.ErrorCode) != test.code || !strings.Contains(aws.ToString(end.ErrorDetails), test.details) {
			t.Errorf("%s: %q, code %q, details %q", test.kind, body, aws.ToString(end.ErrorCode), aws.ToString(end.ErrorDetails))
		}
	}
	_, err := lambda.NewFromConfig(s.Root()).InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("nope")})
	if code(err) != "ResourceNotFoundException" {
		t.Errorf("a function there is not: %v", err)
	}
	r, body, err := get(t, openURL(t, s, "streamer", types.InvokeModeResponseStream)+"x")
	if err != nil || r.StatusCode != 201 || body != "<p>/x" || r.Header.Get("Content-Type") != "text/html" || r.Header.Get("Set-Cookie") != "a=1" {
		t.Errorf("%d %v %q %v", r.StatusCode, r.Header, body, err)
	}
}

// TestStreamOfNode reads what awslambda.streamifyResponse writes, whole and broken off.
func TestStreamOfNode(t *testing.T) {
	if out, err := exec.Command("node", "--version").CombinedOutput(); err != nil {
		t.Skipf("node is not on this machine: %v %.100s", err, out)
	}
	s := start(t)
	functionFor(t, s, "node", types.RuntimeNodejs20x, "index.handler", zipped(t, "index.mjs", []byte(`
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.rawPath === '/head') stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { 'content-type': 'text/html' } });
  stream.write('one ');
  if (event.rawPath === '/broken') throw new Error('boom');
  stream.write('two');
  stream.end();
});`)))
	if body, end := streamed(t, s, &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("node")}); body != "one two" || end.ErrorCode != nil {
		t.Errorf("%q %+v", body, end)
	}
	url := openURL(t, s, "node", types.InvokeModeResponseStream)
	for _, test := range []struct {
		path   string
		status int
		kind   string
		body   string
		broken bool
	}{{"", 200, "application/octet-stream", "one two", false}, {"head", 201, "text/html", "one two", false}, {"broken", 200, "application/octet-stream", "one ", true}} {
		r, body, err := get(t, url+test.path)
		if r.StatusCode != test.status || r.Header.Get("Content-Type") != test.kind || body != test.body || (err != nil) != test.broken {
			t.Errorf("/%s: %d %q %q %v", test.path, r.StatusCode, r.Header.Get("Content-Type"), body, err)
		}
	}
}
