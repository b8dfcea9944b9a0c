package relay

import "fogbank/store"

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
