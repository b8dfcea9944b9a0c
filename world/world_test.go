package world

import (
	"context"
	"regexp"
	"testing"
	"testing/synctest"
	"time"
)

// TestTravel: travelling moves Now and whoever waits, not Wall.
func TestTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Seeded(1)
		begin, woken := w.Now(), make(chan bool)
		go func() { woken <- w.Wait(context.Background(), nil, time.Hour) }()
		synctest.Wait()
		w.Travel(30 * time.Minute)
		synctest.Wait()
		select {
		case <-woken:
			t.Fatal("woken after half its time")
		default:
		}
		w.Travel(30 * time.Minute)
		if <-woken {
			t.Error("nobody woke it")
		}
		if got := w.Now().Sub(begin); got != time.Hour {
			t.Errorf("moved by %v", got)
		}
		if got := w.Wall(); !got.Equal(begin) {
			t.Errorf("the wall clock moved to %v", got)
		}
	})
}

func TestWaitIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, wake := Seeded(1), make(chan struct{})
		close(wake)
		if !w.Wait(context.Background(), wake, 0) || !w.Wait(context.Background(), wake, time.Hour) {
			t.Error("a closed channel wakes")
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if w.Wait(ctx, nil, time.Hour) {
			t.Error("an ended context is not a wake-up")
		}
	})
}

func TestSeeded(t *testing.T) {
	a, b := Seeded(7), Seeded(7)
	if x, y := a.UUID(), b.UUID(); x != y {
		t.Errorf("the same seed gave %s and %s", x, y)
	}
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if id := New().UUID(); !form.MatchString(id) {
		t.Errorf("%s is not a UUID of version 4", id)
	}
	if a.Text(20, "ab") != b.Text(20, "ab") || a.Hex(3) != b.Hex(3) {
		t.Error("the same seed gave two texts")
	}
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ended := New(), false
		w.Go(func(ctx context.Context) { <-ctx.Done(); ended = true })
		w.Stop()
		if !ended {
			t.Error("Stop did not wait for the work")
		}
	})
}
