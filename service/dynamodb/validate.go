package dynamodb

import (
	"fogbank/api/dynamodb"
	"fogbank/wire/attribute"
)

// Limits of items and keys.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
const (
	maxItem = 400 << 10
	maxHash = 2048
	maxSort = 1024
)

const invalidParameter = "One or more parameter values were invalid: "

// The refusals of values that are too large for the table's key. DynamoDB's own words, the missing blank too.
var (
	errHashSize = validation(invalidParameter + "Size of hashkey has exceeded the maximum size limit of2048 bytes")
	errSortSize = validation(invalidParameter + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
)

var errItemSize = validation("Item size has exceeded the maximum allowed size")

func validation(format string, args ...any) error {
	return dynamodb.ValidationException(format, args...)
}

// checkItem refuses an item that cannot be put into the table.
func (t *schema) checkItem(item attribute.Item) error {
	for _, k := range [...]keyAttribute{t.hash, t.sort} {
		if k.name == "" {
			continue
		}
		v, ok := item.Get(k.name)
		if !ok {
			return validation(invalidParameter+"Missing the key %s in the item", k.name)
		}
		if v.Type() != k.typ {
			return validation(invalidParameter+"Type mismatch for key %s expected: %s actual: %s", k.name, k.typ, v.Type())
		}
	}
	if err := t.checkKeyValues(item); err != nil {
		return err
	}
	if err := t.checkIndexKeys(item); err != nil {
		return err
	}
	if item.Size() > maxItem {
		return errItemSize
	}
	return nil
}

// checkKeyValues refuses empty and oversized values of the table's key.
func (t *schema) checkKeyValues(item attribute.Item) error {
	hash, _ := item.Get(t.hash.name)
	if err := notEmpty(t.hash.name, hash); err != nil {
		return err
	}
	if hash.Size() > maxHash {
		return errHashSize
	}
	if t.sort.name == "" {
		return nil
	}
	sort, _ := item.Get(t.sort.name)
	if err := notEmpty(t.sort.name, sort); err != nil {
		return err
	}
	if sort.Size() > maxSort {
		return errSortSize
	}
	return nil
}

func notEmpty(name string, v attribute.Value) error {
	if what := emptyKind(v); what != "" {
		return validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", what, name)
	}
	return nil
}

func emptyKind(v attribute.Value) string {
	switch {
	case v.Len() > 0:
		return ""
	case v.Type() == attribute.TypeS:
		return "string"
	case v.Type() == attribute.TypeB:
		return "binary"
	}
	return ""
}

// checkIndexKeys refuses values that cannot be keys of the table's indexes.
func (t *schema) checkIndexKeys(item attribute.Item) error {
	for _, x := range t.indexes {
		for _, k := range [...]keyAttribute{x.hash, x.sort} {
			v, ok := item.Get(k.name)
			if !ok || k.name == "" || t.isKey(k.name) {
				continue
			}
			if v.Type() != k.typ {
				return validation(invalidParameter+"Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", k.name, k.typ, v.Type(), x.Name)
			}
			if what := emptyKind(v); what != "" {
				return validation("One or more parameter values are not valid. A value specified for a secondary index key is not supported. "+
					"The AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %s, IndexKey: %s", what, x.Name, k.name)
			}
			most := maxSort
			if k == x.hash {
				most = maxHash
			}
			if v.Size() > most {
				return validation(invalidParameter+"Size limit exceeded for Index Key %s Actual Size: %d bytes Max Size: %d bytes IndexName: %s", k.name, v.Size(), most, x.Name)
			}
		}
	}
	return nil
}

// checkKeyTypes refuses an item without the table's key, or with one of another type, as BatchWriteItem does.
func (t *schema) checkKeyTypes(item attribute.Item) error {
	for _, k := range [...]keyAttribute{t.hash, t.sort} {
		if v, ok := item.Get(k.name); k.name != "" && (!ok || v.Type() != k.typ) {
			return errKey
		}
	}
	return nil
}

const wrongKey = "The provided key element does not match the schema"

var errKey = validation(wrongKey)

// checkKey refuses a Key parameter that is not exactly the table's key.
func (t *schema) checkKey(key attribute.Item) error {
	want := 1
	if t.sort.name != "" {
		want = 2
	}
	if len(key) != want {
		return errKey
	}
	if err := t.checkKeyTypes(key); err != nil {
		return err
	}
	return t.checkKeyValues(key)
}

// deref returns *p, or the zero value of an absent member.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
