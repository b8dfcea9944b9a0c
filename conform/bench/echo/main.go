// Command echo is a Lambda function that answers its event, and prints when it got each record of a DynamoDB stream.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// batch is what is looked at of an event.
type batch struct {
	Records []struct {
		Dynamodb struct {
			Keys struct{ K struct{ S string } }
		}
	}
}

func main() {
	lambda.Start(func(_ context.Context, event json.RawMessage) (json.RawMessage, error) {
		now := time.Now().UnixNano()
		var b batch
		if err := json.Unmarshal(event, &b); err != nil {
			return nil, err
		}
		for _, r := range b.Records {
			fmt.Println("got", r.Dynamodb.Keys.K.S, now)
		}
		return event, nil
	})
}
