package apigateway

import (
	"encoding/base64"
	"strconv"

	"fogbank/api/apigatewayv2"
	"fogbank/store"
)

const maxResults = 500

// page calls each with the rows below prefix, from a token on, and returns the token of the next page
// if there is one.
func page[V any](tx *store.Tx, t *store.Table[V], prefix store.Key, most, token string, each func(id string, v V)) (*string, error) {
	limit := maxResults
	if most != "" {
		n, err := strconv.Atoi(most)
		if err != nil || n < 1 {
			return nil, apigatewayv2.BadRequestException("Invalid value for maxResults: %q", most)
		}
		limit = min(n, maxResults)
	}
	after, err := base64.URLEncoding.DecodeString(token)
	if err != nil {
		return nil, apigatewayv2.BadRequestException("Invalid nextToken")
	}
	r := store.Range{Prefix: prefix}
	if len(after) > 0 {
		r.After = prefix.Str(string(after))
	}
	n, last := 0, ""
	for key, v := range t.Scan(tx, r) {
		if n == limit {
			return new(base64.URLEncoding.EncodeToString([]byte(last))), nil
		}
		if err := store.Key(key[len(prefix):]).Parse(&last); err != nil {
			panic("apigateway: a key without an id: " + err.Error())
		}
		each(last, v)
		n++
	}
	return nil, nil
}

// room refuses one row more when there are limit already.
func room[V any](tx *store.Tx, t *store.Table[V], prefix store.Key, limit int, what string) error {
	n := 0
	for range t.Keys(tx, store.Range{Prefix: prefix, Limit: limit}) {
		n++
	}
	if n == limit {
		return apigatewayv2.TooManyRequestsException("Limit of %d %s reached", limit, what)
	}
	return nil
}
