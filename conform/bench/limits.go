package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"conform/server"
)

// handlerLimit measures the least a Go server can do for a signed call: a bare net/http handler that
// reads it, verifies SigV4, parses the JSON and writes it back, called by the same client as the server is.
func handlerLimit(samples int) ([]float64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: http.HandlerFunc(bare), ReadHeaderTimeout: time.Second}
	go s.Serve(l)
	defer s.Close()
	cfg := (&server.Server{Addr: l.Addr().String()}).Root()
	db := dynamodb.NewFromConfig(cfg)
	in := &dynamodb.PutItemInput{TableName: aws.String("t"), Item: map[string]types.AttributeValue{
		"k": &types.AttributeValueMemberS{Value: "key"}, "v": &types.AttributeValueMemberS{Value: strings.Repeat("x", 1000)}}}
	return measure(samples, func() error {
		_, err := db.PutItem(ctx, in)
		return err
	})
}

func bare(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in map[string]any
	if err != nil || !verified(r, body) || json.Unmarshal(body, &in) != nil {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	out, err := json.Marshal(in)
	if err != nil {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Write(out)
}

// verified checks the signature of a request without a query string, by the key test/test.
func verified(r *http.Request, body []byte) bool {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	credential, rest, _ := strings.Cut(rest, ", SignedHeaders=")
	names, signature, _ := strings.Cut(rest, ", Signature=")
	_, scope, _ := strings.Cut(credential, "/")
	var canonical bytes.Buffer
	canonical.WriteString(r.Method + "\n/\n\n")
	for name := range strings.SplitSeq(names, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			b, _ := json.Marshal(r.ContentLength)
			value = string(b)
		}
		canonical.WriteString(name + ":" + value + "\n")
	}
	sum := sha256.Sum256(body)
	canonical.WriteString("\n" + names + "\n" + hex.EncodeToString(sum[:]))
	sum = sha256.Sum256(canonical.Bytes())
	key, ok := keys.Load(scope)
	if !ok {
		made := []byte("AWS4test")
		for part := range strings.SplitSeq(scope, "/") {
			made = mac(made, part)
		}
		key, _ = keys.LoadOrStore(scope, made)
	}
	want := hex.EncodeToString(mac(key.([]byte), "AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope+"\n"+hex.EncodeToString(sum[:])))
	return hmac.Equal([]byte(want), []byte(signature))
}

// keys are the signing keys of scopes.
var keys sync.Map

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

// syncLimit measures appending 1 KiB and syncing it: what a single durable write must cost.
func syncLimit(dir string, samples int) ([]float64, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	record := make([]byte, 1024)
	return measure(samples, func() error {
		if _, err := f.Write(record); err != nil {
			return err
		}
		return syscall.Fsync(int(f.Fd()))
	})
}

// measure returns the sorted durations of n calls of f, in milliseconds.
func measure(n int, f func() error) ([]float64, error) {
	all := make([]float64, 0, n)
	for range n {
		begin := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		all = append(all, float64(time.Since(begin).Microseconds())/1000)
	}
	slices.Sort(all)
	return all, nil
}

func sorted(v []float64) []float64 {
	slices.Sort(v)
	return v
}
