//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package term

import (
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// fdInput waits for a file and a pipe at once. The file is left in the mode it
// is in: O_NONBLOCK would hold for all who share the terminal.
type fdInput struct {
	file   *os.File
	raw    bool // a terminal that others may be given
	pr, pw *os.File
	woken  atomic.Bool // a byte is in the pipe, or about to be
}

// pollFD is a struct pollfd (POSIX poll.h).
type pollFD struct {
	fd      int32
	events  int16
	revents int16
}

const (
	pollIn  = 0x1
	pollOut = 0x4
)

func newInput(file *os.File, raw bool) input {
	pr, pw, err := os.Pipe()
	if err != nil { // out of descriptors: do with less
		return newPump(file)
	}
	in := &fdInput{file: file, raw: raw, pr: pr, pw: pw}
	if _, _, err := in.wait(0); err != nil {
		in.close()
		return newPump(file)
	}
	return in
}

func (in *fdInput) read(p []byte, timeout time.Duration) (int, error) {
	for {
		readable, woken, err := in.wait(timeout)
		switch {
		case err != nil:
			return 0, err
		case woken:
			// In this order: a wake in between has nothing to add, and the next one writes.
			withFD(in.pr, func(fd uintptr) { syscall.Read(int(fd), make([]byte, 8)) })
			in.woken.Store(false)
			return 0, errWoken
		case !readable:
			return 0, errTimeout
		case in.raw && !inForeground(in.file): // what is there is for others
			return 0, errWoken
		}
		var n int
		if e := withFD(in.file, func(fd uintptr) { n, err = syscall.Read(int(fd), p) }); e != nil {
			return 0, os.ErrClosed
		}
		switch {
		case err == syscall.EINTR || err == syscall.EAGAIN: // another reader was faster
			continue
		case err != nil:
			return 0, &os.PathError{Op: "read", Path: in.file.Name(), Err: err}
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// wait waits until the file can be read or wake was called.
func (in *fdInput) wait(timeout time.Duration) (readable, woken bool, err error) {
	deadline := time.Now().Add(timeout)
	for {
		fds := []pollFD{{events: pollIn}, {events: pollIn}}
		err := in.poll(fds, timeout)
		switch {
		case err == syscall.EINTR:
			if timeout >= 0 {
				timeout = max(time.Until(deadline), 0)
			}
			continue
		case err != nil:
			return false, false, err
		}
		return fds[1].revents != 0, fds[0].revents != 0, nil
	}
}

// poll fills in what fds are, both kept open while it waits.
func (in *fdInput) poll(fds []pollFD, timeout time.Duration) (err error) {
	e := withFD(in.pr, func(pipe uintptr) {
		e := withFD(in.file, func(file uintptr) {
			fds[0].fd, fds[1].fd = int32(pipe), int32(file)
			err = poll(fds, timeout)
		})
		if e != nil {
			err = os.ErrClosed
		}
	})
	if e != nil {
		return os.ErrClosed
	}
	return err
}

func (in *fdInput) wake() {
	if !in.woken.Swap(true) {
		in.pw.Write([]byte{0})
	}
}

func (in *fdInput) close() {
	in.pw.Close()
	in.pr.Close()
}

// waitWritable waits until f takes output, no longer than timeout.
func waitWritable(f *os.File, timeout time.Duration) bool {
	fds := []pollFD{{events: pollOut}}
	err := withFD(f, func(fd uintptr) {
		fds[0].fd = int32(fd)
		poll(fds, timeout)
	})
	return err == nil && fds[0].revents != 0
}
