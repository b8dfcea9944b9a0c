package lambda_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/aws"
	"fogbank/compute"
)

// refusal is the error of a call that must fail.
func (s *site) refusal(name, input string) string {
	s.t.Helper()
	_, err := s.try(name, input)
	e, ok := errors.AsType[*aws.Error](err)
	if !ok {
		s.t.Fatalf("%s: %v", name, err)
	}
	return fmt.Sprint(e.Status, " ", e.Code, ": ", e.Message)
}

// TestPayloadLimits: 6 MB for an answer, 1 MB for an event, a quarter of it by InvokeAsync.
func TestPayloadLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"f","Handler":"value:1"}`)
		for _, test := range []struct {
			call, input string
			limit       int
			operation   string
		}{
			{"Invoke", `"Payload"`, 6 << 20, "InvokeFunction"},
			{"Invoke", `"InvocationType":"Event","Payload"`, 1 << 20, "InvokeFunction"},
			{"InvokeAsync", `"InvokeArgs"`, 256 << 10, "InvokeAsync"},
			{"InvokeWithResponseStream", `"Payload"`, 6 << 20, "InvokeWithResponseStream"},
		} {
			input := func(bytes int) string {
				text := `"` + strings.Repeat("x", bytes-2) + `"`
				return `{"FunctionName":"f",` + test.input + `:"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"}`
			}
			s.do("lambda "+test.call, input(test.limit))
			want := fmt.Sprintf("413 RequestTooLargeException: Request must be smaller than %d bytes for the %s operation", test.limit, test.operation)
			if got := s.refusal("lambda "+test.call, input(test.limit+1)); got != want {
				t.Errorf("%s: %s, want %s", test.call, got, want)
			}
		}
	})
}

// TestLargeRecord: the largest event comes to its function; what is too large for every destination goes nowhere, and the
// function is not invoked again for it.
func TestLargeRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		invoked := 0
		large := func(_ context.Context, _ compute.Spec, in compute.Invocation, _ func(string)) ([]byte, error) {
			invoked++
			return in.Payload, nil
		}
		s.fake.Handlers["large"] = large
		s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"f","Handler":"large"}`)
		q := s.do("sqs CreateQueue", `{"QueueName":"fine"}`)["QueueUrl"].(string)
		s.do("lambda PutFunctionEventInvokeConfig", `{"FunctionName":"f","DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:sqs:us-east-1:000000000000:fine"}}}`)
		for n, bytes := range []int{500_000, 1 << 20} { // the record has the event twice
			text := `"` + strings.Repeat("x", bytes-2) + `"`
			s.do("lambda Invoke", `{"FunctionName":"f","InvocationType":"Event","Payload":"`+base64.StdEncoding.EncodeToString([]byte(text))+`"}`)
			time.Sleep(time.Hour)
			synctest.Wait()
			if invoked != n+1 {
				t.Errorf("invoked %d times", invoked)
			}
		}
		got := s.do("sqs GetQueueAttributes", `{"QueueUrl":"`+q+`","AttributeNames":["ApproximateNumberOfMessages"]}`)["Attributes"].(map[string]any)
		if got["ApproximateNumberOfMessages"] != "1" {
			t.Error(got)
		}
	})
}

// TestPolicyLimit: a policy has 20 KB.
func TestPolicyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		permit := func(n int) string {
			return fmt.Sprintf(`{"FunctionName":"f","StatementId":"%s%03d","Action":"lambda:InvokeFunction","Principal":"sns.amazonaws.com"}`, strings.Repeat("s", 90), n)
		}
		n := 0
		for ; ; n++ {
			if _, err := s.try("lambda AddPermission", permit(n)); err != nil {
				break
			}
		}
		if n < 50 || n > 100 {
			t.Fatalf("%d statements", n)
		}
		before := s.do("lambda GetPolicy", `{"FunctionName":"f"}`)["Policy"].(string)
		got := s.refusal("lambda AddPermission", permit(n))
		if !strings.HasPrefix(got, "400 PolicyLengthExceededException: The final policy size (") || !strings.HasSuffix(got, ") is bigger than the limit (20480).") {
			t.Error(got)
		}
		if after := s.do("lambda GetPolicy", `{"FunctionName":"f"}`)["Policy"]; after != before || len(before) > 20480 || len(before) < 20000 {
			t.Errorf("a policy of %d bytes", len(before))
		}
	})
}
