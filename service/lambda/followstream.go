package lambda

import (
	"context"
	"errors"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"fogbank/api/dynamodbstreams"
	"fogbank/aws"
	"fogbank/relay"
	"fogbank/store"
)

// Cursors in a shard: "" is the mapping's starting position.
const (
	cursorAfter = "seq:"  // after this sequence number
	cursorAt    = "iter:" // an iterator of LATEST, until the first record
	cursorSince = "since" // from the oldest, but nothing older than the mapping
	cursorEnd   = "end"   // the shard is done with
)

const (
	pagesPerRead  = 16   // of records a filter threw out, before the cursor is stored
	recordsAPage  = 1000 // GetRecords' limit
	firstDelay    = 100 * time.Millisecond
	longestDelay  = time.Minute
	discoverDelay = time.Second
)

// streamRecord is a record of a stream in the form functions get it.
type streamRecord struct {
	json     []byte
	sequence string
	at       time.Time
	item     uint64 // a hash of the item's key: records of one item are delivered in order
}

// followStream follows every shard of the stream, children after their parents, until ctx ends.
func (r *runner) followStream(ctx context.Context) {
	tails := map[string]*relay.Tail[streamRecord]{}
	ended := map[string]bool{}
	ends := make(chan string, 64)
	defer func() {
		for _, t := range tails {
			t.Stop()
		}
	}()
	first := true
	for ctx.Err() == nil {
		shards, err := r.shards(ctx)
		if err != nil {
			r.note(ctx, err)
			r.s.world.Wait(ctx, nil, discoverDelay)
			continue
		}
		listed := map[string]bool{}
		for i := range shards {
			listed[shards[i].GetShardId()] = true
		}
		for i := range shards {
			id, parent := shards[i].GetShardId(), shards[i].GetParentShardId()
			if tails[id] == nil && (!listed[parent] || ended[parent]) {
				tails[id] = r.tail(id, first && !listed[parent], ends)
				tails[id].Start(r.s.db, r.s.world, r.s.o.Log)
			}
		}
		first = false
		select {
		case id := <-ends:
			ended[id] = true
		case <-ctx.Done():
		}
	}
}

// shards lists the stream's shards.
func (r *runner) shards(ctx context.Context) (list []dynamodbstreams.Shard, err error) {
	as, err := r.role(ctx, nil)
	if err != nil {
		return nil, err
	}
	source := aws.ARN(r.m.Source)
	ctx = as.in(ctx, source.Account(), source.Region())
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: r.m.Source}
	for {
		out, err := dynamodbstreams.Client{Invoke: r.s.o.Role}.DescribeStream(ctx, in)
		if err != nil {
			return nil, err
		}
		list = append(list, out.StreamDescription.Shards...)
		if in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId; in.ExclusiveStartShardId == nil {
			return list, nil
		}
	}
}

// shardReader reads one shard for a tail.
type shardReader struct {
	*runner
	shard   string
	initial bool // there when the mapping began: its position is the mapping's
	ends    chan<- string
	as      *session

	cursor, iterator string // the iterator that goes on after cursor
	ended            bool
}

// tail makes the tail of a shard. Its goroutine is the only one that uses the reader.
func (r *runner) tail(shard string, initial bool, ends chan<- string) *relay.Tail[streamRecord] {
	h := &shardReader{runner: r, shard: shard, initial: initial, ends: ends}
	return relay.NewTail(r.account, r.region, relay.TailOptions[streamRecord]{
		Name: r.m.UUID + "/" + shard, Topic: r.m.Source, Limit: int(r.m.BatchSize * r.m.Parallel),
		Linger: time.Duration(r.m.WindowSeconds) * time.Second,
		Read:   h.read, Deliver: h.deliver, Failed: h.failed,
	})
}

