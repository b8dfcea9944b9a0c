// Command bootstrap is a function of the tests: a custom runtime that does what its event says.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

type event struct {
	Do   string
	Arg  string
	Size int
}

func main() {
	if strings.HasPrefix(os.Args[0], "/opt/extensions/") {
		extension()
		return
	}
	if len(os.Args) > 2 {
		command(os.Args[1], os.Args[2])
		return
	}
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	switch os.Getenv("INIT") {
	case "error":
		post(base+"init/error", []byte(`{"errorType":"My.InitError","errorMessage":"not today"}`), "My.InitError")
		os.Exit(1)
	case "exit":
		os.Exit(7)
	}
	if wait, ok := strings.CutPrefix(os.Getenv("INIT"), "sleep:"); ok {
		d, _ := time.ParseDuration(wait)
		time.Sleep(d)
	}
	for {
		r, err := http.Get(base + "invocation/next")
		if err != nil {
			os.Exit(2)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		here := base + "invocation/" + r.Header.Get("Lambda-Runtime-Aws-Request-Id")
		var e event
		json.Unmarshal(b, &e)
		out, err := do(e, b, r.Header)
		if err != nil {
			doc, _ := json.Marshal(map[string]string{"errorType": "errorString", "errorMessage": err.Error()})
			post(here+"/error", doc, "errorString")
			continue
		}
		if e.Do == "stream" {
			stream(here, e.Arg)
			continue
		}
		if e.Do == "chunked" {
			req, _ := http.NewRequest("POST", here+"/response", io.MultiReader(bytes.NewReader(out)))
			http.DefaultClient.Do(req)
			continue
		}
		post(here+"/response", out, "")
	}
}

// extension is what the program is below /opt/extensions. It says which events it gets, and does as EXT tells: "late"
// works a while after the function, "stuck" does not come to an end, "exit" ends once it has registered, "error" reports
// that it cannot go on, "silent" does not register.
func extension() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2020-01-01/extension/"
	do := os.Getenv("EXT")
	if do == "silent" {
		time.Sleep(time.Hour)
	}
	name := os.Args[0][len("/opt/extensions/"):]
	req, _ := http.NewRequest("POST", base+"register", strings.NewReader(`{"events":["INVOKE","SHUTDOWN"]}`))
	req.Header.Set("Lambda-Extension-Name", name)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		os.Exit(2)
	}
	b, _ := io.ReadAll(r.Body)
	fmt.Printf("%s: registered %d %s, handler in its environment: %q\n", name, r.StatusCode, b, os.Getenv("_HANDLER"))
	id := r.Header.Get("Lambda-Extension-Identifier")
	call := func(method, path string) []byte {
		req, _ := http.NewRequest(method, base+path, nil)
		req.Header.Set("Lambda-Extension-Identifier", id)
		req.Header.Set("Lambda-Extension-Function-Error-Type", "My.Error")
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			os.Exit(2)
		}
		b, _ := io.ReadAll(r.Body)
		return b
	}
	switch do {
	case "telemetry":
		receive(name, id)
	case "exit":
		os.Exit(3)
	case "error":
		call("POST", "init/error")
		time.Sleep(time.Hour)
	}
	for {
		var e struct{ EventType, ShutdownReason, RequestID string }
		json.Unmarshal(call("GET", "event/next"), &e)
		fmt.Printf("%s: %s %s\n", name, e.EventType, e.ShutdownReason)
		switch {
		case e.EventType == "SHUTDOWN":
			os.Exit(0)
		case do == "late":
			time.Sleep(200 * time.Millisecond)
			fmt.Printf("%s: done\n", name)
		case do == "stuck":
			time.Sleep(time.Hour)
		}
	}
}

// receive subscribes to telemetry and says what comes.
func receive(name, id string) {
	l, err := net.Listen("tcp4", "127.0.0.1:4243")
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var events []struct {
			Type   string
			Record json.RawMessage
		}
		json.NewDecoder(r.Body).Decode(&events)
		for _, e := range events {
			fmt.Printf("%s: got %s %s\n", name, e.Type, e.Record)
		}
	}))
	for _, body := range []string{`{"schemaVersion":"2022-07-01","types":[],"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain"}}`,
		`{"schemaVersion":"2022-07-01","types":["platform","function"],"buffering":{"timeoutMs":1000},"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:4243/in"}}`} {
		req, _ := http.NewRequest("PUT", "http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2022-07-01/telemetry", strings.NewReader(body))
		req.Header.Set("Lambda-Extension-Identifier", id)
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			os.Exit(2)
		}
		b, _ := io.ReadAll(r.Body)
		fmt.Printf("%s: subscribed %d %s\n", name, r.StatusCode, b)
	}
}

