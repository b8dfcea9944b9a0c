package dynamodb

import (
	"context"
	"encoding/binary"
	"fmt"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/service/dynamodb/expr"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// maxPage is how much a Query or Scan reads at most before it returns a page.
const maxPage = 1 << 20

// page is one page of a Query or Scan to be read.
type page struct {
	t          *schema
	x          *indexSchema // nil for the table itself
	r          store.Range
	limit      int // of items read; 0 for none
	filter     expr.Test
	sel        expr.Selection
	countOnly  bool
	fetch      bool // a local index holds less than what is wanted: get the item from the table
	consistent bool
	meters     *meters

	part, segments uint64 // of a Scan, which part of how many; 0 of 0 for a Query

	// The outcome:
	items   []attribute.Item
	count   int32
	scanned int32
	last    attribute.Item // LastEvaluatedKey, nil at the end
	used    used
}

// read reads the page: items until the limit, or until the next one would make the page larger than maxPage. The filter
// comes after both. A page that ends at its limit has a LastEvaluatedKey even when nothing follows, as in AWS.
func (p *page) read(tx *store.Tx) {
	size, fetched := 0, 0.0
	var last attribute.Item
	source := items
	if p.x != nil {
		source = entries
	}
	if !p.countOnly {
		p.items = []attribute.Item{}
	}
	more := false
	for _, item := range source.Scan(tx, p.r) {
		n := item.Size()
		if size+n > maxPage && p.scanned > 0 {
			more = true
			break
		}
		size += n
		p.scanned++
		last = item
		if p.fetch {
			item, _ = items.Get(tx, p.t.itemKey(item))
			fetched += readUnits(item.Size(), p.consistent)
		}
		if p.filter.Holds(item) {
			p.count++
			if !p.countOnly {
				p.items = append(p.items, p.sel.Of(item))
			}
		}
		if p.limit > 0 && int(p.scanned) == p.limit {
			more = true
			break
		}
	}
	if more {
		p.last = p.lastKey(last)
	}
	name := ""
	if p.x != nil {
		name = p.x.Name
		if p.fetch {
			p.used.add("", fetched)
		}
	}
	units := readUnits(size, p.consistent)
	p.used.add(name, units)
	p.meters.chargeRead(p.t, p.x, units+fetched) // what is fetched belongs to a local index
}

// lastKey returns the keys of the table and of the index that is read.
func (p *page) lastKey(item attribute.Item) attribute.Item {
	out := make([]attribute.Attribute, 0, 4)
	for i := range item {
		if name := item[i].Name; p.t.isKey(name) || p.x != nil && p.x.isKey(name) {
			out = append(out, item[i])
		}
	}
	return attribute.MakeItem(out...)
}

func (x *indexSchema) isKey(name string) bool {
	return name == x.hash.name || x.sort.name != "" && name == x.sort.name
}

// target sets the table and index of a page.
func (p *page) target(tx *store.Tx, table string, index *string) (err error) {
	if p.t, err = schemaIn(tx, tableName(table)); err != nil {
		return err
	}
	p.x = nil
	if index == nil {
		return p.meters.admitRead(p.t, nil)
	}
	if p.x = p.t.index(*index); p.x == nil {
		return validation("The table does not have the specified index: %s", *index)
	}
	if p.x.Filling || p.x.Status == dynamodb.IndexStatusCreating {
		return validation("Cannot read from backfilling global secondary index: %s", *index)
	}
	if !p.x.Local && p.consistent {
		return validation("Consistent reads are not supported on global secondary indexes")
	}
	return p.meters.admitRead(p.t, p.x)
}

// keys returns the key attributes and prefix of what is read.
func (p *page) keys() (hash, sort keyAttribute, prefix store.Key) {
	if p.x != nil {
		return p.x.hash, p.x.sort, p.x.prefix
	}
	return p.t.hash, p.t.sort, p.t.prefix
}

// projection names the parameter that says which attributes are wanted; "" when there is none.
func projection(expression *string, names []string) string {
	switch {
	case expression != nil:
		return "ProjectionExpression"
	case names != nil:
		return "AttributesToGet"
	}
	return ""
}

// want sets what is returned of each item, from Select and the projection.
func (p *page) want(sel *string, projected string) error {
	what := deref(sel)
	switch {
	case projected != "" && what == dynamodb.SelectCount:
		return validation("Cannot specify the %s when choosing to get only the Count", projected)
	case projected != "" && what != "" && what != dynamodb.SelectSpecificAttributes:
		return validation("Cannot specify the %s when choosing to get %s", projected, what)
	case projected == "" && what == dynamodb.SelectSpecificAttributes:
		return validation("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
	case what == dynamodb.SelectAllProjectedAttributes && p.x == nil:
		return validation("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	}
	p.countOnly = what == dynamodb.SelectCount
	if p.x == nil || p.x.include == nil {
		return nil
	}
	if what == dynamodb.SelectAllAttributes && !p.x.Local {
		return validation(invalidParameter+"Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", p.x.Name)
	}
	p.fetch = p.x.Local && what == dynamodb.SelectAllAttributes
	for _, root := range p.sel.Roots() {
		if p.x.include[root] {
			continue
		}
		if !p.x.Local {
			return validation(invalidParameter+"Global secondary index %s does not project [%s]", p.x.Name, root)
		}
		p.fetch = true
	}
	return nil
}

// Query reads the items of one partition, in the order of their sort keys.
func (s *Service) Query(ctx context.Context, in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	p := page{limit: int(deref(in.Limit)), consistent: deref(in.ConsistentRead), meters: &s.meters}
	tests, err := p.bindQuery(in)
	if err != nil {
		return nil, err
	}
	base := p
	err = s.db.View(ctx, func(tx *store.Tx) error {
		p = base
		if err := p.target(tx, in.TableName, in.IndexName); err != nil {
			return err
		}
		if err := p.want(in.Select, projection(in.ProjectionExpression, in.AttributesToGet)); err != nil {
			return err
		}
		p.r.Reverse = in.ScanIndexForward != nil && !*in.ScanIndexForward
		if err := p.narrow(tests); err != nil {
			return err
		}
		if err := p.startAfter(in.ExclusiveStartKey); err != nil {
			return err
		}
		p.read(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.QueryOutput{Items: p.items, Count: new(p.count), ScannedCount: new(p.scanned), LastEvaluatedKey: p.last,
		ConsumedCapacity: p.used.report(in.ReturnConsumedCapacity, p.t, p.t.Name)}, nil
}

// bindQuery checks all of a Query that does not depend on its table.
func (p *page) bindQuery(in *dynamodb.QueryInput) (tests []expr.KeyTest, err error) {
	var ps parameters
	ps.old("AttributesToGet", in.AttributesToGet != nil).old("QueryFilter", in.QueryFilter != nil).
		old("ConditionalOperator", in.ConditionalOperator != nil).old("KeyConditions", in.KeyConditions != nil)
	ps.expression("ProjectionExpression", in.ProjectionExpression != nil).expression("FilterExpression", in.FilterExpression != nil).
		expression("KeyConditionExpression", in.KeyConditionExpression != nil)
	if err := ps.check(); err != nil {
		return nil, err
	}
	r := expr.Request{Names: in.ExpressionAttributeNames, Values: in.ExpressionAttributeValues}
	err = r.Given(len(ps.expressions) > 0, []*string{in.FilterExpression, in.KeyConditionExpression}, "FilterExpression", "KeyConditionExpression")
	if err != nil {
		return nil, err
	}
	if err := checkStart(in.ExclusiveStartKey); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	switch {
	case in.KeyConditionExpression != nil:
		tests, err = r.Keys(*in.KeyConditionExpression)
	case in.KeyConditions != nil:
		tests, err = keyConditions(in.KeyConditions)
	}
	if err != nil {
		return nil, err
	}
	if err := p.bindCommon(&r, in.FilterExpression, in.QueryFilter, in.ConditionalOperator, in.ProjectionExpression, in.AttributesToGet); err != nil {
		return nil, err
	}
	if in.KeyConditionExpression == nil && in.KeyConditions == nil {
		return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	return tests, r.Finish()
}

// checkStart refuses a starting key with values that are none.
func checkStart(key attribute.Item) error {
	if err := key.Check(); err != nil {
		return validation("The provided starting key is invalid: %s", aws.AsError(err).Message)
	}
	return nil
}

// bindCommon binds the filter and projection of a Query or Scan.
func (p *page) bindCommon(r *expr.Request, filter *string, older map[string]dynamodb.Condition, operator, projection *string, names []string) (err error) {
	if older != nil || operator != nil {
		p.filter, err = filterConditions(older, operator)
	} else {
		p.filter, err = r.Test(expr.Filter, filter)
	}
	if err != nil {
		return err
	}
	if names != nil {
		p.sel, err = selectNames(names)
	} else {
		p.sel, err = r.Selection(projection)
	}
	return err
}

// narrow sets the range of keys that the tests leave, after checking them against the schema.
func (p *page) narrow(tests []expr.KeyTest) error {
	hash, sort, prefix := p.keys()
	parts := 1
	if sort.name != "" {
		parts = 2
	}
	if len(tests) > parts {
		return validation("The number of query conditions (%d) exceeds the number of key attributes defined in the schema (%d)", len(tests), parts)
	}
	first := find(tests, hash.name)
	if first == nil {
		return validation("Query condition missed key schema element: %s", hash.name)
	}
	second := find(tests, sort.name)
	if len(tests) == 2 && second == nil {
		return validation("Query condition missed key schema element: %s", sort.name)
	}
	for _, k := range [...]struct {
		test     *expr.KeyTest
		key      keyAttribute
		tooLarge sizeLimit
	}{{first, hash, hashLimit}, {second, sort, sortLimit}} {
		if k.test == nil {
			continue
		}
		if err := checkKeyTest(k.test, k.key, k.tooLarge); err != nil {
			return err
		}
	}
	if first.Op != expr.Equal {
		return validation("Query key condition not supported")
	}
	for _, name := range [...]string{hash.name, sort.name} {
		if name != "" && p.filter.Mentions(name) {
			return validation("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", name)
		}
	}
	p.r.From, p.r.To = p.bounds(appendPartition([]byte(prefix), first.Value), second)
	return nil
}

func find(tests []expr.KeyTest, name string) *expr.KeyTest {
	for i := range tests {
		if name != "" && tests[i].Name == name {
			return &tests[i]
		}
	}
	return nil
}

// sizeLimit is how large a value of a key may be, and the refusal of larger ones.
type sizeLimit struct {
	most int
	err  error
}

var (
	hashLimit = sizeLimit{maxHash, errHashSize}
	sortLimit = sizeLimit{maxSort, errSortSize}
)

// checkKeyTest refuses values that the key cannot have.
func checkKeyTest(t *expr.KeyTest, k keyAttribute, limit sizeLimit) error {
	for _, v := range [...]attribute.Value{t.Value, t.High} {
		if v.Type() == attribute.TypeNone {
			continue
		}
		if v.Type() != k.typ {
			return validation(invalidParameter + "Condition parameter type does not match schema type")
		}
		if err := notEmpty(k.name, v); err != nil {
			return err
		}
		if v.Size() > limit.most {
			return limit.err
		}
	}
	return nil
}

// bounds returns the keys that a test of the sort key leaves of a partition: from inclusive, to exclusive.
func (p *page) bounds(partition []byte, t *expr.KeyTest) (from, to store.Key) {
	all := append(partition[:len(partition):len(partition)], mark)
	if t == nil {
		return store.Key(partition), successor(all)
	}
	at := func(v attribute.Value) []byte { // where the items with this sort key begin
		b := append([]byte(nil), all...)
		if p.x == nil {
			return v.AppendKey(b)
		}
		return append(appendEscaped(b, v), 0)
	}
	past := func(v attribute.Value) store.Key { // where they end
		if p.x == nil {
			return store.Key(append(at(v), 0))
		}
		return store.Key(append(at(v), 0xff))
	}
	from, to = store.Key(all), successor(all)
	switch t.Op {
	case expr.Equal:
		return store.Key(at(t.Value)), past(t.Value)
	case expr.Less:
		to = store.Key(at(t.Value))
	case expr.LessOrEqual:
		to = past(t.Value)
	case expr.Greater:
		from = past(t.Value)
	case expr.GreaterOrEqual:
		from = store.Key(at(t.Value))
	case expr.Between:
		return store.Key(at(t.Value)), past(t.High)
	case expr.BeginsWith:
		b := append([]byte(nil), all...)
		if p.x == nil {
			b = t.Value.AppendKey(b)
		} else {
			b = appendEscaped(b, t.Value)
		}
		return store.Key(b), successor(b)
	}
	return from, to
}

// startAfter makes the page go on behind an ExclusiveStartKey.
func (p *page) startAfter(key attribute.Item) error {
	if key == nil {
		return nil
	}
	place, ok := p.place(key)
	if !ok {
		return p.refuseStart(": " + wrongKey)
	}
	if place < p.r.From || p.r.To != "" && place >= p.r.To {
		return p.refuseBeyond(place)
	}
	p.r.After = place
	return nil
}

// refuseStart refuses a starting key; a Scan says what is wrong with it.
func (p *page) refuseStart(why string) error {
	if p.segments == 0 {
		why = ""
	}
	return validation("The provided starting key is invalid%s", why)
}

// refuseBeyond refuses a starting key that is none of those that are read.
func (p *page) refuseBeyond(place store.Key) error {
	_, _, prefix := p.keys()
	part := len(prefix) + hashLength
	switch {
	case p.segments > 0:
		return p.refuseStart(fmt.Sprintf(": Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: %d Segment: %d", p.segments, p.part))
	case place[:part] != p.r.From[:part]:
		return validation("The provided starting key is outside query boundaries based on provided conditions")
	}
	return validation("The provided starting key does not match the range key predicate")
}

// place returns the stored key a LastEvaluatedKey stands for.
func (p *page) place(key attribute.Item) (store.Key, bool) {
	want := []keyAttribute{p.t.hash}
	note := func(k keyAttribute) {
		for _, w := range want {
			if k.name == "" || w.name == k.name {
				return
			}
		}
		want = append(want, k)
	}
	note(p.t.sort)
	if p.x != nil {
		note(p.x.hash)
		note(p.x.sort)
	}
	if len(key) != len(want) {
		return "", false
	}
	for _, k := range want {
		if v, ok := key.Get(k.name); !ok || v.Type() != k.typ {
			return "", false
		}
	}
	if p.x == nil {
		return p.t.itemKey(key), true
	}
	return p.x.entryKey(p.t, key)
}

// Scan reads all items of a table or index, or those of one of several segments, in the order of their hashes.
func (s *Service) Scan(ctx context.Context, in *dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
	p := page{limit: int(deref(in.Limit)), consistent: deref(in.ConsistentRead), meters: &s.meters}
	if err := p.bindScan(in); err != nil {
		return nil, err
	}
	base := p
	err := s.db.View(ctx, func(tx *store.Tx) error {
		p = base
		if err := p.target(tx, in.TableName, in.IndexName); err != nil {
			return err
		}
		if err := p.want(in.Select, projection(in.ProjectionExpression, in.AttributesToGet)); err != nil {
			return err
		}
		p.segment(uint64(deref(in.Segment)), uint64(max(1, deref(in.TotalSegments))))
		if err := p.startAfter(in.ExclusiveStartKey); err != nil {
			return err
		}
		p.read(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &dynamodb.ScanOutput{Items: p.items, Count: new(p.count), ScannedCount: new(p.scanned), LastEvaluatedKey: p.last,
		ConsumedCapacity: p.used.report(in.ReturnConsumedCapacity, p.t, p.t.Name)}, nil
}

func (p *page) bindScan(in *dynamodb.ScanInput) error {
	switch {
	case in.Segment != nil && in.TotalSegments == nil:
		return validation("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
	case in.Segment == nil && in.TotalSegments != nil:
		return validation("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
	case in.Segment != nil && *in.Segment >= *in.TotalSegments:
		return validation("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d", *in.Segment, *in.TotalSegments)
	}
	var ps parameters
	ps.old("AttributesToGet", in.AttributesToGet != nil).old("ScanFilter", in.ScanFilter != nil).old("ConditionalOperator", in.ConditionalOperator != nil)
	ps.expression("ProjectionExpression", in.ProjectionExpression != nil).expression("FilterExpression", in.FilterExpression != nil)
	if err := ps.check(); err != nil {
		return err
	}
	r := expr.Request{Names: in.ExpressionAttributeNames, Values: in.ExpressionAttributeValues}
	if err := r.Given(len(ps.expressions) > 0, []*string{in.FilterExpression}, "FilterExpression"); err != nil {
		return err
	}
	if err := checkStart(in.ExclusiveStartKey); err != nil {
		return err
	}
	if err := r.Check(); err != nil {
		return err
	}
	if err := p.bindCommon(&r, in.FilterExpression, in.ScanFilter, in.ConditionalOperator, in.ProjectionExpression, in.AttributesToGet); err != nil {
		return err
	}
	return r.Finish()
}

// segment sets the range of hashes that is one of total equal parts.
func (p *page) segment(n, total uint64) {
	p.part, p.segments = n, total
	_, _, prefix := p.keys()
	all := append([]byte(prefix), mark)
	edge := func(i uint64) store.Key {
		return store.Key(binary.BigEndian.AppendUint32(append([]byte(nil), all...), uint32((i<<32+total-1)/total)))
	}
	p.r.From, p.r.To = store.Key(all), successor(all)
	if n > 0 {
		p.r.From = edge(n)
	}
	if n+1 < total {
		p.r.To = edge(n + 1)
	}
}
