package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The floor is a server that does what the measured one must and nothing else: net/http, SigV4, JSON, records of 1 KiB in one file that are
// synced for all who wait at once, queues of memory, and function programs that run as plain processes. It runs as a process of its own and is
// called as the measured server is, so that a figure beside the floor's says how far it is from what this machine could do.
//
// Its answers wait for their own record, and those before it, to be on disk; what it hands on goes ahead of that.

// floorArg makes this program the floor: its address is the first line it prints.
const floorArg = "floor"

// floorFile is the size of its file, which is written again and again: its size need not be synced.
const floorFile = 16 << 20

// floor is the running process.
type floor struct {
	*caller
	cmd *exec.Cmd
	in  io.Closer // when it is closed the process ends
}

// startFloor starts the floor with so many processes of a function program, "" for none.
func startFloor(dir, program string, processes int) (*floor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, floorArg, filepath.Join(dir, "floor"), program, fmt.Sprint(processes))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		in.Close()
		cmd.Wait()
		return nil, fmt.Errorf("the floor's address: %w", err)
	}
	return &floor{newCaller("http://" + strings.TrimSpace(addr)), cmd, in}, nil
}

func (f *floor) stop() {
	f.in.Close()
	f.cmd.Wait()
}

// floorServer is the floor from inside.
type floorServer struct {
	file *os.File

	mu      sync.Mutex
	buffer  []byte
	synced  chan struct{} // closed when what is in buffer is on disk
	filled  chan struct{}
	queues  sync.Map               // string to chan string
	item    atomic.Pointer[[]byte] // what was put last
	idle    []*bareFunction
	program []*exec.Cmd
}

// bareFunction is a function program and its Runtime API.
type bareFunction struct{ in, out chan []byte }

// serveFloor is the floor's main function.
func serveFloor(file, program string, processes int) error {
	s := &floorServer{synced: make(chan struct{}), filled: make(chan struct{}, 1)}
	var err error
	if err = os.WriteFile(file, make([]byte, floorFile), 0o600); err != nil {
		return err
	}
	if s.file, err = os.OpenFile(file, os.O_RDWR|syscall.O_DSYNC, 0); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	go s.write()
	for range processes {
		if err := s.start(program); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: s, ReadHeaderTimeout: time.Second}
	go web.Serve(l)
	fmt.Println(l.Addr())
	io.Copy(io.Discard, os.Stdin)
	for _, p := range s.program {
		p.Process.Kill()
		p.Wait()
	}
	return os.Remove(file)
}

// write has what was appended on disk, again and again.
func (s *floorServer) write() {
	at := int64(0)
	for range s.filled {
		s.mu.Lock()
		b, done := s.buffer, s.synced
		s.buffer, s.synced = nil, make(chan struct{})
		s.mu.Unlock()
		if at+int64(len(b)) > floorFile {
			at = 0
		}
		if _, err := s.file.WriteAt(b, at); err != nil { // which syncs
			panic(err)
		}
		at += int64(len(b))
		close(done)
	}
}

// append adds records; they are on disk when what it returns is closed.
func (s *floorServer) append(records int) <-chan struct{} {
	s.mu.Lock()
	s.buffer = append(s.buffer, make([]byte, 1024*records)...)
	done := s.synced
	s.mu.Unlock()
	select {
	case s.filled <- struct{}{}:
	default:
	}
	return done
}

func (s *floorServer) queue(url string) chan string {
	q, ok := s.queues.Load(url)
	if !ok {
		q, _ = s.queues.LoadOrStore(url, make(chan string, 1024))
	}
	return q.(chan string)
}

func (s *floorServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in struct {
		QueueUrl, MessageBody string
		QueueUrls             []string
		WaitTimeSeconds       int
	}
	if err != nil || !verified(r, body) || json.Unmarshal(body, &in) != nil {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	var out any = struct{}{}
	switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation {
	case "SendMessage":
		done := s.append(1)
		s.queue(in.QueueUrl) <- in.MessageBody
		<-done
	case "Publish":
		done := s.append(len(in.QueueUrls))
		for _, url := range in.QueueUrls {
			s.queue(url) <- in.MessageBody
		}
		<-done
	case "ReceiveMessage":
		wait := time.NewTimer(time.Duration(in.WaitTimeSeconds) * time.Second)
		defer wait.Stop()
		select {
		case m := <-s.queue(in.QueueUrl):
			<-s.append(1)
			out = map[string]any{"Messages": []map[string]string{{"ReceiptHandle": "handle", "Body": m}}}
		case <-wait.C:
		case <-r.Context().Done():
		}
	case "DeleteMessage":
		<-s.append(1)
	case "PutItem":
		<-s.append(1)
		s.item.Store(&body)
	case "GetRecords":
		records := []json.RawMessage{}
		if item := s.item.Load(); item != nil {
			records = append(records, *item)
		}
		out = map[string]any{"NextShardIterator": "next", "Records": records}
	case "Invoke":
		w.Write(s.invoke(body))
		return
	}
	answer, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Write(answer)
}

// invoke has the function that was idle last answer. There are as many functions as clients.
func (s *floorServer) invoke(event []byte) []byte {
	s.mu.Lock()
	last := len(s.idle) - 1
	f := s.idle[last]
	s.idle = s.idle[:last]
	s.mu.Unlock()
	f.in <- event
	answer := <-f.out
	s.mu.Lock()
	s.idle = append(s.idle, f)
	s.mu.Unlock()
	return answer
}

// start starts a function program, and serves its Runtime API.
func (s *floorServer) start(program string) error {
	f := &bareFunction{make(chan []byte), make(chan []byte)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: f, ReadHeaderTimeout: time.Second}
	go web.Serve(l)
	cmd := exec.Command(program)
	cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + l.Addr().String()}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.program, s.idle = append(s.program, cmd), append(s.idle, f)
	return nil
}

func (f *bareFunction) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Base(r.URL.Path) == "next" {
		event := <-f.in
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", "00000000-0000-0000-0000-000000000000")
		h.Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(10*time.Second).UnixMilli()))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", functionRole)
		w.Write(event)
		return
	}
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"status":"OK"}`)
	f.out <- answer
}
