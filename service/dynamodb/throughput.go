package dynamodb

import (
	"context"
	"sync"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/world"
)

// burst is for how many seconds unused throughput is kept.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html
const burst = 300

// maxMeters bounds the meters kept; beyond it all start anew, with their bursts.
const maxMeters = 1 << 16

var (
	errThroughput = dynamodb.ProvisionedThroughputExceededException("The level of configured provisioned throughput for the table was exceeded. " +
		"Consider increasing your provisioning level with the UpdateTable API.")
	errIndexThroughput = dynamodb.ProvisionedThroughputExceededException("The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded. " +
		"Consider provisioning your under-provisioned global secondary indexes with the UpdateTable API")
)

// meters hold what is left of the throughput of tables of billing mode PROVISIONED and of their global
// indexes: a token bucket for reads and one for writes. A request is admitted while anything is left, and what it
// consumed is taken afterwards, so a bucket may be overdrawn. They are kept in memory:
// they change with every request and a restart may refill them.
type meters struct {
	world     *world.World
	unlimited bool

	mu      sync.Mutex
	buckets map[meter]bucket
}

// meter names a bucket; index is 0 for the table and its local indexes.
type meter struct {
	table uint64
	index int
	write bool
}

// bucket had so many units left at a moment.
type bucket struct {
	units float64
	at    time.Time
}

// Unlimited stops holding provisioned tables to their throughput. Call it before anything is served.
func (s *Service) Unlimited() { s.meters.unlimited = true }

// metered reports whether requests to the table are held to a throughput.
func (t *schema) metered() bool { return t.Billing == dynamodb.BillingModeProvisioned }

// spend takes units from a bucket that gains rate units a second, and reports whether anything was left before.
func (m *meters) spend(k meter, rate int64, units float64) (left bool) {
	now := m.world.Now()
	full := float64(rate) * burst
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.buckets[k]
	switch {
	case !ok && len(m.buckets) >= maxMeters, m.buckets == nil:
		m.buckets = map[meter]bucket{}
		fallthrough
	case !ok:
		b = bucket{full, now}
	case now.After(b.at):
		b.units = min(full, b.units+float64(rate)*now.Sub(b.at).Seconds())
		b.at = now
	}
	left = b.units > 0
	b.units -= units
	m.buckets[k] = b
	return left
}

// readMeter is the bucket that reads of a table or index draw from, and its rate.
func (t *schema) readMeter(x *indexSchema) (meter, int64) {
	if x != nil && !x.Local {
		return meter{t.ID, x.ID, false}, x.Throughput.Read
	}
	return meter{t.ID, 0, false}, t.Throughput.Read
}

// admitRead refuses a read of the table, or of its index x, whose throughput is spent.
func (m *meters) admitRead(t *schema, x *indexSchema) error {
	if !t.metered() || m.unlimited {
		return nil
	}
	k, rate := t.readMeter(x)
	switch {
	case m.spend(k, rate, 0):
		return nil
	case k.index != 0:
		return errIndexThroughput
	}
	return errThroughput
}

// chargeRead takes what a read consumed.
func (m *meters) chargeRead(t *schema, x *indexSchema, units float64) {
	if t.metered() && !m.unlimited {
		k, rate := t.readMeter(x)
		m.spend(k, rate, units)
	}
}

// admit refuses the write when the throughput of its table is spent.
func (m *meters) admit(w *write) error {
	if !w.t.metered() || m.unlimited || m.spend(meter{w.t.ID, 0, true}, w.t.Throughput.Write, 0) {
		return nil
	}
	return errThroughput
}

// admitEntries refuses the write when it changes a global index whose throughput is spent.
func (m *meters) admitEntries(w *write) error {
	if !w.t.metered() || m.unlimited {
		return nil
	}
	for _, x := range w.t.indexes {
		if !x.Local && x.writeUnits(w) > 0 && !m.spend(meter{w.t.ID, x.ID, true}, x.Throughput.Write, 0) {
			return errIndexThroughput
		}
	}
	return nil
}

// charge takes what the write consumed, done or refused by its condition, times 2 in transactions.
func (m *meters) charge(w *write, times float64) {
	if !w.t.metered() || m.unlimited {
		return
	}
	var u used
	w.consumed(&u, times)
	table := u.table
	for _, x := range w.t.indexes {
		if x.Local {
			table += u.indexes[x.Name]
		} else if units := u.indexes[x.Name]; units > 0 {
			m.spend(meter{w.t.ID, x.ID, true}, x.Throughput.Write, units)
		}
	}
	m.spend(meter{w.t.ID, 0, true}, w.t.Throughput.Write, table)
}

// spent reports whether err says that throughput was exceeded.
func spent(err error) bool { return err == errThroughput || err == errIndexThroughput }

// commitBatch commits the writes of a batch, as many to a transaction as fit well. Those of metered tables have one
// each, since some of them may be refused: refused tells which, and why the last one was.
func (s *Service) commitBatch(ctx context.Context, writes []*write) (refused []bool, last error, err error) {
	refused = make([]bool, len(writes))
	var rest []*write
	for i, w := range writes {
		if !w.t.metered() || s.meters.unlimited {
			rest = append(rest, w)
			continue
		}
		err := s.commit(ctx, writes[i:i+1])
		if we, ok := err.(*writeError); ok && spent(we.err) {
			refused[i], last = true, we.err
		} else if err != nil {
			return nil, nil, err
		}
	}
	return refused, last, s.commitInParts(ctx, rest)
}

// The rules about decreases within one UTC day.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
const (
	freeDecreases = 4
	decreaseEvery = time.Hour
	decreaseStamp = "Monday, January 2, 2006 3:04:05 PM MST"
)

// today is how many times the throughput was lowered on the day of now.
func (p throughput) today(now time.Time) int64 {
	if p.Decreased.UTC().Truncate(24 * time.Hour).Equal(now.UTC().Truncate(24 * time.Hour)) {
		return p.Decreases
	}
	return 0
}

// to returns p changed to read and write units, with the moment noted, or refuses to lower it once more today.
func (p throughput) to(read, write int64, now time.Time) (throughput, error) {
	q := throughput{Read: read, Write: write, Increased: p.Increased, Decreased: p.Decreased, Decreases: p.Decreases}
	if read > p.Read || write > p.Write {
		q.Increased = now
	}
	if read < p.Read || write < p.Write {
		n := p.today(now)
		if next := p.Decreased.Add(decreaseEvery); n >= freeDecreases && now.Before(next) {
			return p, dynamodb.LimitExceededException("Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. "+
				"After the first %d decreases, each subsequent decrease in the same UTC day can be performed at most once every %d seconds. "+
				"Number of decreases today: %d. Last decrease at %s. Next decrease can be made at %s",
				freeDecreases, int(decreaseEvery.Seconds()), n, p.Decreased.UTC().Format(decreaseStamp), next.UTC().Format(decreaseStamp))
		}
		q.Decreased, q.Decreases = now, n+1
	}
	return q, nil
}
