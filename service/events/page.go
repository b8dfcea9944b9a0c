package events

import (
	"encoding/base64"
	"strconv"
)

// pageSize is how many rows a page has when no limit is given, and at most.
const pageSize = 100

// page returns the part of a list of n that a token and limit ask for, and the token of the next.
func page(n int, token string, limit *int32) (from, to int, next *string, err error) {
	if token != "" {
		b, err := base64.RawURLEncoding.DecodeString(token)
		if err == nil {
			from, err = strconv.Atoi(string(b))
		}
		if err != nil || from < 0 {
			return 0, 0, nil, invalid("Parameter NextToken is not valid.")
		}
		from = min(from, n)
	}
	size := pageSize
	if limit != nil {
		size = min(max(int(*limit), 1), pageSize)
	}
	to = min(from+size, n)
	if to < n {
		next = new(base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to))))
	}
	return from, to, next, nil
}
