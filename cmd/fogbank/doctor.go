package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"fogbank/compute"
	"fogbank/world"
)

// runtimes are those AWS has, oldest first, that somebody may ask for.
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
var runtimes = []string{"provided.al2023", "provided.al2", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14",
	"nodejs18.x", "nodejs20.x", "nodejs22.x", "nodejs24.x", "ruby3.2", "ruby3.3", "ruby3.4",
	"java11", "java17", "java21", "java25", "dotnet8"}

// doctor tells how functions are isolated on this host, and which runtimes it can run.
func doctor(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("fogbank doctor", flag.ExitOnError)
	unsafe := flags.Bool("unsafe-functions", false, "judge as a server that was started with it does")
	flags.Parse(args)
	scratch, err := os.MkdirTemp("", "fogbank-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	code, err := compute.OpenCode(filepath.Join(scratch, "code"))
	if err != nil {
		return err
	}
	w := world.New()
	defer w.Stop()
	p, err := compute.NewProcess(compute.ProcessOptions{World: w, Code: code, Dir: filepath.Join(scratch, "run"), Unsafe: *unsafe})
	if err != nil {
		return err
	}
	defer p.Close()
	diagnose(os.Stdout, p)
	return nil
}

// diagnose prints what p says of the host.
func diagnose(out io.Writer, p *compute.Process) {
	fmt.Fprintf(out, "functions  %s\n\n", p.Isolation())
	for _, name := range runtimes {
		verdict, err := p.Runs(name)
		if err != nil {
			verdict = "no: " + err.Error()
		}
		fmt.Fprintf(out, "%-16s %s\n", name, verdict)
	}
}
