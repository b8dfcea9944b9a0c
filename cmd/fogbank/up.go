package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"fogbank"
)

// drainTime is how long running requests may take after SIGTERM; those that only wait, as
// long polls do, are asked to end after drainGrace.
const (
	drainTime  = 20 * time.Second
	drainGrace = 3 * time.Second
)

// up runs the server until ctx ends, then drains it.
func up(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("fogbank up", flag.ExitOnError)
	var c fogbank.Config
	c.Flags(flags, os.Getenv)
	flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("up takes no argument %q", flags.Arg(0))
	}
	// A small heap is collected often for nothing: let it reach 32 MiB first.
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(200)
	}
	log, err := logger(c.LogLevel)
	if err != nil {
		return err
	}
	c.Log = log
	l, err := listen(&c)
	if err != nil {
		return err
	}
	defer l.Close()
	c.Listen = l.Addr().String() // port 0 becomes a real one
	inner, err := listenInner(&c)
	if err != nil {
		return err
	}
	cloud, err := fogbank.Open(c)
	if err != nil {
		return err
	}
	defer cloud.Close()
	server := &http.Server{Handler: cloud, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 3 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	requests, cut := context.WithCancel(context.Background())
	defer cut()
	lot := cloud.Parking(requests, server.IdleTimeout)
	server.BaseContext = lot.Context
	server.RegisterOnShutdown(func() { time.AfterFunc(drainGrace, cut) })
	failed := make(chan error, 3)
	go func() { failed <- server.Serve(lot) }()
	go func() { failed <- server.Serve(l) }()
	if inner != nil {
		go func() { failed <- server.Serve(inner) }()
	}
	go giveBack(ctx)
	banner(&c, cloud)
	if err := cloud.Ready(ctx); err != nil {
		log.Error("init scripts", "err", err)
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("draining")
	drain, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := server.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	lot.Drain(drain)
	return cloud.Close()
}

func listen(c *fogbank.Config) (net.Listener, error) {
	addr := c.Listen
	if addr == "" {
		addr = fogbank.DefaultListen
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if c.TLSCert == "" {
		return l, nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		l.Close()
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}), nil
}

// listenInner makes the listener of functions: nil where the other one speaks plain HTTP. Only this machine reaches it.
func listenInner(c *fogbank.Config) (net.Listener, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the listener of functions: %w", err)
	}
	c.FunctionEndpoint = "http://" + l.Addr().String()
	return l, nil
}

func logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if level != "" {
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("log-level: %w", err)
		}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}

func banner(c *fogbank.Config, cloud *fogbank.Cloud) {
	where := c.Data
	if where == "" {
		where = "memory only: gone when this process ends"
	}
	fmt.Printf("fogbank %s\n  endpoint   %s\n  data       %s\n  functions  %s\n  clients    eval \"$(fogbank env -listen %s)\"\n",
		versionText(), c.Endpoint(), where, cloud.Isolation(), c.Listen)
}
