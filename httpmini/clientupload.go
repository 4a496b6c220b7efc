package httpmini

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// An upload sends a request. Without a body it is over when startUpload returns; else a
// goroutine sends the body, until its end, an error or halt.
type upload struct {
	l    *link
	x    *prepared
	head []byte

	done chan struct{} // closed when the goroutine ended; nil if there was none
	go_  chan struct{} // closed by proceed
	stop chan struct{} // closed by halt
	sent atomic.Int64  // bytes of the body

	mu      sync.Mutex
	stopped bool
	reading bool // in Body.Read
	gone    bool // it went on

	err error // once done
}

func startUpload(l *link, x *prepared) *upload {
	u := &upload{l: l, x: x, head: x.r.AppendHead(nil)}
	if x.body == nil {
		u.err = u.write(u.head)
		u.finished()
		return u
	}
	u.done, u.go_, u.stop = make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(u.done)
		u.err = u.run()
		u.finished()
	}()
	return u
}

// finished starts the wait for the head, or ends it where nothing can come.
func (u *upload) finished() {
	timeout := orDefault(u.l.c.HeadTimeout, 60*time.Second)
	switch e, _ := errors.AsType[*OpError](u.err); {
	case u.err == nil:
	case e.Op == "body":
		u.l.raw.Close()
	default: // an answer may be there all the same
		timeout = lingerTime
	}
	u.l.awaitHead(timeout)
}

func (u *upload) run() error {
	if u.x.r.Header.HasToken("Expect", "100-continue") {
		if err := u.write(u.head); err != nil || !u.expected() {
			return err
		}
		u.head = nil
	}
	length := u.x.r.ContentLength
	chunked := length < 0
	src := io.Reader((*bodyReader)(u))
	if !chunked {
		src = &io.LimitedReader{R: src, N: length}
	}
	n, err := sendBody(u.write, u.head, src, chunked)
	switch {
	case err != nil:
		if _, ok := errors.AsType[*OpError](err); !ok {
			err = &OpError{"body", err}
		}
		return err
	case chunked:
		return u.write(appendLastChunk(nil, u.x.r.Trailer))
	case n < length:
		return &OpError{"body", ErrBodyLength}
	}
	return nil
}

// expected waits until the body may go out, and reports whether it may.
func (u *upload) expected() bool {
	timer := time.NewTimer(orDefault(u.l.c.ExpectWait, time.Second))
	defer timer.Stop()
	select {
	case <-u.stop:
		return false
	case <-u.go_:
	case <-timer.C:
	}
	return true
}

// bodyReader reads the request's body for its upload.
type bodyReader upload

func (b *bodyReader) Read(p []byte) (int, error) {
	if !b.enter() {
		return 0, os.ErrClosed
	}
	n, err := b.x.body.Read(p)
	b.mu.Lock()
	b.reading = false
	if b.stopped {
		n, err = 0, os.ErrClosed
	}
	b.mu.Unlock()
	return n, err
}

func (b *bodyReader) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = !b.stopped
	return b.reading
}

// write sends p within StallTimeout.
func (u *upload) write(p []byte) error {
	if timeout := orDefault(u.l.c.StallTimeout, 60*time.Second); timeout >= 0 {
		u.mu.Lock()
		if !u.stopped {
			u.l.nc.SetWriteDeadline(time.Now().Add(timeout))
		}
		u.mu.Unlock()
	}
	_, err := u.l.nc.Write(p)
	if err != nil {
		return u.l.fault("send", err)
	}
	return nil
}

// proceed lets a body go out that waits for a 100 (Continue).
func (u *upload) proceed() {
	if u.go_ != nil && !u.gone {
		u.gone = true
		close(u.go_)
	}
}

// halt stops the upload and waits for its end, but not for a Read of a body that
// cannot seek: that one may wait for a person.
func (u *upload) halt() {
	if u.done == nil {
		return
	}
	u.mu.Lock()
	if !u.stopped {
		u.stopped = true
		close(u.stop)
		u.l.nc.SetWriteDeadline(time.Unix(1, 0))
	}
	abandoned := u.reading && u.x.start < 0
	u.mu.Unlock()
	if !abandoned {
		<-u.done
	}
}

// ended reports whether all was sent.
func (u *upload) ended() bool {
	if u.done == nil {
		return u.err == nil
	}
	select {
	case <-u.done:
		return u.err == nil
	default:
		return false
	}
}

// failed returns the reason why there is no answer, which may be that the request
// could not be sent.
func (u *upload) failed(err error) error {
	u.l.raw.Close()
	u.halt()
	if u.done != nil {
		select {
		case <-u.done:
		default:
			return err
		}
	}
	if e, ok := errors.AsType[*OpError](u.err); ok && (e.Op == "body" || errors.Is(err, ErrNoAnswer)) {
		return u.err
	}
	return err
}
