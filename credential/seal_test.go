package credential

import (
	"bytes"
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"fogbank/aws"
)

func sealer(t testing.TB) *Sealer {
	t.Helper()
	s, err := NewSealer(bytes.Repeat([]byte{7}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var session = Session{Kind: aws.AssumedRole, Account: "000000000123", ID: "AROAEXAMPLEEXAMPLE001", Name: "s",
	Issued: time.Unix(1777636800, 0).UTC(), Expires: time.Unix(1777640400, 0).UTC(), Chained: true,
	Policy: `{"Statement":[]}`, PolicyARNs: []string{"arn:aws:iam::aws:policy/A"}, Tags: map[string]string{"a": "1", "b": ""}}

func TestSeal(t *testing.T) {
	s := sealer(t)
	c, err := s.Seal(rand.Reader, &session)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.AccessKeyID) != 20 || !strings.HasPrefix(c.AccessKeyID, "ASIA") || len(c.SecretAccessKey) != 40 {
		t.Errorf("%q %q: want ASIA and 16 letters, and 40 letters", c.AccessKeyID, c.SecretAccessKey)
	}
	if a, ok := AccountOf(c.AccessKeyID); !ok || a != "000000000123" {
		t.Errorf("the key id names account %q", a)
	}
	got, secret, err := s.Open(c.AccessKeyID, c.SessionToken)
	if err != nil || secret != c.SecretAccessKey || !reflect.DeepEqual(got, session) {
		t.Errorf("opened %+v, %v; want %+v", got, err, session)
	}
	other, err := s.Seal(rand.Reader, &session)
	if err != nil {
		t.Fatal(err)
	}
	if other.SecretAccessKey == c.SecretAccessKey || other.AccessKeyID == c.AccessKeyID {
		t.Error("two sessions share a secret or a key id")
	}
	stranger, err := NewSealer(bytes.Repeat([]byte{8}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := stranger.Open(c.AccessKeyID, c.SessionToken); !errors.Is(err, ErrToken) {
		t.Errorf("another key opens the token: %v", err)
	}
	if _, _, err := s.Open(other.AccessKeyID, c.SessionToken); !errors.Is(err, ErrToken) {
		t.Errorf("another key id opens the token: %v", err)
	}
	for i := range c.SessionToken {
		b := []byte(c.SessionToken)
		b[i] ^= 1
		if _, _, err := s.Open(c.AccessKeyID, string(b)); !errors.Is(err, ErrToken) {
			t.Fatalf("a token changed at %d opens: %v", i, err)
		}
	}
}

func TestSealTooLarge(t *testing.T) {
	x := session
	x.Policy = strings.Repeat("x", MaxToken)
	if _, err := sealer(t).Seal(rand.Reader, &x); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
}

func FuzzOpen(f *testing.F) {
	s := sealer(f)
	c, err := s.Seal(rand.Reader, &session)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.AccessKeyID, c.SessionToken)
	f.Fuzz(func(t *testing.T, id, token string) {
		s.Open(id, token)
		AccountOf(id)
	})
}

// FuzzParseSession is FuzzOpen behind the seal.
func FuzzParseSession(f *testing.F) {
	f.Add(session.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseSession(b)
		if err != nil {
			return
		}
		if y, err := parseSession(x.append(nil)); err != nil || !reflect.DeepEqual(x, y) {
			t.Fatalf("%+v becomes %+v, %v", x, y, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := sealer(b)
	c, err := s.Seal(rand.Reader, &Session{Kind: aws.AssumedRole, Account: "000000000123", ID: "AROAEXAMPLEEXAMPLE001", Name: "place-order"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Open(c.AccessKeyID, c.SessionToken); err != nil {
			b.Fatal(err)
		}
	}
}
