package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// suite is what every engine must do.
var suite = []struct {
	name string
	run  func(t *testing.T, make labFunc)
}{
	{"model", testModel},
	{"bank transfer", testBank},
	{"write skew", testWriteSkew},
	{"phantom", testPhantom},
	{"lost update", testLostUpdate},
	{"long fork", testLongFork},
	{"torn read", testTornRead},
	{"log order", testLogOrder},
	{"log edges", testLogEdges},
	{"derived", testDerived},
	{"derived all", testDerivedAll},
	{"limits", testLimits},
	{"tenants", testTenants},
	{"clear", testClear},
	{"added rows", testAdded},
	{"counter", testCounter},
	{"counter apart", testCounterApart},
}

// modelKeys are the awkward keys: empty, zero bytes, 0xff, prefixes of each other, the longest.
func modelKeys() []Key {
	longest := MaxKey - len("111111111111\x00us-east-1\x00test/text\x00") - 2
	keys := []Key{"", K(""), K("", ""), K([]byte{0}), K([]byte{0, 0}), K([]byte{0xff}), K([]byte{0, 0xff}),
		K("a"), K("a", ""), K("a", "b"), K("ab"), K("a\x00b"), K("b"), K(0), K(-1), K(1), K(256), K(false), K(true),
		K(strings.Repeat("x", longest)), K(strings.Repeat("x", longest-1)), K(strings.Repeat("\xff", longest))}
	for i := range 30 {
		keys = append(keys, K("n", i))
	}
	return keys
}

