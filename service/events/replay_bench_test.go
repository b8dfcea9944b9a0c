package events

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"
)

// BenchmarkReplay replays b.N archived events, each of which is delivered: the figure is of 100,000
// (go test ./service/events -run xxx -bench Replay -benchtime 100000x).
func BenchmarkReplay(b *testing.B) {
	w := world.New()
	db, err := store.Open(store.Options{Dir: b.TempDir(), World: w})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		w.Stop()
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	}()
	f := &far{}
	s := New(db, w, slog.New(slog.DiscardHandler), Clients{Queues: f, Permit: permitAll})
	ctx := aws.WithCall(b.Context(), &aws.Call{Account: account, Region: region})
	bus := "arn:aws:events:us-east-1:000000000000:event-bus/default"
	must(s.CreateArchive(ctx, &events.CreateArchiveInput{ArchiveName: "a", EventSourceArn: bus}))
	for i := 0; i < b.N; i += 10 {
		in := &events.PutEventsInput{}
		for j := i; j < min(i+10, b.N); j++ {
			in.Entries = append(in.Entries, events.PutEventsRequestEntry{Source: new("shop"), DetailType: new("order"), Detail: new(fmt.Sprintf(`{"n":%d}`, j))})
		}
		must(s.PutEvents(ctx, in))
	}
	must(s.PutRule(ctx, &events.PutRuleInput{Name: "r", EventPattern: new(`{"source":["shop"]}`)}))
	must(s.PutTargets(ctx, &events.PutTargetsInput{Rule: "r", Targets: []events.Target{{Id: "1", Arn: queue("q"), InputPath: new("$.detail.n")}}}))
	b.ResetTimer()
	s.Start()
	must(s.StartReplay(ctx, &events.StartReplayInput{ReplayName: "again", EventSourceArn: "arn:aws:events:us-east-1:000000000000:archive/a",
		EventStartTime: w.Now().Add(-time.Hour), EventEndTime: w.Now().Add(time.Hour), Destination: events.ReplayDestination{Arn: bus}}))
	for {
		f.mu.Lock()
		n := len(f.sent)
		f.mu.Unlock()
		if n >= b.N {
			break
		}
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	seen := map[string]bool{}
	for _, m := range f.sent {
		seen[m.body] = true
	}
	if len(seen) != b.N {
		b.Errorf("%d of %d events were delivered", len(seen), b.N)
	}
}
