//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package term

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"unsafe"
)

// ttyState is how a terminal was before raw mode.
type ttyState struct{ termios syscall.Termios }

// ioctl calls ioctl(2) with a pointer, which syscall.Syscall keeps alive only
// when it is converted in the call itself.
func ioctl(fd, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

func isTerminal(fd uintptr) bool {
	var t syscall.Termios
	return ioctl(fd, ioctlGet, unsafe.Pointer(&t)) == nil
}

func windowSize(fd uintptr) (cols, rows int) {
	var ws struct{ Row, Col, X, Y uint16 } // struct winsize
	if ioctl(fd, syscall.TIOCGWINSZ, unsafe.Pointer(&ws)) != nil {
		return 0, 0
	}
	return int(ws.Col), int(ws.Row)
}

// OutQueue returns how many of the bytes written to fd lie with the system, because
// the other end has not got them: of a terminal, and on Linux of a socket, where
// those of a Unix one count with what they cost to keep. 0 where nobody knows.
func OutQueue(fd uintptr) int {
	var n int32
	if ioctl(fd, syscall.TIOCOUTQ, unsafe.Pointer(&n)) != nil {
		return 0
	}
	return int(n)
}

// makeRaw has every byte given as it is typed, and returns how things were.
// Output is left as it is, so that LF still begins a line for whoever else
// writes. Neither this nor restore waits for output to drain: a terminal that
// has stalled would keep the program from ending.
func makeRaw(in, _ *os.File) (*ttyState, error) {
	old := &ttyState{}
	err := error(errClosedFD)
	withFD(in, func(fd uintptr) {
		if err = ioctl(fd, ioctlGet, unsafe.Pointer(&old.termios)); err != nil {
			return
		}
		t := old.termios
		t.Iflag &^= syscall.BRKINT | syscall.ICRNL | syscall.INLCR | syscall.IGNCR |
			syscall.INPCK | syscall.ISTRIP | syscall.IXON
		t.Cflag |= syscall.CS8
		t.Lflag &^= syscall.ECHO | syscall.ICANON | syscall.IEXTEN | syscall.ISIG
		t.Cc[syscall.VMIN], t.Cc[syscall.VTIME] = 1, 0
		err = ioctl(fd, ioctlSet, unsafe.Pointer(&t))
	})
	if err != nil {
		return nil, os.NewSyscallError("ioctl", err)
	}
	return old, nil
}

func (s *ttyState) restore(in, _ *os.File) error {
	err := error(errClosedFD)
	withFD(in, func(fd uintptr) { err = ioctl(fd, ioctlSet, unsafe.Pointer(&s.termios)) })
	return os.NewSyscallError("ioctl", err)
}

const errClosedFD = syscall.EBADF

// inForeground reports whether this program may use the terminal now: in the
// background, setting its mode would stop the program. A terminal that does not
// control this session has no background.
func inForeground(f *os.File) bool {
	var group int32
	err := error(errClosedFD)
	withFD(f, func(fd uintptr) { err = ioctl(fd, syscall.TIOCGPGRP, unsafe.Pointer(&group)) })
	return err != nil || int(group) == syscall.Getpgrp()
}

// notifyTerminal has ch told of a new size and of going on after a stop.
func notifyTerminal(ch chan<- os.Signal) { signal.Notify(ch, syscall.SIGWINCH, syscall.SIGCONT) }

func isContinue(s os.Signal) bool { return s == syscall.SIGCONT }

const canStop = true

// stopGroup does what the terminal does at Ctrl-Z, to the whole pipeline.
func stopGroup() error { return syscall.Kill(0, syscall.SIGTSTP) }

func isAgain(err error) bool { return errors.Is(err, syscall.EAGAIN) }
