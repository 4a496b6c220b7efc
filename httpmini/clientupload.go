package httpmini

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// An upload sends a request. Without a body it is over when start returns; else a
// goroutine sends the body, until its end, an error or halt.
type upload struct {
	l    *link
	x    *prepared
	head *buffer

	sent    atomic.Int64  // bytes of the body
	done    chan struct{} // closed when the goroutine ended; nil if there was none
	proceed chan struct{} // a 100 (Continue) came; nil if none is awaited
	stop    chan struct{} // closed by halt

	mu      sync.Mutex
	held    bool // the body waits for a 100 (Continue)
	reading bool // in Body.Read
	stopped bool
	over    bool
	err     error // once over
}

// errHalted ends an upload that is not to go on.
var errHalted = errors.New("stopped")

func (u *upload) start() {
	u.head = buffers.get()
	u.head.b = u.x.r.AppendHead(u.head.b)
	if u.x.body == nil {
		u.end(u.write(u.head.b))
		return
	}
	u.done, u.stop = make(chan struct{}), make(chan struct{})
	if u.x.r.Header.HasToken("Expect", "100-continue") {
		u.held, u.proceed = true, make(chan struct{}, 1)
	}
	go func() {
		defer close(u.done)
		u.end(u.run())
	}()
}

// end lets the wait for the head begin, or ends it where nothing can come.
func (u *upload) end(err error) {
	if u.head.b = u.head.b[:0]; cap(u.head.b) <= 2*gatherLimit {
		buffers.put(u.head)
	}
	u.mu.Lock()
	u.err, u.over = err, true
	u.mu.Unlock()
	switch e, _ := errors.AsType[*OpError](err); {
	case err == nil:
		u.l.awaitHead(cmp.Or(u.l.c.HeadTimeout, 60*time.Second))
	case e != nil && e.Op == "body":
		u.l.abort(err)
	default: // an answer may be there all the same
		u.l.awaitHead(lingerTime)
	}
}

func (u *upload) run() error {
	head := u.head.b
	if u.held || !u.instant() {
		if err := u.write(head); err != nil {
			return err
		}
		head = nil
	}
	if u.proceed != nil && !u.expected() {
		return errHalted
	}
	length := u.x.r.ContentLength
	if length < 0 {
		if _, err := sendBody(u.write, head, (*bodyReader)(u), true); err != nil {
			return err
		}
		return u.write(appendLastChunk(nil, u.x.r.Trailer))
	}
	if file, ok := u.x.body.(*os.File); ok && u.x.start >= 0 {
		if tcp, ok := u.l.nc.(*net.TCPConn); ok {
			return u.sendFile(tcp, head, file, length)
		}
	}
	_, err := sendBody(u.write, head, &io.LimitedReader{R: (*bodyReader)(u), N: length}, false)
	if err == nil && u.sent.Load() < length {
		err = &OpError{Op: "body", Err: ErrBodyLength}
	}
	return err
}

// instant reports whether the body is there at once, so that it can leave with the
// head.
func (u *upload) instant() bool {
	_, ok := heldLength(u.x.body)
	return ok
}

// expected waits until the body may go out, and reports whether it may.
func (u *upload) expected() bool {
	timer := time.NewTimer(cmp.Or(u.l.c.ExpectWait, time.Second))
	defer timer.Stop()
	select {
	case <-u.stop:
	case <-u.proceed:
	case <-timer.C:
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held = false
	return !u.stopped
}

// sendFile lets the kernel send length bytes of file.
func (u *upload) sendFile(tcp *net.TCPConn, head []byte, file *os.File, length int64) error {
	if len(head) > 0 {
		if err := u.write(head); err != nil {
			return err
		}
	}
	p := newPace(u.l.c)
	for left := length; left > 0; {
		if !u.arm(p.deadline()) {
			return errHalted
		}
		n, err := io.Copy(tcp, &io.LimitedReader{R: file, N: min(left, sendPiece)})
		left -= n
		u.count(n)
		switch {
		case p.goesOn(n, err): // if it was halt that set the deadline, arm says so
		case err != nil:
			return u.l.fault("send", err)
		case n == 0:
			return &OpError{Op: "body", Err: ErrBodyLength}
		}
	}
	return nil
}

// bodyReader reads the request's body for its upload.
type bodyReader upload

func (b *bodyReader) Read(p []byte) (int, error) {
	if !b.enter(true) {
		return 0, errHalted
	}
	n, err := b.x.body.Read(p)
	if !b.enter(false) {
		return 0, errHalted
	}
	(*upload)(b).count(int64(n))
	if err != nil && err != io.EOF {
		err = &OpError{Op: "body", Err: err}
	}
	return n, err
}

// enter notes whether a Read is under way, and reports whether to go on.
func (b *bodyReader) enter(reading bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = reading && !b.stopped
	return !b.stopped
}

func (u *upload) count(n int64) {
	sent := u.sent.Add(n)
	if f := u.l.c.Trace.Progress; f != nil && n > 0 {
		f(sent, u.l.got.Load())
	}
}

// arm sets the deadline of the next piece, and reports whether it may leave.
func (u *upload) arm(by time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.stopped {
		u.l.nc.SetWriteDeadline(by)
	}
	return !u.stopped
}

func (u *upload) write(p []byte) error {
	var by time.Time
	if timeout := cmp.Or(u.l.c.StallTimeout, 60*time.Second); timeout >= 0 {
		by = time.Now().Add(timeout)
	}
	if !u.arm(by) {
		return errHalted
	}
	if _, err := u.l.nc.Write(p); err != nil {
		return u.l.fault("send", err)
	}
	return nil
}

// interim is told of a response before the final one.
func (u *upload) interim(status int) {
	if status == 100 && u.proceed != nil {
		select {
		case u.proceed <- struct{}{}:
		default: // not the first
		}
	}
}

// final is told of the status of the final response: a body that was to wait for
// leave, or that did not please, is not sent any further.
func (u *upload) final(status int) {
	u.mu.Lock()
	enough := u.held || status >= 300
	u.mu.Unlock()
	if enough {
		u.halt()
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

// whole reports whether all was sent.
func (u *upload) whole() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.over && u.err == nil
}

// failed ends the upload, and returns the reason why there is no answer, which
// may be that the request could not be sent.
func (u *upload) failed(err error) error {
	u.mu.Lock()
	cause := u.err
	u.mu.Unlock()
	u.l.raw.Close()
	u.halt()
	if e, ok := errors.AsType[*OpError](err); ok && e.Op == "receive" && cause != nil && cause != errHalted {
		return cause
	}
	return err
}
