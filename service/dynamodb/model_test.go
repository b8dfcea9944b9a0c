package dynamodb

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/dynamodbstreams"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire/attribute"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// reference is DynamoDB in its simplest form: a map, scanned for everything.
type reference map[string]attribute.Item

// identityOf is what an item is known by: the text of its keys p and k, the latter if the table has it.
func identityOf(item attribute.Item) string {
	p, _ := item.Get("p")
	k, _ := item.Get("k")
	return p.Text() + "/" + k.Text()
}

func byIdentity(a, b attribute.Item) int { return strings.Compare(identityOf(a), identityOf(b)) }

// having returns the items with an attribute of a value, ordered by another where they have it, of its type; without another by
// their keys.
func (r reference) having(name string, value attribute.Value, order string, typ attribute.Type) []attribute.Item {
	var list []attribute.Item
	for _, item := range r {
		v, _ := item.Get(name)
		if o, _ := item.Get(order); v.Equal(value) && (o.Type() == typ || order == "") {
			list = append(list, item)
		}
	}
	slices.SortFunc(list, func(a, b attribute.Item) int {
		x, _ := a.Get(order)
		y, _ := b.Get(order)
		if c, _ := x.Compare(y); c != 0 {
			return c
		}
		return byIdentity(a, b)
	})
	return list
}

// modelIndex is an index of a random table. It projects all when kept is nil.
type modelIndex struct {
	name, hash, sort string
	kept             []string
}

// shape is a random table: the types of its attributes p and k, which are its key, and of a, b and c, which may be keys of
// indexes. Items have a number n and a text x besides.
type shape struct {
	types   map[string]attribute.Type
	sorted  bool // k is its sort key
	indexes []modelIndex
}

// values are those that attributes of a type have.
var values = map[attribute.Type][]attribute.Value{
	attribute.TypeS: {attribute.S("1"), attribute.S("10"), attribute.S("2"), attribute.S("1\x00"), attribute.S("é")},
	attribute.TypeN: {attribute.N("-10"), attribute.N("-1.5"), attribute.N("0"), attribute.N("2"), attribute.N("10"), attribute.N("1e20")},
	attribute.TypeB: {attribute.B([]byte{0}), attribute.B([]byte{0, 0xff}), attribute.B([]byte{0xff}), attribute.B([]byte{1})},
}

// model is one history: random operations on the service and the reference.
type model struct {
	*cloud
	shape
	r     *rand.Rand
	ref   reference
	disk  *vfs.MemFS
	world *world.World

	mu      sync.Mutex
	writes  int        // of the disk until the power is cut in the middle of an operation; 0 for never
	clone   *vfs.MemFS // what that leaves
	percent int        // of what was not synced that is left all the same
}

func (m *model) open() {
	m.world = world.Seeded(m.r.Uint64())
	db, err := store.Open(store.Options{Dir: "db", FS: errorfs.Wrap(m.disk, errorfs.InjectorFunc(m.written)), World: m.world, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		m.t.Fatal(err)
	}
	m.db, m.s = db, New(db, m.world)
	m.s.splitAfter = 16 // in virtual time any number of writes is too many a second
	m.s.Start()
}

// written counts what is done to the disk, and keeps what a power cut would leave of it at the moment asked for.
func (m *model) written(op errorfs.Op) error {
	if op.Kind != errorfs.OpFileWrite && op.Kind != errorfs.OpFileSync && op.Kind != errorfs.OpFileSyncData {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.writes--; m.writes == 0 {
		m.clone = m.cut()
	}
	return nil
}

// cut returns what a power cut leaves of the disk.
func (m *model) cut() *vfs.MemFS {
	return m.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: m.percent, RNG: rand.New(rand.NewPCG(uint64(m.percent), 3))})
}

func (m *model) close() {
	m.world.Stop()
	if err := m.db.Close(); err != nil {
		m.t.Fatal(err)
	}
}

// powerCut goes on with what a power cut leaves: all that was answered.
func (m *model) powerCut() {
	m.percent = m.r.IntN(101)
	disk := m.cut()
	m.close()
	time.Sleep(50 * time.Millisecond) // no machine restarts in no time
	m.disk = disk
	m.open()
}