// read is relay.TailOptions.Read: records that pass the filters, and the cursor after the last one looked at.
func (h *shardReader) read(ctx context.Context, cursor string, limit int) (out []streamRecord, next string, err error) {
	if cursor == cursorEnd {
		h.finish()
		return nil, cursor, nil
	}
	if h.as, err = h.role(ctx, h.as); err == nil {
		source := aws.ARN(h.m.Source)
		out, next, err = h.pages(h.as.in(ctx, source.Account(), source.Region()), cursor, limit)
	}
	if err != nil && ctx.Err() == nil {
		h.iterator = ""
		h.note(ctx, err)
	}
	return out, next, err
}

// finish tells, once, that the shard is done with.
func (h *shardReader) finish() {
	if !h.ended {
		h.ended = true
		select {
		case h.ends <- h.shard:
		case <-h.s.world.Done():
		}
	}
}

// pages reads until the batch is full, the shard has no more for now, or enough was looked at.
func (h *shardReader) pages(ctx context.Context, cursor string, limit int) (out []streamRecord, next string, err error) {
	next = cursor
	iterator, fresh := h.iterator, false
	if h.cursor != cursor || iterator == "" {
		if iterator, next, err = h.open(ctx, cursor); err != nil || next != cursor {
			return nil, next, err
		}
		fresh = true
	}
	size := 0
	client := dynamodbstreams.Client{Invoke: h.s.o.Role}
	for range pagesPerRead {
		page, err := client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator, Limit: new(int32(min(limit-len(out), recordsAPage)))})
		if err != nil && len(out) == 0 && !fresh && expired(err) {
			h.iterator = ""
			return h.pages(ctx, cursor, limit)
		}
		if expired(err) && strings.HasPrefix(cursor, cursorAt) {
			return nil, cursorSince, nil
		}
		if err != nil {
			return nil, cursor, err
		}
		for i := range page.Records {
			rec := h.convert(&page.Records[i])
			if size+len(rec.json) > maxSyncPayload-eventMargin && len(out) > 0 {
				h.iterator = ""
				return out, next, nil
			}
			next = cursorAfter + rec.sequence
			if h.wants(cursor, &page.Records[i], rec) {
				out, size = append(out, rec), size+len(rec.json)+1
			}
		}
		if page.NextShardIterator == nil {
			if len(out) == 0 {
				h.finish()
				next = cursorEnd
			}
			h.iterator = ""
			return out, next, nil
		}
		iterator = *page.NextShardIterator
		if len(page.Records) == 0 || len(out) >= limit {
			break
		}
	}
	h.cursor, h.iterator = next, iterator
	return out, next, nil
}

// eventMargin is room for what surrounds the records of an event.
const eventMargin = 1024

func expired(err error) bool { return aws.IsCode(err, "ExpiredIteratorException") }

// wants reports whether a record is for the function.
func (h *shardReader) wants(cursor string, raw *dynamodbstreams.Record, rec streamRecord) bool {
	if cursor == cursorSince && rec.at.Before(h.m.Created.Truncate(time.Second)) {
		return false
	}
	return h.matches(rec.json)
}

// open gets an iterator for a cursor. When next differs from cursor, the position itself is to be stored first.
func (h *shardReader) open(ctx context.Context, cursor string) (iterator, next string, err error) {
	in := &dynamodbstreams.GetShardIteratorInput{StreamArn: h.m.Source, ShardId: h.shard, ShardIteratorType: "TRIM_HORIZON"}
	if at, ok := strings.CutPrefix(cursor, cursorAt); ok {
		return at, cursor, nil
	}
	if after, ok := strings.CutPrefix(cursor, cursorAfter); ok {
		in.ShardIteratorType, in.SequenceNumber = "AFTER_SEQUENCE_NUMBER", &after
	}
	latest := cursor == "" && h.initial && h.m.Start == "LATEST"
	if latest {
		in.ShardIteratorType = "LATEST"
	}
	client := dynamodbstreams.Client{Invoke: h.s.o.Role}
	out, err := client.GetShardIterator(ctx, in)
	if aws.IsCode(err, "TrimmedDataAccessException") {
		in.ShardIteratorType, in.SequenceNumber = "TRIM_HORIZON", nil
		out, err = client.GetShardIterator(ctx, in)
	}
	if err != nil {
		return "", cursor, err
	}
	if out.ShardIterator == nil {
		return "", cursorEnd, nil
	}
	if latest {
		return "", cursorAt + *out.ShardIterator, nil
	}
	return *out.ShardIterator, cursor, nil
}

