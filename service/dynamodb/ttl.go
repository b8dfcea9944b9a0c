package dynamodb

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// Items with an expiry stand in ttlRows under (table's ID, minute of the expiry, item's key), and a timer for
// each such minute sweeps them when it is over: so an item goes within a minute of its time, and
// nothing looks when nothing is due.
var (
	ttlRows  = store.NewTable[[]byte]("dynamodb/ttl", store.Regional)
	expiries = store.NewTimers[string]("dynamodb/expiry") // (table's ID, minute) → table name
)

// tooOld is how far in the past an expiry is no longer taken for one.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html
const tooOld = 5 * 365 * 24 * time.Hour

func (t *schema) expires() bool { return t.TTL != nil && t.TTL.Enabled }

// expiry returns the minute in which the item expires, counted from 1970.
func (t *schema) expiry(item attribute.Item) (minute int64, ok bool) {
	v, ok := item.Get(t.TTL.Attribute)
	if !ok || v.Type() != attribute.TypeN {
		return 0, false
	}
	whole, _, _ := strings.Cut(v.Text(), ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return 0, false
	}
	return seconds / 60, true
}

func (t *schema) minuteKey(minute int64) store.Key { return store.K(t.ID, minute) }

// expire keeps the item's row of expiry in step with it.
func (w *write) expire(tx *store.Tx) {
	if !w.t.expires() {
		return
	}
	was, had := int64(0), false
	if w.old != nil {
		was, had = w.t.expiry(w.old)
	}
	is, has := int64(0), false
	if w.new != nil {
		is, has = w.t.expiry(w.new)
	}
	if had && (!has || was != is) {
		ttlRows.Delete(tx, w.t.minuteKey(was)+w.key)
	}
	if has && (!had || was != is) {
		w.t.setExpiry(tx, is, w.key)
	}
}

func (t *schema) setExpiry(tx *store.Tx, minute int64, key store.Key) {
	id := t.minuteKey(minute)
	ttlRows.Put(tx, id+key, nil)
	if _, set := expiries.Due(tx, id); !set {
		expiries.Set(tx, id, time.Unix((minute+1)*60, 0), t.Name)
	}
}

// sweepAtOnce is how many items a sweep deletes in one transaction.
const sweepAtOnce = 100

// sweep deletes the items of one minute that have expired, as DynamoDB itself.
func (s *Service) sweep(ctx context.Context, id store.Key, name string) error {
	for more := true; more; {
		now := s.world.Now()
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			more = false
			t, ok, err := schemas.Get(tx, tableKey(name))
			if err != nil || !ok {
				return err
			}
			var id64 uint64
			var minute int64
			if err := id.Parse(&id64, &minute); err != nil {
				return err
			}
			if t.ID != id64 || !t.expires() {
				return nil
			}
			more = t.sweep(tx, id, minute, now)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes up to sweepAtOnce items of the minute and reports whether there may be more.
func (t *schema) sweep(tx *store.Tx, id store.Key, minute int64, now time.Time) (more bool) {
	var due []store.Key
	for key := range ttlRows.Keys(tx, store.Range{Prefix: id, Limit: sweepAtOnce}) {
		due = append(due, key[len(id):])
	}
	for _, key := range due {
		w := &write{kind: deleteItem, t: t, key: key, by: byTTL}
		item, ok := items.Get(tx, key)
		if is, has := t.expiry(item); !ok || !has || is != minute || now.Sub(time.Unix(minute*60, 0)) > tooOld {
			ttlRows.Delete(tx, id+key)
			continue
		}
		if err := w.run(tx, now); err != nil {
			panic("dynamodb: an unconditional delete failed: " + err.Error())
		}
	}
	return len(due) == sweepAtOnce
}

// DescribeTimeToLive returns the table's setting.
func (s *Service) DescribeTimeToLive(ctx context.Context, in *dynamodb.DescribeTimeToLiveInput) (*dynamodb.DescribeTimeToLiveOutput, error) {
	var t *schema
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		t, err = anySchema(tx, tableName(in.TableName))
		return err
	})
	if err != nil || t.restoring() {
		return nil, noSuchTable(cmp.Or(err, error(errNoTable)), in.TableName)
	}
	if t.absent() {
		return nil, validation("Cannot describe time to live while table is in %[1]s state: Current table state is %[1]s", t.status())
	}
	d := &dynamodb.TimeToLiveDescription{TimeToLiveStatus: new(dynamodb.TimeToLiveStatusDisabled)}
	if t.expires() {
		d = &dynamodb.TimeToLiveDescription{TimeToLiveStatus: new(dynamodb.TimeToLiveStatusEnabled), AttributeName: new(t.TTL.Attribute)}
	}
	return &dynamodb.DescribeTimeToLiveOutput{TimeToLiveDescription: d}, nil
}

// UpdateTimeToLive turns expiry on or off. Items that are there already are entered in the background.
func (s *Service) UpdateTimeToLive(ctx context.Context, in *dynamodb.UpdateTimeToLiveInput) (*dynamodb.UpdateTimeToLiveOutput, error) {
	spec := in.TimeToLiveSpecification
	now := s.world.Now()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		t, ok := tableIn(tx, tableName(in.TableName))
		if !ok {
			return noSuchTable(errNoTable, in.TableName)
		}
		enabled := t.TTL != nil && t.TTL.Enabled
		switch {
		case spec.Enabled && enabled && t.TTL.Attribute != spec.AttributeName:
			return validation("TimeToLive is active on a different AttributeName: current AttributeName is %s", t.TTL.Attribute)
		case spec.Enabled && enabled:
			return validation("TimeToLive is already enabled")
		case !spec.Enabled && !enabled:
			return validation("TimeToLive is already disabled")
		case !spec.Enabled && t.TTL.Attribute != spec.AttributeName:
			return validation("TimeToLive is active on a different AttributeName: current AttributeName is %s", t.TTL.Attribute)
		}
		t.TTL = &ttl{spec.AttributeName, spec.Enabled, now}
		t.Version++
		tables.Put(tx, store.K(t.Name), t)
		if spec.Enabled {
			fills.Set(tx, store.K(t.ID, 0), now, fillJob{Table: t.Name})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.UpdateTimeToLiveOutput{TimeToLiveSpecification: &spec}, nil
}
