package conform

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"conform/server"
)

// TestOrdersByCLI deploys and drives the order system with the aws command line.
func TestOrdersByCLI(t *testing.T) { byClient(t, "aws", "aws", "--version") }

// TestOrdersByBoto3 does the same with boto3.
func TestOrdersByBoto3(t *testing.T) { byClient(t, "boto3", "python3", "-c", "import boto3") }

func byClient(t *testing.T, client, probe string, args ...string) {
	if out, err := exec.Command(probe, args...).CombinedOutput(); err != nil {
		t.Skipf("%s is not on this machine: %v %.100s", client, err, out)
	}
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	script := map[string]string{"aws": "orders_cli.sh", "boto3": "orders_boto3.py"}[client]
	runner := map[string]string{"aws": "bash", "boto3": "python3"}[client]
	root, err := server.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, runner, filepath.Join(root, "conform", script))
	cmd.Dir, cmd.Env = t.TempDir(), append(s.Env(), "ORDERS="+filepath.Join(root, "examples", "orders"))
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	t.Logf("%s", out)
}
