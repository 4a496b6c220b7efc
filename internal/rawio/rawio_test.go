package rawio

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pair returns both ends of a connection and the raw form of the first.
func pair(t *testing.T, network string) (nc, peer net.Conn, raw syscall.RawConn) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Skipf("no %s sockets here: %v", network, err)
	}
	defer ln.Close()
	nc, err = net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); peer.Close() })
	if raw = Socket(nc); raw == nil {
		t.Skip("no raw sockets on this system")
	}
	return nc, peer, raw
}

// read waits by raw for what is there.
func read(t *testing.T, raw syscall.RawConn) (got string, err error) {
	t.Helper()
	buf := make([]byte, 64)
	if werr := raw.Read(func(fd uintptr) bool {
		var n int
		n, err = Read(fd, buf)
		got = string(buf[:n])
		return err != ErrAgain
	}); werr != nil {
		t.Fatal(werr)
	}
	return got, err
}

func TestRead(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		_, peer, raw := pair(t, network)
		var empty error
		raw.Read(func(fd uintptr) bool {
			_, empty = Read(fd, make([]byte, 1))
			return true
		})
		if empty != ErrAgain {
			t.Errorf("%s: read of an empty socket: %v, want ErrAgain", network, empty)
		}
		peer.Write([]byte("hello"))
		peer.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := read(t, raw); got != "hello" || err != nil {
			t.Errorf("%s: read %q, %v", network, got, err)
		}
		if got, err := read(t, raw); got != "" || err != io.EOF {
			t.Errorf("%s: read %q, %v at the end", network, got, err)
		}
	}
}

// A Reader says false where nothing is left, and never where the end is.
func TestReader(t *testing.T) {
	_, peer, raw := pair(t, "tcp")
	var r Reader
	r.Init(raw)
	read := func(p []byte) (n int, more bool, err error) {
		raw.Read(func(fd uintptr) bool {
			n, more, err = r.Read(fd, p)
			return err != ErrAgain
		})
		return n, more, err
	}
	peer.Write([]byte("hello"))
	if n, more, err := read(make([]byte, 2)); n != 2 || !more || err != nil {
		t.Errorf("read %d, %v, %v of 5 bytes; want 2 and more", n, more, err)
	}
	if n, more, err := read(make([]byte, 64)); n != 3 || err != nil || more && runtime.GOOS == "linux" {
		t.Errorf("read %d, %v, %v of the last 3 bytes", n, more, err)
	}
	peer.Close()
	if _, more, err := read(make([]byte, 64)); !more || err != io.EOF {
		t.Errorf("read %v, %v at the end; want io.EOF", more, err)
	}
}

func TestTryWrite(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		_, peer, raw := pair(t, network)
		piece, total := make([]byte, 1<<20), 0
		for {
			n, err := TryWrite(raw, piece)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			total += n
		}
		if total == 0 {
			t.Errorf("%s: nothing was taken", network)
		}
		if n, ok := Queued(raw); ok && n == 0 {
			t.Errorf("%s: nothing is queued of %d bytes that nobody read", network, total)
		}
		if _, err := io.ReadFull(peer, make([]byte, total)); err != nil {
			t.Fatal(err)
		}
		for n, ok := Queued(raw); ok && n > 0; n, ok = Queued(raw) {
			runtime.Gosched() // the last acknowledgement is under way
		}
	}
}

func TestLost(t *testing.T) {
	nc, peer, raw := pair(t, "tcp")
	if Lost(raw) {
		t.Error("an open connection is lost")
	}
	peer.(*net.TCPConn).SetLinger(0)
	peer.Close()
	nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	var lost error
	err := raw.Read(func(fd uintptr) bool { // waits for the reset
		lost = pendingError(fd)
		return lost != nil
	})
	if !errors.Is(lost, syscall.ECONNRESET) {
		t.Errorf("a connection that was reset is not lost: %v, %v", lost, err)
	}
	nc.Close()
	if !Lost(raw) {
		t.Error("a closed connection is not lost")
	}
	if _, err := TryWrite(raw, []byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("TryWrite to a closed connection: %v", err)
	}
}

func TestSocketOfOthers(t *testing.T) {
	pipe, _ := net.Pipe()
	if Socket(pipe) != nil {
		t.Error("a pipe of the program has a raw form")
	}
}

// A slow is a socket of which the peer takes some bytes for each deadline, and
// then no more.
type slow struct {
	net.Conn
	takes     int
	left      int // in all
	deadlines int
}

func (c *slow) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }
func (c *slow) SetWriteDeadline(by time.Time) error   { c.deadlines++; return nil }
func (c *slow) Write(p []byte) (int, error) {
	n := min(len(p), c.takes, c.left)
	c.left -= n
	if n < len(p) {
		return n, &net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}
	}
	return n, nil
}

// plain is a slow that is no socket.
type plain struct{ net.Conn }

func TestWriting(t *testing.T) {
	errEnded := errors.New("ended")
	socket := func(takes, left int) net.Conn { return &slow{takes: takes, left: left} }
	for _, tt := range []struct {
		name string
		nc   net.Conn
		w    Writing
		n    int
		err  error
	}{
		{"all at once", socket(1000, 1000), Writing{Stall: 1}, 100, nil},
		{"some of it each time", socket(7, 1000), Writing{Stall: 1}, 100, nil},
		{"some of it, then nothing", socket(7, 50), Writing{Stall: 1}, 50, os.ErrDeadlineExceeded},
		{"the least each time", socket(25, 1000), Writing{Stall: 1, Least: 25}, 100, nil},
		{"less than the least", socket(24, 1000), Writing{Stall: 1, Least: 25}, 24, os.ErrDeadlineExceeded},
		{"a part cannot be gone on from", &plain{socket(7, 1000)}, Writing{Stall: 1}, 7, os.ErrDeadlineExceeded},
		{"ended before", socket(7, 1000), Writing{Over: func() error { return errEnded }}, 0, errEnded},
	} {
		n, err := tt.w.Write(tt.nc, []byte(strings.Repeat("x", 100)))
		if n != tt.n || !errors.Is(err, tt.err) {
			t.Errorf("%s: Write = %d, %v; want %d, %v", tt.name, n, err, tt.n, tt.err)
		}
	}
}

// The deadline is for what is taken, not for the whole.
func TestWritingTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, peer := net.Pipe()
		go func() {
			for range 5 {
				time.Sleep(20 * time.Second)
				io.ReadFull(peer, make([]byte, record))
			}
		}()
		start := time.Now()
		n, err := Writing{Stall: 30 * time.Second}.Write(nc, make([]byte, 6*record))
		if n != 5*record || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 130*time.Second {
			t.Errorf("Write = %d, %v after %v; want five pieces and 130 s", n, err, time.Since(start))
		}
	})
}

// TestGiveUp: the system ends a connection whose peer reads nothing.
func TestGiveUp(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux does that")
	}
	nc, _, _ := pair(t, "tcp")
	GiveUp(nc, time.Millisecond)
	var err error
	for p := make([]byte, 1<<20); err == nil; {
		_, err = nc.Write(p)
	}
	if !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("Write: %v; want %v", err, syscall.ETIMEDOUT)
	}
}

// TestSleep: it is no shorter than it was asked for.
func TestSleep(t *testing.T) {
	for _, d := range []time.Duration{0, -1, time.Millisecond} {
		began := time.Now()
		if Sleep(d); time.Since(began) < d {
			t.Errorf("Sleep(%v) took %v", d, time.Since(began))
		}
	}
}
