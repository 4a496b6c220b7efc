package linesrv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pieces is a connection that gives b in pieces of size, then the end, and takes
// everything.
type pieces struct {
	net.Conn
	b    []byte
	size int
	sent []byte
}

func (c *pieces) SetReadDeadline(time.Time) error  { return nil }
func (c *pieces) SetWriteDeadline(time.Time) error { return nil }

func (c *pieces) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.size)], c.b)
	c.b = c.b[n:]
	return n, nil
}

func (c *pieces) Write(p []byte) (int, error) {
	c.sent = append(c.sent, p...)
	return len(p), nil
}

func TestSendAndReceive(t *testing.T) {
	for _, size := range []int{0, 1, 4, 100, socketBuffer - 4, socketBuffer, 60_000, piece, piece + 1, 1_000_000, DefaultMaxMessage} {
		p := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		out := &pieces{}
		if err := NewSocket(out, SocketOptions{}).Send(p); err != nil || !bytes.Equal(out.sent, AppendMessage(nil, p)) {
			t.Fatalf("Send of %d bytes: %d bytes on the wire, %v", size, len(out.sent), err)
		}
		two := append(slices.Clone(out.sent), out.sent...)
		for _, n := range []int{1, 3, 5000, len(two)} {
			if size > 100_000 && n < 100 {
				continue
			}
			s := NewSocket(&pieces{b: two, size: n}, SocketOptions{})
			for range 2 {
				if got, err := s.Receive(0); err != nil || !bytes.Equal(got, p) {
					t.Fatalf("Receive of %d bytes in pieces of %d: %d bytes, %v", size, n, len(got), err)
				}
			}
			if len(s.buf) > max(size+lengthSize, 2*keepSocketBuffer) {
				t.Errorf("a buffer of %d bytes for messages of %d", len(s.buf), size)
			}
			if got, err := s.Receive(0); err != io.EOF || len(s.buf) > keepSocketBuffer {
				t.Errorf("at the end %q, %v, a buffer of %d bytes", got, err, len(s.buf))
			}
		}
	}
}

// Nothing is allocated for a length.
func TestLengthIsAClaim(t *testing.T) {
	s := NewSocket(&pieces{b: append(unhex("7fffffff"), "only these"...), size: 3}, SocketOptions{MaxMessage: 1<<31 - 1})
	_, err := s.Receive(0)
	if want := "connection ended in the middle of a message: 10 of 2147483647 bytes"; !errors.Is(err, ErrCut) || err.Error() != want {
		t.Errorf("Receive: %v, want %s", err, want)
	}
	if len(s.buf) != socketBuffer {
		t.Errorf("%d bytes for a claim of 2 GiB", len(s.buf))
	}
	many := make([]byte, 300_000)
	s = NewSocket(&pieces{b: append(unhex("7fffffff"), many...), size: len(many)}, SocketOptions{MaxMessage: 1<<31 - 1})
	if _, err := s.Receive(0); !errors.Is(err, ErrCut) || len(s.buf) > 2*len(many) {
		t.Errorf("%v, and %d bytes for %d that came", err, len(s.buf), len(many))
	}
}

// The buffer is no larger than the message that it is for.
func TestBufferGrowth(t *testing.T) {
	for _, limit := range []int{socketBuffer - 3, socketBuffer, 1<<20 + 1} {
		s := NewSocket(&pieces{b: AppendMessage(nil, make([]byte, limit)), size: 1 << 20}, SocketOptions{MaxMessage: limit})
		if _, err := s.Receive(0); err != nil || len(s.buf) != limit+lengthSize {
			t.Errorf("a message of %d bytes: %v, in a buffer of %d", limit, err, len(s.buf))
		}
	}
}

// socketPair is a Socket and the bare other end.
func socketPair(t *testing.T, opt SocketOptions) (*Socket, net.Conn) {
	nc, peer := net.Pipe()
	t.Cleanup(func() { nc.Close(); peer.Close() })
	return NewSocket(nc, opt), peer
}

