package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"conform/server"
)

const (
	account = "000000000000"
	many    = 10_000 // rules, queues, filter policies
	polls   = 1_000  // that wait
	rounds  = 300    // samples of a latency, of each case in turn
)

// each calls f with 0 to n-1 from many goroutines and returns the first error.
func each(n int, f func(i int) error) error { return eachOf(crowd, n, f) }

// eachOf calls f with 0 to n-1 from so many goroutines and returns the first error.
func eachOf(workers, n int, f func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// inTurn takes samples of several cases by turns, so that what disturbs one disturbs all, and returns the sorted
// milliseconds of each.
func inTurn(samples int, cases ...func() (ms float64, err error)) ([][]float64, error) {
	all := make([][]float64, len(cases))
	for i := range samples {
		for j, f := range cases {
			ms, err := f()
			if err != nil {
				return nil, err
			}
			if i >= samples/10 { // the rest is warm
				all[j] = append(all[j], ms)
			}
		}
	}
	for i := range all {
		all[i] = sorted(all[i])
	}
	return all, nil
}

// took is how many milliseconds a call takes.
func took(f func() error) (float64, error) {
	begin := time.Now()
	err := f()
	return float64(time.Since(begin).Microseconds()) / 1000, err
}

// rules measures PutEvents to a waiting poll on buses with other rules that do not match, beside a bus with one rule.
func (b *bench) rules() error {
	s, err := b.server("rules")
	if err != nil {
		return err
	}
	defer s.Stop()
	c := newCaller(s.URL())
	if err := queue(c, "events"); err != nil {
		return err
	}
	var cases []func() (float64, error)
	for _, others := range []int{0, 100, many} {
		bus := fmt.Sprintf("bus%d", others)
		if _, err := c.post("events", "AWSEvents.CreateEventBus", `{"Name":"`+bus+`"}`); err != nil {
			return err
		}
		err := each(others+1, func(i int) error {
			pattern := fmt.Sprintf(`{"detail":{"kind":["k%d"]}}`, i)
			_, err := c.post("events", "AWSEvents.PutRule", fmt.Sprintf(`{"Name":"r%d","EventBusName":"%s","EventPattern":%q}`, i, bus, pattern))
			return err
		})
		if err != nil {
			return err
		}
		target := `{"Id":"q","Arn":"arn:aws:sqs:us-east-1:` + account + `:events"}`
		if _, err := c.post("events", "AWSEvents.PutTargets", fmt.Sprintf(`{"Rule":"r%d","EventBusName":"%s","Targets":[%s]}`, others/2, bus, target)); err != nil {
			return err
		}
		put, err := c.json("events", "AWSEvents.PutEvents", event(bus, fmt.Sprintf("k%d", others/2)))
		if err != nil {
			return err
		}
		cases = append(cases, func() (float64, error) { return polledOnce(c, "events", put) })
	}
	all, err := inTurn(rounds, cases...)
	if err != nil {
		return err
	}
	one, hundred, most := at(all[0], 50), at(all[1], 50), at(all[2], 50)
	b.add("PutEvents → long poll, 100 other rules on the bus", "p50 ≤ 1.2 × with one rule", fmt.Sprintf("p50 %.2f ms", hundred), fmt.Sprintf("%.2f × with one rule (%.2f ms)", hundred/one, one))
	b.add("PutEvents → long poll, 10,000 other rules on the bus", "p50 ≤ 1.5 × with one rule", fmt.Sprintf("p50 %.2f ms", most), fmt.Sprintf("%.2f × with one rule", most/one))
	return nil
}

// form signs a request of the query protocol, of which SNS is.
func (c *caller) form(values map[string]string) (*signed, error) {
	v := url.Values{"Version": {"2010-03-31"}}
	for k, s := range values {
		v.Set(k, s)
	}
	return c.sign("sns", "/", v.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}})
}

