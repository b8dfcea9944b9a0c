package lambda_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// echo answers its event.
const urlFunction = `{"FunctionName":"web","Runtime":"provided.al2023","Handler":"echo","Role":"arn:aws:iam::000000000000:role/fn","Code":{"ZipFile":"emlw"}}`

// http sends a request to the cloud and returns the answer.
func (s *site) http(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	s.cloud.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// open to everyone, as AuthType NONE needs it.
func (s *site) openURL() string {
	s.do("lambda CreateFunction", urlFunction)
	s.do("lambda AddPermission", `{"FunctionName":"web","StatementId":"a","Action":"lambda:InvokeFunctionUrl","Principal":"*","FunctionUrlAuthType":"NONE"}`)
	s.do("lambda AddPermission", `{"FunctionName":"web","StatementId":"b","Action":"lambda:InvokeFunction","Principal":"*","InvokedViaFunctionUrl":true}`)
	return s.do("lambda CreateFunctionUrlConfig", `{"FunctionName":"web","AuthType":"NONE","Cors":{"AllowOrigins":["https://shop.example"],"AllowMethods":["GET","POST"],"AllowHeaders":["x-a"],"ExposeHeaders":["x-b"],"MaxAge":60}}`)["FunctionUrl"].(string)
}

func TestURLEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		url := s.openURL()
		id := strings.TrimPrefix(url, "http://")[:32]
		r := httptest.NewRequest("POST", url+"a%20b/c?x=1&x=2&y=", strings.NewReader(`{"n":1}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Add("Cookie", "a=1; b=2")
		r.Header.Set("User-Agent", "test")
		r.Header["X-A"] = []string{"1", "2"}
		var e struct {
			Version, RouteKey, RawPath, RawQueryString, Body string
			Cookies                                          []string
			Headers, QueryStringParameters                   map[string]string
			IsBase64Encoded                                  bool
			RequestContext                                   map[string]any
		}
		if err := json.Unmarshal([]byte(bodyOf(t, s.http(r))), &e); err != nil {
			t.Fatal(err)
		}
		if e.Version != "2.0" || e.RouteKey != "$default" || e.RawPath != "/a%20b/c" || e.RawQueryString != "x=1&x=2&y=" || e.Body != `{"n":1}` || e.IsBase64Encoded {
			t.Errorf("%+v", e)
		}
		if strings.Join(e.Cookies, "|") != "a=1|b=2" || e.Headers["cookie"] != "" || e.Headers["x-a"] != "1,2" || e.QueryStringParameters["x"] != "1,2" {
			t.Errorf("%+v", e)
		}
		c := e.RequestContext
		if c["accountId"] != "anonymous" || c["apiId"] != id || c["domainPrefix"] != id || !strings.HasPrefix(c["domainName"].(string), id+".lambda-url.us-east-1.") {
			t.Errorf("%v", c)
		}
		// The same function by path, with a body that is no text.
		r = httptest.NewRequest("PUT", "http://127.0.0.1:4566/_aws/lambda-url/"+id+"/z", strings.NewReader("\xff\xfe"))
		if err := json.Unmarshal([]byte(bodyOf(t, s.http(r))), &e); err != nil || e.RawPath != "/z" || !e.IsBase64Encoded || e.Body != "//4=" {
			t.Errorf("%v %+v", err, e)
		}
	})
}

func TestURLCors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		url := s.openURL()
		for _, test := range []struct{ method, origin, allow, methods, expose string }{
			{"OPTIONS", "https://shop.example", "https://shop.example", "GET,POST", "x-b"},
			{"OPTIONS", "https://evil.example", "", "", ""},
			{"GET", "https://shop.example", "https://shop.example", "", "x-b"},
			{"GET", "https://evil.example", "", "", ""},
			{"GET", "", "", "", ""},
		} {
			r := httptest.NewRequest(test.method, url, nil)
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			if test.method == "OPTIONS" {
				r.Header.Set("Access-Control-Request-Method", "POST")
			}
			w := s.http(r)
			h := w.Header
			if w.StatusCode != 200 || h.Get("Access-Control-Allow-Origin") != test.allow || h.Get("Access-Control-Allow-Methods") != test.methods || h.Get("Access-Control-Expose-Headers") != test.expose {
				t.Errorf("%+v: %d %v", test, w.StatusCode, h)
			}
		}
	})
}

// signURL signs a request without a body as user with SigV4.
func signURL(r *http.Request, key, secret string, at time.Time) {
	stamp, day := at.UTC().Format("20060102T150405Z"), at.UTC().Format("20060102")
	r.Header.Set("X-Amz-Date", stamp)
	hash := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n\nhost:" + r.Host + "\nx-amz-date:" + stamp + "\n\nhost;x-amz-date\n" + hash("")
	scope := day + "/us-east-1/lambda/aws4_request"
	k := mac(mac(mac(mac([]byte("AWS4"+secret), day), "us-east-1"), "lambda"), "aws4_request")
	signature := hex.EncodeToString(mac(k, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hash(canonical)))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/"+scope+", SignedHeaders=host;x-amz-date, Signature="+signature)
}

func TestSignedURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		s.do("lambda CreateFunction", urlFunction)
		url := s.do("lambda CreateFunctionUrlConfig", `{"FunctionName":"web","AuthType":"AWS_IAM"}`)["FunctionUrl"].(string)
		s.do("iam CreateUser", `{"UserName":"alice"}`)
		key := s.do("iam CreateAccessKey", `{"UserName":"alice"}`)["AccessKey"].(map[string]any)
		id, secret := key["AccessKeyId"].(string), key["SecretAccessKey"].(string)
		try := func(secret string) (int, string) {
			r := httptest.NewRequest("GET", url, nil)
			if secret != "" {
				signURL(r, id, secret, time.Now())
			}
			w := s.http(r)
			return w.StatusCode, bodyOf(t, w)
		}
		if status, _ := try(secret); status != 403 {
			t.Errorf("without a policy: %d", status)
		}
		s.do("iam PutUserPolicy", `{"UserName":"alice","PolicyName":"p","PolicyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"lambda:InvokeFunctionUrl\",\"lambda:InvokeFunction\"],\"Resource\":\"*\"}]}"}`)
		if status, body := try(secret); status != 200 || !strings.Contains(body, `"userArn":"arn:aws:iam::000000000000:user/alice"`) || !strings.Contains(body, `"accountId":"000000000000"`) {
			t.Errorf("signed: %d %s", status, body)
		}
		for _, wrong := range []string{"", secret + "x"} {
			if status, body := try(wrong); status != 403 || body != `{"Message":"Forbidden"}` {
				t.Errorf("with a wrong secret: %d %s", status, body)
			}
		}
	})
}

// TestDownload fetches a package where GetFunction says it is.
func TestDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		location := s.do("lambda GetFunction", `{"FunctionName":"f"}`)["Code"].(map[string]any)["Location"].(string)
		get := func(url string) (int, string) {
			w := s.http(httptest.NewRequest("GET", url, nil))
			return w.StatusCode, bodyOf(t, w)
		}
		if status, body := get(location); status != 200 || body != "zip" {
			t.Errorf("%d %q", status, body)
		}
		if status, _ := get(location + "0"); status != 403 {
			t.Errorf("another signature: %d", status)
		}
		if status, _ := get(strings.Replace(location, "expires=", "expires=9", 1)); status != 403 {
			t.Errorf("another end: %d", status)
		}
		time.Sleep(11 * time.Minute)
		if status, _ := get(location); status != 403 {
			t.Errorf("too late: %d", status)
		}
	})
}

// flow notes when what was written, and refuses to write when it is gone.
type flow struct {
	*httptest.ResponseRecorder
	start time.Time
	notes []string
	gone  bool
}

func (f *flow) Write(b []byte) (int, error) {
	if f.gone {
		return 0, io.ErrClosedPipe
	}
	if len(b) > 0 {
		f.notes = append(f.notes, time.Since(f.start).Round(time.Millisecond).String()+" "+string(b))
	}
	return f.ResponseRecorder.Write(b)
}

// TestURLStream: pieces arrive as the function writes them, a response that breaks off is not taken for whole, and a
// function goes on when its client has gone.
func TestURLStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		url := s.openURL()
		s.do("lambda UpdateFunctionUrlConfig", `{"FunctionName":"web","InvokeMode":"RESPONSE_STREAM"}`)
		get := func(method, handler string, w *flow) (notes string, broken bool) {
			s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"web","Handler":"`+handler+`"}`)
			w.ResponseRecorder, w.start = httptest.NewRecorder(), time.Now()
			defer func() {
				notes, broken = strings.Join(w.notes, ", "), recover() == http.ErrAbortHandler
			}()
			r := httptest.NewRequest(method, url, nil)
			r.Header.Set("Origin", "https://shop.example")
			s.cloud.ServeHTTP(w, r)
			return
		}
		for _, test := range []struct {
			method, handler, want string
			broken                bool
		}{
			{"GET", "stream:text/plain|one|two|three", "0s one, 700ms two, 1.4s three", false},
			{"GET", "stream:text/plain|one|two|!boom", "0s one, 700ms two", true},
			{"GET", "stream:text/plain|one|two|three|four|five|six", "0s one, 700ms two, 1.4s three, 2.1s four, 2.8s five", true}, // its timeout is 3 s
			{"HEAD", "stream:text/plain|one|two", "", false},
		} {
			w := &flow{}
			if got, broken := get(test.method, test.handler, w); got != test.want || broken != test.broken || w.Code != 200 || w.Header().Get("Content-Type") != "text/plain" ||
				w.Header().Get("Access-Control-Allow-Origin") != "https://shop.example" {
				t.Errorf("%s %s: %q, broken %v, %d %v", test.method, test.handler, got, broken, w.Code, w.Header())
			}
		}
		if got, broken := get("GET", "stream:text/plain|one|two", &flow{gone: true}); got != "" || broken {
			t.Errorf("to nobody: %q %v", got, broken)
		}
		time.Sleep(5 * time.Second)
		var ended int
		for _, e := range s.do("logs FilterLogEvents", `{"logGroupName":"/aws/lambda/web","filterPattern":"END"}`)["events"].([]any) {
			if strings.HasPrefix(e.(map[string]any)["message"].(string), "END") {
				ended++
			}
		}
		if ended != 5 {
			t.Errorf("%d invocations came to their end, want 5", ended)
		}
	})
}