// cutWithin makes a move and goes on with what a power cut somewhere in the middle of it leaves: all of the move or nothing.
func (m *model) cutWithin() {
	mv, next := m.move(), maps.Clone(m.ref)
	mv.do(next)
	m.mu.Lock()
	m.writes, m.clone, m.percent = m.r.IntN(4)+1, nil, m.r.IntN(101)
	m.mu.Unlock()
	m.call(mv.op, mv.body)
	m.mu.Lock()
	if m.clone == nil {
		m.clone = m.cut()
	}
	m.writes = 0
	disk := m.clone
	m.mu.Unlock()
	m.close()
	time.Sleep(50 * time.Millisecond)
	m.disk = disk
	m.open()
	got := reference{}
	for _, item := range m.pages("Scan", `"ConsistentRead":true`) {
		got[identityOf(item)] = item
	}
	switch {
	case maps.EqualFunc(got, next, attribute.Item.Equal):
		m.ref = next
	case !maps.EqualFunc(got, m.ref, attribute.Item.Equal):
		m.t.Fatalf("a power cut in %s %s left a part of it: %v, it was %v", mv.op, mv.body, got, m.ref)
	}
}

func (m *model) pick(list ...string) string { return list[m.r.IntN(len(list))] }

func (m *model) value(name string) attribute.Value {
	list := values[m.types[name]]
	return list[m.r.IntN(len(list))]
}

func (m *model) draw() {
	scalars := []attribute.Type{attribute.TypeS, attribute.TypeN, attribute.TypeB}
	m.types = map[string]attribute.Type{"n": attribute.TypeN, "x": attribute.TypeS}
	for _, name := range []string{"p", "k", "a", "b", "c"} {
		m.types[name] = scalars[m.r.IntN(3)]
	}
	m.sorted = m.r.IntN(4) > 0
	for i := range m.r.IntN(3) {
		if m.sorted {
			m.indexes = append(m.indexes, m.drawIndex("local"+strconv.Itoa(i), "p", []string{"a", "b", "c"}[i]))
		}
	}
	for i := range m.r.IntN(3) {
		m.indexes = append(m.indexes, m.drawIndex("global"+strconv.Itoa(i), m.pick("a", "b"), m.pick("c", "n", "")))
	}
}

func (m *model) drawIndex(name, hash, sort string) modelIndex {
	x := modelIndex{name: name, hash: hash, sort: sort}
	if kept := m.r.IntN(3); kept > 0 {
		x.kept = append([]string{"p", "k", hash, sort}, []string{"x"}[:kept-1]...)
	}
	return x
}

// definition is the part of a CreateTable, or of an UpdateTable, that defines an index, and what it says of attributes.
func (x *modelIndex) definition() string {
	keys := `{"AttributeName":"` + x.hash + `","KeyType":"HASH"}`
	if x.sort != "" {
		keys += `,{"AttributeName":"` + x.sort + `","KeyType":"RANGE"}`
	}
	projection := `"ProjectionType":"ALL"`
	if len(x.kept) == 4 {
		projection = `"ProjectionType":"KEYS_ONLY"`
	} else if x.kept != nil {
		projection = `"ProjectionType":"INCLUDE","NonKeyAttributes":["x"]`
	}
	return `{"IndexName":"` + x.name + `","KeySchema":[` + keys + `],"Projection":{` + projection + `}}`
}

// attributes are the AttributeDefinitions of the table's and the indexes' keys.
func (h *shape) attributes() string {
	used := map[string]bool{"p": true, "k": h.sorted}
	for _, x := range h.indexes {
		used[x.hash], used[x.sort] = true, true
	}
	var list []string
	for _, name := range []string{"p", "k", "a", "b", "c", "n"} {
		if used[name] {
			list = append(list, `{"AttributeName":"`+name+`","AttributeType":"`+h.types[name].String()+`"}`)
		}
	}
	return `"AttributeDefinitions":[` + strings.Join(list, ",") + `]`
}