func (c *caller) sns(values map[string]string) error {
	r, err := c.form(values)
	if err == nil {
		_, err = c.send(r)
	}
	return err
}

// subscribe subscribes a queue; policy is "" for everything.
func subscribe(c *caller, topic, queue, policy string) error {
	v := map[string]string{"Action": "Subscribe", "TopicArn": topicARN + topic, "Protocol": "sqs", "Endpoint": "arn:aws:sqs:us-east-1:" + account + ":" + queue,
		"Attributes.entry.1.key": "RawMessageDelivery", "Attributes.entry.1.value": "true"}
	if policy != "" {
		v["Attributes.entry.2.key"], v["Attributes.entry.2.value"] = "FilterPolicy", policy
	}
	return c.sns(v)
}

const topicARN = "arn:aws:sns:us-east-1:" + account + ":"

// crowds measures publishing among many queues, waiting polls and filter policies, and what polls that wait cost.
func (b *bench) crowds() error {
	s, err := b.server("crowds")
	if err != nil {
		return err
	}
	defer s.Stop()
	c := newCaller(s.URL())
	for _, topic := range []string{"alone", "few", "many"} {
		if err := c.sns(map[string]string{"Action": "CreateTopic", "Name": topic}); err != nil {
			return err
		}
	}
	if err := queue(c, "alone"); err != nil {
		return err
	}
	if err := subscribe(c, "alone", "alone", ""); err != nil {
		return err
	}
	publish, err := c.form(map[string]string{"Action": "Publish", "TopicArn": topicARN + "alone", "Message": "hello"})
	if err != nil {
		return err
	}
	floor, err := startFloor(b.dir, "", 0)
	if err != nil {
		return err
	}
	defer floor.stop()
	send, err := floor.json("sqs", "AmazonSQS.SendMessage", fmt.Sprintf(`{"QueueUrl":"%salone","MessageBody":"hello"}`, queueURL))
	if err != nil {
		return err
	}
	polled := func() (float64, error) { return polledOnce(c, "alone", publish) }
	alone, err := inTurn(rounds, polled, func() (float64, error) { return polledOnce(floor.caller, "alone", send) })
	if err != nil {
		return err
	}
	b.add("SNS publish → SQS long poll returns, a client that does little more than send", "p50 ≤ 0.6 ms, p99 ≤ 5 ms", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", at(alone[0], 50), at(alone[0], 99)),
		fmt.Sprintf("p50 is %.2f × the floor (%.2f ms)", at(alone[0], 50)/at(alone[1], 50), at(alone[1], 50)))
	if err := b.fanOut(c, floor); err != nil {
		return err
	}
	if err := each(many, func(i int) error { return queue(c, fmt.Sprint("q", i)) }); err != nil {
		return err
	}
	idle, stop, err := waiting(s)
	if err != nil {
		return err
	}
	among, err := inTurn(rounds, polled)
	if e := stop(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	b.add("1,000 long polls that wait", "≤ 20 MB", fmt.Sprintf("%.1f MB", idle.megabytes), fmt.Sprintf("%.1f %% of a CPU", idle.percent))
	b.add("SNS publish → SQS long poll returns, 10,000 other queues, 1,000 other polls waiting", "p50 ≤ 0.6 ms", fmt.Sprintf("p50 %.2f ms", at(among[0], 50)),
		fmt.Sprintf("%.2f × without them (%.2f ms)", at(among[0], 50)/at(alone[0], 50), at(alone[0], 50)))
	return b.filtered(c)
}

// fanOut measures a publish to a topic with a hundred queues: the call alone, and until the last of eight readers has the message of
// the last queue, who read one queue after the other.
func (b *bench) fanOut(c *caller, floor *floor) error {
	const queues = 100
	if err := c.sns(map[string]string{"Action": "CreateTopic", "Name": "fan"}); err != nil {
		return err
	}
	err := each(queues, func(i int) error {
		name := fmt.Sprint("fan", i)
		if err := queue(c, name); err != nil {
			return err
		}
		return subscribe(c, "fan", name, "")
	})
	if err != nil {
		return err
	}
	publish, err := c.form(map[string]string{"Action": "Publish", "TopicArn": topicARN + "fan", "Message": "hello"})
	if err != nil {
		return err
	}
	var urls []string
	for i := range queues {
		urls = append(urls, fmt.Sprintf("%sfan%d", queueURL, i))
	}
	list, err := json.Marshal(urls)
	if err != nil {
		return err
	}
	bare, err := floor.json("sns", "Floor.Publish", fmt.Sprintf(`{"QueueUrls":%s,"MessageBody":"hello"}`, list))
	if err != nil {
		return err
	}
	var calls [2][]float64
	var cases []func() (float64, error)
	for i, server := range []*caller{c, floor.caller} {
		cause := []*signed{publish, bare}[i]
		cases = append(cases, func() (float64, error) {
			call, all, err := fannedOut(server, cause, urls)
			calls[i] = append(calls[i], call)
			return all, err
		})
	}
	all, err := inTurn(rounds/5, cases...)
	if err != nil {
		return err
	}
	for _, row := range []struct {
		what, target string
		ms           [2]float64
	}{
		{"one publish → read from all of 100 queues, by 8 readers", "≤ 6 ms", [2]float64{at(all[0], 50), at(all[1], 50)}},
		{"one publish to 100 queues, the call alone", "≤ 1 ms", [2]float64{at(sorted(calls[0]), 50), at(sorted(calls[1]), 50)}},
	} {
		b.add(row.what, row.target, fmt.Sprintf("p50 %.2f ms", row.ms[0]), fmt.Sprintf("p50 is %.2f × the floor (%.2f ms)", row.ms[0]/row.ms[1], row.ms[1]))
	}
	return nil
}

// fannedOut returns the milliseconds of a call that sends a message to each queue, and from its beginning until all of them were read.
func fannedOut(c *caller, cause *signed, urls []string) (call, all float64, err error) {
	const readers = 8
	receive := make([]*signed, len(urls))
	for i, url := range urls {
		if receive[i], err = c.json("sqs", "AmazonSQS.ReceiveMessage", fmt.Sprintf(`{"QueueUrl":%q}`, url)); err != nil {
			return 0, 0, err
		}
	}
	begin := time.Now()
	if _, err := c.send(cause); err != nil {
		return 0, 0, err
	}
	call = float64(time.Since(begin).Microseconds()) / 1000
	handles := make([]string, len(urls))
	err = eachOf(readers, len(urls), func(i int) error {
		for {
			out, err := c.send(receive[i])
			if err != nil {
				return err
			}
			if bytes.Contains(out, []byte(`"ReceiptHandle"`)) {
				handles[i], _, err = receipt(out, nil)
				return err
			}
			if time.Since(begin) > 20*time.Second {
				return fmt.Errorf("%s has no message", urls[i])
			}
		}
	})
	all = float64(time.Since(begin).Microseconds()) / 1000
	if err != nil {
		return 0, 0, err
	}
	return call, all, eachOf(readers, len(urls), func(i int) error {
		_, err := c.post("sqs", "AmazonSQS.DeleteMessage", fmt.Sprintf(`{"QueueUrl":%q,"ReceiptHandle":%q}`, urls[i], handles[i]))
		return err
	})
}

// filtered measures a publish to a topic with 10,000 filter policies of which three match, beside one with those three.
func (b *bench) filtered(c *caller) error {
	policy := func(i int) string { return fmt.Sprintf(`{"kind":["k%d"],"n":[{"numeric":[">",%d]}]}`, i/3, i/3) }
	var cases []func() (float64, error)
	for _, topic := range []struct {
		name  string
		first int
		count int
	}{{"few", many - 3, 3}, {"many", 0, many - 3}} { // an account has 10,000 filter policies
		err := each(topic.count, func(i int) error {
			return subscribe(c, topic.name, fmt.Sprint("q", topic.first+i), policy(i))
		})
		if err != nil {
			return err
		}
		publish, err := c.form(map[string]string{"Action": "Publish", "TopicArn": topicARN + topic.name, "Message": "hello",
			"MessageAttributes.entry.1.Name": "kind", "MessageAttributes.entry.1.Value.DataType": "String", "MessageAttributes.entry.1.Value.StringValue": "k0",
			"MessageAttributes.entry.2.Name": "n", "MessageAttributes.entry.2.Value.DataType": "Number", "MessageAttributes.entry.2.Value.StringValue": "100000"})
		if err != nil {
			return err
		}
		cases = append(cases, func() (float64, error) {
			return took(func() error { _, err := c.send(publish); return err })
		})
	}
	all, err := inTurn(rounds, cases...)
	if err != nil {
		return err
	}
	few, most := at(all[0], 50), at(all[1], 50)
	b.add("publish to 10,000 filter policies of which 3 match", "p50 ≤ 2 × with those 3", fmt.Sprintf("p50 %.2f ms", most), fmt.Sprintf("%.2f × with those 3 (%.2f ms)", most/few, few))
	return nil
}

// idling is what polls that wait cost.
type idling struct{ megabytes, percent float64 }

// waiting has a thousand polls wait, each at a queue of its own, until stop is called.
func waiting(s *server.Server) (cost idling, stop func() error, err error) {
	const settle, still = 9 * time.Second, 8 * time.Second // a server that falls idle gives memory back within six seconds
	time.Sleep(settle)
	before, _, err := s.Memory()
	if err != nil {
		return cost, nil, err
	}
	c := newCaller(s.URL())
	c.client.Transport.(*http.Transport).MaxIdleConnsPerHost = polls
	ctx, cancel := context.WithCancel(ctx)
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for i := range polls {
		receive, err := c.json("sqs", "AmazonSQS.ReceiveMessage", fmt.Sprintf(`{"QueueUrl":"%sq%d","WaitTimeSeconds":20}`, queueURL, i))
		if err != nil {
			cancel()
			return cost, nil, err
		}
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.sendIn(ctx, receive); err != nil && ctx.Err() == nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	stop = func() error {
		cancel()
		group.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		return nil
	}
	time.Sleep(settle) // until all wait, which takes long on a busy machine
	used, err := s.CPU()
	if err != nil {
		return cost, stop, err
	}
	time.Sleep(still)
	later, err := s.CPU()
	if err != nil {
		return cost, stop, err
	}
	after, _, err := s.Memory()
	return idling{float64(after-before) / 1e6, 100 * (later - used).Seconds() / still.Seconds()}, stop, err
}

// polledOnce returns the milliseconds from sending something until a poll of the queue that waited has the message.
func polledOnce(c *caller, name string, cause *signed) (float64, error) {
	receive, err := c.json("sqs", "AmazonSQS.ReceiveMessage", fmt.Sprintf(`{"QueueUrl":"%s%s","WaitTimeSeconds":20}`, queueURL, name))
	if err != nil {
		return 0, err
	}
	var came time.Time
	var out []byte
	var failed error
	var poll sync.WaitGroup
	poll.Go(func() { out, failed = c.send(receive); came = time.Now() })
	time.Sleep(3 * time.Millisecond) // until the poll waits
	begin := time.Now()
	_, problem := c.send(cause)
	poll.Wait()
	if problem != nil {
		return 0, problem
	}
	handle, _, err := receipt(out, failed)
	if err != nil {
		return 0, err
	}
	_, err = c.post("sqs", "AmazonSQS.DeleteMessage", fmt.Sprintf(`{"QueueUrl":"%s%s","ReceiptHandle":%q}`, queueURL, name, handle))
	return float64(came.Sub(begin).Microseconds()) / 1000, err
}
