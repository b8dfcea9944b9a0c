package main

import "testing"

func TestIdleness(t *testing.T) {
	const kb, mb = uint64(1 << 10), uint64(1 << 20)
	var i idleness
	for _, step := range []struct {
		what  string
		grown uint64
		want  bool
	}{
		{"the start", 30 * mb, false},
		{"nothing to do", 10 * kb, true},
		{"still nothing", 10 * kb, false},
		{"one request", 300 * kb, false},
		{"too little for another time", 10 * kb, false},
		{"work", 100 * mb, false},
		{"more work", 5 * mb, false},
		{"idle again", 0, true},
		{"and again", 0, false},
	} {
		if got := i.begins(i.last + step.grown); got != step.want {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
	}
}