// create is the CreateTable of the shape.
func (h *shape) create() string {
	body := `{"TableName":"model","BillingMode":"PAY_PER_REQUEST","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"},` +
		h.attributes() + `,"KeySchema":[{"AttributeName":"p","KeyType":"HASH"}`
	if h.sorted {
		body += `,{"AttributeName":"k","KeyType":"RANGE"}`
	}
	body += "]"
	for kind, name := range map[string]string{"local": "LocalSecondaryIndexes", "global": "GlobalSecondaryIndexes"} {
		var list []string
		for _, x := range h.indexes {
			if strings.HasPrefix(x.name, kind) {
				list = append(list, x.definition())
			}
		}
		if list != nil {
			body += `,"` + name + `":[` + strings.Join(list, ",") + `]`
		}
	}
	return body + "}"
}

// addIndex adds a global index to the table, which has items.
func (m *model) addIndex() {
	x := m.drawIndex("global9", m.pick("a", "c"), m.pick("b", "x", ""))
	m.indexes = append(m.indexes, x)
	attributes := m.attributes()
	if x.sort == "x" {
		attributes = strings.TrimSuffix(attributes, "]") + `,{"AttributeName":"x","AttributeType":"S"}]`
	}
	m.ok("UpdateTable", `{"TableName":"model",`+attributes+`,"GlobalSecondaryIndexUpdates":[{"Create":`+x.definition()+`}]}`)
}

// key returns a random key.
func (m *model) key() attribute.Item {
	key := attribute.MakeItem(attribute.Attribute{Name: "p", Value: m.value("p")})
	if m.sorted {
		key = key.With("k", m.value("k"))
	}
	return key
}

func (m *model) item() attribute.Item {
	item := m.key()
	for _, name := range []string{"a", "b", "c", "n", "x"} {
		if m.r.IntN(3) > 0 {
			item = item.With(name, m.value(name))
		}
	}
	return item
}

// text is an item in JSON.
func text(item attribute.Item) string {
	return strings.TrimSuffix(strings.TrimPrefix(attribute.M(item).String(), `{"M":`), "}")
}

// A move is one request, and what it does to the reference; do returns false when it must be refused.
type move struct {
	op, body string
	do       func(reference) bool
}

// write makes a PutItem, UpdateItem or DeleteItem without its table, and tells which item it is about.
func (m *model) write() (mv move, id string) {
	item := m.item()
	id = identityOf(item)
	switch m.r.IntN(6) {
	case 0:
		key := m.key()
		id = identityOf(key)
		return move{"Delete", `"Key":` + text(key), func(r reference) bool { delete(r, id); return true }}, id
	case 1, 2:
		return m.update()
	case 3:
		body := `"Item":` + text(item) + `,"ConditionExpression":"attribute_not_exists(n) OR n < :n","ExpressionAttributeValues":{":n":{"N":"3"}}`
		return move{"Put", body, func(r reference) bool {
			if n, ok := r[id].Get("n"); ok {
				if order, _ := n.Compare(attribute.N("3")); order >= 0 {
					return false
				}
			}
			r[id] = item
			return true
		}}, id
	}
	return move{"Put", `"Item":` + text(item), func(r reference) bool { r[id] = item; return true }}, id
}

// update sets an attribute, removes another and adds to n; now and then it sets what may be the key of an index to a value that is none.
func (m *model) update() (mv move, id string) {
	key, set, gone := m.key(), m.pick("a", "b", "c"), m.pick("a", "b", "c", "x")
	id = identityOf(key)
	v := m.value(set)
	if m.r.IntN(8) == 0 {
		v = attribute.BOOL(true)
	}
	body := `"Key":` + text(key) + `,"UpdateExpression":"SET ` + set + ` = :v ADD n :n`
	if gone != set {
		body += ` REMOVE ` + gone
	}
	body += `","ExpressionAttributeValues":{":v":` + v.String() + `,":n":{"N":"1"}}`
	return move{"Update", body, func(r reference) bool {
		item := key
		if old, ok := r[id]; ok {
			item = old
		}
		n, ok := item.Get("n")
		if !ok {
			n = attribute.N("0")
		}
		if item = item.With(set, v).With("n", n.Add(attribute.N("1"))); gone != set {
			item = item.Without(gone)
		}
		if m.violates(item) {
			return false
		}
		r[id] = item
		return true
	}}, id
}

