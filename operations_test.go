package fogbank_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fogbank"
	"fogbank/aws"
	"fogbank/wire"
)

// TestOperations calls every operation of every API as root, with its least input and with inputs at random: those
// not written refuse by name, and none panics or hides a failure of ours.
func TestOperations(t *testing.T) {
	c, err := fogbank.Open(fogbank.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.Isolation() // what this machine can isolate is tried once, on no operation's time
	ctx := aws.WithCall(context.Background(), &aws.Call{Account: fogbank.DefaultAccount, Region: fogbank.DefaultRegion,
		Principal: aws.Principal{Kind: aws.Root, Account: fogbank.DefaultAccount, ARN: "arn:aws:iam::" + fogbank.DefaultAccount + ":root", UserID: fogbank.DefaultAccount}})
	written := writtenOperations(t)
	for _, api := range c.APIs() {
		for _, op := range api.Operations {
			stub, refusals := !written[api.Name+"."+op.Name], 0
			for seed := range uint64(40) {
				g := inputs{rand.New(rand.NewPCG(seed, 1)), seed > 0}
				text, err := json.Marshal(g.value(op.Input, 0))
				if err != nil {
					t.Fatal(err)
				}
				in, err := wire.ParseInput(op, text)
				if err != nil {
					continue
				}
				limited, cancel := context.WithTimeout(ctx, time.Second)
				_, err = c.Do(limited, op, in)
				cancel()
				judge(t, op, stub, string(text), err, &refusals)
			}
			if !stub || refusals > 0 {
				continue
			}
			// The model wants more of its inputs than ours are likely to have: in process none is checked.
			in, err := wire.ParseJSON(op.Input, []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Do(ctx, op, in)
			judge(t, op, true, "{}", err, &refusals)
			if e := aws.AsError(err); refusals == 0 && e.Status/100 != 4 {
				t.Errorf("%s is not written and answers %v", op.Action, err)
			}
		}
	}
}

func judge(t *testing.T, op *wire.Operation, stub bool, in string, err error, refusals *int) {
	t.Helper()
	var e *aws.Error
	switch errors.As(err, &e); {
	case err != nil && e == nil:
		t.Errorf("%s of %s: an error that is not AWS's: %v", op.Action, in, err)
	case stub && e == nil:
		t.Errorf("%s is not written and pretends to work", op.Action)
	case stub && e.Code == "NotImplemented" && e.Status == 501 && strings.Contains(e.Message, op.Name):
		*refusals++
	case e != nil && e.Status >= 500 && e.Code != "NotImplemented":
		t.Errorf("%s of %s: %v", op.Action, in, err)
	}
}

// inputs makes inputs that fit a shape; whole ones have optional members too.
type inputs struct {
	*rand.Rand
	whole bool
}

// texts are what members named so take, so that some inputs pass the first check and meet the next.
var texts = []string{"a", "abc", "1", "{}", "arn:aws:iam::000000000000:role/a", "arn:aws:sqs:us-east-1:000000000000:a",
	"arn:aws:sns:us-east-1:000000000000:a", "arn:aws:lambda:us-east-1:000000000000:function:a", "http://localhost:4566/000000000000/a",
	"arn:aws:dynamodb:us-east-1:000000000000:table/abc", "a = :a", "rate(5 minutes)", "{\"a\":[1]}", "ü\x00", "2012-10-17", "GET /a", "",
	"arn:aws:iam::aws:policy/ReadOnlyAccess", "AKIAIOSFODNN7EXAMPLE", "python3.11", "a.b",
	`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam:::user/x"},"Action":"sts:AssumeRole"}]}`,
	`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*","Resource":"*"}]}`,
	"arn:aws:sqs:::a", "arn:aws:lambda:us-east-1:\x00:function:a", "arn:aws:dynamodb:\x00:000000000000:table/abc", "arn:aws:sns:::a", "arn:aws:iam:::role/a"}

func (g inputs) value(s *wire.Shape, depth int) any {
	switch s.Kind {
	case wire.Structure:
		m := map[string]any{}
		for i := range s.Members {
			if f := &s.Members[i]; f.Required || g.whole && depth < 5 && g.IntN(3) == 0 {
				m[f.Name] = g.value(f.Shape, depth+1)
			}
		}
		return m
	case wire.List:
		list := []any{}
		for range g.size(s) {
			list = append(list, g.value(s.Elem.Shape, depth+1))
		}
		return list
	case wire.Map:
		m := map[string]any{}
		for range g.size(s) {
			key, _ := g.value(s.Key.Shape, depth+1).(string)
			m[key] = g.value(s.Elem.Shape, depth+1)
		}
		return m
	case wire.String:
		return g.text(s)
	case wire.Integer, wire.Long, wire.Double:
		return g.number(s)
	case wire.Boolean:
		return g.IntN(2) == 0
	case wire.Timestamp:
		return 1.7e9
	case wire.Blob:
		return "e30="
	}
	return []any{map[string]any{"S": "a"}, map[string]any{"a": map[string]any{"N": "1"}}}[g.IntN(2)]
}

func (g inputs) size(s *wire.Shape) int {
	n := g.IntN(2)
	if s.Min != nil {
		n = max(n, int(*s.Min))
	}
	return min(n, 20)
}

func (g inputs) text(s *wire.Shape) string {
	if len(s.Enum) > 0 {
		return s.Enum[g.IntN(len(s.Enum))]
	}
	text := texts[g.IntN(len(texts))]
	if s.Min != nil && len(text) < int(*s.Min) {
		text += strings.Repeat("a", min(int(*s.Min)-len(text), 1000))
	}
	return text
}

func (g inputs) number(s *wire.Shape) int64 {
	n := []int64{0, 1, 5, 10, -1, 100, 1 << 31, 1<<63 - 1}[g.IntN(8)]
	if s.Kind == wire.Integer {
		n = int64(int32(n))
	}
	if s.Min != nil {
		n = max(n, *s.Min)
	}
	if s.Max != nil {
		n = min(n, *s.Max)
	}
	return n
}
