package event

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// RecordOptions of a Recorder. The zero value keeps 1 GiB.
type RecordOptions struct {
	Max    int64            // bytes in the file; 0: 1 GiB
	OnStop func(error)      // called once, when nothing more is kept: ErrRecordFull, or why the disk takes no more
	Now    func() time.Time // time of events that have none, and of packets; nil is time.Now
}

// ErrRecordFull is told when a recording is as large as it may be.
var ErrRecordFull = errors.New("the recording is as large as it may be, and stops")

// A Recorder keeps all that happens in a file: events as lines of JSON with their
// payloads whole, or the bytes on the wire as a capture. What a method was given is
// with the system when it returns, unless another goroutine writes, which then writes
// it too: so a program that is killed leaves a file that can be read, but for the end
// of its last line or packet. Gather leaves that to Release.
//
// A nil *Recorder keeps nothing. Its methods may be called from any goroutine; the
// events and bytes of a connection stand in the order of the calls.
type Recorder struct {
	opt     RecordOptions
	file    *os.File
	out     *Stream
	capture bool

	size    int64 // below the mutex of out, as is
	stopped bool
	flows   atomic.Uint32 // how many have a made-up address
}

// lines are made in these, so that the mutex is held for a copy and no longer: many
// connections wait for each other there.
var lines = sync.Pool{New: func() any { return new([]byte) }}

// NewRecorder makes the file name, or empties it: lines of JSON, or a capture if
// name ends in .pcapng.
func NewRecorder(name string, opt RecordOptions) (*Recorder, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // it may hold secrets
	if err != nil {
		return nil, err
	}
	if opt.Max == 0 {
		opt.Max = 1 << 30
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	r := &Recorder{opt: opt, file: f, capture: strings.HasSuffix(name, ".pcapng"), out: NewStream(f, StreamOptions{OnError: opt.OnStop})}
	if r.capture {
		r.keep(appendCaptureHead(nil))
	}
	return r, nil
}

// Record keeps e, unless this is a capture.
func (r *Recorder) Record(e *Event) {
	r.Gather(e)
	r.Release()
}

// Gather is Record for one of several that come at once, before Release.
func (r *Recorder) Gather(e *Event) {
	if r == nil || r.capture {
		return
	}
	ev := *e
	if ev.Time.IsZero() {
		ev.Time = r.opt.Now()
	}
	line := lines.Get().(*[]byte)
	*line = AppendJSON((*line)[:0], &ev)
	r.gather(*line)
	if cap(*line) <= keep {
		lines.Put(line)
	}
}

// Release has what was gathered written.
func (r *Recorder) Release() {
	if r == nil {
		return
	}
	r.out.mu.Lock()
	defer r.out.mu.Unlock()
	r.out.start(true)
}

// Close waits until all is written, as long as the disk takes some of it in ten
// seconds, and closes the file. It returns the first error of all writes.
func (r *Recorder) Close() error {
	if r == nil {
		return nil
	}
	return errors.Join(r.out.Flush(10*time.Second), r.file.Close())
}

// keep writes p.
func (r *Recorder) keep(p []byte) {
	r.gather(p)
	r.Release()
}

// gather has p written with Release, if there is room in the file.
func (r *Recorder) gather(p []byte) {
	s := r.out
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.room(true) || r.stopped {
		return
	}
	if r.size += int64(len(p)); r.size <= r.opt.Max {
		if s.pending = append(s.pending, p...); len(s.pending) >= piece {
			s.start(true)
		}
		return
	}
	r.stopped = true
	if r.opt.OnStop != nil {
		s.mu.Unlock()
		defer s.mu.Lock()
		r.opt.OnStop(ErrRecordFull)
	}
}
