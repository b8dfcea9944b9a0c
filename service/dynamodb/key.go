package dynamodb

import (
	"crypto/sha256"

	"fogbank/store"
	"fogbank/wire/attribute"
)

// Stored keys, after the table's or index's own prefix:
//
//	item   mark hash(partition key) [mark sort key]
//	entry  mark hash(index partition key) [mark escaped index sort key 0x00] mark hash(item's key)
//
// Partition keys need equality only, so 16 bytes of their hash stand for up to 2,048; sort keys stand as
// bytes that order as DynamoDB orders them. In an entry the sort key is not last, so 0x00 inside it
// becomes 0x00 0xff and a 0x00 ends it. The mark is below 0xff, as store asks of whatever follows a prefix.
const mark = 0x02

func appendPartition(b []byte, v attribute.Value) []byte {
	h := v.Hash()
	return append(append(b, mark), h[:]...)
}

// appendEscaped appends the bytes of a sort key so that another part may follow, without the end.
func appendEscaped(b []byte, v attribute.Value) []byte {
	if v.Type() == attribute.TypeN {
		var scratch [32]byte
		return escape(b, v.AppendKey(scratch[:0]))
	}
	return escape(b, v.Text())
}

func escape[T string | []byte](b []byte, s T) []byte {
	for i := range len(s) {
		b = append(b, s[i])
		if s[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return b
}

// itemKey returns the place of the item with the table's key attributes.
func (t *schema) itemKey(item attribute.Item) store.Key {
	hash, _ := item.Get(t.hash.name)
	var scratch [128]byte
	b := appendPartition(append(scratch[:0], t.prefix...), hash)
	if t.sort.name != "" {
		sort, _ := item.Get(t.sort.name)
		b = sort.AppendKey(append(b, mark))
	}
	return store.Key(b)
}

// entryKey returns the place of the item in the index; ok is false when the item lacks an index key, and
// so is not in the index.
func (x *indexSchema) entryKey(t *schema, item attribute.Item) (key store.Key, ok bool) {
	hash, ok := item.Get(x.hash.name)
	if !ok {
		return "", false
	}
	var scratch [128]byte
	b := appendPartition(append(scratch[:0], x.prefix...), hash)
	if x.sort.name != "" {
		sort, ok := item.Get(x.sort.name)
		if !ok {
			return "", false
		}
		b = append(appendEscaped(append(b, mark), sort), 0)
	}
	return store.Key(t.appendIdentity(b, item)), true
}

// appendIdentity appends a hash of the item's whole key.
func (t *schema) appendIdentity(b []byte, item attribute.Item) []byte {
	var scratch [256]byte
	hash, _ := item.Get(t.hash.name)
	text := append(escape(scratch[:0], hash.Text()), 0)
	if t.sort.name != "" {
		sort, _ := item.Get(t.sort.name)
		text = append(text, sort.Text()...)
	}
	sum := sha256.Sum256(text)
	return append(append(b, mark), sum[:16]...)
}

// successor returns the first key after all that begin with b.
func successor(b []byte) store.Key {
	end := append([]byte(nil), b...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return store.Key(end[:i+1])
		}
	}
	return ""
}
