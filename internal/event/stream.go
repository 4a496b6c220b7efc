package event

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// ErrNotRead is the error of a Stream that gave up.
var ErrNotRead = errors.New("nobody reads what is written")

const (
	piece   = 64 << 10  // bytes of one Write, to the end of the line; and Add begins one at that
	backlog = 256 << 10 // more waits for its turn once this much waits
	keep    = 1 << 20   // buffers beyond this are not kept
)

// StreamOptions of a Stream. In the zero value it never gives up.
type StreamOptions struct {
	Context  context.Context // of the program: its end is when patience begins to count
	Patience time.Duration   // how long one Write may then take
	OnError  func(error)     // called once, with the first error, from any goroutine
}

// A Stream is stdout, stderr or a file of lines, which may be a pipe that nobody
// reads. One goroutine at a time calls its Write, and nobody else does: it begins
// when there is something to write and ends when all is written. What comes while
// a Write is under way gathers, up to some 256 KiB, and goes out in the next one,
// in pieces of whole lines; beyond that who has more waits. So memory stays as it is.
//
// Who finds nothing under way waits until his own is written, so that what he
// writes elsewhere comes after it. Once Context has ended nobody waits longer than
// Patience for a Write: then the Stream has failed with ErrNotRead, and the
// goroutine in that Write is left behind.
//
// The first error is the last: nothing more is written, and all methods return it.
// They may be called from any goroutine.
type Stream struct {
	out      io.Writer
	onError  func(error)
	patience time.Duration
	file     bool // on a disk, which takes what it gets: its writer needs no goroutine

	mu      sync.Mutex
	done    sync.Cond // a write has ended
	pending []byte
	spare   []byte
	job     *job
	loop    func()    // writeAll
	running bool      // somebody writes
	batches int       // times that what was pending has been written
	writes  int       // that have ended
	ending  bool      // Context has
	began   time.Time // the write under way did, if ending
	watch   *time.Timer
	err     error
	telling bool // of err, by onError
}

// job is what Do has the one goroutine do.
type job struct {
	write func() (int64, error)
	n     int64
	err   error
	done  bool
}

// NewStream returns a Stream on out. Where out is a pipe or socket that may close,
// the program must not be one that SIGPIPE ends.
func NewStream(out io.Writer, opt StreamOptions) *Stream {
	s := &Stream{out: out, onError: opt.OnError, patience: opt.Patience}
	s.done.L, s.loop = &s.mu, s.writeAll
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		s.file = err == nil && info.Mode().IsRegular()
	}
	if opt.Context != nil {
		context.AfterFunc(opt.Context, s.end)
	}
	return s
}

// Unwrap returns what s writes to.
func (s *Stream) Unwrap() io.Writer { return s.out }

// Write writes p whole and in its place. It returns when that is done, or while
// what others gave goes first.
func (s *Stream) Write(p []byte) (int, error) { return s.put(p, true) }

func (s *Stream) put(p []byte, wait bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.room(wait) {
		return 0, s.err // nil: no room
	}
	s.pending = append(s.pending, p...)
	if s.start(wait); s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// Do calls write, which writes to what s writes to in a way of its own, after all
// that was given before, and returns what it returns; or ErrNotRead while it runs.
// An error of its is no error of s.
func (s *Stream) Do(write func() (int64, error)) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.job != nil && s.err == nil {
		s.done.Wait()
	}
	j := &job{write: write}
	if s.err == nil {
		s.job = j
		s.run()
	}
	for !j.done && s.err == nil {
		s.done.Wait()
	}
	if !j.done {
		return 0, s.err
	}
	return j.n, j.err
}

// Flush returns when all that was given before is written, and the first error of
// all writes, which OnError then knows; or ErrNotRead, when no Write has ended for stall.
func (s *Stream) Flush(stall time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) > 0 {
		s.run()
	}
	writes, since := s.writes, time.Now()
	watch := time.AfterFunc(stall, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done.Broadcast()
	})
	defer watch.Stop()
	for ; s.running && s.err == nil || s.telling; s.done.Wait() {
		if s.writes > writes {
			writes, since = s.writes, time.Now()
			watch.Reset(stall)
		} else if time.Since(since) >= stall {
			return cmp.Or(s.err, ErrNotRead)
		}
	}
	return s.err
}

// Err returns the first error of all writes.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// room waits, if it may, until more may be pending, and tells whether that is so
// and makes sense. s.mu is held, as in all that follow.
func (s *Stream) room(wait bool) bool {
	for s.running && len(s.pending) >= backlog && s.err == nil {
		if !wait {
			return false
		}
		s.done.Wait()
	}
	return s.err == nil
}

// start has what is pending written, unless that is being done already. With wait
// it returns when what is pending now has been.
func (s *Stream) start(wait bool) {
	if s.running || len(s.pending) == 0 {
		return
	}
	if s.file {
		s.running = true
		s.write()
		s.running = false
		if s.done.Broadcast(); len(s.pending) > 0 {
			s.run() // what came meanwhile; nobody writes for others without end
		}
		return
	}
	s.run()
	for n := s.batches; wait && s.err == nil && s.batches == n; {
		s.done.Wait()
	}
}

// run has a goroutine write all there is, and what comes meanwhile.
func (s *Stream) run() {
	if !s.running {
		s.running, s.began = true, time.Now()
		go s.loop()
	}
}

func (s *Stream) writeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && (len(s.pending) > 0 || s.job != nil) {
		if len(s.pending) > 0 {
			s.write()
			continue
		}
		j := s.job
		s.unlocked(func() { j.n, j.err = j.write() })
		s.job, j.done = nil, true
	}
	s.running = false
	s.done.Broadcast()
}

// write writes what is pending.
func (s *Stream) write() {
	b := s.pending
	s.pending, s.spare = s.spare[:0], nil
	s.done.Broadcast() // there is room
	for rest := b; len(rest) > 0 && s.err == nil; {
		p := rest[:pieceLen(rest)]
		rest = rest[len(p):]
		var n int
		var err error
		s.unlocked(func() { n, err = s.out.Write(p) })
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		if err != nil && s.err == nil {
			s.fail(err)
		}
	}
	if s.batches++; cap(b) <= keep {
		s.spare = b
	}
	s.done.Broadcast()
}

// pieceLen is how much of p is for one Write: whole lines. It looks forward, which is
// many times faster than back where lines are long.
func pieceLen(p []byte) int {
	if len(p) <= piece {
		return len(p)
	}
	if n := bytes.IndexByte(p[piece:], '\n') + 1; n > 0 {
		return piece + n
	}
	return len(p)
}

// unlocked calls f, which may take for ever, without s.mu.
func (s *Stream) unlocked(f func()) {
	if s.ending {
		s.began = time.Now()
		s.watch.Reset(s.patience)
	}
	s.mu.Unlock()
	f()
	s.mu.Lock()
	s.writes++
	s.done.Broadcast()
}

// end begins to count the patience with the write that is under way.
func (s *Stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending, s.began = true, time.Now()
	s.watch = time.AfterFunc(s.patience, s.giveUp)
}

func (s *Stream) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running && s.err == nil && time.Since(s.began) >= s.patience {
		s.fail(ErrNotRead)
	}
}

// fail remembers err, the first, and tells of it.
func (s *Stream) fail(err error) {
	s.err = err
	s.pending, s.spare, s.job = nil, nil, nil
	s.done.Broadcast()
	if s.onError == nil {
		return
	}
	s.telling = true
	s.mu.Unlock()
	s.onError(err)
	s.mu.Lock()
	s.telling = false
	s.done.Broadcast()
}
