package fogbank

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// keyFile writes a root key file only its owner may read.
func keyFile(t *testing.T, id string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root-key")
	if err := os.WriteFile(file, []byte(id+" 0123456789012345678901234567890123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestRootKey replaces test/test, which must be gone for good: on restart, for another account, on any listener.
func TestRootKey(t *testing.T) {
	data, file := t.TempDir(), keyFile(t, "AKIAROOTKEYNUMBER001")
	const away, other = "0.0.0.0:4566", "111111111111"
	for _, step := range []struct {
		what   string
		config Config
		known  bool   // whether test/test is root afterwards
		err    string // part of it
	}{
		{"test/test on a listener others reach", Config{Listen: away}, false, "give -root-key-file"},
		{"test/test on loopback", Config{}, true, ""},
		{"another account's key, with test/test of the first still there", Config{Listen: away, Account: other, RootKeyFile: file}, false, ""},
		{"the first account afterwards", Config{}, false, "replaced for good"},
		{"restart without the file", Config{Listen: away, Account: other}, false, ""},
		{"a key for the first account too", Config{Listen: away, RootKeyFile: keyFile(t, "AKIAROOTKEYNUMBER002")}, false, ""},
		{"restart on loopback", Config{}, false, ""},
		{"a third account", Config{Account: "222222222222"}, false, "replaced for good"},
		{"a file that is not there", Config{RootKeyFile: filepath.Join(data, "nothing")}, false, "no such file"},
	} {
		step.config.Data = data
		c, err := Open(step.config)
		if step.err != "" {
			if err == nil || !strings.Contains(err.Error(), step.err) {
				t.Errorf("%s: got %v, want %q", step.what, err, step.err)
			}
			if err == nil {
				c.Close()
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		for _, id := range []string{"test", "333333333333", DefaultAccount, other} {
			_, ok, err := c.services.iam.Credential(t.Context(), id)
			if err != nil || ok != step.known {
				t.Errorf("%s: key %s works: %v, %v", step.what, id, ok, err)
			}
		}
		if got := post(c, "/_localstack/state/reset", nil).Code == 404; got == step.known {
			t.Errorf("%s: reset is gone: %v", step.what, got)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeyFile refuses root key files that are readable by others or hold no strong key.
func TestKeyFile(t *testing.T) {
	for _, f := range []struct {
		text string
		mode os.FileMode
		ok   bool
	}{
		{"AKIAROOTKEYNUMBER001 0123456789012345678901234567890123456789", 0o600, true},
		{"AKIAROOTKEYNUMBER001 0123456789012345678901234567890123456789", 0o400, true},
		{"AKIAROOTKEYNUMBER001 0123456789012345678901234567890123456789", 0o640, false},
		{"AKIAROOTKEYNUMBER001 0123456789012345678901234567890123456789", 0o604, false},
		{"AKIAROOTKEYNUMBER001 short", 0o600, false},
		{"test test", 0o600, false},
		{"", 0o600, false},
	} {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
		c := Config{RootKeyFile: file}
		if _, _, err := c.rootKey(); (err == nil) != f.ok {
			t.Errorf("%q mode %o: %v", f.text, f.mode, err)
		}
	}
}

func post(c *Cloud, path string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://localhost:4566"+path, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

// TestReset refuses browsers of other origins, and leaves a cloud that works.
func TestReset(t *testing.T) {
	c, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, x := range []struct {
		path   string
		header http.Header
		status int
	}{
		{"/_fogbank/reset", nil, 200},
		{"/_localstack/state/reset?account=111111111111", nil, 200},
		{"/_fogbank/reset?account=1", nil, 400},
		{"/_fogbank/reset", http.Header{"Origin": {"http://localhost:4566"}}, 200},
		{"/_fogbank/reset", http.Header{"Origin": {"http://localhost:4567"}}, 403},
		{"/_fogbank/reset", http.Header{"Origin": {"null"}}, 403},
		{"/_fogbank/reset", http.Header{"Origin": {"http://localhost:4566", "http://evil.example"}}, 403},
		{"/_fogbank/reset", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"/_fogbank/reset", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
	} {
		if got := post(c, x.path, x.header).Code; got != x.status {
			t.Errorf("%s %v: %d, want %d", x.path, x.header, got, x.status)
		}
	}
	if _, ok, err := c.services.iam.Credential(t.Context(), "test"); !ok || err != nil {
		t.Errorf("test/test after a reset: %v, %v", ok, err)
	}
}

// TestEmbed opens and closes the zero Config: nothing may stay behind.
func TestEmbed(t *testing.T) {
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	before := runtime.NumGoroutine()
	for range 3 {
		c, err := Open(Config{})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost:4566/_localstack/health", nil))
		var health struct{ Services map[string]string }
		if err := json.Unmarshal(w.Body.Bytes(), &health); err != nil || health.Services["sqs"] != "available" {
			t.Errorf("health: %s, %v", w.Body, err)
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
		if err := c.db.Update(c.call(context.Background()), nil); err == nil {
			t.Error("a closed cloud's store takes an update")
		}
	}
	if left, err := os.ReadDir(scratch); len(left) > 0 || err != nil {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
	// Goroutines that were told to end may be about to.
	for range 1_000_000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	stacks := make([]byte, 64<<10)
	t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
}

// TestAdminSocket serves commands also below a directory whose name is too long for a socket.
func TestAdminSocket(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	c, err := Open(Config{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return DialAdmin(ctx, data) }}}
	defer client.CloseIdleConnections()
	res, err := client.Post("http://fogbank/travel?by=1h", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Error(res.Status)
	}
	for _, file := range []string{data, filepath.Join(data, AdminSocket)} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be used by others: %v, %v", file, info, err)
		}
	}
}