// stream responds in chunks, the words of what: "sleep:1s" waits, "mb:N" writes N MiB, "exit" ends, "cut" ends the
// connection, "!text" ends with an error, anything else is written.
func stream(here, what string) {
	read, write := io.Pipe()
	req, _ := http.NewRequest("POST", here+"/response", read)
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	req.Trailer = http.Header{"Lambda-Runtime-Function-Error-Type": nil, "Lambda-Runtime-Function-Error-Body": nil}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if r, err := http.DefaultClient.Do(req); err == nil {
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		read.Close()
	}()
	for _, word := range strings.Fields(what) {
		verb, arg, _ := strings.Cut(word, ":")
		switch {
		case verb == "sleep":
			d, _ := time.ParseDuration(arg)
			time.Sleep(d)
		case verb == "mb":
			n := 0
			fmt.Sscan(arg, &n)
			for range n {
				write.Write(make([]byte, 1<<20))
			}
		case verb == "exit":
			os.Exit(3)
		case verb == "cut":
			write.CloseWithError(io.ErrUnexpectedEOF)
		case word[0] == '!':
			req.Trailer.Set("Lambda-Runtime-Function-Error-Type", "My.Error")
			req.Trailer.Set("Lambda-Runtime-Function-Error-Body", base64.StdEncoding.EncodeToString([]byte(`{"errorMessage":"`+word[1:]+`"}`)))
		default:
			io.WriteString(write, word)
		}
	}
	write.Close()
	<-ended
}

func post(url string, body []byte, kind string) {
	req, _ := http.NewRequest("POST", url, bytes.NewReader(body))
	if kind != "" {
		req.Header.Set("Lambda-Runtime-Function-Error-Type", kind)
	}
	if r, err := http.DefaultClient.Do(req); err == nil {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
}

func do(e event, b []byte, h http.Header) ([]byte, error) {
	switch e.Do {
	case "fail":
		return nil, fmt.Errorf("%s", e.Arg)
	case "exit":
		os.Exit(e.Size)
	case "sleep":
		d, _ := time.ParseDuration(e.Arg)
		time.Sleep(d)
	case "print":
		fmt.Println(e.Arg)
	case "headers":
		return json.Marshal(h)
	case "env":
		return json.Marshal(os.Environ())
	case "big":
		return []byte(`"` + strings.Repeat("x", e.Size) + `"`), nil
	case "eat":
		var all [][]byte
		for i := 0; i < e.Size; i++ {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		_ = all
	case "orphan":
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "INIT=")
		cmd = exec.Command("sleep", "300")
		cmd.Start()
		return json.Marshal(cmd.Process.Pid)
	case "try":
		return try(e.Arg)
	}
	return b, nil
}

// command is what the program does outside an environment: "try" something, or be a "victim" of others' attempts.
func command(verb, arg string) {
	if verb == "victim" {
		suffer(arg)
		return
	}
	b, err := try(arg)
	if err != nil {
		b = []byte(err.Error())
	}
	os.Stdout.Write(b)
}

// try attempts something and answers how it went.
func try(what string) ([]byte, error) {
	verb, arg, _ := strings.Cut(what, " ")
	var err error
	var answer any = "ok"
	switch verb {
	case "read":
		var b []byte
		b, err = os.ReadFile(arg)
		answer = string(b)
	case "write":
		err = os.WriteFile(arg, []byte("x"), 0o644)
	case "list":
		var list []os.DirEntry
		list, err = os.ReadDir(arg)
		names := []string{}
		for _, e := range list {
			names = append(names, e.Name())
		}
		answer = names
	case "user":
		answer = os.Geteuid()
	case "pid":
		answer = []int{os.Getpid(), os.Getuid()}
	default:
		name, arg, _ := strings.Cut(what, ":")
		answer, err = attempt(name, arg)
	}
	if err != nil {
		answer = "error: " + err.Error()
	}
	return json.Marshal(answer)
}
