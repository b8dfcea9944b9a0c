package logs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/logs"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"
)

// start returns the service with a group g and its streams a and b, in a bubble.
func start(t *testing.T) (*Service, context.Context) {
	t.Helper()
	w := world.Seeded(1)
	db := store.Memory(w)
	s := New(db, w)
	s.Start()
	t.Cleanup(func() { w.Stop(); db.Close() })
	ctx := aws.WithCall(t.Context(), &aws.Call{Account: "000000000000", Region: "us-east-1"})
	if _, err := s.CreateLogGroup(ctx, &logs.CreateLogGroupInput{LogGroupName: "g"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if _, err := s.CreateLogStream(ctx, &logs.CreateLogStreamInput{LogGroupName: "g", LogStreamName: name}); err != nil {
			t.Fatal(err)
		}
	}
	return s, ctx
}

// put writes messages one second apart, beginning at a moment.
func put(t *testing.T, s *Service, ctx context.Context, stream string, at time.Time, messages ...string) *logs.PutLogEventsOutput {
	t.Helper()
	in := &logs.PutLogEventsInput{LogGroupName: "g", LogStreamName: stream}
	for i, m := range messages {
		e := logs.InputLogEvent{Message: m, Timestamp: at.Add(time.Duration(i) * time.Second).UnixMilli()}
		in.LogEvents = append(in.LogEvents, e)
	}
	out, err := s.PutLogEvents(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func texts(list []logs.OutputLogEvent) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(*e.Message + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestGetLogEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := start(t)
		now := s.world.Now()
		put(t, s, ctx, "a", now, "1", "2", "3", "4", "5")
		put(t, s, ctx, "a", now, "1b") // an equal timestamp comes after
		get := func(token string, head bool, limit int32) *logs.GetLogEventsOutput {
			t.Helper()
			in := &logs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: "a", StartFromHead: &head, Limit: &limit}
			if token != "" {
				in.NextToken = &token
			}
			out, err := s.GetLogEvents(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		out := get("", true, 2)
		if got := texts(out.Events); got != "1 1b" {
			t.Errorf("from the head: %q", got)
		}
		out = get(*out.NextForwardToken, true, 10)
		if got := texts(out.Events); got != "2 3 4 5" {
			t.Errorf("on: %q", got)
		}
		end := *out.NextForwardToken
		if out = get(end, true, 10); len(out.Events) != 0 || *out.NextForwardToken != end {
			t.Errorf("at the end: %q %s", texts(out.Events), *out.NextForwardToken)
		}
		put(t, s, ctx, "a", now.Add(10*time.Second), "6")
		if got := texts(get(end, true, 10).Events); got != "6" {
			t.Errorf("after the end grew: %q", got)
		}
		out = get("", false, 2)
		if got := texts(out.Events); got != "5 6" {
			t.Errorf("from the tail: %q", got)
		}
		if got := texts(get(*out.NextBackwardToken, false, 3).Events); got != "2 3 4" {
			t.Errorf("backward: %q", got)
		}
		if _, err := s.GetLogEvents(ctx, &logs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: "a", NextToken: new("x")}); !aws.IsCode(err, "InvalidParameterException") {
			t.Errorf("bad token: %v", err)
		}
	})
}

func filter(t *testing.T, s *Service, ctx context.Context, in *logs.FilterLogEventsInput) (string, *string) {
	t.Helper()
	in.LogGroupName = new("g")
	out, err := s.FilterLogEvents(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range out.Events {
		fmt.Fprintf(&b, "%s:%s ", *e.LogStreamName, *e.Message)
	}
	return strings.TrimSpace(b.String()), out.NextToken
}

func TestFilterLogEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := start(t)
		now := s.world.Now()
		put(t, s, ctx, "a", now, "one", "three ERROR", "five")
		put(t, s, ctx, "b", now.Add(500*time.Millisecond), "two", "four ERROR", "six")
		all := "a:one b:two a:three ERROR b:four ERROR a:five b:six"
		if got, _ := filter(t, s, ctx, &logs.FilterLogEventsInput{}); got != all {
			t.Errorf("all: %q", got)
		}
		var pages []string
		in := &logs.FilterLogEventsInput{Limit: new(int32(4))}
		for {
			got, token := filter(t, s, ctx, in)
			pages = append(pages, got)
			if in.NextToken = token; token == nil {
				break
			}
		}
		if got := strings.Join(pages, " "); got != all || len(pages) != 2 {
			t.Errorf("pages: %q", pages)
		}
		if got, _ := filter(t, s, ctx, &logs.FilterLogEventsInput{FilterPattern: new("ERROR"), LogStreamNames: []string{"b"}}); got != "b:four ERROR" {
			t.Errorf("term in one stream: %q", got)
		}
		in = &logs.FilterLogEventsInput{LogStreamNamePrefix: new("a")}
		in.StartTime = new(now.Add(time.Second).UnixMilli())
		in.EndTime = new(now.Add(time.Second).UnixMilli())
		if got, _ := filter(t, s, ctx, in); got != "a:three ERROR" {
			t.Errorf("both ends included: %q", got)
		}
	})
}

