package store

import "sync"

// watches are the topics somebody waits for.
type watches struct {
	mu     sync.RWMutex
	topics map[string]*topic
}

type topic struct {
	mu      sync.Mutex
	watched int
	changed chan struct{} // nil until somebody takes it
	calls   map[*Watch]func()
}

func (w *watches) init() { w.topics = map[string]*topic{} }

// Watch tells of wakes of a topic. Close it when done.
type Watch struct {
	name    string
	topic   *topic
	watches *watches
	once    sync.Once
}

// Watch begins to watch topic, usually the ARN of what changes.
func (db *DB) Watch(name string) *Watch {
	w := &db.watches
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.topics[name]
	if t == nil {
		t = &topic{}
		w.topics[name] = t
	}
	t.watched++
	return &Watch{name: name, topic: t, watches: w}
}

// Changed returns a channel closed at the next wake. Take it before looking at what may have changed, and
// wait on it after: then no wake is missed.
func (w *Watch) Changed() <-chan struct{} {
	w.topic.mu.Lock()
	defer w.topic.mu.Unlock()
	if w.topic.changed == nil {
		w.topic.changed = make(chan struct{})
	}
	return w.topic.changed
}

// Notify has f called, once and quickly, when since is closed, which came from Changed: at once if it is. A watch
// remembers one f. undo forgets it; a call that has begun may still be running then.
func (w *Watch) Notify(since <-chan struct{}, f func()) (undo func()) {
	t := w.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-since:
		f()
		return func() {}
	default:
	}
	if t.calls == nil {
		t.calls = map[*Watch]func(){}
	}
	t.calls[w] = f
	return w.forget
}

func (w *Watch) forget() {
	w.topic.mu.Lock()
	defer w.topic.mu.Unlock()
	delete(w.topic.calls, w)
}

// Alone reports whether nobody else watches the topic now.
func (w *Watch) Alone() bool {
	w.watches.mu.RLock()
	defer w.watches.mu.RUnlock()
	return w.topic.watched == 1
}

// Close ends the watch; its channels are not closed by later wakes and nothing is called.
func (w *Watch) Close() {
	w.once.Do(func() {
		w.forget()
		w.watches.mu.Lock()
		defer w.watches.mu.Unlock()
		if w.topic.watched--; w.topic.watched == 0 {
			delete(w.watches.topics, w.name)
		}
	})
}

func (w *watches) wake(name string) {
	w.mu.RLock()
	t := w.topics[name]
	w.mu.RUnlock()
	if t != nil {
		t.wake()
	}
}

func (w *watches) wakeAll() {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, t := range w.topics {
		t.wake()
	}
}

func (t *topic) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
	for _, f := range t.calls {
		f()
	}
	t.calls = nil
}
