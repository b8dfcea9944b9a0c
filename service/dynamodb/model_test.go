package dynamodb

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"fogbank/api/dynamodbstreams"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire/attribute"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// reference is DynamoDB in its simplest form: a map, scanned for everything.
type reference map[string]attribute.Item

func identityOf(item attribute.Item) string {
	p, _ := item.Get("p")
	k, _ := item.Get("k")
	return p.Text() + "/" + k.Text()
}

// having returns the items with an attribute of a value, ordered by another where they have it.
func (r reference) having(name, value, order string) []attribute.Item {
	var list []attribute.Item
	for _, item := range r {
		v, _ := item.Get(name)
		if _, ok := item.Get(order); v.Text() == value && v.Type() != attribute.TypeNone && ok {
			list = append(list, item)
		}
	}
	slices.SortFunc(list, func(a, b attribute.Item) int {
		x, _ := a.Get(order)
		y, _ := b.Get(order)
		if c, _ := x.Compare(y); c != 0 {
			return c
		}
		return strings.Compare(identityOf(a), identityOf(b))
	})
	return list
}

const modelTable = `{"TableName":"model","BillingMode":"PAY_PER_REQUEST",
"AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"k","AttributeType":"N"},{"AttributeName":"l","AttributeType":"S"},{"AttributeName":"g","AttributeType":"S"},{"AttributeName":"h","AttributeType":"N"}],
"KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"k","KeyType":"RANGE"}],
"LocalSecondaryIndexes":[{"IndexName":"local","KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["n"]}}],
"GlobalSecondaryIndexes":[{"IndexName":"global","KeySchema":[{"AttributeName":"g","KeyType":"HASH"},{"AttributeName":"h","KeyType":"RANGE"}],"Projection":{"ProjectionType":"ALL"}}],
"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`

// model is one history: random operations on the service and the reference.
type model struct {
	*cloud
	r     *rand.Rand
	ref   reference
	disk  *vfs.MemFS
	world *world.World
}

