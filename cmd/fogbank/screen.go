package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// progress is a line of the sender's.
type progress struct {
	Type     string
	Requests int
	Sent     int
	Accepted int
	Refused  int
	Retries  int
	Hops     []struct {
		Name     string
		Count    int
		InFlight int
		P50      float64 `json:"p50ms"`
		P99      float64 `json:"p99ms"`
	}
}

// screen shows the demo: a table redrawn in place on a terminal, plain lines elsewhere, JSON lines for programs.
type screen struct {
	json, tty bool
	judged    bool
	drawn     int // lines of the table now on the terminal
	shown     time.Time
}

func newScreen(asJSON bool) *screen {
	info, err := os.Stdout.Stat()
	tty := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "" && os.Getenv("TERM") != "dumb"
	return &screen{json: asJSON, tty: tty && !asJSON}
}

// say prints a line above the table.
func (s *screen) say(text string) {
	if s.json {
		b, err := json.Marshal(map[string]string{"type": "message", "text": text})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n", b)
		return
	}
	s.erase()
	fmt.Println(text)
}

// erase removes the table from the terminal.
func (s *screen) erase() {
	if s.tty && s.drawn > 0 {
		fmt.Printf("\x1b[%dA\x1b[J", s.drawn)
	}
	s.drawn = 0
}

// progress shows how far things are; raw is the line p was read from.
func (s *screen) progress(raw []byte, p *progress) {
	switch {
	case s.json:
		fmt.Printf("%s\n", raw)
	case s.tty:
		table := s.table(p)
		s.erase()
		fmt.Print(table)
		s.drawn = strings.Count(table, "\n")
	case time.Since(s.shown) > 2*time.Second:
		last := p.Hops[len(p.Hops)-1]
		fmt.Printf("sent %d/%d, accepted %d, refused %d, retries %d; through every hop: %d, on the way: %d\n",
			p.Sent, p.Requests, p.Accepted, p.Refused, p.Retries, last.Count, last.InFlight)
		s.shown = time.Now()
	}
}

func (s *screen) table(p *progress) string {
	const width = 28
	done := width * p.Sent / max(p.Requests, 1)
	var b strings.Builder
	fmt.Fprintf(&b, "\n \x1b[1morders\x1b[0m %s%s %d/%d   accepted \x1b[32m%d\x1b[0m  refused \x1b[33m%d\x1b[0m  retries %d\n\n",
		strings.Repeat("█", done), strings.Repeat("░", width-done), p.Sent, p.Requests, p.Accepted, p.Refused, p.Retries)
	fmt.Fprintf(&b, " \x1b[2m%-30s %8s %10s %10s %10s\x1b[0m\n", "hop", "through", "in flight", "p50 ms", "p99 ms")
	for _, h := range p.Hops {
		color := ""
		if h.InFlight > 0 {
			color = "\x1b[33m"
		}
		fmt.Fprintf(&b, " %-30s %8d %s%10d\x1b[0m %10.1f %10.1f\n", h.Name, h.Count, color, h.InFlight, h.P50, h.P99)
	}
	return b.String()
}

// verdict prints the judgement: as one JSON line, or in words.
func (s *screen) verdict(v map[string]any) {
	s.judged = true
	if s.json {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n", b)
		return
	}
	s.drawn = 0 // the last table stays
	fmt.Printf("\naccepted %v (asked again and recognised: %v), in the table: %v orders, kills: %v, client retries: %v\n",
		v["accepted"], v["repeated"], v["inTable"], v["kills"], v["retries"])
	fmt.Printf("delivered %s\nduplicates %s\n", compact(v["delivered"]), compact(v["duplicates"]))
	if text, ok := v["explanation"].(string); ok {
		fmt.Println("  " + text)
	}
	list(v["refused"], "refused", func(r any) string {
		m, _ := r.(map[string]any)
		return fmt.Sprintf("%v %v: %v", m["clientToken"], m["status"], m["reason"])
	})
	for _, what := range []string{"missing", "outOfOrder", "unanswered", "unexpected"} {
		list(v[what], what, func(r any) string { return fmt.Sprint(r) })
	}
	fmt.Printf("order → last queue: p50 %.1f ms, p99 %.1f ms (with the crashes)\n", v["lastQueueP50ms"], v["lastQueueP99ms"])
	if v["ok"] == true {
		fmt.Println("\nVERDICT: ok. Every accepted order is in the table and reached every queue it should, in order; none was lost.")
	} else {
		fmt.Println("\nVERDICT: NOT OK")
	}
}

// failed ends the lines for programs with a verdict when there was none to print.
func (s *screen) failed(err error) {
	if !s.json || s.judged {
		return
	}
	s.verdict(map[string]any{"type": "verdict", "ok": false, "error": err.Error()})
}

func list(v any, title string, text func(any) string) {
	rows, _ := v.([]any)
	if len(rows) == 0 {
		return
	}
	fmt.Printf("%s: %d\n", title, len(rows))
	for i, r := range rows {
		if i == 20 {
			fmt.Printf("  … and %d more\n", len(rows)-i)
			break
		}
		fmt.Println("  " + text(r))
	}
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
