package dynamodb

import (
	"context"
	"strings"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// table is the stored record of a table. ID is never used again, so the items of a deleted table and of one
// created later under its name do not mix; Version grows with every change.
type table struct {
	ID         uint64
	Version    uint64
	ARN        aws.ARN
	Name       string
	Status     string    `json:",omitempty"` // CREATING, UPDATING or DELETING while that lasts
	Ends       time.Time `json:",omitzero"`  // when the Status does
	Change     *change   `json:",omitempty"` // what an UPDATING table is changing, besides its indexes
	UUID       string
	Created    time.Time
	Attributes []dynamodb.AttributeDefinition
	Keys       []dynamodb.KeySchemaElement
	Indexes    []index `json:",omitempty"`
	LastIndex  int     `json:",omitempty"` // numbers of indexes are not used again either
	Billing    string
	Throughput throughput
	Wanted     *throughput `json:",omitempty"` // the throughput when the Status ends
	OnDemand   time.Time   `json:",omitzero"`  // when it last became PAY_PER_REQUEST
	Stream     *stream     `json:",omitempty"`
	TTL        *ttl        `json:",omitempty"`
	Class      string      `json:",omitempty"`
	Protected  bool        `json:",omitempty"`
	Encryption *encryption
	Tags       map[string]string `json:",omitempty"`
	Policy     *policyDocument   `json:",omitempty"`
	Recovery   *recovery         `json:",omitempty"` // point-in-time recovery, nil when it is off
	Copying    int               `json:",omitempty"` // how many backups and restores are reading the table
	Restored   *restored         `json:",omitempty"` // where a restored table comes from
}

type throughput struct {
	Read, Write int64
	Increased   time.Time `json:",omitzero"`
	Decreased   time.Time `json:",omitzero"`
	Decreases   int64     `json:",omitempty"` // on the UTC day of Decreased
}

// index is a secondary index of a table.
type index struct {
	ID         int
	Name       string
	Local      bool `json:",omitempty"`
	Keys       []dynamodb.KeySchemaElement
	Projection string   // ALL, KEYS_ONLY or INCLUDE
	Include    []string `json:",omitempty"`
	Throughput throughput
	Wanted     *throughput `json:",omitempty"` // the throughput when the Status ends
	Filling    bool        `json:",omitempty"` // the items its table had are still being entered
	Status     string      `json:",omitempty"` // CREATING before that, UPDATING or DELETING, while it lasts
	Ends       time.Time   `json:",omitzero"`  // when the Status does
}

type encryption struct{ Key string }

type policyDocument struct{ Text, Revision string }

// ttl is a table's Time to Live setting.
type ttl struct {
	Attribute string
	Enabled   bool
	Changed   time.Time
}

var (
	tables = store.NewTable[table]("dynamodb/table", store.Regional)
	items  = store.NewTable[attribute.Item]("dynamodb/item", store.Regional)
	// entries are the rows of indexes: the projected item, at entryKey.
	entries = store.NewTable[attribute.Item]("dynamodb/entry", store.Regional)
	schemas = store.Derive(tables, func(_ store.Key, t table) (*schema, error) { return compile(t), nil })
)

// keyAttribute is an attribute that is part of a key; its name is empty when there is no such part.
type keyAttribute struct {
	name string
	typ  attribute.Type
}

// schema is a table's record made ready for use. It is shared and never changes.
type schema struct {
	table
	prefix     store.Key
	hash, sort keyAttribute
	indexes    []*indexSchema // without those that are being deleted
	locals     []*indexSchema // those of the indexes that are local
	outlets    []outlet       // the open shards of its stream
}

// indexSchema is an index made ready for use.
type indexSchema struct {
	*index
	prefix     store.Key
	hash, sort keyAttribute
	include    map[string]bool // attributes projected besides all keys; nil when all are
}

func compile(t table) *schema {
	s := &schema{table: t, prefix: store.K(t.ID), outlets: t.Stream.outlets()}
	s.hash, s.sort = s.keyAttributes(t.Keys)
	for i := range t.Indexes {
		if t.Indexes[i].Status == dynamodb.IndexStatusDeleting { // neither read nor written any more
			continue
		}
		x := &indexSchema{index: &s.table.Indexes[i]}
		x.prefix = store.K(t.ID, x.ID)
		x.hash, x.sort = s.keyAttributes(x.Keys)
		if x.Projection != dynamodb.ProjectionTypeAll {
			x.include = map[string]bool{s.hash.name: true, x.hash.name: true}
			for _, n := range append([]string{s.sort.name, x.sort.name}, x.Include...) {
				x.include[n] = true
			}
		}
		s.indexes = append(s.indexes, x)
		if x.Local {
			s.locals = append(s.locals, x)
		}
	}
	return s
}

func (t *table) keyAttributes(keys []dynamodb.KeySchemaElement) (hash, sort keyAttribute) {
	for _, k := range keys {
		a := keyAttribute{k.AttributeName, t.typeOf(k.AttributeName)}
		if k.KeyType == dynamodb.KeyTypeHash {
			hash = a
		} else {
			sort = a
		}
	}
	return hash, sort
}

func (t *table) typeOf(name string) attribute.Type {
	for _, a := range t.Attributes {
		if a.AttributeName == name {
			return attribute.ParseType(a.AttributeType)
		}
	}
	return attribute.TypeNone
}

// isKey reports whether the attribute is part of the table's key.
func (t *schema) isKey(name string) bool {
	return name == t.hash.name || t.sort.name != "" && name == t.sort.name
}

func (t *schema) index(name string) *indexSchema {
	for _, x := range t.indexes {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// keysOf returns the table's key attributes of an item.
func (t *schema) keysOf(item attribute.Item) attribute.Item {
	keys := make([]attribute.Attribute, 0, 2)
	for i := range item {
		if t.isKey(item[i].Name) {
			keys = append(keys, item[i])
		}
	}
	return attribute.MakeItem(keys...)
}

// project returns what the index holds of an item.
func (x *indexSchema) project(item attribute.Item) attribute.Item {
	if x.include == nil {
		return item
	}
	out := make(attribute.Item, 0, len(x.include))
	for i := range item {
		if x.include[item[i].Name] {
			out = append(out, item[i])
		}
	}
	return out
}

// tableName returns the name in a TableName member, which may be an ARN.
func tableName(nameOrARN string) string {
	if strings.HasPrefix(nameOrARN, "arn:") {
		return aws.ARN(nameOrARN).Name()
	}
	return nameOrARN
}

var errNoTable = dynamodb.ResourceNotFoundException("Requested resource not found")

// schemaIn returns the table as the transaction sees it; one that is being created, restored or deleted is not there.
func schemaIn(tx *store.Tx, name string) (*schema, error) {
	t, err := anySchema(tx, name)
	if err == nil && t.absent() {
		err = errNoTable
	}
	return t, err
}

// anySchema is schemaIn for tables in every status.
func anySchema(tx *store.Tx, name string) (*schema, error) {
	t, ok, err := schemas.Get(tx, tableKey(name))
	if err == nil && !ok {
		err = errNoTable
	}
	return t, err
}

// schema returns the table as it is now.
func (s *Service) schema(ctx context.Context, nameOrARN string) (t *schema, err error) {
	name := tableName(nameOrARN)
	err = s.db.View(ctx, func(tx *store.Tx) error {
		t, err = schemaIn(tx, name)
		return err
	})
	return t, err
}

// same reports whether o is the table t was when requests were checked against it.
func (t *schema) same(o *schema) bool {
	return t == o || t.ID == o.ID && t.Version == o.Version
}

// tableKey is store.K(name), cheaper.
func tableKey(name string) store.Key { return store.Key("").Str(name) }
