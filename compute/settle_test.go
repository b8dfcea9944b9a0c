package compute

import (
	"context"
	"errors"
	"testing"
	"time"

	"fogbank/aws"
	"fogbank/world"
)

// unsettled never gets to the disk.
type unsettled struct{ error }

func (u unsettled) Settle(context.Context) error { return u.error }

// TestSettle: a function is told nothing that is not on disk.
func TestSettle(t *testing.T) {
	broken := errors.New("the disk failed")
	ctx := aws.WithUnsettled(t.Context(), unsettled{broken})
	w := world.New()
	defer w.Stop()
	ran := false
	f := &Fake{World: w, Handlers: map[string]Handler{"f": func(context.Context, Spec, Invocation, func(string)) ([]byte, error) {
		ran = true
		return nil, nil
	}}}
	env, err := f.Start(t.Context(), Spec{Name: "f", Handler: "f", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	if _, err := env.Invoke(ctx, Invocation{ID: "1"}); !errors.Is(err, broken) || ran {
		t.Errorf("the fake ran %v, gave %v", ran, err)
	}
	if _, err := (&environment{}).Invoke(ctx, Invocation{ID: "1"}); !errors.Is(err, broken) {
		t.Errorf("a process gave %v", err)
	}
	if _, err := (&Process{}).Start(ctx, Spec{}); !errors.Is(err, broken) {
		t.Errorf("a start gave %v", err)
	}
}
