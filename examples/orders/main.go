// Command orders deploys an event-driven order system with the public AWS APIs, sends it orders,
// and checks from the outside that every order arrived everywhere it should.
//
//	orders deploy              creates everything; prints where things are
//	orders send [flags]        sends the orders of a file and judges what arrived
//	orders destroy             deletes everything again
//
// It is an ordinary AWS program: endpoint, region and credentials come from the environment
// (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID …) as for every SDK.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: orders deploy | send | destroy")
	}
	// Patient with a server that restarts in the middle, as a user's client should be.
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 40, time.Second, unlimited{}
		})
	}))
	if err != nil {
		return err
	}
	c := newClients(cfg)
	flags := flag.NewFlagSet("orders "+args[0], flag.ExitOnError)
	state := flags.String("state", "orders-state.json", "file that says where things are")
	switch args[0] {
	case "deploy":
		flags.Parse(args[1:])
		return deployTo(ctx, c, cfg.Region, *state)
	case "send":
		o := sendFlags(flags)
		flags.Parse(args[1:])
		s, err := readState(*state)
		if err != nil {
			return err
		}
		return send(ctx, c, s, *o)
	case "destroy":
		flags.Parse(args[1:])
		s, err := readState(*state)
		if err != nil {
			return err
		}
		return c.destroy(ctx, s)
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// unlimited lets every retry through: the number of attempts is bound enough.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

// State says where the parts of a deployed system are.
type State struct {
	API      string            `json:"api"` // URL, no trailing slash
	APIID    string            `json:"apiId"`
	Table    string            `json:"table"`
	TopicARN string            `json:"topicArn"`
	BusARN   string            `json:"busArn"`
	Mapping  string            `json:"eventSourceMapping"`
	Queues   map[string]string `json:"queues"` // name → URL
}

func readState(file string) (*State, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("not deployed? %w", err)
	}
	s := new(State)
	return s, json.Unmarshal(b, s)
}

func deployTo(ctx context.Context, c *clients, region, file string) error {
	s, err := c.deploy(ctx, region)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", b)
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
