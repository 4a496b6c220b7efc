package term

import (
	"os"
	"os/signal"
	"time"
)

// Raw mode and what happens to a program that has a terminal: a new size, being
// stopped and going on, being in the background.

const (
	stopWait       = 200 * time.Millisecond // until Ctrl-Z has stopped the program, if it can
	stopLooks      = 20                     // in that time
	backgroundWait = 250 * time.Millisecond // between looks whether it is in the foreground
)

// startRaw is false when the terminal has no raw mode.
func (e *Editor) startRaw() bool {
	if inForeground(e.in) && e.enterRaw() != nil {
		return false
	}
	e.screen.rigid = isRigid(os.Getenv)
	if e.opt.History != nil {
		e.line.recall = e.opt.History.all
	}
	e.input = newInput(e.in, true)
	signals := make(chan os.Signal, 4)
	notifyTerminal(signals)
	e.watcher.Go(func() { e.watch(signals) })
	return true
}

// isRigid reports whether the terminal cuts long rows at a new width instead of
// letting them flow: xterm and screen do, and the console of Linux.
func isRigid(getenv func(string) string) bool {
	if getenv("TMUX") != "" {
		return false
	}
	return getenv("XTERM_VERSION") != "" || getenv("STY") != "" || getenv("TERM") == "linux"
}

// watch has ReadLine look around at a new size and after a stop.
func (e *Editor) watch(signals chan os.Signal) {
	defer signal.Stop(signals)
	for {
		select {
		case s := <-signals:
			if isContinue(s) {
				select {
				case e.going <- struct{}{}:
				default: // known already
				}
			}
			e.input.wake()
		case <-e.closing:
			return
		}
	}
}

// lookAround is why ReadLine was woken: Close, going on after a stop, or what
// drawing the line again takes care of.
func (e *Editor) lookAround() error {
	if e.closed() {
		return os.ErrClosed
	}
	select {
	case <-e.going:
		e.lose()
	default:
		e.mu.Lock()
		if e.screen.shown && e.screen.frame.cols != sizeOf(e.out).cols {
			e.settle = resizeWait
		}
		e.mu.Unlock()
	}
	return nil
}

// lose is for when others had the terminal: neither its mode nor what it shows
// is known.
func (e *Editor) lose() {
	e.mu.Lock()
	e.raw = false
	e.screen.forget()
	e.mu.Unlock()
}

// ready returns when the terminal is ours and in raw mode.
func (e *Editor) ready() error {
	for {
		switch {
		case e.closed():
			return os.ErrClosed
		case inForeground(e.in):
			return e.enterRaw()
		}
		e.lose()
		select {
		case <-e.closing:
		case <-e.going:
		case <-time.After(backgroundWait):
		}
	}
}

// enterRaw does nothing in raw mode.
func (e *Editor) enterRaw() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.raw || e.closed() {
		return nil
	}
	before, err := makeRaw(e.in, e.out)
	if err != nil {
		return err
	}
	e.raw = true
	if e.before == nil { // else it was stopped while in raw mode
		e.before = before
	}
	e.write([]byte(pasteOn))
	return nil
}

// leaveRaw restores the terminal, which is none of our business when others have
// it. The caller holds mu, or has found that the terminal is stuck: then nothing
// is sent to it.
func (e *Editor) leaveRaw(stuck bool) (err error) {
	if e.before != nil && inForeground(e.in) {
		if !stuck && waitWritable(e.out, closeWait) {
			e.write([]byte(pasteOff))
		}
		err = e.before.restore(e.in, e.out)
	}
	e.before, e.raw = nil, false
	return err
}

// suspend stops the program as Ctrl-Z does, and comes back when it goes on, or
// could not be stopped.
func (e *Editor) suspend() {
	if !canStop {
		e.line.bell = true
		return
	}
	e.finish("")
	e.mu.Lock()
	e.leaveRaw(false)
	e.mu.Unlock()
	select {
	case <-e.going: // from an earlier stop
	default:
	}
	if stopGroup() != nil {
		return
	}
	for range stopLooks { // time goes by while we are stopped: no more than one of these
		select {
		case <-e.going:
			return
		case <-e.closing:
			return
		case <-time.After(stopWait / stopLooks):
		}
	}
}
