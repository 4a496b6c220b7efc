package linesrv

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"socketsrv/internal/accept"
)

// ErrServerStopped is returned by Serve when the server was stopped before.
var ErrServerStopped = errors.New("linesrv: the server was stopped before")

// A member is a connection that a server looks after.
type member interface {
	stop() // ends it once it waits for its peer
	kill() // ends it now, whatever it does
}

// A crew is what a server has to end: listeners and connections. Once stopped it
// stays so. The zero value is ready.
type crew struct {
	mu        sync.Mutex
	once      sync.Once
	ctx       context.Context // ends with kill
	cancel    context.CancelFunc
	stopped   chan struct{}              // closed by stop
	gone      chan struct{}              // closed when stopped and nothing is served any more
	listeners map[*net.Listener]struct{} // each until its Serve returns
	members   map[member]struct{}
	grace     *time.Timer // until kill
	added     uint64
}

func (w *crew) init() {
	w.once.Do(func() {
		w.ctx, w.cancel = context.WithCancel(context.Background())
		w.stopped, w.gone = make(chan struct{}), make(chan struct{})
		w.listeners, w.members = map[*net.Listener]struct{}{}, map[member]struct{}{}
	})
}

// serve runs handle for each connection of ln and returns after all of them did.
func (w *crew) serve(ln net.Listener, handle func(net.Conn), log func(error)) error {
	w.init()
	if !w.enter(&ln) {
		ln.Close()
		return ErrServerStopped
	}
	defer w.leave(&ln)
	return accept.Serve(ln, handle, log)
}

func (w *crew) enter(ln *net.Listener) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isStopped() {
		return false
	}
	w.listeners[ln] = struct{}{}
	return true
}

func (w *crew) leave(ln *net.Listener) {
	(*ln).Close() // after an error of Accept
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.listeners, ln)
	w.checkGone()
}

func (w *crew) checkGone() {
	if !w.isStopped() || len(w.listeners) > 0 {
		return
	}
	if w.grace != nil {
		w.grace.Stop()
	}
	w.cancel()
	close(w.gone)
}

func (w *crew) isStopped() bool {
	select {
	case <-w.stopped:
		return true
	default:
		return false
	}
}

// add takes m in, unless the crew is stopped. Members are counted from 0.
func (w *crew) add(m member) (id uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isStopped() {
		return 0, false
	}
	w.members[m] = struct{}{}
	w.added++
	return w.added - 1, true
}

func (w *crew) remove(m member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.members, m)
}

// stop closes the listeners and asks every member to end.
func (w *crew) stop() {
	w.init()
	w.mu.Lock()
	if w.isStopped() {
		w.mu.Unlock()
		return
	}
	close(w.stopped)
	listeners := slices.Collect(maps.Keys(w.listeners))
	members := slices.Collect(maps.Keys(w.members))
	w.checkGone()
	w.mu.Unlock()

	// Close of a listener may wait for connections that it refuses.
	for _, m := range members {
		m.stop()
	}
	for _, ln := range listeners {
		(*ln).Close()
	}
}

// kill stops, ends every member and the context of the handlers.
func (w *crew) kill() {
	w.stop()
	w.cancel()
	w.mu.Lock()
	members := slices.Collect(maps.Keys(w.members))
	w.mu.Unlock()
	for _, m := range members {
		m.kill()
	}
}

// killAfter stops, and kills what is left after d.
func (w *crew) killAfter(d time.Duration) {
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.grace == nil && len(w.listeners) > 0 {
		w.grace = time.AfterFunc(d, w.kill)
	}
}

// shutdown stops and waits until no Serve has anything left to do. When ctx ends
// before that, it kills and returns the error of ctx.
func (w *crew) shutdown(ctx context.Context) error {
	w.stop()
	select {
	case <-w.gone:
		return nil
	case <-ctx.Done():
		w.kill()
		return ctx.Err()
	}
}