// testModel runs one random program here and on a map, comparing every answer; now and then it reopens.
func testModel(t *testing.T, make labFunc) {
	for seed := range uint64(4) {
		l := make(t)
		rnd := rand.New(rand.NewPCG(seed, 1))
		keys := modelKeys()
		state := map[Key]string{}
		for step := range 400 {
			next := maps.Clone(state)
			abort := rnd.IntN(5) == 0
			err := l.db.Update(someone, func(tx *Tx) error {
				for range rnd.IntN(12) {
					if problem := modelStep(tx, rnd, keys, next); problem != "" {
						t.Fatalf("seed %d step %d: %s", seed, step, problem)
					}
				}
				if abort {
					return errors.ErrUnsupported
				}
				return nil
			})
			if abort != (err != nil) {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if !abort {
				state = next
			}
			if rnd.IntN(60) == 0 {
				l.reopen()
			}
		}
		view(t, l.db, func(tx *Tx) {
			if problem := modelScan(tx, Range{}, state); problem != "" {
				t.Fatalf("seed %d at the end: %s", seed, problem)
			}
		})
	}
}

func modelStep(tx *Tx, rnd *rand.Rand, keys []Key, state map[Key]string) (problem string) {
	key := keys[rnd.IntN(len(keys))]
	switch rnd.IntN(6) {
	case 0, 1:
		v := strings.Repeat("v", rnd.IntN(50)) + fmt.Sprint(rnd.IntN(1000))
		texts.Put(tx, key, v)
		state[key] = v
	case 2:
		texts.Delete(tx, key)
		delete(state, key)
	case 3:
		got, ok := texts.Get(tx, key)
		want, has := state[key]
		if ok != has || got != want || texts.Has(tx, key) != has {
			return fmt.Sprintf("Get(%v) = %q %v, want %q %v", key, got, ok, want, has)
		}
	default:
		r := Range{Reverse: rnd.IntN(2) == 0, Limit: rnd.IntN(10)}
		for _, bound := range []*Key{&r.From, &r.To, &r.After} {
			if rnd.IntN(3) == 0 {
				*bound = keys[rnd.IntN(len(keys))]
			}
		}
		if rnd.IntN(3) == 0 {
			r.Prefix = []Key{K("a"), K("n"), K(""), K("x")}[rnd.IntN(4)]
		}
		return modelScan(tx, r, state)
	}
	return ""
}

func modelScan(tx *Tx, r Range, state map[Key]string) (problem string) {
	var want []string
	for _, k := range slices.Sorted(maps.Keys(state)) {
		after := r.After == "" || (!r.Reverse && k > r.After) || (r.Reverse && k < r.After)
		if below(string(r.Prefix)).has(string(k)) && k >= r.From && (r.To == "" || k < r.To) && after {
			want = append(want, string(k)+"="+state[k])
		}
	}
	if r.Reverse {
		slices.Reverse(want)
	}
	if r.Limit > 0 && len(want) > r.Limit {
		want = want[:r.Limit]
	}
	var got []string
	for k, v := range texts.Scan(tx, r) {
		got = append(got, string(k)+"="+v)
	}
	if !slices.Equal(got, want) {
		return fmt.Sprintf("Scan(%+v) = %q, want %q", r, got, want)
	}
	return ""
}

// crowd runs f in n goroutines and fails on an error.
func crowd(t *testing.T, n int, f func(who int) error) {
	t.Helper()
	var group sync.WaitGroup
	for who := range n {
		group.Go(func() {
			if err := f(who); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func testBank(t *testing.T, make labFunc) {
	db := make(t).db
	const accounts, start = 10, 100
	update(t, db, func(tx *Tx) {
		for i := range accounts {
			numbers.Put(tx, K(i), start)
		}
	})
	var done atomic.Bool
	var watching sync.WaitGroup
	watching.Go(func() {
		for !done.Load() {
			view(t, db, func(tx *Tx) {
				sum := 0
				for _, n := range numbers.All(tx, "") {
					sum += n
				}
				if sum != accounts*start {
					t.Errorf("the sum is %d", sum)
				}
			})
		}
	})
	crowd(t, 8, func(who int) error {
		rnd := rand.New(rand.NewPCG(uint64(who), 2))
		for range 100 {
			from, to, amount := rnd.IntN(accounts), rnd.IntN(accounts), rnd.IntN(20)
			err := db.Update(someone, func(tx *Tx) error {
				a, _ := numbers.Get(tx, K(from))
				if a < amount || from == to {
					return nil
				}
				b, _ := numbers.Get(tx, K(to))
				numbers.Put(tx, K(from), a-amount)
				numbers.Put(tx, K(to), b+amount)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	done.Store(true)
	watching.Wait()
}

// testWriteSkew: of two doctors on call each may leave while the other stays; both must not.
func testWriteSkew(t *testing.T, make labFunc) {
	db := make(t).db
	for range 100 {
		update(t, db, func(tx *Tx) { numbers.Put(tx, K("a"), 1); numbers.Put(tx, K("b"), 1) })
		crowd(t, 2, func(who int) error {
			return db.Update(someone, func(tx *Tx) error {
				a, _ := numbers.Get(tx, K("a"))
				b, _ := numbers.Get(tx, K("b"))
				if a+b == 2 {
					numbers.Put(tx, K([]string{"a", "b"}[who]), 0)
				}
				return nil
			})
		})
		view(t, db, func(tx *Tx) {
			a, _ := numbers.Get(tx, K("a"))
			b, _ := numbers.Get(tx, K("b"))
			if a+b != 1 {
				t.Fatalf("%d are left on call", a+b)
			}
		})
	}
}

// testPhantom: at most three rows may exist; each transaction counts, then adds one.
func testPhantom(t *testing.T, make labFunc) {
	for _, reverse := range []bool{false, true} {
		db := make(t).db
		for round := range 30 {
			crowd(t, 6, func(who int) error {
				return db.Update(someone, func(tx *Tx) error {
					n := 0
					for range texts.Keys(tx, Range{Prefix: K(round), Reverse: reverse}) {
						n++
					}
					if n < 3 {
						texts.Put(tx, K(round, who), "")
					}
					return nil
				})
			})
			view(t, db, func(tx *Tx) {
				n := 0
				for range texts.All(tx, K(round)) {
					n++
				}
				if n != 3 {
					t.Fatalf("%d rows exist", n)
				}
			})
		}
	}
}

func testLostUpdate(t *testing.T, make labFunc) {
	for _, locks := range [][]string{nil, {"counter", "other"}} {
		db := make(t).db
		crowd(t, 8, func(int) error {
			for range 100 {
				err := db.Update(someone, func(tx *Tx) error {
					n, _ := numbers.Get(tx, K("n"))
					numbers.Put(tx, K("n"), n+1)
					return nil
				}, locks...)
				if err != nil {
					return err
				}
			}
			return nil
		})
		view(t, db, func(tx *Tx) {
			if n, _ := numbers.Get(tx, K("n")); n != 800 {
				t.Errorf("counted %d of 800", n)
			}
		})
	}
}

// testLongFork: two writers, two readers; the readers must not see the writes in opposite orders.
func testLongFork(t *testing.T, make labFunc) {
	db := make(t).db
	for round := range 100 {
		var saw [2][2]bool
		crowd(t, 4, func(who int) error {
			if who < 2 {
				return db.Update(someone, func(tx *Tx) error { texts.Put(tx, K(round, who), ""); return nil })
			}
			return db.View(someone, func(tx *Tx) error {
				if who == 2 {
					saw[0] = [2]bool{texts.Has(tx, K(round, 0)), texts.Has(tx, K(round, 1))}
					return nil
				}
				saw[1][1] = texts.Has(tx, K(round, 1))
				saw[1][0] = texts.Has(tx, K(round, 0))
				return nil
			})
		})
		if saw[0] == [2]bool{true, false} && saw[1] == [2]bool{false, true} || saw[1] == [2]bool{true, false} && saw[0] == [2]bool{false, true} {
			t.Fatalf("round %d: readers disagree about the order", round)
		}
	}
}

// testTornRead: a body never sees half of another commit, not even in a run that will be repeated.
func testTornRead(t *testing.T, make labFunc) {
	db := make(t).db
	update(t, db, func(tx *Tx) { orders.Put(tx, K("a"), order{"0", 0}); orders.Put(tx, K("b"), order{"0", 0}) })
	crowd(t, 4, func(who int) error {
		for i := range 200 {
			err := db.Update(someone, func(tx *Tx) error {
				name, _, _ := orderName.Get(tx, K("a"))
				b, _ := orders.Get(tx, K("b"))
				if name != "name "+b.Name {
					t.Errorf("saw %q beside %q", name, b.Name)
				}
				for _, o := range orders.All(tx, "") {
					if o != b {
						t.Errorf("saw %v beside %v", o, b)
					}
				}
				next := order{fmt.Sprint(who, ".", i), b.N + 1}
				orders.Put(tx, K("a"), next)
				orders.Put(tx, K("b"), next)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	view(t, db, func(tx *Tx) {
		if b, _ := orders.Get(tx, K("b")); b.N != 800 {
			t.Errorf("counted %d of 800", b.N)
		}
	})
}

// testLogOrder: while writers append, a reader following each part sees 1, 2, 3… and never an older entry late.
func testLogOrder(t *testing.T, make labFunc) {
	l := make(t)
	const each, people, parts = 150, 6, 3
	numbersOf := make2(people, each)
	var reading sync.WaitGroup
	for p := range parts {
		reading.Go(func() {
			at, last := uint64(0), map[string]int{}
			watch := l.db.Watch(fmt.Sprint("part", p))
			defer watch.Close()
			for at < people*each/parts {
				changed := watch.Changed()
				var list []Entry[string]
				view(t, l.db, func(tx *Tx) { list = changes.Read(tx, K(p), at, 7) })
				if len(list) == 0 {
					<-changed
				}
				for _, e := range list {
					if at++; e.Seq != at {
						t.Errorf("part %d: read number %d, want %d", p, e.Seq, at)
						return
					}
					who, i := "", 0
					fmt.Sscan(e.Value, &who, &i)
					if i <= last[who] {
						t.Errorf("part %d: entry %q came after %d", p, e.Value, last[who])
					}
					last[who] = i
				}
			}
		})
	}
	crowd(t, people, func(who int) error {
		for i := range each {
			var seq *Seq
			p := (who + i) % parts
			err := l.db.Update(someone, func(tx *Tx) error {
				seq = changes.Append(tx, K(p), fmt.Sprint(who, " ", i+1))
				tx.Wake(fmt.Sprint("part", p))
				return nil
			})
			if err != nil {
				return err
			}
			numbersOf[who][i] = seq.N
		}
		return nil
	})
	reading.Wait()
	l.reopen()
	view(t, l.db, func(tx *Tx) {
		for who := range numbersOf {
			for i, n := range numbersOf[who] {
				e := changes.Read(tx, K((who+i)%parts), n-1, 1)
				if len(e) != 1 || e[0].Seq != n || e[0].Value != fmt.Sprint(who, " ", i+1) {
					t.Fatalf("entry %d of part %d is %v", n, (who+i)%parts, e)
				}
			}
		}
	})
}

func make2(n, m int) [][]uint64 {
	list := make([][]uint64, n)
	for i := range list {
		list[i] = make([]uint64, m)
	}
	return list
}

func testLogEdges(t *testing.T, make labFunc) {
	l := make(t)
	check := func(first, last uint64, count int) {
		t.Helper()
		view(t, l.db, func(tx *Tx) {
			f, e, n := changes.First(tx, K("p")), changes.Last(tx, K("p")), len(changes.Read(tx, K("p"), 0, 100))
			if f != first || e != last || n != count {
				t.Errorf("first %d last %d count %d, want %d %d %d", f, e, n, first, last, count)
			}
		})
	}
	check(1, 0, 0)
	for range 5 {
		update(t, l.db, func(tx *Tx) { changes.Append(tx, K("p"), "x"); changes.Append(tx, K("p", "below"), "y") })
	}
	check(1, 5, 5)
	update(t, l.db, func(tx *Tx) { changes.Trim(tx, K("p"), 3) })
	check(4, 5, 2)
	update(t, l.db, func(tx *Tx) { changes.Trim(tx, K("p"), 100) })
	check(6, 5, 0)
	update(t, l.db, func(tx *Tx) { changes.Trim(tx, K("p"), 100) })
	for range 300 {
		update(t, l.db, func(tx *Tx) { changes.Append(tx, K("many"), "x") })
	}
	update(t, l.db, func(tx *Tx) {
		changes.Trim(tx, K("many"), 250)
		if e := changes.Read(tx, K("many"), 0, 1); len(e) != 1 || e[0].Seq != 251 {
			t.Errorf("after Trim the first is %v", e)
		}
		changes.Trim(tx, K("many"), 260)
	})
	view(t, l.db, func(tx *Tx) {
		if f, e := changes.First(tx, K("many")), changes.Last(tx, K("many")); f != 261 || e != 300 {
			t.Errorf("first %d last %d", f, e)
		}
	})
	l.reopen()
	check(6, 5, 0)
	update(t, l.db, func(tx *Tx) { changes.Append(tx, K("p"), "x") })
	check(6, 6, 1)
	update(t, l.db, func(tx *Tx) {
		changes.Append(tx, K("p"), "gone")
		changes.Drop(tx, K("p"))
		changes.Append(tx, K("p"), "new")
		if n := changes.Last(tx, K("p")); n != 0 {
			t.Errorf("after Drop the last is %d", n)
		}
	})
	check(1, 1, 1)
	view(t, l.db, func(tx *Tx) {
		if n := len(changes.Read(tx, K("p", "below"), 0, 100)); n != 5 {
			t.Errorf("the part below has %d entries", n)
		}
	})
}

// testDerived: while rows change, what is derived always agrees with the row read beside it.
func testDerived(t *testing.T, make labFunc) {
	db := make(t).db
	crowd(t, 6, func(who int) error {
		rnd := rand.New(rand.NewPCG(uint64(who), 3))
		for i := range 200 {
			key := K(rnd.IntN(3))
			if who < 3 {
				if err := db.Update(someone, func(tx *Tx) error {
					if rnd.IntN(4) == 0 {
						orders.Delete(tx, key)
					} else {
						orders.Put(tx, key, order{fmt.Sprint(who, i), 0})
						if name, _, _ := orderName.Get(tx, key); name != fmt.Sprint("name ", who, i) {
							t.Errorf("derived %q from an own write", name)
						}
					}
					return nil
				}); err != nil {
					return err
				}
			}
			err := db.View(someone, func(tx *Tx) error {
				name, ok, err := orderName.Get(tx, key)
				o, has := orders.Get(tx, key)
				if ok != has || ok && name != "name "+o.Name {
					t.Errorf("derived %q %v beside %v %v", name, ok, o, has)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

var (
	members     = NewTable[int]("test/member", Regional)
	derivations atomic.Int64
	memberSum   = DeriveAll(members, sumRows)
)

func sumRows(_ Key, rows iter.Seq2[Key, int]) (int, error) {
	derivations.Add(1)
	sum := 0
	for _, n := range rows {
		sum += n
	}
	return sum, nil
}

func testDerivedAll(t *testing.T, make labFunc) {
	db := make(t).db
	get := func(prefix Key) (sum int) {
		view(t, db, func(tx *Tx) { sum, _ = memberSum.Get(tx, prefix) })
		return sum
	}
	update(t, db, func(tx *Tx) {
		members.Put(tx, K("a", 1), 1)
		members.Put(tx, K("a", 2), 2)
		members.Put(tx, K("b", 1), 10)
	})
	for _, c := range []struct {
		prefix Key
		want   int
	}{{K("a"), 3}, {K("b"), 10}, {"", 13}, {K("none"), 0}} {
		if got := get(c.prefix); got != c.want {
			t.Errorf("sum below %v is %d, want %d", c.prefix, got, c.want)
		}
	}
	before := derivations.Load()
	update(t, db, func(tx *Tx) {
		members.Put(tx, K("b", 2), 100)
		if sum, _ := memberSum.Get(tx, K("b")); sum != 110 {
			t.Errorf("with own writes the sum is %d", sum)
		}
	})
	before++
	if a, b, all := get(K("a")), get(K("b")), get(""); a != 3 || b != 110 || all != 113 {
		t.Errorf("sums %d %d %d", a, b, all)
	}
	if n := derivations.Load() - before; n != 2 {
		t.Errorf("%d sums were computed anew, want those of b and of all", n)
	}
	crowd(t, 4, func(who int) error {
		for i := range 100 {
			err := db.Update(someone, func(tx *Tx) error {
				sum, _ := memberSum.Get(tx, K("c"))
				members.Put(tx, K("c", who, i), 1)
				numbers.Put(tx, K("sum", sum), 1)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	view(t, db, func(tx *Tx) {
		n := 0
		for range numbers.Keys(tx, Range{Prefix: K("sum")}) {
			n++
		}
		if n != 400 {
			t.Errorf("%d different sums were seen by 400 serial transactions", n)
		}
	})
}

func testLimits(t *testing.T, make labFunc) {
	db := make(t).db
	big := bytes.Repeat([]byte("x"), MaxValue)
	for name, body := range map[string]func(tx *Tx){
		"key":   func(tx *Tx) { texts.Put(tx, K(strings.Repeat("k", MaxKey)), "") },
		"value": func(tx *Tx) { texts.Put(tx, K("v"), string(big)) },
		"transaction": func(tx *Tx) {
			for i := range 17 {
				texts.Put(tx, K(i), string(big[:1<<20]))
			}
		},
		"log": func(tx *Tx) { changes.Append(tx, K("p"), string(big)) },
	} {
		err := db.Update(someone, func(tx *Tx) error { body(tx); return nil })
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	update(t, db, func(tx *Tx) {
		for i := range 15 {
			texts.Put(tx, K("big", i), string(big[:1<<20]))
		}
	})
	view(t, db, func(tx *Tx) {
		for k, v := range texts.All(tx, "") {
			if len(v) != 1<<20 {
				t.Errorf("row %v has %d bytes", k, len(v))
			}
		}
	})
}

func testTenants(t *testing.T, make labFunc) {
	db := make(t).db
	update(t, db, func(tx *Tx) {
		texts.Put(tx, K("k"), "mine")
		texts.Put(tx.In("222222222222", "us-east-1"), K("k"), "theirs")
		owned.Put(tx.In("111111111111", "eu-west-1"), K("k"), "ours")
		shared.Put(tx, K("k"), "all")
	})
	view(t, db, func(tx *Tx) {
		mine, _ := texts.Get(tx, K("k"))
		theirs, _ := texts.Get(tx.In("222222222222", "us-east-1"), K("k"))
		ours, _ := owned.Get(tx, K("k"))
		all, _ := shared.Get(tx.In("", ""), K("k"))
		if got := mine + theirs + ours + all; got != "minetheirsoursall" {
			t.Errorf("got %q", got)
		}
		if texts.Has(tx.In("111111111111", "eu-west-1"), K("k")) {
			t.Error("another region sees the row")
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("a table of a region was used without a tenant")
		}
	}()
	db.View(t.Context(), func(tx *Tx) error { texts.Has(tx, K("k")); return nil })
}

func testClear(t *testing.T, make labFunc) {
	l := make(t)
	fill := func() {
		update(t, l.db, func(tx *Tx) {
			for _, account := range []string{"111111111111", "222222222222"} {
				tx := tx.In(account, "us-east-1")
				texts.Put(tx, K("k"), account)
				orders.Put(tx, K("k"), order{Name: account})
				changes.Append(tx, K("p"), account)
				alarms.Set(tx, K("k"), l.w.Now().AddDate(1, 0, 0), account)
			}
			shared.Put(tx, K("k"), "all")
		})
	}
	count := func(account string) (n int) {
		view(t, l.db, func(tx *Tx) {
			tx = tx.In(account, "us-east-1")
			if _, ok, _ := orderName.Get(tx, K("k")); ok {
				n++
			}
			if texts.Has(tx, K("k")) {
				n++
			}
			n += len(changes.Read(tx, K("p"), 0, 10))
			if _, ok := alarms.Due(tx, K("k")); ok {
				n++
			}
			for key := range dueRows.Keys(tx, Range{}) {
				if strings.Contains(string(key), account) {
					n++
				}
			}
		})
		return n
	}
	fill()
	told := ""
	l.db.OnClear(func(_ context.Context, account string) error { told += account + ";"; return nil })
	if err := l.db.Clear(t.Context(), "111111111111"); err != nil {
		t.Fatal(err)
	}
	if a, b := count("111111111111"), count("222222222222"); a != 0 || b != 5 {
		t.Errorf("%d and %d things are left, want 0 and 5", a, b)
	}
	var seq *Seq
	update(t, l.db, func(tx *Tx) { seq = changes.Append(tx, K("p"), "again") })
	if seq.N != 1 {
		t.Errorf("numbers go on at %d", seq.N)
	}
	if err := l.db.Clear(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if a, b := count("111111111111"), count("222222222222"); a != 0 || b != 0 || told != "111111111111;;" {
		t.Errorf("%d and %d things are left; told %q", a, b, told)
	}
	last := l.db.commits.last.Load()
	l.reopen()
	if now := l.db.commits.last.Load(); now < last {
		t.Errorf("commit numbers went back from %d to %d", last, now)
	}
	fill()
	if n := count("111111111111"); n != 5 {
		t.Errorf("%d things, want 5", n)
	}
}

// testAdded: rows added by several transactions are in commit order, across restarts too.
func testAdded(t *testing.T, make labFunc) {
	l := make(t)
	var last uint64
	for range 3 {
		for i := range 3 {
			var a, b *Seq
			update(t, l.db, func(tx *Tx) {
				a = texts.Add(tx, K("q"), fmt.Sprint(i))
				b = texts.Add(tx, K("q"), "")
			})
			if a.N <= last || b.N <= a.N {
				t.Errorf("stamps %d %d after %d", a.N, b.N, last)
			}
			last = b.N
			view(t, l.db, func(tx *Tx) {
				if v, ok := texts.Get(tx, K("q").Uint(a.N)); !ok || v != fmt.Sprint(i) {
					t.Errorf("row %d is %q %v", a.N, v, ok)
				}
			})
		}
		l.reopen()
	}
}