// violates reports whether an attribute of the item that is a key of an index has a type that the key has not.
func (m *model) violates(item attribute.Item) bool {
	is := func(name string) bool {
		v, ok := item.Get(name)
		return ok && v.Type() != m.types[name]
	}
	return slices.ContainsFunc(m.indexes, func(x modelIndex) bool { return is(x.hash) || is(x.sort) })
}

func (m *model) move() move {
	switch m.r.IntN(6) {
	case 0:
		return m.batch()
	case 1, 2:
		return m.transaction()
	}
	mv, _ := m.write()
	return move{mv.op + "Item", `{"TableName":"model",` + mv.body + `}`, mv.do}
}

func (m *model) batch() move {
	var list []string
	all := map[string]attribute.Item{} // nil for what is deleted
	for range m.r.IntN(6) + 1 {
		item := m.item()
		id := identityOf(item)
		if _, seen := all[id]; seen {
			continue
		}
		if all[id] = item; m.r.IntN(4) > 0 {
			list = append(list, `{"PutRequest":{"Item":`+text(item)+`}}`)
			continue
		}
		all[id] = nil
		list = append(list, `{"DeleteRequest":{"Key":`+text(item.Without("a").Without("b").Without("c").Without("n").Without("x"))+`}}`)
	}
	return move{"BatchWriteItem", `{"RequestItems":{"model":[` + strings.Join(list, ",") + `]}}`, func(r reference) bool {
		for id, item := range all {
			if delete(r, id); item != nil {
				r[id] = item
			}
		}
		return true
	}}
}

func (m *model) transaction() move {
	var list []string
	var moves []move
	seen := map[string]bool{}
	for range m.r.IntN(4) + 1 {
		mv, id := m.write()
		if seen[id] {
			continue
		}
		seen[id] = true
		moves = append(moves, mv)
		list = append(list, `{"`+mv.op+`":{"TableName":"model",`+mv.body+`}}`)
	}
	return move{"TransactWriteItems", `{"TransactItems":[` + strings.Join(list, ",") + `]}`, func(r reference) bool {
		next, all := maps.Clone(r), true
		for _, mv := range moves {
			all = mv.do(next) && all
		}
		if all {
			clear(r)
			maps.Copy(r, next)
		}
		return all
	}}
}

// step makes a move and compares whether it is refused.
func (m *model) step() {
	mv := m.move()
	got := m.call(mv.op, mv.body)
	if mv.do(m.ref) != (got == "{}" || got == `{"UnprocessedItems":{}}`) {
		m.t.Fatalf("%s %s: %s", mv.op, mv.body, got)
	}
}

// pages runs a Query or Scan to its end in pages of random size.
func (m *model) pages(op, body string) (list []attribute.Item) {
	start := ""
	for n := 0; ; n++ {
		limit := ""
		if m.r.IntN(2) == 0 {
			limit = `,"Limit":` + strconv.Itoa(m.r.IntN(4)+1)
		}
		got := m.call(op, `{"TableName":"model",`+body+limit+start+`}`)
		if strings.HasPrefix(got, "!") {
			m.t.Fatalf("%s %s: %s", op, body, got)
		}
		items, rest, _ := strings.Cut(strings.TrimPrefix(got, `{"Items":[`), `],"Count"`)
		for items != "" {
			var item attribute.Item
			left, err := item.ParseJSON([]byte(items))
			if err != nil {
				m.t.Fatal(err)
			}
			list = append(list, item)
			items = strings.TrimPrefix(string(left), ",")
		}
		_, key, more := strings.Cut(rest, `"LastEvaluatedKey":`)
		if !more {
			return list
		}
		start = `,"ExclusiveStartKey":` + strings.TrimSuffix(key, "}")
	}
}

func (m *model) same(what string, got, want []attribute.Item) {
	m.t.Helper()
	if !slices.EqualFunc(got, want, attribute.Item.Equal) {
		m.t.Fatalf("%s\n got %v\nwant %v", what, got, want)
	}
}

