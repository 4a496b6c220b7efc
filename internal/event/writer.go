package event

import (
	"context"
	"io"
	"sync"
	"time"
)

const (
	gather  = 64 << 10  // Add writes once this much waits
	backlog = 256 << 10 // events wait for their turn once this much waits
	keep    = 1 << 20   // buffers beyond this are not kept
)

// Options of a Writer. The zero value writes text in the zero Style.
type Options struct {
	Style   Style
	JSON    bool
	Lossy   bool             // what finds no room is dropped, in place of waiting; nobody waits for a write
	OnError func(error)      // called once, with the first error of a write
	OnDrop  func()           // called once, when Lossy drops for the first time
	Now     func() time.Time // time of events that have none; nil is time.Now
}

// Writer writes events to an io.Writer: each whole, in one call of Write,
// never one inside another, those of one goroutine in their order. Its methods
// may be called from any goroutine.
//
// While a Write is under way the events of other goroutines gather, up to some
// 256 KiB, and go out together in the next one; beyond that they wait. So an
// output that does not take anything stops those who have something to tell,
// and memory stays as it is; Lossy has them go on.
//
// After the first failed Write nothing more is written.
type Writer struct {
	out     io.Writer
	onError func(error)
	onDrop  func()
	now     func() time.Time
	json    bool
	lossy   bool

	mu      sync.Mutex
	done    sync.Cond // a write has ended
	style   Style
	pending []byte
	spare   []byte
	writing bool // some goroutine is in out.Write, and writes what gathers meanwhile
	dropped int64
	err     error
}

// NewWriter returns a Writer on out. Where out is a pipe or socket that may
// close, the program must not be one that SIGPIPE ends.
func NewWriter(out io.Writer, opt Options) *Writer {
	w := &Writer{out: out, onError: opt.OnError, onDrop: opt.OnDrop, now: opt.Now, json: opt.JSON, lossy: opt.Lossy, style: opt.Style}
	if w.now == nil {
		w.now = time.Now
	}
	w.done.L = &w.mu
	return w
}

// Emit writes e, after all that was added before. It returns when that is done,
// or while another goroutine does it.
func (w *Writer) Emit(e *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(e)
	w.start()
}

// Add is Emit for one of many: e goes out with a later Emit or Flush, or when
// 64 KiB have gathered.
func (w *Writer) Add(e *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(e)
	if len(w.pending) >= gather {
		w.start()
	}
}

// Write writes p as it is, whole and in its place among the events: for answers
// to commands, which are no events.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.room() {
		w.pending = append(w.pending, p...)
		w.start()
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Flush returns when all that was given before is written, and the first error
// of all writes; or when ctx ends, with its error.
func (w *Writer) Flush(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.done.Broadcast()
	})()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.writing && len(w.pending) > 0 {
		w.writing = true
		go w.drain()
	}
	for w.writing && w.err == nil && ctx.Err() == nil {
		w.done.Wait()
	}
	if w.err == nil && w.writing {
		return ctx.Err()
	}
	return w.err
}

// Err returns the first error of all writes.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Dropped counts what Lossy dropped.
func (w *Writer) Dropped() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Style returns how lines look.
func (w *Writer) Style() Style {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.style
}

// SetStyle changes how the lines of later events look.
func (w *Writer) SetStyle(st Style) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.style = st
}

// room waits until more may be pending, and tells whether that makes sense.
// w.mu is held, as in all that follow.
func (w *Writer) room() bool {
	for w.writing && len(w.pending) >= backlog && w.err == nil {
		if w.lossy {
			w.drop()
			return false
		}
		w.done.Wait()
	}
	return w.err == nil
}

func (w *Writer) drop() {
	w.dropped++
	if w.dropped > 1 || w.onDrop == nil {
		return
	}
	w.mu.Unlock()
	defer w.mu.Lock()
	w.onDrop()
}

func (w *Writer) add(e *Event) {
	if !w.room() {
		return
	}
	ev := *e
	if ev.Time.IsZero() {
		ev.Time = w.now()
	}
	if !w.json {
		w.pending = AppendText(w.pending, &ev, &w.style)
		return
	}
	ev.Size = ev.size()
	if limit := w.style.MaxShow; limit > 0 {
		ev.Payload = w.style.cut(ev.Payload, limit)
	}
	w.pending = AppendJSON(w.pending, &ev)
}

// start writes what is pending, unless a goroutine that is writing will. What
// gathers during that is left to a goroutine of its own, so that nobody writes
// for others without end.
func (w *Writer) start() {
	if w.writing || len(w.pending) == 0 {
		return
	}
	w.writing = true
	if !w.lossy {
		w.write()
	}
	if len(w.pending) > 0 {
		go w.drain()
		return
	}
	w.stop()
}

// drain writes until nothing is pending. Flush waits for it.
func (w *Writer) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.pending) > 0 {
		w.write()
	}
	w.stop()
}

func (w *Writer) stop() {
	w.writing = false
	w.done.Broadcast()
}

// write writes what is pending in one call; w.mu is not held during it.
func (w *Writer) write() {
	b := w.pending
	w.pending, w.spare = w.spare[:0], nil
	w.mu.Unlock()
	n, err := w.out.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	w.mu.Lock()
	if cap(b) <= keep {
		w.spare = b
	}
	if err != nil {
		w.fail(err)
	}
	w.done.Broadcast()
}

// fail remembers err, the first, and tells of it.
func (w *Writer) fail(err error) {
	w.err = err
	w.pending, w.spare = nil, nil
	if w.onError == nil {
		return
	}
	w.mu.Unlock()
	defer w.mu.Lock()
	w.onError(err)
}
