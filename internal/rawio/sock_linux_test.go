package rawio

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// early returns a Sock and its peer.
func early(t *testing.T, addr string) (*Sock, *net.TCPConn) {
	t.Helper()
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ln := Early(tcp)
	t.Cleanup(func() { ln.Close() })
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); peer.Close() })
	return nc.(*Sock), peer.(*net.TCPConn)
}

// arrived waits until there is something for s to read.
func arrived(t *testing.T, s *Sock) {
	t.Helper()
	b := make([]byte, 1)
	for end := time.Now().Add(10 * time.Second); ; {
		n, _, err := syscall.Recvfrom(s.FD(), b, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil && n >= 0:
			return
		case time.Now().After(end):
			t.Fatal("nothing came")
		}
	}
}

// TestSockEarly: the poller never learns of what is asked and answered at once.
func TestSockEarly(t *testing.T) {
	s, peer := early(t, "127.0.0.1:0")
	io.WriteString(peer, "question")
	arrived(t, s)
	b := make([]byte, 64)
	if n, err := s.Read(b); string(b[:n]) != "question" || err != nil {
		t.Fatalf("Read: %q, %v", b[:n], err)
	}
	s.SetWriteDeadline(time.Now().Add(time.Minute))
	if n, err := io.WriteString(s, "answer"); n != len("answer") || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if s.LocalAddr().String() != peer.RemoteAddr().String() || s.RemoteAddr().String() != peer.LocalAddr().String() {
		t.Errorf("addresses %v and %v, those of the peer are %v and %v", s.LocalAddr(), s.RemoteAddr(), peer.RemoteAddr(), peer.LocalAddr())
	}
	if err := s.CloseWrite(); err != nil {
		t.Error(err)
	}
	if s.polled != nil {
		t.Error("the poller knows it")
	}
	if got, err := io.ReadAll(peer); string(got) != "answer" || err != nil {
		t.Errorf("the peer read %q, %v", got, err)
	}
	if PeerOf(s) != Here {
		t.Errorf("the peer is %v", PeerOf(s))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{"Close": s.Close(), "Read": second(s.Read(b)), "Write": second(s.Write(b))} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if PeerOf(s) != Gone {
		t.Errorf("after Close the peer is %v", PeerOf(s))
	}
}

func second(_ int, err error) error { return err }

// TestSockWaits: whoever has to wait waits, and by the deadlines that were set before.
func TestSockWaits(t *testing.T) {
	s, peer := early(t, "0.0.0.0:0")
	local := s.LocalAddr().String()
	if local != peer.RemoteAddr().String() {
		t.Errorf("the local address is %s, for the peer %v", local, peer.RemoteAddr())
	}
	s.SetReadDeadline(time.Unix(1, 0))
	b := make([]byte, 64)
	if _, err := s.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read whose deadline is over: %v", err)
	}
	s.SetDeadline(time.Time{})
	var reader sync.WaitGroup
	reader.Go(func() {
		if n, err := s.Read(b); string(b[:n]) != "late" || err != nil {
			t.Errorf("Read: %q, %v", b[:n], err)
		}
	})
	io.WriteString(peer, "late")
	reader.Wait()
	if s.LocalAddr().String() != local {
		t.Errorf("the local address was %s, and is %v", local, s.LocalAddr())
	}

	s, _ = early(t, "127.0.0.1:0")
	s.SetWriteDeadline(time.Unix(1, 0))
	if n, err := s.Write(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write whose deadline is over: %d, %v", n, err)
	}

	s, peer = early(t, "127.0.0.1:0")
	long := strings.Repeat("0123456789abcdef", 1<<20)
	reader.Go(func() {
		got, err := io.ReadAll(peer)
		if string(got) != long+"file" || err != nil {
			t.Errorf("the peer read %d bytes, %v; not the %d that were written", len(got), err, len(long)+4)
		}
	})
	if n, err := io.WriteString(s, long); n != len(long) || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if n, err := s.ReadFrom(strings.NewReader("file")); n != 4 || err != nil {
		t.Errorf("ReadFrom: %d, %v", n, err)
	}
	s.Close()
	reader.Wait()
}

