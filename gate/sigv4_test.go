package gate

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testScope  = "20150830/us-east-1/service/aws4_request"
)

var testNow = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// read parses an HTTP request as the server would.
func read(t testing.TB, text string) (*http.Request, []byte) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return r, []byte(body)
}

// vectors are requests of AWS's published Signature Version 4 test suite, of which these are the
// signatures for AKIDEXAMPLE at 20150830T123600Z.
var vectors = []struct{ name, request, signed, mac string }{
	{"get-vanilla", "GET / HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
		"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-relative", "GET /example/.. HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
		"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-slashes", "GET //example// HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
		"9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
	{"get-vanilla-query-order-key-case", "GET /?Param2=value2&Param1=value1 HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
		"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"get-unreserved", "GET /-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
		"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
	{"get-vanilla-utf8-query", "GET /?%E1%88%B4=bar HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
		"2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{"get-header-key-duplicate", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1\nX-Amz-Date:20150830T123600Z", "host;my-header1;x-amz-date",
		"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	{"get-header-value-trim", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1: value1\nMy-Header2: \"a   b   c\"\nX-Amz-Date:20150830T123600Z", "host;my-header1;my-header2;x-amz-date",
		"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{"post-vanilla", "POST / HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
		"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-x-www-form-urlencoded", "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\n\nParam1=value1", "content-type;host;x-amz-date",
		"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			r, body := read(t, v.request)
			r.Header.Set("Authorization", algorithm+" Credential="+testKey+"/"+testScope+", SignedHeaders="+v.signed+", Signature="+v.mac)
			if rej := check(r, body, testNow); rej != nil {
				t.Error(rej)
			}
		})
	}
}

// check is what the gate does with a signature whose key is the test key.
func check(r *http.Request, body []byte, now time.Time) error {
	s, rej := parseSignature(r)
	if rej == nil {
		rej = s.checkTime(now)
	}
	if rej == nil {
		rej = s.checkHeaders(r)
	}
	if rej == nil {
		rej = s.verify(new(canonicaliser), r, body, deriveKey(testSecret, s.date, s.region, s.service))
	}
	if rej != nil {
		return rej
	}
	return nil
}

// sign is an independent signer: no code shared with the verifier, written from the
// specification with maps and url.Values.
func sign(r *http.Request, body, key, secret, region, service string, at time.Time) {
	r.Header.Set("X-Amz-Date", at.UTC().Format("20060102T150405Z"))
	names := []string{"host"}
	for k := range r.Header {
		if k != "User-Agent" && k != "Authorization" {
			names = append(names, strings.ToLower(k))
		}
	}
	mac, names2, scope := signatureOf(r, names, body, secret, region, service, at)
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", key, scope, names2, mac))
}

func signatureOf(r *http.Request, names []string, body, secret, region, service string, at time.Time) (mac, signed, scope string) {
	slices.Sort(names)
	signed = strings.Join(names, ";")
	var canonical strings.Builder
	path := strings.ReplaceAll(url.PathEscape(r.URL.EscapedPath()), "%2F", "/")
	for _, c := range "$&+=:@" { // PathEscape leaves what SigV4 encodes
		path = strings.ReplaceAll(path, string(c), fmt.Sprintf("%%%02X", c))
	}
	values := r.URL.Query()
	for _, list := range values {
		slices.Sort(list)
	}
	query := strings.ReplaceAll(values.Encode(), "+", "%20")
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, path, query)
	for _, n := range names {
		values := r.Header.Values(n)
		if n == "host" {
			values = []string{r.Host}
		}
		var trimmed []string
		for _, v := range values {
			trimmed = append(trimmed, strings.Join(strings.Fields(v), " "))
		}
		fmt.Fprintf(&canonical, "%s:%s\n", n, strings.Join(trimmed, ","))
	}
	hash := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	payload := hash(body)
	if r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD" {
		payload = "UNSIGNED-PAYLOAD"
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", signed, payload)
	scope = at.UTC().Format("20060102") + "/" + region + "/" + service + "/aws4_request"
	toSign := "AWS4-HMAC-SHA256\n" + at.UTC().Format("20060102T150405Z") + "\n" + scope + "\n" + hash(canonical.String())
	k := []byte("AWS4" + secret)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		h := hmac.New(sha256.New, k)
		io.WriteString(h, part)
		k = h.Sum(nil)
	}
	return hex.EncodeToString(k), signed, scope
}

