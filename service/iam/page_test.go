package iam

import (
	"slices"
	"testing"
)

// TestSlice walks lists in memory page by page.
func TestSlice(t *testing.T) {
	all := []int{1, 2, 3, 4, 5}
	for limit := 1; limit <= 6; limit++ {
		var got []int
		var marker *string
		for {
			p, err := newPager(marker, new(int32(limit)))
			if err != nil {
				t.Fatal(err)
			}
			page, truncated, next := slice(all, p)
			got = append(got, page...)
			if *truncated != (next != nil) {
				t.Fatalf("truncated %v with marker %v", *truncated, next)
			}
			if marker = next; next == nil {
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("by %d: %v", limit, got)
		}
	}
}

// FuzzNames reads markers, policy ARNs and version ids from outside.
func FuzzNames(f *testing.F) {
	f.Add("Fgs", "arn:aws:iam::aws:policy/service-role/AWSLambdaRole", "v3")
	f.Add("!", "arn:aws:iam::1:policy//", "v-1")
	f.Fuzz(func(t *testing.T, marker, arn, id string) {
		if p, err := newPager(&marker, nil); err == nil {
			if page, _, _ := slice([]int{1, 2, 3}, p); page == nil {
				t.Fatal("a page is nil")
			}
		}
		if path, ok := policyPath(arn); ok && (path[0] != '/' || path[len(path)-1] != '/') {
			t.Fatalf("%q has path %q", arn, path)
		}
		if n := versionNumber(id); n < 0 {
			t.Fatalf("%q is version %d", id, n)
		}
	})
}
