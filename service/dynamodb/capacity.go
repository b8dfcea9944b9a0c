package dynamodb

import (
	"fogbank/api/dynamodb"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// used is the capacity one table's part of a request consumed.
type used struct {
	table   float64
	indexes map[string]float64 // by name; nil until one is touched
}

func (u *used) add(index string, units float64) {
	if index == "" {
		u.table += units
		return
	}
	if u.indexes == nil {
		u.indexes = map[string]float64{}
	}
	u.indexes[index] += units
}

func asked(mode *string) bool {
	return mode != nil && *mode != dynamodb.ReturnConsumedCapacityNone
}

// report returns the ConsumedCapacity a request asked for with mode, nil when it did not.
func (u *used) report(mode *string, t *schema, name string) *dynamodb.ConsumedCapacity {
	if !asked(mode) {
		return nil
	}
	total := u.table
	for _, units := range u.indexes {
		total += units
	}
	c := &dynamodb.ConsumedCapacity{TableName: new(name), CapacityUnits: new(total)}
	if *mode != dynamodb.ReturnConsumedCapacityIndexes {
		return c
	}
	c.Table = &dynamodb.Capacity{CapacityUnits: new(u.table)}
	for _, x := range t.indexes {
		units, ok := u.indexes[x.Name]
		if !ok {
			continue
		}
		to := &c.GlobalSecondaryIndexes
		if x.Local {
			to = &c.LocalSecondaryIndexes
		}
		if *to == nil {
			*to = map[string]dynamodb.Capacity{}
		}
		(*to)[x.Name] = dynamodb.Capacity{CapacityUnits: new(units)}
	}
	return c
}

// blocks returns how many whole blocks cover size bytes, at least one.
func blocks(size, block int) float64 { return float64(max(1, (size+block-1)/block)) }

// readUnits is what reading size bytes costs: one for each 4 KB, half of it when eventually consistent.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
func readUnits(size int, consistent bool) float64 {
	if consistent {
		return blocks(size, 4096)
	}
	return blocks(size, 4096) / 2
}

// consumed adds what the write cost: a unit for each KB of the larger of the items before and after, and for
// each index entry removed or written.
func (w *write) consumed(u *used, times float64) {
	u.add("", times*blocks(max(w.old.Size(), w.new.Size()), 1024))
	if !w.wrote {
		return
	}
	for _, x := range w.t.indexes {
		if units := x.writeUnits(w); units > 0 {
			u.add(x.Name, times*units)
		}
	}
}

func (x *indexSchema) writeUnits(w *write) float64 {
	var was, is store.Key
	var had, has bool
	var before, after attribute.Item
	if w.old != nil {
		if was, had = x.entryKey(w.t, w.old); had {
			before = x.project(w.old)
		}
	}
	if w.new != nil {
		if is, has = x.entryKey(w.t, w.new); has {
			after = x.project(w.new)
		}
	}
	switch {
	case !had && !has || had && has && was == is && before.Equal(after):
		return 0
	case had && has && was != is:
		return blocks(before.Size(), 1024) + blocks(after.Size(), 1024)
	}
	return blocks(max(before.Size(), after.Size()), 1024)
}
