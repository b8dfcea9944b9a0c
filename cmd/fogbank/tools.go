package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode"

	"fogbank"
)

func version(context.Context, []string) error {
	fmt.Println("fogbank", versionText())
	return nil
}

// versionText is the module's version, or the commit a working copy was built from.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && (text == "" || text == "(devel)") {
			text = "commit " + s.Value[:12]
		}
	}
	if text == "" {
		text = "(devel)"
	}
	return text
}

// printEnv prints shell lines for a server with the default root key.
func printEnv(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("fogbank env", flag.ExitOnError)
	var c fogbank.Config
	c.Flags(flags, os.Getenv)
	flags.Parse(args)
	if c.Region == "" {
		c.Region = fogbank.DefaultRegion
	}
	fmt.Printf("export AWS_ENDPOINT_URL=%s\nexport AWS_REGION=%s\nexport AWS_DEFAULT_REGION=%s\n", c.Endpoint(), c.Region, c.Region)
	if c.RootKeyFile == "" {
		fmt.Print("export AWS_ACCESS_KEY_ID=test\nexport AWS_SECRET_ACCESS_KEY=test\n")
	} else {
		fmt.Print("# credentials: the root key of ", c.RootKeyFile, ", or a user's access key\n")
	}
	return nil
}

// admin calls the running server through the socket in its data directory,
// which only the user who runs it may open.
func admin(ctx context.Context, data, method, path string, query url.Values) ([]byte, error) {
	if data == "" {
		return nil, errors.New("-data (or FOGBANK_DATA) must name the running server's data directory")
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return fogbank.DialAdmin(ctx, data)
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://fogbank"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("is a server running on %s? %w", data, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	return b, err
}

// adminArgs parses the flags of a command that talks to the running server, and returns its one argument.
func adminArgs(name string, args []string, need bool) (data, arg string, err error) {
	flags := flag.NewFlagSet("fogbank "+name, flag.ExitOnError)
	flags.StringVar(&data, "data", os.Getenv("FOGBANK_DATA"), "data directory of the running server [FOGBANK_DATA]")
	flags.Parse(args)
	if flags.NArg() > 1 || need && flags.NArg() == 0 {
		return "", "", fmt.Errorf("%s takes one argument", name)
	}
	return data, flags.Arg(0), nil
}

func explain(ctx context.Context, args []string) error {
	data, id, err := adminArgs("explain", args, true)
	if err != nil {
		return err
	}
	b, err := admin(ctx, data, "GET", "/explain", url.Values{"id": {id}})
	if err == nil {
		os.Stdout.Write(b)
	}
	return err
}

// outbox prints the letters of an account and region, oldest first.
func outbox(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("fogbank outbox", flag.ExitOnError)
	data := flags.String("data", os.Getenv("FOGBANK_DATA"), "data directory of the running server [FOGBANK_DATA]")
	account := flags.String("account", "", "account (default the server's)")
	region := flags.String("region", "", "region (default the server's)")
	after := flags.Uint64("after", 0, "number of the last letter already seen")
	raw := flags.Bool("json", false, "print JSON")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("outbox takes no argument %q", flags.Arg(0))
	}
	query := url.Values{"account": {*account}, "region": {*region}, "after": {strconv.FormatUint(*after, 10)}}
	b, err := admin(ctx, *data, "GET", "/outbox", query)
	if err != nil || *raw {
		os.Stdout.Write(b)
		return err
	}
	var box struct {
		Letters []struct {
			Number                            uint64
			At                                time.Time
			Protocol, To, From, Subject, Body string
		}
	}
	if err := json.Unmarshal(b, &box); err != nil {
		return err
	}
	for _, l := range box.Letters {
		fmt.Printf("#%d  %s  %s\nto       %s\n", l.Number, l.At.Format(time.RFC3339), l.Protocol, printable(l.To))
		if l.From != "" {
			fmt.Printf("from     %s\n", printable(l.From))
		}
		if l.Subject != "" {
			fmt.Printf("subject  %s\n", printable(l.Subject))
		}
		fmt.Printf("\n%s\n\n", printable(l.Body))
	}
	return nil
}

// printable replaces what would steer a terminal: anybody may have written a letter.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

func reset(ctx context.Context, args []string) error {
	data, account, err := adminArgs("reset", args, false)
	if err != nil {
		return err
	}
	_, err = admin(ctx, data, "POST", "/reset", url.Values{"account": {account}})
	return err
}

func travel(ctx context.Context, args []string) error {
	data, by, err := adminArgs("travel", args, true)
	if err != nil {
		return err
	}
	_, err = admin(ctx, data, "POST", "/travel", url.Values{"by": {by}})
	return err
}

func backup(ctx context.Context, args []string) error {
	data, dir, err := adminArgs("backup", args, true)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	_, err = admin(ctx, data, "POST", "/backup", url.Values{"to": {dir}})
	return err
}
