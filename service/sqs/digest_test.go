package sqs

import (
	"encoding/hex"
	"testing"
)

// The expected digests are those an independent implementation publishes in its documentation.
func TestAttributesDigest(t *testing.T) {
	text := attribute{Name: "attribName1", Type: "String", Value: "attribValue 1"}
	number := attribute{Name: "customNumberTypeAttrib", Type: "Number.float", Value: "4563442423554324324264524243.32543234"}
	bytes := attribute{Name: "binaryAttribute", Type: "Binary", Value: "Hello binary world!", Binary: true}
	for _, c := range []struct {
		list []attribute
		want string
	}{
		{nil, ""},
		{[]attribute{text}, "19e27d4e946b072f3f58da80d94fd778"},
		{[]attribute{number}, "9fe1b90bbd9965bdf77bac517c7d2495"},
		{[]attribute{bytes}, "31a92b15d92f8db860eda32aceb656c3"},
		{[]attribute{text, number, bytes}, "c932db14a896c663f83c260297d594ff"},
		{[]attribute{number, bytes, text}, "c932db14a896c663f83c260297d594ff"},
	} {
		if got := attributesDigest(c.list); got != c.want {
			t.Errorf("attributesDigest(%v) = %s, want %s", c.list, got, c.want)
		}
	}
}

func TestBodyDigest(t *testing.T) {
	for body, want := range map[string]string{
		"hello": "5d41402abc4b2a76b9719d911017c592",
		"":      "d41d8cd98f00b204e9800998ecf8427e",
		"grüße": "fee40dc24d0ad6a90c608052aa4e9e66",
	} {
		sum := bodyDigest(body)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("bodyDigest(%q) = %s, want %s", body, got, want)
		}
	}
}
