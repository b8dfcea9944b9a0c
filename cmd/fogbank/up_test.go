package main

import (
	"strings"
	"testing"

	"fogbank"
)

// TestInnerListener: functions of a server of HTTPS get plain HTTP on loopback, since its certificate is for others.
func TestInnerListener(t *testing.T) {
	for cert, want := range map[string]string{"": "", "cert.pem": "http://127.0.0.1:"} {
		c := fogbank.Config{TLSCert: cert}
		l, err := listenInner(&c)
		if err != nil {
			t.Fatal(err)
		}
		if l != nil {
			l.Close()
		}
		if !strings.HasPrefix(c.FunctionEndpoint, want) || (l != nil) != (want != "") {
			t.Errorf("with certificate %q functions use %q", cert, c.FunctionEndpoint)
		}
	}
}
