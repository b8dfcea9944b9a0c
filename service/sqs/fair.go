package sqs

import (
	"slices"

	"fogbank/store"
)

// A standard queue is fair when messages with groups are sent to it: a group with more than its share of the
// messages in flight is noisy, and its visible messages are handed out only when no others are there, those of
// the noisy group with the fewest in flight first. Receivers that meet messages of a noisy group put them aside, into lanes.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
var (
	// lanes is keyed space/group/due/slot: visible messages that were put aside, instead of their rows in dues.
	lanes = store.NewTable[state]("sqs/lane", store.Regional)
	// tenants is keyed space/group: how many messages of the group were received and are neither deleted nor received again.
	tenants = store.NewTable[total]("sqs/tenant", store.Regional)
	// flown is keyed space/part: as many of all messages, while the queue is fair.
	flown = store.NewTable[total]("sqs/flown", store.Regional)
)

const (
	noisyLeast = 30  // messages in flight that make a group noisy, if they are also
	noisyShare = 10  // more than one in so many of all in flight
	laneMoves  = 256 // messages put aside by one receiver
	lanesRead  = 64  // groups with messages aside that one receiver looks at
)

func laneKey(space uint64, group string, due int64, at slot) store.Key {
	return store.K(space, group, due, at.At, at.Tie)
}

// beFair makes the queue fair.
func (q *live) beFair(tx *store.Tx) {
	if f := q.front(tx); !f.Fair {
		f.Fair = true
		fronts.Put(tx, store.K(q.Space), f)
	}
}

// flown counts a message of a fair queue into or out of those in flight.
func (q *live) flown(tx *store.Tx, at slot, group string, n total) {
	if !q.front(tx).Fair {
		return
	}
	key := store.K(q.Space, at.Tie%totalParts)
	have, _ := flown.Get(tx, key)
	flown.Put(tx, key, max(have+n, 0))
	if group != "" {
		key = store.K(q.Space, group)
		have, _ = tenants.Get(tx, key)
		tenants.Put(tx, key, max(have+n, 0))
	}
}

// noise returns how many messages a group has in flight, and whether that makes it noisy.
func (r *receiver) noise(group string) (n total, noisy bool) {
	n, _ = tenants.Get(r.tx, store.K(r.queue.Space, group))
	if n < noisyLeast {
		return n, false
	}
	return n, n*noisyShare > sum(r.tx, flown, r.queue.Space)
}

// putAside moves a visible message of a noisy group into its lane and reports whether it did.
func (r *receiver) putAside(w *row) bool {
	if w.Group == "" {
		return false
	}
	if _, known := r.noisy[w.Group]; !known {
		if r.noisy == nil {
			r.noisy = map[string]bool{}
		}
		_, r.noisy[w.Group] = r.noise(w.Group)
	}
	if !r.noisy[w.Group] {
		return false
	}
	r.moves++
	dues.Delete(r.tx, w.key)
	lanes.Put(r.tx, laneKey(r.queue.Space, w.Group, w.Due, w.at), w.state)
	return true
}

// hasLane tells whether messages are put aside.
func (q *live) hasLane(tx *store.Tx) bool {
	if q.front(tx).Fair {
		for range lanes.Keys(tx, store.Range{Prefix: store.K(q.Space), Limit: 1}) {
			return true
		}
	}
	return false
}

// asideRows returns up to n messages put aside.
func (r *receiver) asideRows(n int) (rows []row) {
	if n <= 0 {
		return nil
	}
	for key, st := range lanes.Scan(r.tx, store.Range{Prefix: store.K(r.queue.Space), Limit: n}) {
		rows = append(rows, laneRow(key, st))
	}
	return rows
}

func laneRow(key store.Key, st state) row {
	w := row{state: st, key: key}
	if err := key.Parse(nil, nil, &w.Due, &w.at.At, &w.at.Tie); err != nil {
		panic("sqs: a row of sqs/lane has a key of another form")
	}
	return w
}

// lane is a group with messages put aside.
type lane struct {
	group  string
	flying total
	noisy  bool
}

// lanesNow returns the groups with messages put aside: those that are quiet again, then the noisy ones, of both those with the
// fewest in flight first.
func (r *receiver) lanesNow() (list []lane) {
	at := store.Range{Prefix: store.K(r.queue.Space), Limit: 1}
	for range lanesRead {
		found := false
		for key := range lanes.Keys(r.tx, at) {
			found = true
			var group string
			var rest store.Key
			if err := key.Parse(nil, &group, &rest); err != nil {
				panic("sqs: a row of sqs/lane has a key of another form")
			}
			n, noisy := r.noise(group)
			list = append(list, lane{group, n, noisy})
			at.From = store.K(r.queue.Space, group) + "\xff" // no part of a key begins with it
		}
		if !found {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b lane) int {
		if a.noisy != b.noisy {
			if a.noisy {
				return 1
			}
			return -1
		}
		return int(a.flying - b.flying)
	})
	return list
}

// receiveLanes hands out messages put aside, of quiet or of noisy groups, until there are want in all.
func (r *receiver) receiveLanes(noisy bool, want int, horizon int64) error {
	for _, l := range r.lanesNow() {
		if l.noisy != noisy {
			continue
		}
		at := store.Range{Prefix: store.K(r.queue.Space, l.group), Limit: maxBatch}
		for key, st := range lanes.Scan(r.tx, at) {
			if len(r.list) >= want {
				return nil
			}
			w := laneRow(key, st)
			if err := r.decide(&w, horizon); err != nil {
				return err
			}
		}
	}
	return nil
}
