package aws_test

import (
	"strings"
	"testing"

	"fogbank/aws"
)

func TestTrace(t *testing.T) {
	const root = "Root=1-5759e988-bd862e3fe1be46a994272793"
	for _, test := range []struct{ header, want string }{
		{"", ""},
		{root, root},
		{root + ";Parent=53995c3f42cd8ad8;Sampled=1", root + ";Parent=53995c3f42cd8ad8;Sampled=1"},
		{" Sampled=0 ; Lineage=a87bd80c:1|68fd508a:5;" + root, root + ";Sampled=0;Lineage=a87bd80c:1|68fd508a:5"},
		{"Self=1-67891233-12456789abcdef012345678;" + root + ";Sampled=?;Parent=no", root},
		{"Parent=53995c3f42cd8ad8;Sampled=1", ""},
		{"Root=1-5759e988-BD862E3FE1BE46A994272793", ""},
		{"Root=1-5759e98-8bd862e3fe1be46a994272793", ""},
		{root + ";Lineage=\xff", ""},
		{root + ";Lineage=" + strings.Repeat("a", 500), ""},
	} {
		if got := aws.ParseTrace(test.header).String(); got != test.want {
			t.Errorf("%q: %q, want %q", test.header, got, test.want)
		}
	}
}
