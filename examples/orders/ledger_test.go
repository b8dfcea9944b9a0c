package main

import (
	"testing"
	"time"

	"orders/order"
)

// TestVerdict: what is lost, out of order or out of place makes the verdict a no.
func TestVerdict(t *testing.T) {
	const body = `{"clientToken":"a","customer":{"name":"Ada","email":"ada@example.com"},"currency":"EUR","items":[{"sku":"x","kind":"digital","quantity":1,"unitPrice":5}]}`
	id := order.ID("a")
	placed, refunded := order.Event{OrderID: id, Version: 1}, order.Event{OrderID: id, Version: 2}
	type arrival struct {
		queue string
		order.Event
		place
	}
	early, late := place{sent: 1, again: true}, place{sent: 9}
	for _, c := range []struct {
		name     string
		arrivals []arrival
		missing  int
		disorder int
		strange  int
		twice    int
	}{
		{"all arrived", []arrival{{"billing", placed, place{}}, {"audit", placed, place{}}}, 0, 0, 0, 0},
		{"twice is not lost", []arrival{{"billing", placed, place{}}, {"audit", placed, place{}}, {"audit", placed, place{}}}, 0, 0, 0, 1},
		{"lost", []arrival{{"billing", placed, place{}}}, 1, 0, 0, 0},
		{"where it should not be", []arrival{{"billing", placed, place{}}, {"audit", placed, place{}}, {"fulfilment", placed, place{}}}, 0, 0, 1, 0},
		{"never accepted", []arrival{{"billing", placed, place{}}, {"audit", placed, place{}}, {"audit", refunded, place{}}}, 0, 0, 1, 0},
		{"backwards", []arrival{{"billing", placed, place{}}, {"audit", refunded, place{}}, {"audit", placed, place{}}}, 0, 1, 1, 0},
		{"given again after a later one", []arrival{{"billing", placed, place{}}, {"audit", refunded, late}, {"audit", placed, early}}, 0, 0, 1, 0},
		{"sent late and given again", []arrival{{"billing", placed, place{}}, {"audit", refunded, place{sent: 1}}, {"audit", placed, place{sent: 9, again: true}}}, 0, 1, 1, 0},
		{"backwards for no reason", []arrival{{"billing", placed, place{}}, {"audit", refunded, late}, {"audit", placed, place{sent: 1}}}, 0, 1, 1, 0},
	} {
		l := newLedger(1)
		l.sent(time.Now())
		r := &request{token: "a", valid: true}
		parsed, err := order.ParseRequest(body)
		if err != nil {
			t.Fatal(err)
		}
		r.order = *parsed
		l.answered(r, time.Now(), 201, []byte(`{"orderId":"`+id+`","version":1}`))
		for _, a := range c.arrivals {
			l.received(a.queue, a.Event, a.place)
		}
		v := l.verdict()
		twice := 0
		for _, n := range v.Duplicates {
			twice += n
		}
		if len(v.Missing) != c.missing || len(v.OutOfOrder) != c.disorder || len(v.Unexpected) != c.strange || twice != c.twice {
			t.Errorf("%s: missing %v, out of order %v, unexpected %v, %d twice", c.name, v.Missing, v.OutOfOrder, v.Unexpected, twice)
		}
	}
}

func TestRefusalsNeedAReason(t *testing.T) {
	l := newLedger(2)
	l.answered(&request{token: "a"}, time.Now(), 400, []byte(`{"reason":"no items"}`))
	l.answered(&request{token: "b"}, time.Now(), 403, []byte(`{"message":"Forbidden"}`))
	v := l.verdict()
	if len(v.Refused) != 2 || len(v.Unexpected) != 1 {
		t.Errorf("refused %v, unexpected %v", v.Refused, v.Unexpected)
	}
}

// TestRounds: the file over and over makes fresh orders, and refunds of the same round.
func TestRounds(t *testing.T) {
	list, err := readRequests("orders.jsonl", 200, 200)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]bool{}
	for _, r := range list {
		tokens[r.token] = true
	}
	refunds := 0
	for _, r := range list {
		if r.valid && r.order.RefundOf != "" && tokens[r.order.RefundOf] {
			refunds++
		}
	}
	first, err := readRequests("orders.jsonl", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range first {
		if r.token != "" && tokens[r.token] {
			t.Errorf("%s is in both rounds", r.token)
		}
	}
	if refunds < 15 {
		t.Errorf("%d refunds of orders of their own round", refunds)
	}
}