// presign adds a signature to r's query.
func presign(r *http.Request, key, secret, region, service string, at time.Time, expires int) {
	q := r.URL.Query()
	q.Set("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
	q.Set("X-Amz-Credential", key+"/"+at.UTC().Format("20060102")+"/"+region+"/"+service+"/aws4_request")
	q.Set("X-Amz-Date", at.UTC().Format("20060102T150405Z"))
	q.Set("X-Amz-Expires", fmt.Sprint(expires))
	q.Set("X-Amz-SignedHeaders", "host")
	r.URL.RawQuery = q.Encode()
	mac, _, _ := signatureOf(r, []string{"host"}, "", secret, region, service, at)
	r.URL.RawQuery += "&X-Amz-Signature=" + mac
}

func newRequest(t testing.TB, method, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSigner(t *testing.T) {
	for _, target := range []string{"/", "/a%20b/c", "/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f%2Fg/invocations",
		"/?a=b+c&a=a&%7e=~", "/?x=%25&y", "/v2/apis/%E2%82%AC?=&z=/"} {
		r := newRequest(t, "POST", "http://sqs.localhost:4566"+target, `{"a":1}`)
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Add("X-Amz-Meta", "  a   b ")
		r.Header.Add("X-Amz-Meta", "c")
		sign(r, `{"a":1}`, testKey, testSecret, "eu-west-1", "sqs", testNow)
		if err := check(r, []byte(`{"a":1}`), testNow.Add(14*time.Minute)); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		if err := check(r, []byte(`{"a":2}`), testNow); err == nil || !strings.Contains(err.Error(), mismatchText) {
			t.Errorf("%s with another body: %v", target, err)
		}
	}
}

func TestPresigned(t *testing.T) {
	r := newRequest(t, "GET", "http://sts.localhost/?Action=GetCallerIdentity&Version=2011-06-15", "")
	presign(r, testKey, testSecret, "us-east-1", "sts", testNow, 60)
	for _, c := range []struct {
		at   time.Duration
		want string
	}{
		{0, ""}, {60 * time.Second, ""},
		{61 * time.Second, "InvalidSignatureException: Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T123701Z - 1 min.)"},
		{-15 * time.Minute, ""},
		{-16 * time.Minute, "InvalidSignatureException: Signature not yet current: 20150830T123600Z is still later than 20150830T123500Z (20150830T122000Z + 15 min.)"},
	} {
		got := ""
		if err := check(r, nil, testNow.Add(c.at)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("after %v: %q, want %q", c.at, got, c.want)
		}
	}
	r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "GetCallerIdentity", "AssumeRole", 1)
	if err := check(r, nil, testNow); err == nil {
		t.Error("a changed parameter was accepted")
	}
}

func TestRefusals(t *testing.T) {
	good := algorithm + " Credential=" + testKey + "/" + testScope + ", SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	for _, c := range []struct {
		name string
		edit func(r *http.Request)
		want string
	}{
		{"good", func(*http.Request) {}, ""},
		{"unsigned", func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException: Request is missing Authentication Token"},
		{"bearer", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "IncompleteSignatureException: Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. (Hashed with SHA-256 and encoded with Base64) Authorization=" + digest("Bearer x")},
		{"no signature", func(r *http.Request) {
			r.Header.Set("Authorization", algorithm+" Credential="+testKey+"/"+testScope+", SignedHeaders=host")
		}, "IncompleteSignatureException: Authorization header requires 'Signature' parameter. (Hashed with SHA-256 and encoded with Base64) Authorization=" + digest(algorithm+" Credential="+testKey+"/"+testScope+", SignedHeaders=host")},
		{"no equal sign", func(r *http.Request) { r.Header.Set("Authorization", algorithm+" Credential") }, "IncompleteSignatureException: Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '" + digest("Credential") + "'."},
		{"short credential", func(r *http.Request) {
			r.Header.Set("Authorization", algorithm+" Credential=a/b/c/d, SignedHeaders=host, Signature=0")
		}, "IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c/d'"},
		{"terminator", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(good, "aws4_request", "aws5_request", 1))
		}, "InvalidSignatureException: Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'."},
		{"algorithm", func(r *http.Request) { r.Header.Set("Authorization", strings.Replace(good, "SHA256", "SHA512", 1)) }, "IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, "IncompleteSignatureException: Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		{"bad date", func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }, "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got 'yesterday'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"scope date", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20150831T000000Z") }, "InvalidSignatureException: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150830' != '20150831', from '20150831T000000Z'."},
		{"skew", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20150830T122059Z") }, "InvalidSignatureException: Signature expired: 20150830T122059Z is now earlier than 20150830T122100Z (20150830T123600Z - 15 min.)"},
		{"header not signed", func(r *http.Request) { r.Header.Set("X-Amz-Target", "x") }, "InvalidSignatureException: 'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
		{"host not signed", func(r *http.Request) { r.Header.Set("Authorization", strings.Replace(good, "host;", "", 1)) }, "InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"other host", func(r *http.Request) { r.Host = "evil" }, "InvalidSignatureException: " + mismatchText},
		{"other method", func(r *http.Request) { r.Method = "PUT" }, "InvalidSignatureException: " + mismatchText},
		{"two signatures", func(r *http.Request) { r.Header.Add("Authorization", good) }, "IncompleteSignatureException: Request has more than one Authorization header."},
	} {
		r, _ := read(t, vectors[0].request)
		r.Header.Set("Authorization", good)
		c.edit(r)
		got := ""
		if err := check(r, nil, testNow); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestPayloadHash(t *testing.T) {
	for _, c := range []struct{ header, body, want string }{
		{"UNSIGNED-PAYLOAD", "anything", ""},
		{fmt.Sprintf("%x", sha256.Sum256([]byte("a"))), "a", ""},
		{fmt.Sprintf("%x", sha256.Sum256([]byte("a"))), "b", "The provided 'x-amz-content-sha256' header does not match what was computed."},
	} {
		r := newRequest(t, "POST", "http://localhost/", c.body)
		r.Header.Set("X-Amz-Content-Sha256", c.header)
		sign(r, "a", testKey, testSecret, "us-east-1", "sqs", testNow)
		got := ""
		if err := check(r, []byte(c.body), testNow); err != nil {
			got = err.(*rejection).message
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestSigningKeys(t *testing.T) {
	var keys signingKeys
	a, cached := keys.get("k", "one", "20150830", "r", "s")
	if keys.put(a, "k", "20150830", "r", "s"); cached {
		t.Error("a key was there before anybody used it")
	}
	if b, cached := keys.get("k", "one", "20150830", "r", "s"); b != a || !cached {
		t.Error("a key was derived twice")
	}
	if b, cached := keys.get("k", "two", "20150830", "r", "s"); b == a || cached {
		t.Error("a key outlived its secret")
	}
	for i := range 3 * maxSigningKeys {
		keys.put(a, fmt.Sprint(i), "d", "r", "s")
	}
	if len(keys.keys) > maxSigningKeys {
		t.Errorf("%d keys kept", len(keys.keys))
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add(algorithm + " Credential=" + testKey + "/" + testScope + ", SignedHeaders=host;x-amz-date, Signature=00")
	f.Add("AWS4-HMAC-SHA256 =,Credential=////,")
	f.Fuzz(func(t *testing.T, header string) {
		s, rej := parseAuthorization(header)
		if rej == nil && (s.keyID == "" || s.mac == "" || s.headers == "" || strings.Count(s.scope, "/") != 3) {
			t.Errorf("%q gave %+v", header, s)
		}
	})
}

func FuzzPresigned(f *testing.F) {
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20150830%2Fr%2Fs%2Faws4_request&X-Amz-Signature=00&X-Amz-SignedHeaders=host&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60")
	f.Fuzz(func(t *testing.T, query string) {
		s, rej := parsePresigned(query)
		if rej == nil && (s.keyID == "" || s.stamp[:8] != s.date || s.expires < 0 || s.expires > maxExpires) {
			t.Errorf("%q gave %+v", query, s)
		}
	})
}

// The canonical form of a canonical query is itself, and nothing panics.
func FuzzCanonical(f *testing.F) {
	f.Add("/a/../%2e//b", "b=2&a=%zz&a=+", "host;x-amz-date", " a  b")
	f.Fuzz(func(t *testing.T, path, query, signed, value string) {
		r := &http.Request{Method: "GET", Host: "h", URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{"X-Amz-Date": {value, value}}}
		var c canonicaliser
		c.request(r, signed, nil)
		once := string(c.appendQuery(nil, query))
		if strings.Contains(query, "X-Amz-Signature") || strings.Contains(once, "X-Amz-Signature") {
			return
		}
		if twice := string(c.appendQuery(nil, once)); twice != once {
			t.Errorf("%q: %q then %q", query, once, twice)
		}
		if p := appendPath(nil, path); p[0] != '/' || bytes.Contains(p, []byte("//")) || bytes.Contains(p, []byte("/../")) {
			t.Errorf("path %q became %q", path, p)
		}
	})
}

// BenchmarkVerify is a whole verification with a cached key beside the hashing no verifier can avoid.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{200, 2 << 10, 64 << 10} {
		body := bytes.Repeat([]byte("x"), size)
		r := newRequest(b, "POST", "http://localhost:4566/", "")
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
		sign(r, string(body), testKey, testSecret, "us-east-1", "sqs", testNow)
		b.Run(fmt.Sprintf("gate/%d", size), func(b *testing.B) {
			var keys signingKeys
			var c canonicaliser
			keys.put(deriveKey(testSecret, "20150830", "us-east-1", "sqs"), testKey, "20150830", "us-east-1", "sqs")
			b.ReportAllocs()
			for b.Loop() {
				s, rej := parseSignature(r)
				if rej == nil {
					rej = s.checkTime(testNow)
				}
				if rej == nil {
					rej = s.checkHeaders(r)
				}
				if rej == nil {
					key, _ := keys.get(s.keyID, testSecret, s.date, s.region, s.service)
					rej = s.verify(&c, r, body, key)
				}
				if rej != nil {
					b.Fatal(rej)
				}
			}
		})
		b.Run(fmt.Sprintf("hashes/%d", size), func(b *testing.B) {
			head := bytes.Repeat([]byte("x"), 300)
			h := hmac.New(sha256.New, []byte("key"))
			var out [32]byte
			b.ReportAllocs()
			for b.Loop() {
				sha256.Sum256(body)
				sha256.Sum256(head)
				h.Reset()
				h.Write(head[:130])
				h.Sum(out[:0])
			}
		})
	}
}
