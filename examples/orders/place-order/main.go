// Command place-order is the Lambda function behind the order API: it checks an
// order, keeps it, and answers. What happens next is not its business.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"orders/order"
)

type handler struct {
	db    *dynamodb.Client
	table *string
}

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	h := &handler{dynamodb.NewFromConfig(cfg), aws.String(os.Getenv("TABLE"))}
	lambda.Start(h.handle)
}

func (h *handler) handle(ctx context.Context, r events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	if id := r.PathParameters["id"]; id != "" {
		return h.get(ctx, id)
	}
	req, err := order.ParseRequest(r.Body)
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error()), nil
	}
	if req.RefundOf != "" {
		return h.refund(ctx, req)
	}
	return h.place(ctx, req)
}

// place keeps a new order; the same client token again answers with the order it made.
func (h *handler) place(ctx context.Context, req *order.Request) (events.APIGatewayV2HTTPResponse, error) {
	o := req.New(time.Now().UnixMilli())
	item, err := attributevalue.MarshalMap(o)
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	_, err = h.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: h.table, Item: item,
		ConditionExpression: aws.String("attribute_not_exists(orderId)")})
	var exists *types.ConditionalCheckFailedException
	if errors.As(err, &exists) {
		return answer(http.StatusOK, map[string]any{"orderId": o.OrderID, "duplicate": true}), nil
	}
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	return answer(http.StatusCreated, map[string]any{"orderId": o.OrderID, "version": 1}), nil
}

// refund marks an order refunded, once.
func (h *handler) refund(ctx context.Context, req *order.Request) (events.APIGatewayV2HTTPResponse, error) {
	id := order.ID(req.RefundOf)
	_, err := h.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: h.table,
		Key:                      map[string]types.AttributeValue{"orderId": &types.AttributeValueMemberS{Value: id}},
		UpdateExpression:         aws.String("SET #s = :refunded, refundToken = :t, reason = :r, changedAtMs = :now ADD version :one"),
		ConditionExpression:      aws.String("#s = :placed"),
		ExpressionAttributeNames: map[string]string{"#s": "status"},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":refunded": &types.AttributeValueMemberS{Value: order.Refunded},
			":placed":   &types.AttributeValueMemberS{Value: order.Placed},
			":t":        &types.AttributeValueMemberS{Value: req.ClientToken},
			":r":        &types.AttributeValueMemberS{Value: req.Reason},
			":now":      &types.AttributeValueMemberN{Value: strconv.FormatInt(time.Now().UnixMilli(), 10)},
			":one":      &types.AttributeValueMemberN{Value: "1"}},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		var was order.Order
		if err := attributevalue.UnmarshalMap(failed.Item, &was); err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		switch {
		case was.OrderID == "":
			return refuse(http.StatusBadRequest, "refundOf names no order"), nil
		case was.RefundToken == req.ClientToken:
			return answer(http.StatusOK, map[string]any{"orderId": id, "duplicate": true}), nil
		}
		return refuse(http.StatusBadRequest, "the order is already refunded"), nil
	}
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	return answer(http.StatusCreated, map[string]any{"orderId": id, "version": 2}), nil
}

func (h *handler) get(ctx context.Context, id string) (events.APIGatewayV2HTTPResponse, error) {
	out, err := h.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: h.table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"orderId": &types.AttributeValueMemberS{Value: id}}})
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	if out.Item == nil {
		return refuse(http.StatusNotFound, "no such order"), nil
	}
	var o order.Order
	if err := attributevalue.UnmarshalMap(out.Item, &o); err != nil {
		return events.APIGatewayV2HTTPResponse{}, err
	}
	return answer(http.StatusOK, o), nil
}

func answer(status int, body any) events.APIGatewayV2HTTPResponse {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return events.APIGatewayV2HTTPResponse{StatusCode: status, Body: string(b), Headers: map[string]string{"content-type": "application/json"}}
}

// refuse answers no, and says so in the log.
func refuse(status int, reason string) events.APIGatewayV2HTTPResponse {
	log.Printf("refused with %d: %s", status, reason)
	return answer(status, map[string]string{"reason": reason})
}
