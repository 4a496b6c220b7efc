package term

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options of an Editor. The zero value has no prompt, history or completion.
type Options struct {
	Prompt  string   // may hold colour (ESC [ … m); shown on a terminal only
	History *History // recalled with Up and Ctrl-R; lines typed at a terminal are added
	Whole   bool     // the lines of a paste are one, with LF between: Enter ends it

	// Complete is asked at Tab what may stand from line[start] to line[pos], in
	// bytes. It is called by ReadLine and may Write.
	Complete func(line string, pos int) (start int, candidates []string)
}

// Editor reads lines. One goroutine at a time may call ReadLine; the other
// methods may be called from any.
//
// A terminal is in raw mode from NewEditor on until Close: what is typed between
// two calls of ReadLine waits, Ctrl-C too. Started in the background, an Editor
// leaves the terminal alone until the program is brought to the foreground.
type Editor struct {
	in, out *os.File
	opt     Options
	input   input
	closing chan struct{} // closed by Close
	once    sync.Once
	watcher sync.WaitGroup
	going   chan struct{} // the program goes on after a stop

	// Without line editing.
	lines   *lineReader // not nil
	prompts bool        // for a person all the same

	// Of ReadLine alone.
	keys    decoder
	buf     []byte        // what is read, into one place
	pending []byte        // the part of buf not yet decoded
	undrawn int           // bytes applied since the last draw
	settle  time.Duration // before the next draw
	line    line

	mu     sync.Mutex // for what follows, and for writing to out
	prompt string
	screen screen
	before *ttyState // the terminal as it was; nil: as it is
	raw    bool
}

const (
	escapeWait   = 100 * time.Millisecond // an ESC alone is the key Escape after this
	sequenceWait = time.Second            // a sequence broken off is none after this
	resizeWait   = 50 * time.Millisecond  // while a window is dragged, its size is behind what is seen
	closeWait    = time.Second            // for a terminal that has stalled
	stallTries   = 30                     // times that, while nobody wants to close
	maxBatch     = 64 << 10               // bytes applied before the screen is drawn
	maxShown     = 200                    // candidates
)

// NewEditor returns an Editor on in and out. It edits lines when both are
// terminals that can do what is needed, which TERM=dumb denies; else it reads
// plain lines. Close it, deferred, so that a panic leaves the terminal usable.
func NewEditor(in, out *os.File, opt Options) (*Editor, error) {
	e := &Editor{in: in, out: out, opt: opt, prompt: opt.Prompt,
		keys: decoder{whole: opt.Whole}, closing: make(chan struct{}), going: make(chan struct{}, 1)}
	if _, err := in.Stat(); err != nil {
		return nil, err
	}
	person := IsTerminal(in) && IsTerminal(out)
	if person && os.Getenv("TERM") != "dumb" && e.startRaw() {
		return e, nil
	}
	e.prompts = person
	e.input = newInput(in, false)
	e.lines = &lineReader{read: e.readInput}
	return e, nil
}

func (e *Editor) closed() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}

// Close restores the terminal, has a ReadLine that waits return os.ErrClosed,
// and leaves no goroutine behind. The exception: without a terminal on Windows,
// and on systems whose terminals are not known here, a read that has begun ends
// when its file does, or the program. Write goes on working. Later calls do
// nothing.
func (e *Editor) Close() error {
	var err error
	e.once.Do(func() {
		close(e.closing)
		e.input.wake()
		// Who holds mu may be writing to a terminal that takes nothing.
		stuck := !lockWithin(&e.mu, closeWait)
		if !stuck {
			defer e.mu.Unlock()
			if e.screen.shown && waitWritable(e.out, closeWait) {
				e.write(e.screen.finish(nil, e.screen.view, "", sizeOf(e.out)))
			}
		}
		err = e.leaveRaw(stuck)
		e.watcher.Wait()
		e.input.close()
	})
	return err
}

// lockWithin locks mu, or gives up after d.
func lockWithin(mu *sync.Mutex, d time.Duration) bool {
	for deadline := time.Now().Add(d); !mu.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// SetPrompt changes the prompt, at once if a line is being typed.
func (e *Editor) SetPrompt(prompt string) {
	e.mu.Lock()
	e.prompt = prompt
	e.mu.Unlock()
	e.input.wake()
}

// Write prints p above the line being typed, which is drawn again after it, in
// one system call. A last line without LF is given one there, and goes on where
// it ended with the next Write as long as it is printable and short. When no
// line is being typed, p is written as it is.
func (e *Editor) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lines != nil || len(p) == 0 {
		return e.write(p)
	}
	all := e.screen.print(nil, p, sizeOf(e.out))
	if n, err := e.write(all); err != nil {
		return min(max(n-(len(all)-len(p)), 0), len(p)), err
	}
	return len(p), nil
}

// write writes all of p. Another program may have set O_NONBLOCK on a terminal
// they share. The caller holds mu.
func (e *Editor) write(p []byte) (int, error) {
	n, err := e.out.Write(p)
	for isAgain(err) && e.takesMore() {
		var m int
		m, err = e.out.Write(p[n:])
		n += m
	}
	return n, err
}

