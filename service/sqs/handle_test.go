package sqs

import (
	"encoding/base64"
	"testing"
)

func TestHandle(t *testing.T) {
	s := &sealer{[]byte("a key")}
	r := receipt{Queue: 1<<64 - 1, Slot: slot{1700000000123456789, 42}, Number: 7}
	h := s.handle(r)
	if got, ok := s.open(h); !ok || got != r {
		t.Errorf("open(handle(%v)) = %v, %v", r, got, ok)
	}
	if _, ok := (&sealer{[]byte("another")}).open(h); ok {
		t.Error("a handle sealed with another key was opened")
	}
	raw := must(base64.StdEncoding.DecodeString(h))
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, ok := s.open(base64.StdEncoding.EncodeToString(raw)); ok {
				t.Fatalf("a handle with bit %d of byte %d changed was opened", bit, i)
			}
			raw[i] ^= 1 << bit
		}
	}
}

func FuzzHandle(f *testing.F) {
	s := &sealer{[]byte("a key")}
	f.Add(s.handle(receipt{Queue: 1, Slot: slot{2, 3}, Number: 4}))
	f.Add("")
	f.Fuzz(func(t *testing.T, handle string) {
		if r, ok := s.open(handle); ok && s.handle(r) != handle {
			t.Errorf("%q was opened but not made by handle", handle)
		}
	})
}

func FuzzAddress(f *testing.F) {
	f.Add("http://localhost:4566/000000000000/jobs")
	f.Add("https://sqs.us-east-1.amazonaws.com/123456789012/jobs.fifo?x#y")
	f.Add("/queue/us-east-1/123456789012/jobs/")
	f.Fuzz(func(t *testing.T, url string) {
		account, name, err := address(url)
		if err != nil {
			return
		}
		a, n, err := address("http://h/" + account + "/" + name)
		if err != nil || a != account || n != name {
			t.Errorf("address(%q) = %q, %q, which is read again as %q, %q, %v", url, account, name, a, n, err)
		}
	})
}

func TestAddress(t *testing.T) {
	for url, want := range map[string]string{
		"http://localhost:4566/000000000000/jobs":                                "000000000000 jobs",
		"https://sqs.us-east-1.amazonaws.com/123456789012/jobs.fifo":             "123456789012 jobs.fifo",
		"http://us-east-1.queue.localhost:4566/123456789012/jobs?a=/b/c":         "123456789012 jobs",
		"http://localhost/queue/us-east-1/123456789012/jobs/":                    "123456789012 jobs",
		"http://sqs.us-east-1.localhost.localstack.cloud:4566/123456789012/jobs": "123456789012 jobs",
		"/123456789012/jobs":      "123456789012 jobs",
		"jobs":                    "",
		"http://h/1/jobs":         "",
		"http://h/123456789012/":  "",
		"http://h/12345678901x/a": "",
		"":                        "",
	} {
		account, name, err := address(url)
		got := account + " " + name
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("address(%q) = %q, want %q", url, got, want)
		}
	}
}
