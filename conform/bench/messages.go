package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

const queueURL = "http://127.0.0.1/000000000000/"

// queue makes a queue that SNS and EventBridge may send to.
func queue(c *caller, name string) error {
	doc := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-east-1:000000000000:` + name + `"}]}`
	_, err := c.post("sqs", "AmazonSQS.CreateQueue", fmt.Sprintf(`{"QueueName":%q,"Attributes":{"Policy":%q}}`, name, doc))
	return err
}

// messages measures the operations on messages, all with 64 clients.
func (b *bench) messages() error {
	s, err := b.server("messages")
	if err != nil {
		return err
	}
	defer s.Stop()
	c := newCaller(s.URL())
	if err := b.handlerRates(); err != nil {
		return err
	}
	for _, name := range []string{"send", "batch", "cycle"} {
		if err := queue(c, name); err != nil {
			return err
		}
	}
	body := strings.Repeat("x", 1000)
	send, err := c.json("sqs", "AmazonSQS.SendMessage", fmt.Sprintf(`{"QueueUrl":"%ssend","MessageBody":"%s"}`, queueURL, body))
	if err != nil {
		return err
	}
	var entries []string
	for i := range 10 {
		entries = append(entries, fmt.Sprintf(`{"Id":"%d","MessageBody":"%s"}`, i, body))
	}
	batch, err := c.json("sqs", "AmazonSQS.SendMessageBatch", fmt.Sprintf(`{"QueueUrl":"%sbatch","Entries":[%s]}`, queueURL, strings.Join(entries, ",")))
	if err != nil {
		return err
	}
	sends, err := c.cycle(crowd, []*signed{send})
	if err != nil {
		return err
	}
	batches, err := c.cycle(crowd, []*signed{batch})
	if err != nil {
		return err
	}
	cycles, err := messageCycles(c, body)
	if err != nil {
		return err
	}
	b.rate("SendMessage 1 KiB, 64 clients, durable", "≥ 55 % of the handler", sends, b.rate64, "the handler")
	b.add("SendMessageBatch of 10, 64 clients", "≥ 4 × SendMessage in messages/s", fmt.Sprintf("%.0f messages/s", 10*batches), fmt.Sprintf("%.1f × SendMessage", 10*batches/sends))
	b.rate("send + receive + delete cycle, 64 clients", "≥ 15 % of the handler", cycles, b.rate64, "the handler")
	return nil
}

// messageCycles sends a message, receives one and deletes it, again and again.
func messageCycles(c *caller, body string) (float64, error) {
	send, err := c.json("sqs", "AmazonSQS.SendMessage", fmt.Sprintf(`{"QueueUrl":"%scycle","MessageBody":"%s"}`, queueURL, body))
	if err != nil {
		return 0, err
	}
	receive, err := c.json("sqs", "AmazonSQS.ReceiveMessage", fmt.Sprintf(`{"QueueUrl":"%scycle","WaitTimeSeconds":5}`, queueURL))
	if err != nil {
		return 0, err
	}
	return throughput(crowd, func(int, int) error {
		if _, err := c.send(send); err != nil {
			return err
		}
		handle, _, err := receipt(c.send(receive))
		if err != nil {
			return err
		}
		_, err = c.post("sqs", "AmazonSQS.DeleteMessage", fmt.Sprintf(`{"QueueUrl":"%scycle","ReceiptHandle":%q}`, queueURL, handle))
		return err
	})
}

func receipt(out []byte, err error) (handle, body string, _ error) {
	var got struct {
		Messages []struct{ ReceiptHandle, Body string }
	}
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err == nil && len(got.Messages) != 1 {
		err = fmt.Errorf("received %.300s", out)
	}
	if err != nil {
		return "", "", err
	}
	return got.Messages[0].ReceiptHandle, got.Messages[0].Body, nil
}

// events measures PutEvents to a waiting poll, and with 100 rules of which one matches.
func (b *bench) events() error {
	s, err := b.server("events")
	if err != nil {
		return err
	}
	defer s.Stop()
	c := newCaller(s.URL())
	if err := queue(c, "events"); err != nil {
		return err
	}
	for _, bus := range []struct {
		name  string
		rules int
	}{{"one", 1}, {"hundred", 100}} {
		if _, err := c.post("events", "AWSEvents.CreateEventBus", `{"Name":"`+bus.name+`"}`); err != nil {
			return err
		}
		for i := range bus.rules {
			pattern := fmt.Sprintf(`{"detail":{"kind":["k%d"]}}`, i)
			if _, err := c.post("events", "AWSEvents.PutRule", fmt.Sprintf(`{"Name":"r%d","EventBusName":"%s","EventPattern":%q}`, i, bus.name, pattern)); err != nil {
				return err
			}
			if _, err := c.post("events", "AWSEvents.PutTargets", fmt.Sprintf(`{"Rule":"r%d","EventBusName":"%s","Targets":[{"Id":"q","Arn":"arn:aws:sqs:us-east-1:000000000000:events"}]}`, i, bus.name)); err != nil {
				return err
			}
		}
	}
	first, err := c.json("events", "AWSEvents.PutEvents", event("one", "k0"))
	if err != nil {
		return err
	}
	floor, err := startFloor(b.dir, "", 0)
	if err != nil {
		return err
	}
	defer floor.stop()
	send, err := floor.json("sqs", "AmazonSQS.SendMessage", fmt.Sprintf(`{"QueueUrl":"%sevents","MessageBody":"hello"}`, queueURL))
	if err != nil {
		return err
	}
	hops, err := inTurn(600, func() (float64, error) { return polledOnce(c, "events", first) },
		func() (float64, error) { return polledOnce(floor.caller, "events", send) })
	if err != nil {
		return err
	}
	all, bare := hops[0], at(hops[1], 50)
	b.add("PutEvents matched by one rule → SQS long poll returns", "p50 ≤ 0.7 ms, p99 ≤ 6 ms", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", at(all, 50), at(all, 99)),
		fmt.Sprintf("p50 is %.2f × the floor (%.2f ms)", at(all, 50)/bare, bare))
	if err := b.handlerRates(); err != nil {
		return err
	}
	put, err := c.json("events", "AWSEvents.PutEvents", event("hundred", "k50"))
	if err != nil {
		return err
	}
	puts, err := c.cycle(crowd, []*signed{put})
	if err != nil {
		return err
	}
	b.rate("PutEvents of one event, 100 rules of which one matches, 64 clients", "≥ 30 % of the handler", puts, b.rate64, "the handler")
	return nil
}

func event(bus, kind string) string {
	return fmt.Sprintf(`{"Entries":[{"EventBusName":"%s","Source":"bench","DetailType":"order","Detail":%q}]}`, bus, `{"kind":"`+kind+`","text":"`+strings.Repeat("x", 200)+`"}`)
}