// takesMore waits for a terminal that took all it could; a slow one has time, but
// not once the Editor is being closed.
func (e *Editor) takesMore() bool {
	for range stallTries {
		if waitWritable(e.out, closeWait) {
			return true
		}
		if e.closed() {
			break
		}
	}
	return false
}

// ReadLine returns the next line, without its end; one typed with Ctrl-V may
// hold LF and CR. The error is io.EOF at the end of the input or Ctrl-D on an
// empty line, ErrInterrupted at Ctrl-C, ErrTooLong as said there, os.ErrClosed
// after Close. After ErrInterrupted and ErrTooLong, reading goes on.
func (e *Editor) ReadLine() (string, error) {
	if e.lines != nil {
		return e.readPlain()
	}
	if e.closed() {
		return "", os.ErrClosed
	}
	e.line.reset()
	final := false
	for {
		for {
			k, n := e.keys.next(e.pending, final)
			if n == 0 {
				break
			}
			act := e.line.apply(k) // before buf is used again
			e.pending = e.pending[n:]
			if line, err, done := e.perform(act); done {
				return line, err
			}
		}
		var err error
		if final, err = e.more(); err != nil {
			return "", err
		}
	}
}

// perform does what the line asks for; done: ReadLine returns.
func (e *Editor) perform(act action) (line string, err error, done bool) {
	switch act {
	case actEnter:
		line = string(e.line.buf)
		e.finish("")
		if e.opt.History != nil {
			e.opt.History.Add(line)
		}
		return line, nil, true
	case actInterrupt:
		e.finish("^C")
		return "", ErrInterrupted, true
	case actEOF:
		e.finish("")
		return "", io.EOF, true
	case actComplete:
		e.complete()
	case actClear:
		e.clear()
	case actSuspend:
		e.suspend()
	}
	return "", nil, false
}

// more waits for more to decode, the line being drawn as it is by now. While
// more is there at once, up to maxBatch bytes, it is not drawn. final is for the
// decoder.
func (e *Editor) more() (final bool, err error) {
	if err := e.ready(); err != nil {
		return false, err
	}
	err = errTimeout
	if e.undrawn < maxBatch {
		err = e.read(e.settle)
	}
	e.settle = 0
	if err == errTimeout {
		if err = e.draw(); err == nil {
			err = e.read(e.patience())
			final = err == errTimeout
		}
	}
	switch {
	case final:
		return true, nil
	case err == errWoken:
		return false, e.lookAround()
	case errors.Is(err, syscall.EIO): // the terminal is gone
		return false, io.EOF
	}
	return false, err
}

// read appends to pending. What is pending by now is less than a key.
func (e *Editor) read(timeout time.Duration) error {
	if e.buf == nil {
		e.buf = make([]byte, 16<<10)
	}
	held := copy(e.buf, e.pending)
	n, err := e.input.read(e.buf[held:], timeout)
	e.pending = e.buf[:held+n]
	e.undrawn += n
	return err
}

// patience is how long what is pending may wait for what completes it.
func (e *Editor) patience() time.Duration {
	switch {
	case len(e.pending) == 0 || e.pending[0] != esc || e.keys.paste || e.keys.quoted:
		return forever
	case len(e.pending) == 1:
		return escapeWait
	}
	return sequenceWait
}

// draw shows the line as it is by now. That the terminal takes nothing is no
// error here: reading tells more about it.
func (e *Editor) draw() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed() {
		return os.ErrClosed
	}
	b := e.screen.show(nil, e.line.view(e.prompt), sizeOf(e.out))
	if e.line.bell {
		b = append(b, '\a')
	}
	e.line.bell, e.undrawn = false, 0
	if len(b) > 0 {
		e.write(b)
	}
	return nil
}

// finish shows the line for the last time.
func (e *Editor) finish(after string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed() {
		e.write(e.screen.finish(nil, e.line.view(e.prompt), after, sizeOf(e.out)))
	}
	e.undrawn = 0
}

func (e *Editor) clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.write([]byte(clearScreen))
	e.screen.forget()
}

func (e *Editor) complete() {
	if e.opt.Complete == nil {
		e.line.bell = true
		return
	}
	show := e.line.complete(e.opt.Complete(string(e.line.buf), e.line.pos))
	if len(show) > 0 && e.draw() == nil {
		e.Write(columns(show, Width(e.out)))
	}
}

// columns lists words, escaped, in as many columns as fit.
func columns(words []string, cols int) []byte {
	more := len(words) - maxShown
	words = words[:min(len(words), maxShown)]
	shown, widths, widest := make([]string, len(words)), make([]int, len(words)), 1
	for i, w := range words {
		b, _ := appendShown(nil, []byte(w), 0, false)
		shown[i], widths[i] = string(b), advance(place{}, b, MaxLine).col
		widest = max(widest, widths[i])
	}
	perRow := max((cols+1)/(widest+2), 1)
	var out []byte
	for i, s := range shown {
		out = append(out, s...)
		if i%perRow == perRow-1 || i == len(shown)-1 {
			out = append(out, '\n')
			continue
		}
		out = append(out, strings.Repeat(" ", widest+2-widths[i])...)
	}
	if more > 0 {
		out = fmt.Appendf(out, "and %d more\n", more)
	}
	return out
}
