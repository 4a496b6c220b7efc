package event

import (
	"io"
	"time"
)

// Options of a Writer. The zero value writes text in the zero Style.
type Options struct {
	Style  Style
	JSON   bool
	Lossy  bool             // what finds no room is dropped, in place of waiting; nobody waits for a write
	OnDrop func()           // called once, when Lossy drops for the first time
	Now    func() time.Time // time of events that have none; nil is time.Now
}

// Writer writes events to a Stream: each whole and never one inside another, those
// of one goroutine in their order. Its methods may be called from any goroutine.
type Writer struct {
	*Stream
	onDrop func()
	now    func() time.Time
	json   bool
	lossy  bool

	style   Style // below the mutex of Stream, as is
	dropped int64
}

// NewWriter returns a Writer on out, which it uses as it is if it is a *Stream.
func NewWriter(out io.Writer, opt Options) *Writer {
	s, ok := out.(*Stream)
	if !ok {
		s = NewStream(out, StreamOptions{})
	}
	w := &Writer{Stream: s, onDrop: opt.OnDrop, now: opt.Now, json: opt.JSON, lossy: opt.Lossy, style: opt.Style}
	if w.now == nil {
		w.now = time.Now
	}
	return w
}

// Emit writes e, after all that was added before. It returns when that is done,
// or while what others gave goes first.
func (w *Writer) Emit(e *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(e)
	w.start(!w.lossy)
}

// Add is Emit for one of many: e goes out with a later Emit, Release or Flush, or when
// 64 KiB have gathered.
func (w *Writer) Add(e *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(e)
	if len(w.pending) >= piece {
		w.start(!w.lossy)
	}
}

// Release has what was added go out, as Emit does.
func (w *Writer) Release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start(!w.lossy)
}

// Write writes p as it is, whole and in its place among the events: for answers
// to commands, which are no events.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.put(p, !w.lossy)
	if err != nil || n == len(p) {
		return n, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop()
	return len(p), nil
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

// drop counts; w.mu is held, as in add.
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
	if !w.room(!w.lossy) {
		if w.err == nil {
			w.drop()
		}
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
