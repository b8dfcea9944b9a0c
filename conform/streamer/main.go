// Command streamer is a Lambda function that streams its answer, as its event says: {"kind":"reader"} an io.Reader,
// "url" an answer of a function URL, "error" one that fails in the middle.
package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Kind    string `json:"kind"`
	RawPath string `json:"rawPath"`
}

func handle(ctx context.Context, e event) (io.Reader, error) {
	switch {
	case e.RawPath != "":
		return &events.LambdaFunctionURLStreamingResponse{StatusCode: 201, Headers: map[string]string{"Content-Type": "text/html"}, Cookies: []string{"a=1"},
			Body: strings.NewReader("<p>" + e.RawPath)}, nil
	case e.Kind == "error":
		return io.MultiReader(strings.NewReader("half"), broken{}), nil
	case e.Kind == "refuse":
		return nil, errors.New("no stock")
	}
	c, _ := lambdacontext.FromContext(ctx)
	return strings.NewReader(strings.Repeat("0123456789abcdef", 1<<16) + c.ClientContext.Custom["who"]), nil
}

// broken is a reader that fails.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func main() { lambda.Start(handle) }
