// Command fogbank runs the cloud.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// command is one verb.
type command struct {
	name, args, about string
	run               func(ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"up", "[flags]", "run the server", up},
		{"demo", "orders [flags]", "run the order system end to end, with two crashes, and judge it", demo},
		{"env", "", "print the shell lines that point clients here: eval \"$(fogbank env)\"", printEnv},
		{"explain", "REQUEST-ID", "show what happened to a request: operation, caller, decision, duration", explain},
		{"outbox", "[flags]", "show mail, text messages and pushes that no relay or gateway took", outbox},
		{"reset", "[ACCOUNT]", "empty an account, or everything (only while the key test/test exists)", reset},
		{"travel", "DURATION", "move the server's clock forward (only while the key test/test exists)", travel},
		{"backup", "DIRECTORY", "copy the running server's data into a new directory, consistently", backup},
		{"doctor", "[flags]", "tell how functions are isolated on this machine, and which runtimes it can run", doctor},
		{"version", "", "print the version", version},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fogbank:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(os.Stdout)
		return nil
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:])
		}
	}
	usage(os.Stderr)
	return fmt.Errorf("no command %q", args[0])
}

func usage(w io.Writer) {
	fmt.Fprint(w, "fogbank is an AWS-compatible cloud in one process.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  fogbank %-22s %s\n", c.name+" "+c.args, c.about)
	}
	fmt.Fprint(w, "\nfogbank COMMAND -h lists a command's flags.\n")
}
