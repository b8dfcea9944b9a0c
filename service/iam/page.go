package iam

import (
	"encoding/base64"

	"fogbank/api/iam"
	"fogbank/store"
)

// defaultPage is how many items a listing returns when MaxItems does not say; the model bounds MaxItems by 1,000.
const defaultPage = 100

// pager is one page of a listing: where it begins and how much it holds.
type pager struct {
	after store.Key
	limit int
}

// newPager reads Marker and MaxItems. A marker is the last key of the page before, in base64.
func newPager(marker *string, maxItems *int32) (pager, error) {
	p := pager{limit: defaultPage}
	if maxItems != nil {
		p.limit = int(*maxItems)
	}
	if marker != nil {
		key, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil || len(key) == 0 || len(key) > store.MaxKey/2 {
			return p, iam.ValidationError("Invalid Marker.")
		}
		p.after = store.Key(key)
	}
	return p, nil
}

// list returns a page of the rows under prefix that keep turns into items, and how to go on. The
// items are never nil: clients expect the element of an empty list.
func list[V, T any](tx *store.Tx, t *store.Table[V], prefix store.Key, p pager, keep func(store.Key, V) (T, bool)) (items []T, truncated *bool, marker *string) {
	items = []T{}
	var last store.Key
	for k, v := range t.Scan(tx, store.Range{Prefix: prefix, After: p.after}) {
		item, ok := keep(k, v)
		if !ok {
			continue
		}
		if len(items) == p.limit {
			return items, new(true), new(base64.RawURLEncoding.EncodeToString([]byte(last)))
		}
		items = append(items, item)
		last = k
	}
	return items, new(false), nil
}

// slice is list for items in memory, whose marker is a number of items.
func slice[T any](all []T, p pager) (items []T, truncated *bool, marker *string) {
	from := 0
	if p.after != "" && p.after.Parse(&from) != nil || from < 0 || from > len(all) {
		from = len(all)
	}
	to := min(len(all), from+p.limit)
	items = append([]T{}, all[from:to]...)
	if to == len(all) {
		return items, new(false), nil
	}
	return items, new(true), new(base64.RawURLEncoding.EncodeToString([]byte(store.K(to))))
}
