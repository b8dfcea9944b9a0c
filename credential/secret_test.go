package credential

import (
	"bytes"
	"strings"
	"testing"
)

func TestHide(t *testing.T) {
	s := sealer(t)
	sealed, err := s.Hide(strings.NewReader(strings.Repeat("n", nonceSize)), []byte("password"), "row")
	if err != nil || bytes.Contains(sealed, []byte("password")) {
		t.Fatal(err)
	}
	if got, err := s.Reveal(sealed, "row"); err != nil || string(got) != "password" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := s.Reveal(sealed, "other"); err != ErrHidden {
		t.Errorf("revealed for another use: %v", err)
	}
	sealed[len(sealed)-1]++
	if _, err := s.Reveal(sealed, "row"); err != ErrHidden {
		t.Errorf("revealed though changed: %v", err)
	}
	if _, err := s.Reveal(nil, "row"); err != ErrHidden {
		t.Error(err)
	}
}
