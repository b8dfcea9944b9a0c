package store

import (
	"context"
	"testing"

	"fogbank/aws"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

type order struct {
	Name string
	N    int
}

var (
	orders  = NewTable[order]("test/order", Regional)
	numbers = NewTable[int]("test/number", Regional)
	texts   = NewTable[string]("test/text", Regional)
	shared  = NewTable[string]("test/shared", Global)
	owned   = NewTable[string]("test/owned", Account)
	changes = NewLog[string]("test/change", Regional)
	alarms  = NewTimers[string]("test/alarm")

	orderName = Derive(orders, func(_ Key, o order) (string, error) { return "name " + o.Name, nil })
)

func tenant(account string) context.Context {
	return aws.WithCall(context.Background(), &aws.Call{Account: account, Region: "us-east-1"})
}

var someone = tenant("111111111111")

// lab is a database under test and a way to open it again. The tests of what any engine must do take
// one from a function, so that they run on each engine and file system.
type lab struct {
	t    testing.TB
	w    *world.World
	db   *DB
	open func(w *world.World) (*DB, error)
}

type labFunc func(t testing.TB) *lab

func newLab(t testing.TB, open func(w *world.World) (*DB, error)) *lab {
	l := &lab{t: t, open: open}
	l.start()
	t.Cleanup(l.stop)
	return l
}

func (l *lab) start() {
	l.t.Helper()
	l.w = world.Seeded(1)
	db, err := l.open(l.w)
	if err != nil {
		l.t.Fatal(err)
	}
	l.db = db
}

func (l *lab) stop() {
	l.w.Stop()
	if err := l.db.Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *lab) reopen() {
	l.t.Helper()
	l.stop()
	l.start()
}

// inMemory is Pebble on a file system in memory.
func inMemory(t testing.TB) *lab {
	fs := vfs.NewMem()
	return newLab(t, func(w *world.World) (*DB, error) { return Open(Options{Dir: "/data", FS: fs, World: w}) })
}

// onFiles is Pebble on the operating system's files.
func onFiles(t testing.TB) *lab {
	dir := t.TempDir()
	return newLab(t, func(w *world.World) (*DB, error) { return Open(Options{Dir: dir, World: w}) })
}

func memory(t testing.TB) *DB { return inMemory(t).db }

func update(t testing.TB, db *DB, fn func(*Tx)) {
	t.Helper()
	err := db.Update(someone, func(tx *Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, db *DB, fn func(*Tx)) {
	t.Helper()
	err := db.View(someone, func(tx *Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// TestEngines runs what every engine must do.
func TestEngines(t *testing.T) {
	for _, engine := range []struct {
		name string
		lab  labFunc
	}{{"memory", inMemory}, {"files", onFiles}} {
		t.Run(engine.name, func(t *testing.T) {
			for _, test := range suite {
				t.Run(test.name, func(t *testing.T) { test.run(t, engine.lab) })
			}
		})
	}
}
