package lambda

import "testing"

func TestChooseVersion(t *testing.T) {
	a := alias{Version: "1", Weights: map[string]float64{"2": 0.25}}
	for draw, want := range map[float64]string{0: "2", 0.2499: "2", 0.25: "1", 0.99: "1"} {
		if got := a.choose(draw); got != want {
			t.Errorf("%v: version %s, want %s", draw, got, want)
		}
	}
	if got := (&alias{Version: "1", Weights: map[string]float64{"2": 1}}).choose(0.9999); got != "2" {
		t.Errorf("all of it: version %s", got)
	}
}
