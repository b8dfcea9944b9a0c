package gate

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxSkew       = 15 * time.Minute
	maxExpires    = 7 * 24 * time.Hour
	stampForm     = "20060102T150405Z"
	unsignedBody  = "UNSIGNED-PAYLOAD"
	streamedBody  = "STREAMING-" // aws-chunked, known to S3 and few others
	scopeTerm     = "aws4_request"
	maxTokenBytes = 8 << 10 // AWS documents no maximum; its tokens are below 4 KB
)

// signature is what a signed request says of itself; nothing in it is proven.
type signature struct {
	keyID   string
	scope   string // date/region/service/aws4_request
	date    string // of the scope: 20150830
	region  string
	service string
	headers string // the signed ones: "host;x-amz-date"
	mac     string // hexadecimal
	stamp   string // 20150830T123600Z
	at      time.Time
	token   string // session token, "" without one
	payload string // x-amz-content-sha256, "" without one
	// presigned tells a URL from a header; expires then is how long it lasts.
	presigned bool
	expires   time.Duration
}

// isPresigned reports whether the query carries a signature.
func isPresigned(rawQuery string) bool {
	return rawQuery != "" && (strings.Contains(rawQuery, "X-Amz-Algorithm=") || strings.Contains(rawQuery, "X-Amz-Signature="))
}

// parseSignature reads the signature of r from its Authorization header or its query.
func parseSignature(r *http.Request) (signature, *rejection) {
	auth := r.Header["Authorization"]
	switch {
	case len(auth) == 1:
		s, rej := parseAuthorization(auth[0])
		if rej != nil {
			return s, rej
		}
		s.token = r.Header.Get("X-Amz-Security-Token")
		s.payload = r.Header.Get("X-Amz-Content-Sha256")
		return s, s.setStamp(requestDate(r))
	case len(auth) > 1:
		return signature{}, reject(incomplete, "Request has more than one Authorization header.")
	case isPresigned(r.URL.RawQuery):
		s, rej := parsePresigned(r.URL.RawQuery)
		if s.payload == "" {
			s.payload = r.Header.Get("X-Amz-Content-Sha256")
		}
		return s, rej
	}
	return signature{}, reject(missing, "Request is missing Authentication Token")
}

func requestDate(r *http.Request) string {
	if d := r.Header.Get("X-Amz-Date"); d != "" {
		return d
	}
	return r.Header.Get("Date")
}

// parseAuthorization reads an Authorization header:
// "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…".
func parseAuthorization(header string) (s signature, rej *rejection) {
	name, rest, _ := strings.Cut(header, " ")
	if strings.HasPrefix(name, "AWS4-") && name != algorithm {
		return s, reject(incomplete, "Unsupported AWS 'algorithm': '"+printable(name)+"'.")
	}
	var credential string
	for part := range strings.SplitSeq(rest, ",") {
		part = strings.TrimSpace(part)
		k, v, ok := strings.Cut(part, "=")
		if !ok && name == algorithm {
			return s, reject(incomplete, "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '"+digest(part)+"'.")
		}
		switch k {
		case "Credential":
			credential = v
		case "SignedHeaders":
			s.headers = v
		case "Signature":
			s.mac = v
		}
	}
	if name != algorithm || credential == "" || s.mac == "" || s.headers == "" {
		return s, lacking(header, name == algorithm, credential, s.mac, s.headers)
	}
	return s, s.setCredential(credential)
}

// lacking names the parameters an Authorization header does not have.
func lacking(header string, known bool, credential, mac, headers string) *rejection {
	var text strings.Builder
	for _, p := range [...]struct{ name, value string }{{"Credential", credential}, {"Signature", mac}, {"SignedHeaders", headers}} {
		if p.value == "" || !known {
			fmt.Fprintf(&text, "Authorization header requires '%s' parameter. ", p.name)
		}
	}
	fmt.Fprintf(&text, "(Hashed with SHA-256 and encoded with Base64) Authorization=%s", digest(header))
	return reject(incomplete, text.String())
}

