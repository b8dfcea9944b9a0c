package scheduler

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"fogbank/api/sqs"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// BenchmarkDue fires b.N one-time schedules that are all due: each is one operation. The figure to hold is 100,000 within a minute.
func BenchmarkDue(b *testing.B) {
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
	var fired atomic.Int64
	done := make(chan struct{})
	far := func(_ context.Context, op *wire.Operation, _ any) (any, error) {
		switch op.Name {
		case "AssumeRole":
			return &sts.AssumeRoleOutput{Credentials: &sts.Credentials{}, AssumedRoleUser: &sts.AssumedRoleUser{}}, nil
		default:
			if fired.Add(1) == int64(b.N) {
				close(done)
			}
			return &sqs.SendMessageOutput{}, nil
		}
	}
	s := New(db, w, Options{Service: far, Role: far})
	ctx := aws.WithCall(b.Context(), &aws.Call{Account: "000000000000", Region: "us-east-1"})
	at := w.Now().Truncate(time.Second)
	for i := 0; i < b.N; i += 500 {
		err := db.Update(ctx, func(tx *store.Tx) error {
			for j := i; j < min(i+500, b.N); j++ {
				r := record{Group: defaultGroup, Name: string(store.K(j)), Expression: "at(" + at.Format("2006-01-02T15:04:05") + ")", Next: at, Created: at,
					DeleteAfter: true, Target: target{ARN: "arn:aws:sqs:us-east-1:000000000000:q", Role: "arn:aws:iam::000000000000:role/r", Attempts: 1, Age: 60}}
				r.put(tx)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	s.Start()
	<-done
}
