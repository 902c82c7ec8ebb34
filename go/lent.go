package primacy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"primacy.example/go/store"
)

// A store that the host lends, as the library asks it: on threads of the library, where nothing waits. So each request
// and each watch has a goroutine of its own.
type lent struct {
	store store.Store
	ctx   context.Context // ends when the library is through with it
	end   context.CancelFunc

	mu      sync.Mutex
	watches map[uint64]context.CancelFunc
}

func newLent(s store.Store) *lent {
	ctx, end := context.WithCancel(context.Background())
	return &lent{store: s, ctx: ctx, end: end, watches: map[uint64]context.CancelFunc{}}
}

// What came of a request, for the library.
type answer struct {
	failure   store.Failure // 0: none
	message   string
	ttl       int64
	header    store.Header
	succeeded bool
	found     [][]store.KeyValue
}

// Begins a request. The library bounds it too: this is for the host's client, which need not wait any longer.
func (l *lent) begin(request uint64, timeout time.Duration, do func(ctx context.Context) (answer, error)) {
	go func() {
		ctx, cancel := context.WithTimeout(l.ctx, timeout)
		defer cancel()
		var a answer
		err := guarded(func() (err error) {
			a, err = do(ctx)
			return err
		})
		if err != nil {
			a = answer{failure: store.Indefinite, message: err.Error()}
			errors.As(err, &a.failure)
		}
		if why := requestComplete(request, a); why != nil && !errors.Is(why, ErrClosed) {
			// None to what was asked. That nobody waits any more is no news.
			_ = requestComplete(request, answer{failure: store.Indefinite, message: why.Error()})
		}
	}()
}

func (l *lent) grant(request uint64, lease, ttl int64, timeout time.Duration) {
	l.begin(request, timeout, func(ctx context.Context) (answer, error) {
		granted, err := l.store.Grant(ctx, lease, ttl)
		return answer{ttl: granted}, err
	})
}

func (l *lent) keepAlive(request uint64, lease int64, timeout time.Duration) {
	l.begin(request, timeout, func(ctx context.Context) (answer, error) {
		renewal, err := l.store.KeepAlive(ctx, lease)
		return answer{ttl: renewal.TTL, header: renewal.Header}, err
	})
}

func (l *lent) revoke(request uint64, lease int64, timeout time.Duration) {
	l.begin(request, timeout, func(ctx context.Context) (answer, error) {
		return answer{}, l.store.Revoke(ctx, lease)
	})
}

func (l *lent) txn(request uint64, txn store.Txn, timeout time.Duration) {
	l.begin(request, timeout, func(ctx context.Context) (answer, error) {
		a, err := l.store.Txn(ctx, txn)
		return answer{header: a.Header, succeeded: a.Succeeded, found: a.Found}, err
	})
}

func (l *lent) watch(watch uint64, ranges []store.Range) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.mu.Lock()
	l.watches[watch] = cancel
	l.mu.Unlock()
	go func() {
		err := guarded(func() error { return l.store.Watch(ctx, ranges, watcher(watch)) })
		why := "it ended"
		if err != nil {
			why = err.Error()
		}
		watchEnded(watch, why)
		l.unwatch(watch)
	}()
}

func (l *lent) unwatch(watch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cancel, ok := l.watches[watch]; ok {
		cancel()
		delete(l.watches, watch)
	}
}

// By the library's number.
type watcher uint64

func (w watcher) Confirmed()                     { watchConfirmed(uint64(w)) }
func (w watcher) Events(events []store.KeyValue) { watchEvents(uint64(w), events) }

// A panic in the host's store is a failure of what it was asked, of which nothing is known.
func guarded(do func() error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("the lent store panicked: %v", panicked)
		}
	}()
	return do()
}
