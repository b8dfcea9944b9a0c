package source

import (
	"context"
	"encoding/json"
	"time"

	"fogbank/aws"
	"fogbank/store"
)

// Tumbling windows: a record belongs to the window in which it was written, and the consumer is handed, with every batch of a
// window, the state it answered last. The state is stored with the position.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html
const (
	// MaxState is the size of a state, in bytes of JSON, beyond which a window is ended early.
	MaxState = 1 << 20
	// windowGrace is how long after its end a window waits for records that come late. AWS waits for up to two minutes.
	windowGrace = 5 * time.Second
)

// Window is an open tumbling window of a lane.
type Window struct {
	Start, End time.Time
	State      json.RawMessage `json:",omitempty"` // what the consumer answered last; nil: nothing yet
	Early      bool            `json:",omitempty"` // it is to be ended before its time
}

// openWindows are the open windows: (consumer, shard, lane) → window.
var openWindows = store.NewTable[Window]("source/window", store.Regional)

// endOfWindow stands for the end of the open window among the records of a lane.
var endOfWindow = []Record{{}}

func isEndOfWindow(records []Record) bool { return records[0].JSON == nil }

// windows is what a lane's reader knows of its windows.
type windows struct {
	loaded    bool
	open      *Window     // nil: none
	left      []store.Key // windows of lanes there were before, which the first lane ends
	changed   bool        // open is to be stored
	gathering bool        // a batch is being read, whose window ends at until
	until     time.Time
	full      bool // the next record is of a later window
}

// ending reports whether the open window is to be ended before more is delivered.
func (w *windows) ending() bool { return w.open != nil && w.open.Early }

// windowKey is where the lane's window is stored.
func (h *laneReader) windowKey() store.Key { return store.K(h.Name, h.shard, h.laneName(h.lane)) }

func (h *laneReader) tenant(ctx context.Context) context.Context {
	return aws.WithCall(ctx, &aws.Call{Account: h.Account, Region: h.Region})
}

// loadWindows reads, once, the windows an earlier life left open. One that does not fit what windows are now ends early.
func (h *laneReader) loadWindows(ctx context.Context) error {
	if h.windows.loaded {
		return nil
	}
	lanes := map[string]bool{}
	for lane := range max(h.Parallel, 1) {
		lanes[h.laneName(lane)] = true
	}
	return h.DB.View(h.tenant(ctx), func(tx *store.Tx) error {
		h.windows = windows{loaded: true}
		for key, w := range openWindows.All(tx, store.K(h.Name, h.shard)) {
			var lane string
			if err := key.Parse(nil, nil, &lane); err != nil {
				return err
			}
			switch {
			case lane == h.laneName(h.lane):
				w.Early = w.Early || w.End.Sub(w.Start) != h.Tumbling
				h.windows.open = &w
			case h.lane == 0 && !lanes[lane]:
				h.windows.left = append(h.windows.left, key)
			}
		}
		return nil
	})
}

// begin is relay.TailOptions.Begin.
func (h *laneReader) begin() {
	h.windows.gathering, h.windows.full, h.windows.until = false, false, time.Time{}
}

// overdue reports whether a window is to be ended before anything is read.
func (h *laneReader) overdue() bool {
	return !h.windows.gathering && (len(h.windows.left) > 0 || h.windows.ending())
}

// later reports whether a record written at a time is of a later window than the batch that is being read. A record that
// comes late counts for the window that is open.
func (h *laneReader) later(at time.Time) bool {
	w := &h.windows
	if h.Tumbling == 0 {
		return false
	}
	if w.until.IsZero() {
		_, w.until = h.bounds(at)
		if w.open != nil {
			w.until = w.open.End
		}
	}
	w.full = !at.Before(w.until)
	return w.full
}

// bounds are the ends of the window of a time.
func (h *laneReader) bounds(at time.Time) (start, end time.Time) {
	length := int64(h.Tumbling / time.Second)
	start = time.Unix(at.Unix()-at.Unix()%length, 0).UTC()
	return start, start.Add(h.Tumbling)
}

// over reports whether the open window, of which nothing more was found, is over: because the shard ends, or because
// nothing at all was found and its time is up.
func (h *laneReader) over(shardEnds, quiet bool) bool {
	w := &h.windows
	return w.open != nil && !w.gathering && (shardEnds || quiet && !h.World.Now().Before(w.open.End.Add(windowGrace)))
}

// again is relay.TailOptions.Again: when the open window is over.
func (h *laneReader) again() time.Time {
	if h.windows.open == nil {
		return time.Time{}
	}
	return h.windows.open.End.Add(windowGrace)
}

// urgent is relay.TailOptions.Urgent.
func (h *laneReader) urgent(records []Record) bool { return h.windows.full || isEndOfWindow(records) }

// hand gives records to the consumer, with their window.
func (h *laneReader) hand(ctx context.Context, records []Record) (int, error) {
	if h.Tumbling == 0 {
		return h.Deliver(ctx, records)
	}
	var w Window
	if h.windows.open != nil {
		w = *h.windows.open
	} else {
		w.Start, w.End = h.bounds(records[0].At)
	}
	n, err := h.Aggregate(ctx, h.shard, records, &w)
	if err == nil || n > 0 {
		w.Early = len(w.State) > MaxState
		h.windows.open, h.windows.changed = &w, true
	}
	return n, err
}

// endWindow makes the last call for a window that is over, then for those of earlier lanes.
func (h *laneReader) endWindow(ctx context.Context) error {
	if len(h.windows.left) > 0 {
		return h.endLeft(ctx)
	}
	w := *h.windows.open
	if _, err := h.Aggregate(ctx, h.shard, nil, &w); err != nil {
		return err
	}
	h.windows.open, h.windows.changed = nil, true
	if w.Early && w.End.Sub(w.Start) == h.Tumbling {
		h.windows.open = &Window{Start: w.Start, End: w.End} // it goes on without the state
	}
	return nil
}

// endLeft ends the windows of lanes there are no more.
func (h *laneReader) endLeft(ctx context.Context) error {
	for len(h.windows.left) > 0 {
		key := h.windows.left[0]
		var w Window
		err := h.DB.View(h.tenant(ctx), func(tx *store.Tx) error {
			w, _ = openWindows.Get(tx, key)
			return nil
		})
		if err != nil {
			return err
		}
		w.Early = true
		if _, err := h.Aggregate(ctx, h.shard, nil, &w); err != nil {
			return err
		}
		err = h.DB.Update(h.tenant(ctx), func(tx *store.Tx) error {
			openWindows.Delete(tx, key)
			return nil
		})
		if err != nil {
			return err
		}
		h.windows.left = h.windows.left[1:]
	}
	return nil
}

// saveWindow is relay.TailOptions.Also.
func (h *laneReader) saveWindow(tx *store.Tx) {
	switch {
	case !h.windows.changed:
	case h.windows.open == nil:
		openWindows.Delete(tx, h.windowKey())
	default:
		openWindows.Put(tx, h.windowKey(), *h.windows.open)
	}
}
