package relay

import (
	"slices"
	"strings"

	"fogbank/store"
)

// ForgetTails removes the durable cursors of the tenant's tails whose names are prefix followed by a slash and
// anything: those of a consumer that is deleted. They must have stopped, or they store their cursor again.
func ForgetTails(tx *store.Tx, prefix string) {
	for key := range cursors.Keys(tx, store.Range{From: store.K(prefix + "/"), To: store.K(prefix + "0")}) {
		cursors.Delete(tx, key)
	}
}

// KeepTails removes the durable cursors of the tenant's tails named prefix, a slash and a rest that keep does not want.
// Those tails must have stopped.
func KeepTails(tx *store.Tx, prefix string, keep func(rest string) bool) {
	for key := range cursors.Keys(tx, store.Range{From: store.K(prefix + "/"), To: store.K(prefix + "0")}) {
		var name string
		if err := key.Parse(&name); err == nil && !keep(name[len(prefix)+1:]) {
			cursors.Delete(tx, key)
		}
	}
}

// Regroup lets the tenant's tails called names go on where those named prefix, or prefix, a slash and anything, were. When
// there are cursors of other tails, each of names begins at the lowest cursor of all; the others are removed.
// None of the tails may run.
func Regroup(tx *store.Tx, prefix string, names []string, compare func(a, b string) int) {
	lowest, found, changed := "", false, false
	for _, all := range []store.Range{{From: store.K(prefix), Limit: 1}, {From: store.K(prefix + "/"), To: store.K(prefix + "0")}} {
		for key, c := range cursors.Scan(tx, all) {
			var name string
			if err := key.Parse(&name); err != nil || name != prefix && !strings.HasPrefix(name, prefix+"/") {
				continue
			}
			if !found || compare(c.At, lowest) < 0 {
				lowest, found = c.At, true
			}
			if !slices.Contains(names, name) {
				cursors.Delete(tx, key)
				changed = true
			}
		}
	}
	if !changed {
		return
	}
	for _, name := range names {
		cursors.Put(tx, store.K(name), cursor{At: lowest})
	}
}