// What the peer sends, and what a Socket with a limit of 16 bytes makes of it, in
// pieces of any size.
var streamTests = []struct {
	name   string
	wire   string
	want   []string
	atEnd  error
	atTime error // nil: a time-out before a message
	text   string
}{
	{"nothing", "", nil, io.EOF, nil, ""},
	{"two messages", "00000002 6869 00000003 796f75", []string{"hi", "you"}, io.EOF, nil, ""},
	{"empty messages", "00000000 00000000", []string{"", ""}, io.EOF, nil, ""},
	{"cut in a length", "00000001 41 0000", []string{"A"}, ErrCut, ErrPartial, "2 of the 4 bytes of its length"},
	{"cut after a length", "00000002", nil, ErrCut, ErrPartial, "0 of 2 bytes"},
	{"cut in a message", "00000005 484565", nil, ErrCut, ErrPartial, "3 of 5 bytes"},
	{"too long", "00000001 41 00000011 00", []string{"A"}, ErrMessageTooLong, ErrMessageTooLong, "17 bytes, the limit is 16"},
	{"2^32-1", "ffffffff", nil, ErrMessageTooLong, ErrMessageTooLong, "4294967295 bytes, the limit is 16"},
	{"HTTP", "474554202f20485454502f312e310d0a", nil, ErrMessageTooLong, ErrMessageTooLong, "1195725856 bytes"},
}

func TestStreams(t *testing.T) {
	for _, tt := range streamTests {
		wire := unhex(tt.wire)
		ways := [][][]byte{{wire}, single(wire)}
		for i := range wire {
			ways = append(ways, [][]byte{wire[:i], wire[i:]})
		}
		for _, way := range ways {
			for _, end := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					s, peer := socketPair(t, SocketOptions{MaxMessage: 16})
					go func() {
						for _, b := range way {
							peer.Write(b)
						}
						if end {
							peer.Close()
						}
					}()
					got, err := receiveAll(s)
					again, errAgain := receiveAll(s)
					if !slices.Equal(got, tt.want) || again != nil || fmt.Sprint(errAgain) != fmt.Sprint(err) {
						t.Errorf("%s: received %q, then %q and %v", tt.name, got, again, errAgain)
					}
					want := tt.atTime
					if end {
						want = tt.atEnd
					}
					timeout := errors.Is(err, os.ErrDeadlineExceeded)
					if !errors.Is(err, want) && want != nil || timeout != (want == nil || want == ErrPartial) || !strings.Contains(err.Error(), tt.text) {
						t.Errorf("%s, ended %v: %v, want %v with %q", tt.name, end, err, want, tt.text)
					}
				})
			}
		}
	}
}

func receiveAll(s *Socket) (got []string, err error) {
	for {
		p, err := s.Receive(time.Second)
		if err != nil {
			return got, err
		}
		got = append(got, string(p))
	}
}

// After a time-out the stream is where it was, in the middle of a message too.
func TestReceiveAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := socketPair(t, SocketOptions{})
		go func() {
			for _, b := range AppendMessage(nil, []byte("Hello")) {
				time.Sleep(time.Minute)
				peer.Write([]byte{b})
			}
		}()
		var before, within int
		for {
			p, err := s.Receive(25 * time.Second)
			switch {
			case errors.Is(err, ErrPartial) && errors.Is(err, os.ErrDeadlineExceeded):
				within++
			case errors.Is(err, os.ErrDeadlineExceeded):
				before++
			case err != nil || string(p) != "Hello":
				t.Errorf("Receive = %q, %v", p, err)
				return
			default:
				if before != 2 || within == 0 {
					t.Errorf("%d time-outs before the message, %d within", before, within)
				}
				return
			}
		}
	})
}

// The time-out is for a message to begin, and for each 64 KiB of it to come.
func TestReceiveTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := socketPair(t, SocketOptions{})
		start := time.Now()
		if _, err := s.Receive(0); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Receive(0): %v after %v", err, time.Since(start))
		}
		large := make([]byte, 5*piece)
		go func() {
			time.Sleep(59 * time.Second)
			for b := AppendMessage(nil, large); len(b) > 0; b = b[min(len(b), piece/2):] {
				peer.Write(b[:min(len(b), piece/2)])
				time.Sleep(25 * time.Second)
			}
			for _, b := range AppendMessage(nil, []byte("Hello, world")) {
				peer.Write([]byte{b})
				time.Sleep(10 * time.Second)
			}
			time.Sleep(time.Hour)
			peer.Write(AppendMessage(nil, nil))
		}()
		if p, err := s.Receive(0); err != nil || len(p) != len(large) {
			t.Errorf("a large message, slowly: %d bytes, %v", len(p), err)
		}
		if _, err := s.Receive(0); !errors.Is(err, ErrPartial) {
			t.Errorf("a small message, too slowly: %v", err)
		}
		if p, err := s.Receive(-1); err != nil || string(p) != "Hello, world" {
			t.Errorf("its rest: %q, %v", p, err)
		}
		if p, err := s.Receive(-1); err != nil || len(p) != 0 {
			t.Errorf("after an hour: %q, %v", p, err)
		}
	})
}

func TestSendStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer := socketPair(t, SocketOptions{})
		go io.CopyN(io.Discard, peer, piece+100)
		start := time.Now()
		err := s.Send(make([]byte, 3*piece))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Errorf("Send to who does not read: %v after %v", err, time.Since(start))
		}
		if again := s.Send(nil); again != err {
			t.Errorf("Send after a message was cut: %v", again)
		}
	})
}

// Messages of several senders go out whole.
func TestSendConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, theirs := net.Pipe()
		a, b := NewSocket(nc, SocketOptions{}), NewSocket(theirs, SocketOptions{})
		var senders sync.WaitGroup
		for i := range byte(10) {
			senders.Go(func() {
				for n := range 20 {
					if err := a.Send(bytes.Repeat([]byte{i}, n*10_000)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		go func() { senders.Wait(); a.Close() }()
		var next [10]int
		empty := 0
		for {
			p, err := b.Receive(0)
			if err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				break
			}
			if len(p) == 0 {
				empty++
				continue
			}
			next[p[0]]++
			if want := bytes.Repeat(p[:1], next[p[0]]*10_000); !bytes.Equal(p, want) {
				t.Fatalf("a message of %d bytes from %d, want %d", len(p), p[0], len(want))
			}
		}
		if empty != 10 || slices.Min(next[:]) != 19 {
			t.Errorf("%d empty messages, others %v", empty, next)
		}
	})
}

// A house of Sockets.
func (h *house) socket() *Socket {
	nc, theirs := net.Pipe()
	h.ln.conns <- theirs
	return NewSocket(nc, SocketOptions{})
}

func TestSocketServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log []string
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, fmt.Sprintf(format, args...))
		}
		server := &SocketServer{
			Handler: func(s *Socket) error {
				p, err := s.Receive(0)
				switch {
				case err != nil:
					return err
				case string(p) == "panic":
					panic("it panicked")
				}
				return s.Send(p)
			},
			OnConnect:    func(s *Socket) { note("#%d from %v", s.ID(), s.RemoteAddr()) },
			OnDisconnect: func(s *Socket, err error) { note("#%d %v", s.ID(), err) },
		}
		h := newHouse(t, server.Serve)
		for _, tt := range []struct {
			wire string
			want []string
		}{
			{"00000002 6869", []string{"hi"}},
			{"00000000", []string{""}},
			{"00000005 70616e6963", nil},
			{"0000", nil}, // the original's echo sent an error byte
			{"ffffffff", nil},
		} {
			s := h.socket()
			s.nc.Write(unhex(tt.wire))
			if tt.wire == "0000" {
				s.Close()
				synctest.Wait()
				continue
			}
			got, err := receiveAll(s)
			if !slices.Equal(got, tt.want) || err != io.EOF {
				t.Errorf("%s: received %q, %v", tt.wire, got, err)
			}
			s.Close()
			synctest.Wait()
		}
		server.Close()
		<-h.served
		want := []string{
			"#0 from pipe", "#0 EOF", "#1 from pipe", "#1 EOF", "#2 from pipe", "#2 handler panicked: it panicked",
			"#3 from pipe", "#3 " + ErrCut.Error() + ": 2 of the 4 bytes of its length",
			"#4 from pipe", "#4 message too long: 4294967295 bytes, the limit is 16777216",
		}
		if !slices.Equal(log, want) {
			t.Errorf("the log is\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Each client has a goroutine: one that is silent keeps nobody waiting.
func TestSocketServerManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var server SocketServer
		h := newHouse(t, server.Serve)
		var clients []*Socket
		for range 10 {
			clients = append(clients, h.socket())
		}
		for i, s := range slices.Backward(clients) {
			for range 3 {
				want := fmt.Sprint("message of ", i)
				if err := s.Send([]byte(want)); err != nil {
					t.Error(err)
				}
				if got, err := s.Receive(0); string(got) != want || err != nil {
					t.Errorf("echo of %q is %q, %v", want, got, err)
				}
			}
		}
		if err := server.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		for _, s := range clients {
			if _, err := s.Receive(0); err != io.EOF {
				t.Errorf("after Shutdown: %v", err)
			}
			s.Close()
		}
		if err := server.Serve(newPipeListener()); err != ErrServerClosed {
			t.Errorf("Serve again: %v", err)
		}
		nc, theirs := net.Pipe()
		server.serveConn(theirs)
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("served by a server that was stopped: %v", err)
		}
	})
}

