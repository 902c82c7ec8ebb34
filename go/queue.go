package primacy

import "sync"

// A queue hands values from the library's threads, which must not wait, to a goroutine.
type queue[T any] struct {
	mu      sync.Mutex
	changed sync.Cond
	items   []T
	left    int // how many were left out since the last one that was taken
	closed  bool
}

const queueLimit = 1000

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.changed.L = &q.mu
	return q
}

// Puts a value at the end, or leaves it out if too many wait.
func (q *queue[T]) put(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if len(q.items) >= queueLimit {
		q.left++
		return
	}
	q.items = append(q.items, item)
	q.changed.Signal()
}

// No more will come.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Signal()
}

// Takes all that wait, and how many were left out after them; waits for some. False: closed, and all are taken.
func (q *queue[T]) take() (items []T, left int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.changed.Wait()
	}
	items, left = q.items, q.left
	q.items, q.left = nil, 0
	return items, left, len(items) > 0
}
