package lambda_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"testing"
	"testing/synctest"

	"fogbank/compute"
)

// told answers what a function is told beside its event.
func told(_ context.Context, _ compute.Spec, in compute.Invocation, _ func(string)) ([]byte, error) {
	return json.Marshal([]string{in.Trace, in.ClientContext})
}

// TestTrace: the header of whoever calls is passed on, as far as it is one.
func TestTrace(t *testing.T) {
	const first = ";Lineage=[0-9a-f]{8}:0"
	const root, parent = "Root=1-5759e988-bd862e3fe1be46a994272793", ";Parent=53995c3f42cd8ad8"
	const madeUp = "Root=1-386d4380-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0" + first
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		url := s.openURL()
		s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"web","Handler":"told"}`)
		for _, test := range []struct{ header, want string }{
			{root + parent + ";Sampled=1", root + parent + ";Sampled=1" + first},
			{root + "; Parent=53995c3f42cd8ad8; Sampled=0; Lineage=a:0;Self=x", root + parent + ";Sampled=0" + first},
			{root + parent + ";Sampled=1;Lineage=a87bd80c:1|68fd508a:5", root + parent + `;Sampled=1;Lineage=a87bd80c:1\|68fd508a:5\|[0-9a-f]{8}:0`},
			{root, root + ";Parent=[0-9a-f]{16};Sampled=0" + first},
			{"", madeUp},
			{"Root=1-5759e988-bd;Parent=x", madeUp},
			{"Parent=53995c3f42cd8ad8;Sampled=1", madeUp},
		} {
			r := httptest.NewRequest("GET", url, nil)
			if test.header != "" {
				r.Header.Set("X-Amzn-Trace-Id", test.header)
			}
			var got []string
			if err := json.Unmarshal([]byte(bodyOf(t, s.http(r))), &got); err != nil || !regexp.MustCompile("^"+test.want+"$").MatchString(got[0]) {
				t.Errorf("%q: %q, want %q, %v", test.header, got, test.want, err)
			}
		}
	})
}

// TestClientContext: what the client says of itself comes to the function as JSON.
func TestClientContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"f","Handler":"told"}`)
		got := s.do("lambda Invoke", `{"FunctionName":"f","ClientContext":"eyJjdXN0b20iOnsiYSI6IjEifX0="}`)["Payload"].([]any)
		if got[1] != `{"custom":{"a":"1"}}` {
			t.Errorf("%q", got)
		}
	})
}
