// Command order-changed is the Lambda function on the orders table's stream: it
// tells the company of every change, through a topic and an event bus.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bus "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"orders/order"
)

type handler struct {
	sns              *sns.Client
	bus              *eventbridge.Client
	topicARN, busARN string
}

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	h := &handler{sns.NewFromConfig(cfg), eventbridge.NewFromConfig(cfg), os.Getenv("TOPIC"), os.Getenv("BUS")}
	lambda.Start(h.handle)
}

// handle passes a batch of changes on, in order. An error makes Lambda bring the rest of the
// batch again from the record named, so a change may be told twice but never not at all.
func (h *handler) handle(ctx context.Context, batch events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
	for _, r := range batch.Records {
		if r.EventName == "REMOVE" {
			continue
		}
		if err := h.tell(ctx, r.Change.NewImage); err != nil {
			log.Printf("record %s: %v", r.Change.SequenceNumber, err)
			return events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{{ItemIdentifier: r.Change.SequenceNumber}}}, nil
		}
	}
	return events.DynamoDBEventResponse{}, nil
}

func (h *handler) tell(ctx context.Context, row map[string]events.DynamoDBAttributeValue) error {
	e, err := read(row)
	if err != nil {
		return err
	}
	e.SentAtMs = time.Now().UnixMilli()
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := h.sns.Publish(ctx, &sns.PublishInput{TopicArn: &h.topicARN, Message: aws.String(string(body))}); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	out, err := h.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bus.PutEventsRequestEntry{{
		EventBusName: &h.busARN, Source: aws.String("shop.orders"), DetailType: aws.String("Order " + e.Status), Detail: aws.String(string(body))}}})
	if err != nil {
		return fmt.Errorf("put events: %w", err)
	}
	if out.FailedEntryCount > 0 {
		return fmt.Errorf("put events: %s: %s", aws.ToString(out.Entries[0].ErrorCode), aws.ToString(out.Entries[0].ErrorMessage))
	}
	return nil
}

// read takes from a row what the company hears of it.
func read(row map[string]events.DynamoDBAttributeValue) (e order.Event, err error) {
	version, err := row["version"].Integer()
	if err != nil {
		return e, fmt.Errorf("version: %w", err)
	}
	total, err := row["totalCents"].Integer()
	if err != nil {
		return e, fmt.Errorf("totalCents: %w", err)
	}
	changed, err := row["changedAtMs"].Integer()
	if err != nil {
		return e, fmt.Errorf("changedAtMs: %w", err)
	}
	return order.Event{OrderID: row["orderId"].String(), Version: int(version), Status: row["status"].String(), Total: order.Cents(total),
		Currency: row["currency"].String(), Physical: row["physical"].Boolean(),
		Customer: row["customer"].Map()["name"].String(), ChangedAtMs: changed}, nil
}