// parsePresigned reads the X-Amz- parameters of a presigned URL.
func parsePresigned(rawQuery string) (s signature, rej *rejection) {
	s.presigned = true
	var alg, credential, stamp, expires string
	for _, p := range [...]struct {
		name string
		to   *string
	}{{"X-Amz-Algorithm", &alg}, {"X-Amz-Credential", &credential}, {"X-Amz-Signature", &s.mac},
		{"X-Amz-SignedHeaders", &s.headers}, {"X-Amz-Date", &stamp}, {"X-Amz-Expires", &expires}} {
		v, ok := queryValue(rawQuery, p.name)
		if *p.to = v; !ok && p.name != "X-Amz-Expires" {
			return s, reject(incomplete, "AWS query-string parameters must include '"+p.name+"'. Re-examine the query-string parameters.")
		}
	}
	if alg != algorithm {
		return s, reject(incomplete, "Unsupported AWS 'algorithm': '"+printable(alg)+"'.")
	}
	s.token, _ = queryValue(rawQuery, "X-Amz-Security-Token")
	s.payload, _ = queryValue(rawQuery, "X-Amz-Content-Sha256")
	s.expires = maxSkew
	if expires != "" {
		n, err := strconv.ParseInt(expires, 10, 64)
		switch {
		case err != nil:
			return s, reject(incomplete, "X-Amz-Expires should be a number")
		case n < 0:
			return s, reject(incomplete, "X-Amz-Expires must be non-negative")
		case n > int64(maxExpires/time.Second):
			return s, reject(incomplete, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
		}
		s.expires = time.Duration(n) * time.Second
	}
	if rej := s.setCredential(credential); rej != nil {
		return s, rej
	}
	return s, s.setStamp(stamp)
}

// queryValue returns the first value of a parameter in a raw query.
func queryValue(raw, name string) (string, bool) {
	for part := range strings.SplitSeq(raw, "&") {
		k, v, _ := strings.Cut(part, "=")
		if k != name {
			continue
		}
		if v, err := url.QueryUnescape(v); err == nil {
			return v, v != ""
		}
	}
	return "", false
}

// setCredential splits keyid/date/region/service/aws4_request.
func (s *signature) setCredential(credential string) *rejection {
	id, scope, _ := strings.Cut(credential, "/")
	date, rest, _ := strings.Cut(scope, "/")
	region, rest, _ := strings.Cut(rest, "/")
	service, term, ok := strings.Cut(rest, "/")
	if !ok || strings.Contains(term, "/") || id == "" {
		return reject(incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '"+printable(credential)+"'")
	}
	if term != scopeTerm {
		return reject(mismatch, "Credential should be scoped with a valid terminator: 'aws4_request', not '"+printable(term)+"'.")
	}
	s.keyID, s.scope, s.date, s.region, s.service = id, scope, date, region, service
	return nil
}

// setStamp reads the request's date, in ISO 8601's basic form or, from a Date header, HTTP's.
func (s *signature) setStamp(stamp string) *rejection {
	if stamp == "" {
		return reject(incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	at, err := time.Parse(stampForm, stamp)
	if err != nil || len(stamp) != len(stampForm) {
		if at, err = http.ParseTime(stamp); err != nil {
			return reject(incomplete, "Date must be in ISO-8601 'basic format'. Got '"+printable(stamp)+"'. See http://en.wikipedia.org/wiki/ISO_8601")
		}
		stamp = at.UTC().Format(stampForm)
	}
	s.stamp, s.at = stamp, at
	if stamp[:8] != s.date {
		return reject(mismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
			printable(s.date)+"' != '"+stamp[:8]+"', from '"+stamp+"'.")
	}
	return nil
}

// checkTime refuses signatures that are too old, or of a future more than maxSkew away.
func (s *signature) checkTime(now time.Time) *rejection {
	life, unit := maxSkew, "15 min."
	if s.presigned {
		life, unit = s.expires, strconv.Itoa(int(s.expires/time.Second))+" sec."
		if s.expires%time.Minute == 0 {
			unit = strconv.Itoa(int(s.expires/time.Minute)) + " min."
		}
	}
	if oldest := now.Add(-life); s.at.Before(oldest.Truncate(time.Second)) {
		return reject(mismatch, "Signature expired: "+s.stamp+" is now earlier than "+oldest.UTC().Format(stampForm)+
			" ("+now.UTC().Format(stampForm)+" - "+unit+")")
	}
	if newest := now.Add(maxSkew); s.at.After(newest) {
		return reject(mismatch, "Signature not yet current: "+s.stamp+" is still later than "+newest.UTC().Format(stampForm)+
			" ("+now.UTC().Format(stampForm)+" + 15 min.)")
	}
	return nil
}

// checkHeaders refuses signatures which leave out the host or an x-amz- header that is there,
// since whoever carries the request could change those.
func (s *signature) checkHeaders(r *http.Request) *rejection {
	if !listed(s.headers, "host") {
		return reject(mismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") && name != "X-Amz-Security-Token" && !listed(s.headers, name) {
			return reject(mismatch, "'"+name+"' must be a 'SignedHeader' in the AWS Authorization.")
		}
	}
	return nil
}

// listed reports whether the list "a;b;c" has name, whatever its case.
func listed(list, name string) bool {
	for item := range strings.SplitSeq(list, ";") {
		if len(item) == len(name) && strings.EqualFold(item, name) {
			return true
		}
	}
	return false
}

const mismatchText = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// verify recomputes the signature of r over body with key.
func (s *signature) verify(c *canonicaliser, r *http.Request, body []byte, key *signingKey) *rejection {
	var hash [2 * sha256.Size]byte
	payload := hash[:]
	if s.payload == unsignedBody {
		payload = append(payload[:0], unsignedBody...)
	} else {
		sum := sha256.Sum256(body)
		hex.Encode(payload, sum[:])
		if s.payload != "" && s.payload != string(payload) {
			return reject(mismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
	}
	sum := sha256.Sum256(c.request(r, s.headers, payload))
	mac := key.finish(c.stringToSign(key.inner[:], s, sum))
	hex.Encode(hash[:], mac[:])
	if len(s.mac) != len(hash) || subtle.ConstantTimeCompare([]byte(s.mac), hash[:]) != 1 {
		return reject(mismatch, mismatchText)
	}
	return nil
}

// digest shows that a text is the one the client sent without repeating it.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// printable bounds a client's text, which goes back into a message, and drops what could
// disturb a terminal or a log.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '�' {
			return '?'
		}
		return r
	}, text[:min(len(text), 200)])
}