// deliver is relay.TailOptions.Deliver: it invokes the function with the records, in as many lanes at
// once as the mapping says. Records of one item are in one lane.
func (h *shardReader) deliver(ctx context.Context, records []streamRecord) (n int, err error) {
	if h.m.Parallel > 1 && len(records) > 1 {
		n, err = h.deliverLanes(ctx, records)
	} else {
		n, err = h.deliverBatch(ctx, records)
	}
	h.note(ctx, err)
	return n, err
}

// lane is a part of a batch, with the places its records had in it.
type lane struct {
	records []streamRecord
	places  []int
	failed  int // place of the first record not delivered
	err     error
}

// deliverLanes delivers lanes at once. What follows the first record that failed is delivered again, also
// in lanes that did not fail.
func (h *shardReader) deliverLanes(ctx context.Context, records []streamRecord) (int, error) {
	lanes := make([]lane, h.m.Parallel)
	for i := range records {
		l := &lanes[records[i].item%uint64(len(lanes))]
		l.records, l.places = append(l.records, records[i]), append(l.places, i)
	}
	var busy sync.WaitGroup
	for i := range lanes {
		l := &lanes[i]
		if len(l.records) == 0 {
			continue
		}
		busy.Add(1)
		h.s.world.Go(func(context.Context) {
			defer busy.Done()
			h.deliverLane(ctx, l)
		})
	}
	busy.Wait()
	n, err := len(records), error(nil)
	for i := range lanes {
		if l := &lanes[i]; l.err != nil && (err == nil || l.failed < n) {
			n, err = l.failed, l.err
		}
	}
	return n, err
}

// deliverLane delivers a lane by batches of the mapping's size.
func (h *shardReader) deliverLane(ctx context.Context, l *lane) {
	for at := 0; at < len(l.records); at += int(h.m.BatchSize) {
		n, err := h.deliverBatch(ctx, l.records[at:min(at+int(h.m.BatchSize), len(l.records))])
		if err != nil {
			l.failed, l.err = l.places[min(at+n, len(l.places)-1)], err
			return
		}
	}
}

// deliverBatch invokes the function with the records, and with halves of them while it fails, if the
// mapping says so.
func (h *shardReader) deliverBatch(ctx context.Context, records []streamRecord) (int, error) {
	res, err := h.invoke(ctx, eventOf(records))
	if err == nil && h.m.Partial {
		n, failed := firstFailed(res.Payload, len(records), func(i int) string { return records[i].sequence })
		if !failed {
			return len(records), nil
		}
		err = &unsuccessful{result: res}
		if n > 0 {
			return n, err
		}
	}
	if err == nil {
		return len(records), nil
	}
	if _, ok := errors.AsType[*unsuccessful](err); !ok || !h.m.Bisect || len(records) == 1 {
		return 0, err
	}
	half := len(records) / 2
	n, err := h.deliverBatch(ctx, records[:half])
	if err != nil {
		return n, err
	}
	n, err = h.deliverBatch(ctx, records[half:])
	return half + n, err
}

// failed is relay.TailOptions.Failed: it gives records up that failed too often or are too old.
func (h *shardReader) failed(ctx context.Context, records []streamRecord, failures int, err error) (skip int, delay time.Duration) {
	delay = min(firstDelay<<min(failures-1, 20), longestDelay)
	failure, ok := errors.AsType[*unsuccessful](err)
	if !ok {
		return 0, delay
	}
	condition := ""
	if h.m.MaxRetries >= 0 && failures > int(h.m.MaxRetries) {
		condition = "RetryAttemptsExhausted"
	}
	if age := h.s.world.Now().Sub(records[0].at); h.m.MaxAgeSeconds >= 0 && age > time.Duration(h.m.MaxAgeSeconds)*time.Second {
		condition = "RecordAgeExceeded"
	}
	if condition == "" {
		return 0, delay
	}
	skip = len(records)
	if h.m.Bisect || h.m.Parallel > 1 {
		skip = 1 // what follows has not failed, or not alone
	}
	if h.m.OnFailure != "" {
		if err := h.giveUp(ctx, records[:skip], condition, failures, failure); err != nil {
			return 0, delay
		}
	}
	return skip, 0
}