// settle waits until no index is being made: after a restart that goes on by itself.
func (m *model) settle() {
	for range 100 {
		if !strings.Contains(m.call("DescribeTable", `{"TableName":"model"}`), `"IndexStatus":"CREATING"`) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.t.Fatal("an index is being made for ever")
}

// check compares table and indexes with the reference.
func (m *model) check() {
	m.settle()
	synctest.Wait() // until new indexes are filled
	all := slices.SortedFunc(maps.Values(m.ref), byIdentity)
	m.same("scan", slices.SortedFunc(slices.Values(m.pages("Scan", `"ConsistentRead":true`)), byIdentity), all)
	var segments []attribute.Item
	for i := range 3 {
		segments = append(segments, m.pages("Scan", `"TotalSegments":3,"Segment":`+strconv.Itoa(i))...)
	}
	m.same("segments", slices.SortedFunc(slices.Values(segments), byIdentity), all)
	if n := m.ok("DescribeTable", `{"TableName":"model"}`, "Table", "ItemCount"); n != float64(len(all)) {
		m.t.Fatalf("%v items are counted, there are %d", n, len(all))
	}
	table := modelIndex{hash: "p"}
	if m.sorted {
		table.sort = "k"
	}
	for _, p := range values[m.types["p"]] {
		m.checkQuery(&table, p)
	}
	for i := range m.indexes {
		x := &m.indexes[i]
		var in []attribute.Item
		for _, v := range values[m.types[x.hash]] {
			in = append(in, m.checkQuery(x, v)...)
		}
		m.sameSorted(x.name+" whole", m.pages("Scan", `"IndexName":"`+x.name+`"`), in, "")
	}
	m.collectionSizes("model")
}

// checkQuery compares what is found of one partition: all, backwards, and below and from some value of the sort key on. It
// returns what there is.
func (m *model) checkQuery(x *modelIndex, v attribute.Value) (want []attribute.Item) {
	for _, item := range m.ref.having(x.hash, v, x.sort, m.types[x.sort]) {
		want = append(want, x.project(item))
	}
	index := ""
	if x.name != "" {
		index = `"IndexName":"` + x.name + `",`
	}
	ask := func(more, values string) []attribute.Item {
		return m.pages("Query", index+`"KeyConditionExpression":"`+x.hash+` = :v`+more+`,"ExpressionAttributeValues":{":v":`+v.String()+values+`}`)
	}
	what := fmt.Sprintf("%s %s", x.name, v)
	m.sameSorted(what, ask(`"`, ``), slices.Clone(want), x.sort)
	backwards := ask(`","ScanIndexForward":false`, ``)
	slices.Reverse(backwards)
	m.sameSorted(what+" backwards", backwards, slices.Clone(want), x.sort)
	if x.sort == "" {
		return want
	}
	edge := m.value(x.sort)
	var below, rest []attribute.Item
	for _, item := range want {
		k, _ := item.Get(x.sort)
		if order, _ := k.Compare(edge); order < 0 {
			below = append(below, item)
		} else {
			rest = append(rest, item)
		}
	}
	m.sameSorted(what+" below", ask(` AND `+x.sort+` < :e"`, `,":e":`+edge.String()), below, x.sort)
	m.sameSorted(what+" from", ask(` AND `+x.sort+` >= :e"`, `,":e":`+edge.String()), rest, x.sort)
	return want
}

// project returns what the index holds of an item.
func (x *modelIndex) project(item attribute.Item) attribute.Item {
	for _, a := range slices.Clone(item) {
		if x.kept != nil && !slices.Contains(x.kept, a.Name) {
			item = item.Without(a.Name)
		}
	}
	return item
}

// sameSorted compares what an index gives; items with the same sort key may stand in any order.
func (m *model) sameSorted(what string, got, want []attribute.Item, by string) {
	m.t.Helper()
	for i := 1; i < len(got); i++ {
		a, _ := got[i-1].Get(by)
		b, _ := got[i].Get(by)
		if c, _ := a.Compare(b); c > 0 {
			m.t.Fatalf("%s is out of order: %v", what, got)
		}
	}
	slices.SortFunc(got, byIdentity)
	slices.SortFunc(want, byIdentity)
	m.same(what, got, want)
}

// replay applies the stream from its beginning, children after their parents, and compares the outcome with the
// reference. It returns how many shards there are.
func (m *model) replay() int {
	arn := m.ok("ListStreams", `{"TableName":"model"}`, "Streams", "StreamArn").(string)
	about, err := m.s.Streams().DescribeStream(m.ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		m.t.Fatal(err)
	}
	state, ends := reference{}, map[string]string{}
	shards := about.StreamDescription.Shards
	for i := range shards {
		sh := &shards[i]
		r := sh.SequenceNumberRange
		if parent := sh.GetParentShardId(); parent != "" && (ends[parent] == "" || ends[parent] >= *r.StartingSequenceNumber) {
			m.t.Fatalf("shard %s begins at %s, its parent %s ended at %q", *sh.ShardId, *r.StartingSequenceNumber, parent, ends[parent])
		}
		m.replayShard(arn, sh, state)
		if r.EndingSequenceNumber != nil {
			ends[*sh.ShardId] = *r.EndingSequenceNumber
		}
	}
	if !maps.EqualFunc(state, m.ref, attribute.Item.Equal) {
		m.t.Fatalf("the stream gives %v, the table holds %v", state, m.ref)
	}
	return len(shards)
}

// replayShard applies the records of a shard: to its end when it is closed, else to its last.
func (m *model) replayShard(arn string, sh *dynamodbstreams.Shard, state reference) {
	api := m.s.Streams()
	it, err := api.GetShardIterator(m.ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: *sh.ShardId, ShardIteratorType: dynamodbstreams.ShardIteratorTypeTrimHorizon})
	if err != nil {
		m.t.Fatal(err)
	}
	closed := sh.SequenceNumberRange.EndingSequenceNumber != nil
	last := ""
	for next := it.ShardIterator; next != nil; {
		out, err := api.GetRecords(m.ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: *next, Limit: new(int32(m.r.IntN(50) + 1))})
		if err != nil {
			m.t.Fatal(err)
		}
		for _, r := range out.Records {
			d := r.Dynamodb
			id := identityOf(d.Keys)
			if old := state[id]; !old.Equal(d.OldImage) || old.Equal(d.NewImage) && (old == nil) == (d.NewImage == nil) {
				m.t.Fatalf("record %s says %v became %v, but it was %v", *d.SequenceNumber, d.OldImage, d.NewImage, old)
			}
			if *d.SequenceNumber <= last {
				m.t.Fatalf("%s comes after %s", *d.SequenceNumber, last)
			}
			last = *d.SequenceNumber
			delete(state, id)
			if d.NewImage != nil {
				state[id] = d.NewImage
			}
		}
		if next = out.NextShardIterator; len(out.Records) == 0 && !closed {
			break
		}
	}
	if end := sh.SequenceNumberRange.EndingSequenceNumber; closed && *end != last && last != "" {
		m.t.Fatalf("shard %s ends at %s, its last record is %s", *sh.ShardId, *end, last)
	}
}

// Histories of random tables: keys, indexes and projections are drawn, then requests, restarts, power cuts between requests and
// within them. Table, indexes and stream agree with the reference all the time.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call := &aws.Call{Account: "000000000000", Region: "us-east-1"}
				m := &model{cloud: &cloud{t: t, ctx: aws.WithCall(t.Context(), call)}, r: rand.New(rand.NewPCG(seed, 1)), ref: reference{}, disk: vfs.NewCrashableMem()}
				m.draw()
				m.open()
				defer func() { m.close() }()
				m.ok("CreateTable", m.create())
				for i := range 160 {
					m.step()
					if i == 60 {
						m.addIndex()
					}
					if i%20 == 19 {
						m.check()
						m.replay()
					}
					switch m.r.IntN(60) {
					case 0:
						m.close()
						m.open()
					case 1, 2:
						m.powerCut()
					case 3, 4:
						m.cutWithin()
					}
				}
				m.check()
				if n := m.replay(); n < 3 {
					t.Errorf("%d shards: nothing was split", n)
				}
			})
		})
	}
}