// TestSockRaw: a function that is not done is called again when there is more, and what
// it does with the connection meanwhile is right before and after.
func TestSockRaw(t *testing.T) {
	s, peer := early(t, "127.0.0.1:0")
	raw := Socket(s)
	calls := 0
	var reader sync.WaitGroup
	err := raw.Read(func(fd uintptr) bool {
		b := make([]byte, 8)
		n, err := Read(fd, b)
		if calls++; calls == 1 {
			long := make([]byte, 16<<20)
			reader.Go(func() {
				if _, err := io.ReadFull(peer, make([]byte, len(long))); err != nil {
					t.Error(err)
				}
				io.WriteString(peer, "more")
			})
			s.Write(long) // which has to wait
		}
		return err != ErrAgain && string(b[:n]) == "more"
	})
	reader.Wait()
	if err != nil || calls < 2 || s.polled == nil {
		t.Errorf("after %d calls: %v", calls, err)
	}

	s, _ = early(t, "127.0.0.1:0")
	raw = Socket(s)
	raw.Control(func(fd uintptr) {
		s.Close()
		if _, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR); err != nil {
			t.Errorf("the descriptor was closed under who used it: %v", err)
		}
	})
	if err := raw.Control(func(uintptr) { t.Error("called for what is closed") }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Control: %v", err)
	}
}

// TestSockCut: Close ends a write that waits, also inside of a function that has the
// descriptor.
func TestSockCut(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	file.Truncate(1 << 30)
	write := func(s *Sock) error { return second(s.Write(make([]byte, 64<<20))) }
	for name, do := range map[string]func(s *Sock) error{
		"Write": write,
		"ReadFrom": func(s *Sock) error {
			_, err := s.ReadFrom(file)
			return err
		},
		"Write inside": func(s *Sock) (err error) {
			Socket(s).Read(func(uintptr) bool { err = write(s); return true })
			return err
		},
	} {
		s, _ := early(t, "127.0.0.1:0")
		var writer sync.WaitGroup
		writer.Go(func() {
			if err := do(s); err != net.ErrClosed {
				t.Errorf("%s: %v", name, err)
			}
		})
		for waits := false; !waits; runtime.Gosched() {
			s.mu.Lock()
			waits = s.polled != nil
			s.mu.Unlock()
		}
		s.Close()
		writer.Wait()
		if _, err := syscall.GetsockoptInt(s.FD(), syscall.SOL_SOCKET, syscall.SO_ERROR); err != syscall.EBADF {
			t.Errorf("%s: its descriptor: %v", name, err)
		}
	}
}

// TestSockEnds: Close ends a read that waits, or is about to.
func TestSockEnds(t *testing.T) {
	for range 200 {
		s, _ := early(t, "127.0.0.1:0")
		var both sync.WaitGroup
		both.Go(func() {
			if n, err := s.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("Read: %d, %v", n, err)
			}
		})
		both.Go(func() { s.Close() })
		both.Wait()
	}
}

// TestSockFile: the kernel sends a file, or a part of it, from where that stands; what it
// cannot send goes through a buffer.
func TestSockFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	content := strings.Repeat("0123456789abcdef", 1<<18)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	file.Seek(5, io.SeekStart)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	io.WriteString(pw, "piped")
	pw.Close()

	s, peer := early(t, "127.0.0.1:0")
	var reader sync.WaitGroup
	reader.Go(func() {
		if got, err := io.ReadAll(peer); string(got) != content[5:]+"piped" || err != nil {
			t.Errorf("the peer read %d bytes, %v", len(got), err)
		}
	})
	part := &io.LimitedReader{R: file, N: 2 << 20}
	if n, err := io.Copy(s, part); n != 2<<20 || err != nil || part.N != 0 {
		t.Errorf("a part: %d, %v; %d are left", n, err, part.N)
	}
	if n, err := io.Copy(s, &io.LimitedReader{R: file, N: 1 << 40}); n != int64(len(content)-5-2<<20) || err != nil {
		t.Errorf("the rest: %d, %v", n, err)
	}
	if n, err := s.ReadFrom(pr); n != 5 || err != nil {
		t.Errorf("a pipe: %d, %v", n, err)
	}
	s.Close()
	reader.Wait()
	if n, err := s.ReadFrom(file); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %d, %v", n, err)
	}
}

// TestSockFileStalls: a peer that reads nothing ends it at the deadline, with what it took.
func TestSockFileStalls(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	file.Truncate(1 << 30)
	s, _ := early(t, "127.0.0.1:0")
	s.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := s.ReadFrom(file)
	at, _ := file.Seek(0, io.SeekCurrent)
	if n == 0 || n == 1<<30 || n != at || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v; the file stands at %d", n, err, at)
	}
}

// TestEarlyClosed: the end of the listener that Early was given ends its own.
func TestEarlyClosed(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := Early(tcp)
	tcp.Close()
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if a, b := net.Pipe(); Early(listenerOf{a}) != net.Listener(listenerOf{a}) {
		b.Close()
		t.Error("what is not of TCP came out as something else")
	}
}

type listenerOf struct{ net.Conn }

func (listenerOf) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (listenerOf) Addr() net.Addr            { return nil }
