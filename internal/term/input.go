package term

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// input is what is typed or piped in.
type input interface {
	// read waits for bytes, no longer than timeout unless that is forever, and
	// returns errTimeout, or errWoken after wake. Only one goroutine reads.
	read(p []byte, timeout time.Duration) (int, error)
	// wake makes the read that waits, or else the next one, return errWoken.
	wake()
	// close frees what waiting needs, not the file. The read that waits must
	// have been woken; later ones return os.ErrClosed.
	close()
}

const forever time.Duration = -1

var (
	errTimeout = errors.New("nothing to read yet")
	errWoken   = errors.New("woken while waiting to read")
)

// pump is an input for files that cannot be waited for together with something
// else. A goroutine reads, one piece at a time and only when asked to; close
// ends it as soon as its read returns, which it cannot bring about: on a system
// where this is used it may stay in that read until the program ends.
type pump struct {
	file io.Reader
	ask  chan struct{}
	got  chan pumped
	woke chan struct{}
	done chan struct{}
	once sync.Once

	asked bool
	rest  []byte // read and not yet taken
	err   error  // after rest
}

type pumped struct {
	p   []byte
	err error
}

func newPump(file io.Reader) *pump {
	p := &pump{file: file, ask: make(chan struct{}), got: make(chan pumped, 1),
		woke: make(chan struct{}, 1), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *pump) run() {
	buf := make([]byte, 64<<10)
	for {
		select {
		case <-p.ask:
			n, err := p.file.Read(buf)
			p.got <- pumped{buf[:n], err}
		case <-p.done:
			return
		}
	}
}

func (p *pump) read(dst []byte, timeout time.Duration) (int, error) {
	select {
	case <-p.done:
		return 0, os.ErrClosed
	case <-p.woke:
		return 0, errWoken
	default:
	}
	if len(p.rest) == 0 && p.err == nil {
		if err := p.wait(timeout); err != nil {
			return 0, err
		}
	}
	n := copy(dst, p.rest)
	p.rest = p.rest[n:]
	if n > 0 {
		return n, nil
	}
	return 0, p.err
}

// wait fills rest.
func (p *pump) wait(timeout time.Duration) error {
	if !p.asked {
		select {
		case p.ask <- struct{}{}:
			p.asked = true
		case <-p.done:
			return os.ErrClosed
		}
	}
	var late <-chan time.Time
	if timeout >= 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	select {
	case r := <-p.got:
		p.asked, p.rest, p.err = false, r.p, r.err
		return nil
	case <-p.woke:
		return errWoken
	case <-late:
		return errTimeout
	}
}

func (p *pump) wake() {
	select {
	case p.woke <- struct{}{}:
	default: // one is enough
	}
}

func (p *pump) close() { p.once.Do(func() { close(p.done) }) }
