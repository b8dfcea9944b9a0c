package scheduler_test

import (
	"testing"

	"fogbank/sim"
)

func TestScripts(t *testing.T) { sim.Scripts(t, "testdata/*.script") }