// giveUp makes the news of records given up durable, on its way to the failure destination.
func (h *shardReader) giveUp(ctx context.Context, records []streamRecord, condition string, count int, failure *unsuccessful) error {
	r := h.m.reference(h.account, h.region)
	ctx = h.tenant(ctx)
	first, last := &records[0], &records[len(records)-1]
	body := mustJSON(outcome{Version: "1.0", Timestamp: h.s.world.Now().Format(stampForm), Response: responseTo(failure.result),
		Request: requestContext{h.s.world.UUID(), string(r.unqualified()), condition, count},
		Stream: &batchInfo{ShardID: h.shard, Start: first.sequence, End: last.sequence, FirstAt: first.at.Format(stampForm),
			LastAt: last.at.Format(stampForm), BatchSize: len(records), StreamARN: h.m.Source}})
	return h.s.db.Update(ctx, func(tx *store.Tx) error {
		f, err := find(tx, r)
		if err != nil {
			return err
		}
		h.s.sendings.Add(tx, f.Name, sending{Role: f.Role, Target: h.m.OnFailure, Function: f.Name, Source: r.unqualified(), Body: body})
		return nil
	})
}

// convert writes a record as functions get it.
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
func (h *shardReader) convert(in *dynamodbstreams.Record) streamRecord {
	d := in.Dynamodb
	out := streamRecord{sequence: d.GetSequenceNumber(), at: d.GetApproximateCreationDateTime()}
	b := make([]byte, 0, 1024)
	field := func(name, value string) {
		b = append(append(append(b, '"'), name...), `":`...)
		b = append(append(b, quoted(value)...), ',')
	}
	b = append(b, '{')
	field("eventID", in.GetEventID())
	field("eventName", in.GetEventName())
	field("eventVersion", "1.1")
	field("eventSource", "aws:dynamodb")
	field("awsRegion", in.GetAwsRegion())
	if in.UserIdentity != nil {
		b = append(b, `"userIdentity":{`...)
		field("principalId", in.UserIdentity.GetPrincipalId())
		b = append(append(b, `"type":`...), quoted(in.UserIdentity.GetType())...)
		b = append(b, `},`...)
	}
	b = append(b, `"dynamodb":{"ApproximateCreationDateTime":`...)
	b = strconv.AppendInt(b, out.at.Unix(), 10)
	b = append(b, `,"Keys":`...)
	keys := len(b)
	b = d.Keys.AppendJSON(b)
	hash := fnv.New64a()
	hash.Write(b[keys:])
	out.item = hash.Sum64()
	if d.NewImage != nil {
		b = d.NewImage.AppendJSON(append(b, `,"NewImage":`...))
	}
	if d.OldImage != nil {
		b = d.OldImage.AppendJSON(append(b, `,"OldImage":`...))
	}
	b = append(b, ',')
	field("SequenceNumber", out.sequence)
	b = strconv.AppendInt(append(b, `"SizeBytes":`...), d.GetSizeBytes(), 10)
	b = append(append(b, `,"StreamViewType":`...), quoted(d.GetStreamViewType())...)
	b = append(b, `},"eventSourceARN":`...)
	b = append(append(b, quoted(h.m.Source)...), '}')
	out.json = b
	return out
}

// eventOf is the event of a batch.
func eventOf(records []streamRecord) []byte {
	n := 16
	for i := range records {
		n += len(records[i].json) + 1
	}
	b := append(make([]byte, 0, n), `{"Records":[`...)
	for i := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, records[i].json...)
	}
	return append(b, "]}"...)
}
