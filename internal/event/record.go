package event

import (
	"errors"
	"os"
	"strings"
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

	size    int64 // below the mutex of out, as are
	stopped bool
	packet  []byte
	flows   atomic.Uint32 // how many have a made-up address
}

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
		r.keep(appendCaptureHead)
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
	r.gather(func(dst []byte) []byte { return AppendJSON(dst, &ev) })
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

// keep writes what add appends.
func (r *Recorder) keep(add func(dst []byte) []byte) {
	r.gather(add)
	r.Release()
}

// gather has what add appends written with Release, if there is room in the file.
func (r *Recorder) gather(add func(dst []byte) []byte) {
	s := r.out
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.room(true) || r.stopped {
		return
	}
	n := len(s.pending)
	s.pending = add(s.pending)
	r.size += int64(len(s.pending) - n)
	if r.size <= r.opt.Max {
		if len(s.pending) >= piece {
			s.start(true)
		}
		return
	}
	s.pending, r.stopped = s.pending[:n], true
	if r.opt.OnStop != nil {
		s.mu.Unlock()
		defer s.mu.Lock()
		r.opt.OnStop(ErrRecordFull)
	}
}
