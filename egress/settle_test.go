package egress

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"fogbank/aws"
)

// unsettled never gets to the disk.
type unsettled struct{ error }

func (u unsettled) Settle(context.Context) error { return u.error }

// TestSettle: nothing leaves before what it follows from is on disk.
func TestSettle(t *testing.T) {
	reached := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer server.Close()
	broken := errors.New("the disk failed")
	ctx := aws.WithUnsettled(t.Context(), unsettled{broken})
	outside := client(t, Options{Relay: "smtp://127.0.0.1:1", From: "a@fogbank.test"})
	for name, n := range map[string]Network{"client": outside, "memory": &Memory{Relay: true}} {
		if _, err := n.Do(ctx, &Request{URL: server.URL, Trusted: true}); !errors.Is(err, broken) {
			t.Errorf("%s: a request gave %v", name, err)
		}
		if err := n.Send(ctx, &Mail{ID: "1", To: "b@fogbank.test", Subject: "s", Body: "b"}); !errors.Is(err, broken) {
			t.Errorf("%s: a mail gave %v", name, err)
		}
	}
	if reached != 0 {
		t.Error("a request went out")
	}
}