// Many streams, each longer than what is read ahead, come out in one order and whole.
func TestInterleaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := start(t)
		now := s.world.Now()
		want := 0
		for round := range 3 {
			for _, name := range []string{"a", "b"} {
				var list []string
				for i := range 50 {
					list = append(list, fmt.Sprint(round, "-", i))
				}
				put(t, s, ctx, name, now.Add(time.Duration(round)*7*time.Second), list...)
				want += len(list)
			}
		}
		in := &logs.FilterLogEventsInput{LogGroupName: new("g"), Limit: new(int32(37))}
		seen := map[string]bool{}
		var last int64
		for {
			out, err := s.FilterLogEvents(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range out.Events {
				if at := *e.Timestamp; at < last {
					t.Fatalf("%d after %d", at, last)
				} else {
					last = at
				}
				seen[*e.EventId] = true
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%d events, want %d", len(seen), want)
		}
	})
}

func TestRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := start(t)
		now := s.world.Now()
		out := put(t, s, ctx, "a", now.Add(-maxPast-time.Second), "old", "fine", "fine")
		if r := out.RejectedLogEventsInfo; r == nil || r.TooOldLogEventEndIndex == nil || *r.TooOldLogEventEndIndex != 1 || r.TooNewLogEventStartIndex != nil {
			t.Errorf("old: %+v", r)
		}
		out = put(t, s, ctx, "a", now.Add(maxLead), "fine", "new")
		if r := out.RejectedLogEventsInfo; r == nil || r.TooNewLogEventStartIndex == nil || *r.TooNewLogEventStartIndex != 1 {
			t.Errorf("new: %+v", r)
		}
		for _, c := range []struct {
			name string
			at   []int64
			size int
		}{
			{"order", []int64{2, 1}, 1}, {"span", []int64{0, maxSpan.Milliseconds() + 1}, 1}, {"size", []int64{0}, maxBytes},
		} {
			in := &logs.PutLogEventsInput{LogGroupName: "g", LogStreamName: "a"}
			for _, at := range c.at {
				e := logs.InputLogEvent{Message: strings.Repeat("x", c.size)}
				e.Timestamp = now.UnixMilli() + at
				in.LogEvents = append(in.LogEvents, e)
			}
			if _, err := s.PutLogEvents(ctx, in); !aws.IsCode(err, "InvalidParameterException") {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

// Expired events are not shown at once and gone within a day; so is what a deleted group held.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := start(t)
		put(t, s, ctx, "a", s.world.Now(), "gone", "soon")
		if _, err := s.PutRetentionPolicy(ctx, &logs.PutRetentionPolicyInput{LogGroupName: "g", RetentionInDays: 3}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutRetentionPolicy(ctx, &logs.PutRetentionPolicyInput{LogGroupName: "g", RetentionInDays: 2}); !aws.IsCode(err, "InvalidParameterException") {
			t.Errorf("two days: %v", err)
		}
		time.Sleep(72*time.Hour - time.Second)
		put(t, s, ctx, "a", s.world.Now(), "stays")
		if got, _ := filter(t, s, ctx, &logs.FilterLogEventsInput{}); got != "a:gone a:soon a:stays" {
			t.Errorf("before: %q", got)
		}
		time.Sleep(1500 * time.Millisecond)
		if got, _ := filter(t, s, ctx, &logs.FilterLogEventsInput{}); got != "a:soon a:stays" {
			t.Errorf("after: %q", got)
		}
		time.Sleep(25 * time.Hour)
		if n := stored(t, s, ctx); n != 1 {
			t.Errorf("%d events stored after the sweep", n)
		}
		if _, err := s.DeleteLogGroup(ctx, &logs.DeleteLogGroupInput{LogGroupName: "g"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := stored(t, s, ctx); n != 0 {
			t.Errorf("%d events stored after the group was deleted", n)
		}
	})
}

func stored(t *testing.T, s *Service, ctx context.Context) (n int) {
	t.Helper()
	err := s.db.View(ctx, func(tx *store.Tx) error {
		for range events.All(tx, "") {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, message string
		want             bool
	}{
		{"", "anything", true},
		{"ERROR", "an ERROR occurred", true},
		{"ERROR", "an error occurred", false},
		{"ERROR disk", "disk ERROR", true},
		{"ERROR disk", "ERROR", false},
		{`"disk full"`, "the disk full of stars", true},
		{`"disk full"`, "full disk", false},
		{`"say \"hi\""`, `they say "hi"`, true},
		{"?WARN ?ERROR", "a WARN", true},
		{"?WARN ?ERROR", "fine", false},
		{"?WARN ERROR", "ERROR", true},
		{"-DEBUG", "DEBUG x", false},
		{"-DEBUG", "x", true},
		{"x -DEBUG", "x", true},
		{`-"a b"`, "a b c", false},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		} else if got := p.match(c.message); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.message, got)
		}
	}
	for text, code := range map[string]string{
		`{ $.a = "b" }`: "NotImplemented", "[a, b]": "NotImplemented", "%x%": "NotImplemented",
		`"open`: "InvalidParameterException", "?": "InvalidParameterException", "- x": "InvalidParameterException",
	} {
		if _, err := parsePattern(text); !aws.IsCode(err, code) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add(`a ?b -"c d"`, "a b c d")
	f.Fuzz(func(t *testing.T, pattern, message string) {
		if p, err := parsePattern(pattern); err == nil {
			p.match(message)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add("f/" + position{1, 2}.String() + "/s")
	f.Fuzz(func(t *testing.T, token string) {
		forward, at, err := readEventToken(token)
		if err != nil || token == "" {
			return
		}
		again := "b/" + at.String() + "/s"
		if forward {
			again = "f/" + at.String() + "/s"
		}
		if again != token {
			t.Errorf("%q is read as %q", token, again)
		}
	})
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte{2, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e event
		if e.UnmarshalBinary(b) != nil {
			return
		}
		c, _ := e.AppendBinary(nil)
		var again event
		if again.UnmarshalBinary(c) != nil || again != e {
			t.Errorf("%x: %+v then %+v", b, e, again)
		}
	})
}

func BenchmarkPutLogEvents(b *testing.B) {
	w := world.Seeded(1)
	db := store.Memory(w)
	defer db.Close()
	s := New(db, w)
	ctx := aws.WithCall(b.Context(), &aws.Call{Account: "000000000000", Region: "us-east-1"})
	s.CreateLogGroup(ctx, &logs.CreateLogGroupInput{LogGroupName: "g"})
	s.CreateLogStream(ctx, &logs.CreateLogStreamInput{LogGroupName: "g", LogStreamName: "a"})
	in := &logs.PutLogEventsInput{LogGroupName: "g", LogStreamName: "a"}
	for range 5 {
		e := logs.InputLogEvent{Message: "START RequestId: 8f5d5f3c-0000-4000-8000-000000000000 Version: $LATEST"}
		e.Timestamp = w.Now().UnixMilli()
		in.LogEvents = append(in.LogEvents, e)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.PutLogEvents(ctx, in); err != nil {
			b.Fatal(err)
		}
	}
}
