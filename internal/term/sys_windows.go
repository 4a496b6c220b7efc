package term

import (
	"os"
	"syscall"
	"time"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

var (
	kernel32                   = syscall.NewLazyDLL("kernel32.dll")
	getConsoleScreenBufferInfo = kernel32.NewProc("GetConsoleScreenBufferInfo")
	setConsoleMode             = kernel32.NewProc("SetConsoleMode")
	readConsoleInput           = kernel32.NewProc("ReadConsoleInputW")
	createEvent                = kernel32.NewProc("CreateEventW")
	setEvent                   = kernel32.NewProc("SetEvent")
	waitForMultipleObjects     = kernel32.NewProc("WaitForMultipleObjects")
)

// Console modes (wincon.h).
const (
	enableProcessedInput  = 0x0001
	enableLineInput       = 0x0002
	enableEchoInput       = 0x0004
	enableWindowInput     = 0x0008
	enableVTInput         = 0x0200
	enableProcessedOutput = 0x0001
	enableWrapAtEOL       = 0x0002
	enableVTProcessing    = 0x0004
)

// ttyState is how a console was before raw mode.
type ttyState struct{ in, out uint32 }

func isTerminal(fd uintptr) bool {
	var mode uint32
	return syscall.GetConsoleMode(syscall.Handle(fd), &mode) == nil
}

func windowSize(fd uintptr) (cols, rows int) {
	var info struct { // CONSOLE_SCREEN_BUFFER_INFO
		size, cursor             [2]int16
		attributes               uint16
		left, top, right, bottom int16
		maximum                  [2]int16
	}
	if ok, _, _ := getConsoleScreenBufferInfo.Call(fd, uintptr(unsafe.Pointer(&info))); ok == 0 {
		return 0, 0
	}
	return int(info.right-info.left) + 1, int(info.bottom-info.top) + 1
}

// makeRaw has keys come as a VT terminal sends them, and output understood as
// one does; Windows has both since 10. A console that has not is left as it was.
func makeRaw(in, out *os.File) (*ttyState, error) {
	old := &ttyState{}
	err := getModes(in, out, old)
	if err != nil {
		return nil, err
	}
	raw := ttyState{
		in: old.in&^(enableProcessedInput|enableLineInput|enableEchoInput) |
			enableWindowInput | enableVTInput,
		out: old.out | enableProcessedOutput | enableWrapAtEOL | enableVTProcessing,
	}
	if err := raw.restore(in, out); err != nil {
		old.restore(in, out)
		return nil, err
	}
	return old, nil
}

func getModes(in, out *os.File, s *ttyState) error {
	var inErr, outErr error = os.ErrClosed, os.ErrClosed
	withFD(in, func(fd uintptr) { inErr = syscall.GetConsoleMode(syscall.Handle(fd), &s.in) })
	withFD(out, func(fd uintptr) { outErr = syscall.GetConsoleMode(syscall.Handle(fd), &s.out) })
	if inErr != nil {
		return os.NewSyscallError("GetConsoleMode", inErr)
	}
	return os.NewSyscallError("GetConsoleMode", outErr)
}

func (s *ttyState) restore(in, out *os.File) error {
	inErr, outErr := setMode(in, s.in), setMode(out, s.out)
	if inErr != nil {
		return inErr
	}
	return outErr
}

func setMode(f *os.File, mode uint32) error {
	err := error(os.ErrClosed)
	withFD(f, func(fd uintptr) {
		err = nil
		if ok, _, e := setConsoleMode.Call(fd, uintptr(mode)); ok == 0 {
			err = os.NewSyscallError("SetConsoleMode", e)
		}
	})
	return err
}

// conInput reads a console that is in raw mode. It is read by its events: a
// console is signalled for those that are no keys too, and a plain read would
// then block.
type conInput struct {
	file  *os.File
	event uintptr // auto-reset: set by wake
	high  uint16  // first half of a surrogate pair
	rest  []byte  // read and not yet taken
}

// keyEvent is an INPUT_RECORD with a KEY_EVENT_RECORD.
type keyEvent struct {
	kind    uint16
	_       uint16
	down    int32
	repeat  uint16
	virtual uint16
	scan    uint16
	char    uint16
	state   uint32
}

const (
	kindKey    = 0x0001
	kindResize = 0x0004
	virtualAlt = 0x12 // VK_MENU: let go of, it gives what Alt and digits spelled
	maxRepeat  = 100
)

// newInput waits for the console that f is; what is no console, or edits lines
// itself, cannot be waited for.
func newInput(f *os.File, raw bool) input {
	if raw {
		if event, _, _ := createEvent.Call(0, 0, 0, 0); event != 0 {
			return &conInput{file: f, event: event}
		}
	}
	return newPump(f)
}

func (in *conInput) read(p []byte, timeout time.Duration) (int, error) {
	deadline := time.Now().Add(timeout)
	for len(in.rest) == 0 {
		if timeout >= 0 {
			timeout = max(time.Until(deadline), 0)
		}
		if err := in.wait(timeout); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}

// wait waits for events and puts what they type into rest, which may be nothing.
func (in *conInput) wait(timeout time.Duration) error {
	const infinite, waitTimeout, signalled = 0xffffffff, 0x102, 0
	ms := uintptr(infinite)
	if timeout >= 0 {
		ms = uintptr(timeout.Milliseconds())
	}
	err := error(os.ErrClosed)
	withFD(in.file, func(fd uintptr) {
		handles := [2]uintptr{in.event, fd}
		switch r, _, e := waitForMultipleObjects.Call(2, uintptr(unsafe.Pointer(&handles)), 0, ms); r {
		case signalled:
			err = errWoken
		case signalled + 1:
			err = in.take(fd)
		case waitTimeout:
			err = errTimeout
		default:
			err = os.NewSyscallError("WaitForMultipleObjects", e)
		}
	})
	return err
}

// take reads the events that are there. A new size wakes the reader, unless
// something was typed as well: that makes it draw anyhow.
func (in *conInput) take(fd uintptr) error {
	var events [128]keyEvent
	var n uint32
	if ok, _, e := readConsoleInput.Call(fd, uintptr(unsafe.Pointer(&events)), uintptr(len(events)),
		uintptr(unsafe.Pointer(&n))); ok == 0 {
		return os.NewSyscallError("ReadConsoleInput", e)
	}
	in.rest = in.rest[:0]
	resized := false
	for _, e := range events[:n] {
		resized = resized || e.kind == kindResize
		if e.kind == kindKey && e.char != 0 && (e.down != 0 || e.virtual == virtualAlt) {
			for range min(max(int(e.repeat), 1), maxRepeat) {
				in.add(e.char)
			}
		}
	}
	if resized && len(in.rest) == 0 {
		return errWoken
	}
	return nil
}

// add appends one UTF-16 unit as UTF-8.
func (in *conInput) add(unit uint16) {
	high := rune(in.high)
	in.high = 0
	switch r := rune(unit); {
	case utf16.IsSurrogate(r) && high != 0:
		in.rest = utf8.AppendRune(in.rest, utf16.DecodeRune(high, r))
	case utf16.IsSurrogate(r):
		in.high = unit
	default:
		in.rest = utf8.AppendRune(in.rest, r)
	}
}

func (in *conInput) wake() { setEvent.Call(in.event) }

// close leaves the event to the end of the program: a wake may still come.
func (in *conInput) close() { in.wake() }

// What only Unix has.

const canStop = false

func inForeground(*os.File) bool                { return true }
func notifyTerminal(chan<- os.Signal)           {}
func isContinue(os.Signal) bool                 { return false }
func stopGroup() error                          { return syscall.EWINDOWS }
func isAgain(error) bool                        { return false }
func waitWritable(*os.File, time.Duration) bool { return true }

// OutQueue returns 0: nobody knows.
func OutQueue(uintptr) int { return 0 }
