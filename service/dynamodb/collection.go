package dynamodb

import (
	"fogbank/api/dynamodb"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// collections are the sizes in bytes of item collections, at (table's ID, hash of the partition key), for tables with local indexes:
// of the items with one partition key and of all that local indexes project of them. A write adds what it changes; a
// collection without a row is added up first: a new one has nothing to be read, one made by an older version is read once.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ItemCollectionMetrics.html
var collections = store.NewTable[int64]("dynamodb/collection", store.Regional)

// maxCollection is the most an item collection may hold.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html#LSI.ItemCollections.SizeLimit
const maxCollection = 10 << 30

var errCollection = dynamodb.ItemCollectionSizeLimitExceededException("Collection size exceeded.")

// hashLength is the length of a hashed partition key in a stored key, with its mark.
const hashLength = 1 + 16

// collected reports whether the table's items form collections, which is when it has local indexes.
func (t *schema) collected() bool { return len(t.locals) > 0 }

// collectionOf returns the key of the collection that the item with the stored key belongs to.
func (t *schema) collectionOf(key store.Key) store.Key { return key[:len(t.prefix)+hashLength] }

// weigh is what the item adds to its collection; nothing for no item.
func (t *schema) weigh(item attribute.Item) (size int64) {
	if item == nil {
		return 0
	}
	size = int64(item.Size())
	for _, x := range t.locals {
		if _, ok := x.entryKey(t, item); ok {
			size += int64(x.project(item).Size())
		}
	}
	return size
}

// collectionSize returns the size of a collection.
func (t *schema) collectionSize(tx *store.Tx, collection store.Key) int64 {
	size, ok := collections.Get(tx, collection)
	if ok {
		return size
	}
	for _, item := range items.Scan(tx, store.Range{Prefix: collection}) {
		size += t.weigh(item)
	}
	return size
}

// setCollectionSize keeps the size of a collection.
func setCollectionSize(tx *store.Tx, collection store.Key, size int64) {
	if size == 0 {
		collections.Delete(tx, collection)
	} else {
		collections.Put(tx, collection, size)
	}
}

// grow finds the size that the write's collection will have, and refuses to let it grow beyond the limit. changed tells
// whether it differs from what it was.
func (w *write) grow(tx *store.Tx) (changed bool, err error) {
	if !w.t.collected() {
		return false, nil
	}
	more := w.t.weigh(w.new) - w.t.weigh(w.old)
	if more == 0 && !w.measure {
		return false, nil
	}
	w.collection = w.t.collectionSize(tx, w.t.collectionOf(w.key)) + more
	if w.on != nil && more > 0 && w.collection > w.on.maxCollection {
		return false, errCollection
	}
	return more != 0, nil
}

// measured notes whether the request asks for ItemCollectionMetrics.
func (w *write) measured(mode *string) {
	w.measure = mode != nil && *mode == dynamodb.ReturnItemCollectionMetricsSize
}

// metrics returns the ItemCollectionMetrics of the write, nil when they were not asked for or the table has no local indexes. The
// estimate is the whole number of GB below the size, and the next.
func (w *write) metrics() *dynamodb.ItemCollectionMetrics {
	if !w.measure || !w.t.collected() {
		return nil
	}
	hash, _ := w.keys.Get(w.t.hash.name)
	least := float64(w.collection >> 30)
	return &dynamodb.ItemCollectionMetrics{
		ItemCollectionKey:   attribute.MakeItem(attribute.Attribute{Name: w.t.hash.name, Value: hash}),
		SizeEstimateRangeGB: []float64{least, least + 1},
	}
}

// collectionMetrics are those of a request of several writes, by table: each collection once, as the last write left it.
type collectionMetrics map[string][]dynamodb.ItemCollectionMetrics

func (c *collectionMetrics) add(table string, w *write) {
	m := w.metrics()
	if m == nil {
		return
	}
	if *c == nil {
		*c = collectionMetrics{}
	}
	for i := range (*c)[table] {
		if (*c)[table][i].ItemCollectionKey.Equal(m.ItemCollectionKey) {
			(*c)[table][i] = *m
			return
		}
	}
	(*c)[table] = append((*c)[table], *m)
}
