package gate

import (
	"net/http"
	"net/url"
)

// SameOrigin reports whether r may change state without a signature: it comes from no browser,
// or from a page of our own, and was sent to a name that is ours. A page of another origin
// gives itself away by Sec-Fetch-Site or Origin; one that had its own name resolve to us,
// by Host.
func SameOrigin(r *http.Request) bool {
	if !KnownHost(r.Host) {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	origin, ok := r.Header["Origin"]
	if !ok {
		return true
	}
	if len(origin) != 1 {
		return false
	}
	u, err := url.Parse(origin[0])
	return err == nil && u.Host != "" && u.Host == r.Host
}
