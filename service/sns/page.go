package sns

import (
	"encoding/base64"

	"fogbank/store"
)

// pageSize is how many topics or subscriptions a page has.
const pageSize = 100

// token makes a NextToken of the last key of a page.
func token(last store.Key) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

// readToken is the opposite; no token is the key before all.
func readToken(token string) (store.Key, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) > 1024 {
		return "", invalid("NextToken")
	}
	return store.Key(b), nil
}