// Shutdown lets a handler end what it does, Close does not.
func TestSocketServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name string
			end  func(*SocketServer)
			want []string // received by the client
			send error    // of the server
			next error    // Receive of the server
		}{
			{"Shutdown", func(s *SocketServer) { s.Shutdown(context.Background()) }, []string{"hello"}, nil, ErrShutdown},
			{"Close", func(s *SocketServer) { s.Close() }, nil, ErrShutdown, ErrShutdown},
		} {
			errs := make(chan error, 2)
			server := &SocketServer{Handler: func(s *Socket) error {
				p, err := s.Receive(0)
				if err != nil {
					return err
				}
				time.Sleep(time.Minute)
				errs <- s.Send(p)
				_, err = s.Receive(0)
				errs <- err
				return err
			}}
			h := newHouse(t, server.Serve)
			s := h.socket()
			if err := s.Send([]byte("hello")); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			go tt.end(server)
			got, err := receiveAllSlowly(s)
			if !slices.Equal(got, tt.want) || err != io.EOF {
				t.Errorf("%s: the client received %q, %v", tt.name, got, err)
			}
			if send, next := <-errs, <-errs; send != tt.send || next != tt.next {
				t.Errorf("%s: Send %v, Receive %v", tt.name, send, next)
			}
			<-h.served
		}
	})
}

func receiveAllSlowly(s *Socket) (got []string, err error) {
	for {
		p, err := s.Receive(time.Hour)
		if err != nil {
			return got, err
		}
		got = append(got, string(p))
	}
}

// Over TCP: a reset in mid-packet, the last message to who goes on sending, IPv6.
func TestSocketsOverTCP(t *testing.T) {
	reasons := make(chan error, 1)
	server := &SocketServer{OnDisconnect: func(_ *Socket, err error) { reasons <- err }}
	addr := start(t, server, listen(t))

	nc := connect(t, addr)
	nc.Write(unhex("00000005 48"))
	reset(nc)
	if err := <-reasons; err == nil || err == io.EOF {
		t.Errorf("a reset in mid-packet: %v", err)
	}

	s, err := DialSocket(t.Context(), addr, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 5, 3_000_000} {
		want := bytes.Repeat([]byte("x"), size)
		if err := s.Send(want); err != nil {
			t.Error(err)
		}
		if got, err := s.Receive(0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("echo of %d bytes: %d bytes, %v", size, len(got), err)
		}
	}
	s.Close()
	if err := <-reasons; err != io.EOF {
		t.Errorf("a client that leaves: %v", err)
	}

	one := &SocketServer{Handler: func(s *Socket) error {
		p, err := s.Receive(0)
		if err != nil {
			return err
		}
		return s.Send(p)
	}}
	last := connect(t, start(t, one, listen(t)))
	message := AppendMessage(nil, []byte("last"))
	if got := ask(t, last, string(bytes.Repeat(message, 10_000))); got != string(message) {
		t.Errorf("the last message: %.20q", got)
	}
	long := connect(t, start(t, new(SocketServer), listen(t)))
	if got := ask(t, long, string(message)+"GET / HTTP/1.1\r\n\r\n"); got != string(message) {
		t.Errorf("before a message too long: %q", got)
	}
}

func TestSocketsOverIPv6(t *testing.T) {
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6")
	}
	six, err := DialSocket(t.Context(), start(t, new(SocketServer), ln), SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer six.Close()
	six.Send([]byte("six"))
	if got, err := six.Receive(0); string(got) != "six" || err != nil {
		t.Errorf("over IPv6: %q, %v", got, err)
	}
}

func TestSelfTest(t *testing.T) {
	if got, err := SelfTest(t.Context()); got != selfTestText || err != nil {
		t.Errorf("SelfTest = %q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := SelfTest(ctx); got != "" || err != context.Canceled {
		t.Errorf("SelfTest of an ended context = %q, %v", got, err)
	}
}

func TestSelfTestFindsFaults(t *testing.T) {
	for name, handle := range map[string]func(*Socket) error{
		"another message": func(s *Socket) error { s.Receive(0); return s.Send([]byte("no")) },
		"no message":      func(s *Socket) error { s.Receive(0); return nil },
	} {
		addr := start(t, &SocketServer{Handler: handle}, listen(t))
		if got, err := selfTest(t.Context(), addr); err == nil {
			t.Errorf("%s: selfTest = %q", name, got)
		}
	}
}

func BenchmarkMessages(b *testing.B) {
	s, err := DialSocket(b.Context(), start(b, new(SocketServer), listen(b)), SocketOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for _, size := range []int{5, 4000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Send(p); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Receive(0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