func (m *model) open() {
	m.world = world.Seeded(m.r.Uint64())
	db, err := store.Open(store.Options{Dir: "db", FS: m.disk, World: m.world, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		m.t.Fatal(err)
	}
	m.db, m.s = db, New(db, m.world)
	m.s.splitAfter = 16 // in virtual time any number of writes is too many a second
	m.s.Start()
}

func (m *model) close() {
	m.world.Stop()
	if err := m.db.Close(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) pick(list ...string) string { return list[m.r.IntN(len(list))] }

// key returns a random key, as attributes of JSON.
func (m *model) key() string {
	return fmt.Sprintf(`"p":{"S":"%s"},"k":{"N":"%s"}`, m.pick("a", "b", `a\u0000b`), m.pick("-10", "-1.5", "0", "1", "2", "10", "1e20"))
}

func (m *model) item() string {
	s := m.key()
	for _, a := range []string{`"l":{"S":"%s"}`, `"g":{"S":"%s"}`, `"n":{"N":"%s"}`, `"h":{"N":"%s"}`, `"x":{"S":"%s"}`} {
		if m.r.IntN(3) > 0 {
			s += "," + fmt.Sprintf(a, m.pick("1", "2", "10"))
		}
	}
	return s
}

func (m *model) parse(text string) (item attribute.Item) {
	if _, err := item.ParseJSON([]byte("{" + text + "}")); err != nil {
		m.t.Fatal(err)
	}
	return item
}

// write makes one random write: what it asks of PutItem, UpdateItem or DeleteItem, and what the reference does.
func (m *model) write() (op, body string, do func(reference) bool) {
	switch m.r.IntN(5) {
	case 0:
		key := m.key()
		return "Delete", `"Key":{` + key + `}`, func(r reference) bool { delete(r, identityOf(m.parse(key))); return true }
	case 1:
		key := m.key()
		body := `"Key":{` + key + `},"UpdateExpression":"SET g = :g REMOVE l ADD n :n","ExpressionAttributeValues":{":g":{"S":"2"},":n":{"N":"1"}}`
		return "Update", body, func(r reference) bool {
			item := m.parse(key)
			id := identityOf(item)
			if old, ok := r[id]; ok {
				item = old
			}
			n, ok := item.Get("n")
			if !ok {
				n = attribute.N("0")
			}
			r[id] = item.With("g", attribute.S("2")).Without("l").With("n", n.Add(attribute.N("1")))
			return true
		}
	case 2:
		text := m.item()
		body := `"Item":{` + text + `},"ConditionExpression":"attribute_not_exists(n) OR n < :n","ExpressionAttributeValues":{":n":{"N":"3"}}`
		return "Put", body, func(r reference) bool {
			item := m.parse(text)
			if n, ok := r[identityOf(item)].Get("n"); ok && len(n.Text()) > 1 || ok && n.Text() >= "3" {
				return false
			}
			r[identityOf(item)] = item
			return true
		}
	}
	text := m.item()
	return "Put", `"Item":{` + text + `}`, func(r reference) bool { item := m.parse(text); r[identityOf(item)] = item; return true }
}

func (m *model) step() {
	switch m.r.IntN(6) {
	case 0:
		m.batch()
	case 1:
		m.transaction()
	default:
		op, body, do := m.write()
		got := m.call(op+"Item", `{"TableName":"model",`+body+`}`)
		if do(m.ref) != (got == "{}") {
			m.t.Fatalf("%s %s: %s", op, body, got)
		}
	}
}

func (m *model) batch() {
	var list []string
	seen := map[string]bool{}
	for range m.r.IntN(5) + 1 {
		text := m.item()
		item := m.parse(text)
		if seen[identityOf(item)] {
			continue
		}
		seen[identityOf(item)] = true
		if m.r.IntN(4) == 0 {
			key, _, _ := strings.Cut(text, `,"l"`)
			key, _, _ = strings.Cut(key, `,"g"`)
			key, _, _ = strings.Cut(key, `,"n"`)
			key, _, _ = strings.Cut(key, `,"h"`)
			key, _, _ = strings.Cut(key, `,"x"`)
			list = append(list, `{"DeleteRequest":{"Key":{`+key+`}}}`)
			delete(m.ref, identityOf(item))
			continue
		}
		list = append(list, `{"PutRequest":{"Item":{`+text+`}}}`)
		m.ref[identityOf(item)] = item
	}
	m.want("BatchWriteItem", `{"RequestItems":{"model":[`+strings.Join(list, ",")+`]}}`, `{"UnprocessedItems":{}}`)
}

func (m *model) transaction() {
	var list []string
	next, all := maps.Clone(m.ref), true
	seen := map[string]bool{}
	for range m.r.IntN(3) + 1 {
		op, body, do := m.write()
		key := body[strings.Index(body, `"p"`):]
		key = key[:strings.Index(key[strings.Index(key, `"k"`):], "}")+strings.Index(key, `"k"`)]
		if seen[key] {
			continue
		}
		seen[key] = true
		list = append(list, `{"`+op+`":{"TableName":"model",`+body+`}}`)
		all = do(next) && all
	}
	got := m.call("TransactWriteItems", `{"TransactItems":[`+strings.Join(list, ",")+`]}`)
	if all != (got == "{}") {
		m.t.Fatalf("%v: %s", list, got)
	}
	if all {
		m.ref = next
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

// check compares table, indexes and stream with the reference.
func (m *model) check() {
	byID := func(a, b attribute.Item) int { return strings.Compare(identityOf(a), identityOf(b)) }
	all := slices.SortedFunc(maps.Values(m.ref), byID)
	m.same("scan", slices.SortedFunc(slices.Values(m.pages("Scan", `"ConsistentRead":true`)), byID), all)
	var segments []attribute.Item
	for i := range 3 {
		segments = append(segments, m.pages("Scan", `"TotalSegments":3,"Segment":`+strconv.Itoa(i))...)
	}
	m.same("segments", slices.SortedFunc(slices.Values(segments), byID), all)
	for _, p := range []string{"a", "b", "a\x00b"} {
		value := attribute.S(p).String()
		want := m.ref.having("p", p, "k")
		m.same("query", m.pages("Query", `"KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":`+value+`}`), want)
		reversed := m.pages("Query", `"ScanIndexForward":false,"KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":`+value+`}`)
		slices.Reverse(reversed)
		m.same("reversed", reversed, want)
		within := slices.DeleteFunc(want, func(i attribute.Item) bool { k, _ := i.Get("k"); c, _ := k.Compare(attribute.N("-1.5")); return c < 0 })
		m.same("bounded", m.pages("Query", `"KeyConditionExpression":"p = :p AND k >= :k","ExpressionAttributeValues":{":p":`+value+`,":k":{"N":"-1.5"}}`), within)
		local := m.pages("Query", `"IndexName":"local","KeyConditionExpression":"p = :p AND l BETWEEN :a AND :b","ProjectionExpression":"p, k, l, n, x, g, h","ExpressionAttributeValues":{":p":`+value+`,":a":{"S":"1"},":b":{"S":"2"}}`)
		m.sameSorted("local", local, m.ref.having("p", p, "l"), "l")
	}
	for _, g := range []string{"1", "2", "10"} {
		got := m.pages("Query", `"IndexName":"global","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"`+g+`"}}`)
		m.sameSorted("global", got, m.ref.having("g", g, "h"), "h")
	}
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
	byID := func(a, b attribute.Item) int { return strings.Compare(identityOf(a), identityOf(b)) }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
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

func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call := &aws.Call{Account: "000000000000", Region: "us-east-1"}
				m := &model{cloud: &cloud{t: t, ctx: aws.WithCall(t.Context(), call)}, r: rand.New(rand.NewPCG(seed, 1)), ref: reference{}, disk: vfs.NewMem()}
				m.open()
				defer func() { m.close() }()
				m.ok("CreateTable", modelTable)
				for i := range 200 {
					m.step()
					if i%20 == 19 {
						m.check()
						m.replay()
					}
					if m.r.IntN(50) == 0 {
						m.close()
						m.open()
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
