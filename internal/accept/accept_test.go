package accept

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/internal/rawio"
)

// script is a listener that answers Accept by a list of errors (nil: one
// connection) and is closed after the last.
type script struct {
	steps []error
	when  []time.Duration // of each Accept, since start
	start time.Time
}

func (s *script) Accept() (net.Conn, error) {
	s.when = append(s.when, time.Since(s.start))
	if len(s.steps) == 0 {
		return nil, net.ErrClosed
	}
	err := s.steps[0]
	s.steps = s.steps[1:]
	if err == errQuiet {
		time.Sleep(spell)
		err = nil
	}
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	c, peer := net.Pipe()
	peer.Close()
	return c, nil
}

// errQuiet is a connection that comes after some quiet time.
var errQuiet = errors.New("quiet")

func (s *script) Close() error   { return nil }
func (s *script) Addr() net.Addr { return &net.TCPAddr{} }

// TestServeErrors: what passes does not end the loop (RL06).
func TestServeErrors(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		steps  []error
		want   error // of Serve
		served int
		logged int
		when   []time.Duration
	}{
		{name: "closed", when: []time.Duration{0}},
		{name: "connections", steps: []error{nil, nil}, served: 2, when: []time.Duration{0, 0, 0}},
		{name: "one spell, logged once", steps: []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, nil},
			served: 1, logged: 1, when: []time.Duration{0, 5 * ms, 15 * ms, 35 * ms, 35 * ms}},
		{name: "one spell, with connections in it", steps: []error{syscall.ECONNABORTED, nil, syscall.ENOMEM, syscall.EINTR, nil},
			served: 2, logged: 1, when: []time.Duration{0, 5 * ms, 5 * ms, 10 * ms, 20 * ms, 20 * ms}},
		{name: "two spells", steps: []error{syscall.EMFILE, errQuiet, syscall.EMFILE, nil},
			served: 2, logged: 2, when: []time.Duration{0, 5 * ms, 5005 * ms, 5010 * ms, 5010 * ms}},
		{name: "Winsock", steps: []error{syscall.Errno(10024)}, logged: 1, when: []time.Duration{0, 5 * ms}},
		{name: "pauses end at a second", steps: slices.Repeat([]error{syscall.EMFILE}, 10), logged: 1,
			when: []time.Duration{0, 5 * ms, 15 * ms, 35 * ms, 75 * ms, 155 * ms, 315 * ms, 635 * ms, 1275 * ms, 2275 * ms, 3275 * ms}},
		{name: "broken", steps: []error{nil, syscall.EBADF}, want: syscall.EBADF, served: 1, when: []time.Duration{0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := &script{steps: tt.steps, start: time.Now()}
				var served, logged atomic.Int32
				err := Serve(ln, func(c net.Conn) {
					time.Sleep(time.Minute) // Serve waits for its handlers
					served.Add(1)
					c.Close()
				}, func(error) { logged.Add(1) })
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Errorf("Serve = %v, want %v", err, tt.want)
				}
				if int(served.Load()) != tt.served || int(logged.Load()) != tt.logged {
					t.Errorf("served %d, logged %d; want %d, %d", served.Load(), logged.Load(), tt.served, tt.logged)
				}
				if !slices.Equal(ln.when, tt.when) {
					t.Errorf("accepted at %v, want %v", ln.when, tt.when)
				}
			})
		})
	}
}

func TestServeNeedsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := Serve(&script{steps: []error{syscall.EMFILE}}, nil, nil); err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
}

// listen listens on tcp or unix; early is TCP whose connections package net does not
// know yet.
func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	if network == "early" {
		return rawio.Early(listen(t, "tcp"))
	}
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Skipf("no %s sockets here: %v", network, err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dial(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func TestLimit(t *testing.T) {
	for _, network := range []string{"tcp", "early", "unix"} {
		t.Run(network, func(t *testing.T) {
			ln := Limit(listen(t, network), 2, func(c net.Conn) { io.WriteString(c, "full") })
			conns := make(chan net.Conn)
			var serve sync.WaitGroup
			serve.Go(func() { Serve(ln, func(c net.Conn) { conns <- c }, nil) })

			dial(t, ln)
			first := <-conns
			dial(t, ln)
			second := <-conns
			if got, err := io.ReadAll(dial(t, ln)); string(got) != "full" || err != nil {
				t.Errorf("third client read %q, %v; want \"full\" and the end", got, err)
			}
			first.Close()
			first.Close() // gives back one place, not two
			dial(t, ln)
			third := <-conns
			if got, err := io.ReadAll(dial(t, ln)); string(got) != "full" || err != nil {
				t.Errorf("with two open again, a client read %q, %v; want \"full\" and the end", got, err)
			}
			second.Close()
			third.Close()
			if err := ln.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
			ln.Close()
			serve.Wait()
		})
	}
}

// What is served must still reach sendfile, half-close and raw access.
func TestLimitKeepsMethods(t *testing.T) {
	for _, network := range []string{"tcp", "early", "unix"} {
		ln := Limit(listen(t, network), 1, nil)
		client := dial(t, ln)
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.(syscall.Conn); !ok {
			t.Errorf("%s: %T has no SyscallConn", network, c)
		}
		if _, ok := c.(io.ReaderFrom); !ok && network != "unix" {
			t.Errorf("%s: %T has no ReadFrom", network, c)
		}
		half, ok := c.(interface{ CloseWrite() error })
		if !ok {
			t.Fatalf("%s: %T has no CloseWrite", network, c)
		}
		half.CloseWrite()
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: after CloseWrite the client read %v, want EOF", network, err)
		}
		c.Close()
	}
}

// TestLimitTwice: a Bound around a Bound leaves the connection what it is, and each
// has its place back.
func TestLimitTwice(t *testing.T) {
	inner := &Bound{Max: 1}
	outer := &Bound{Max: 1}
	ln := outer.Listen(inner.Listen(listen(t, "tcp")))
	for range 2 {
		dial(t, ln)
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.(syscall.Conn); !ok || inner.open.Load() != 1 || outer.open.Load() != 1 {
			t.Errorf("%T; %d and %d are open", c, inner.open.Load(), outer.open.Load())
		}
		c.Close()
	}
}

func TestLimitOfNone(t *testing.T) {
	if ln := listen(t, "tcp"); Limit(ln, 0, nil) != ln {
		t.Error("Limit 0 is a limit")
	}
}

// pipes is a listener whose connections are the given ones.
type pipes struct {
	c      chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.c:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// connect hands a connection to the listener and returns the client's end.
func (p *pipes) connect() net.Conn {
	client, c := net.Pipe()
	p.c <- c
	return client
}

func TestLimitRefusalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &pipes{make(chan net.Conn), make(chan struct{})}
		ln := Limit(inner, 1, func(c net.Conn) { io.Copy(io.Discard, c) }) // a refusal that ends by its deadline only
		var conns []net.Conn
		var serve sync.WaitGroup
		serve.Go(func() { Serve(ln, func(c net.Conn) { conns = append(conns, c) }, nil) })

		inner.connect()
		start := time.Now()
		var slow []net.Conn
		for range maxRefusals {
			slow = append(slow, inner.connect())
		}
		if _, err := inner.connect().Read(make([]byte, 1)); err != io.EOF || time.Since(start) != 0 {
			t.Errorf("refusal %d read %v after %v, want EOF at once", maxRefusals+1, err, time.Since(start))
		}
		ln.Close()
		if d := time.Since(start); d != refuseTime {
			t.Errorf("Close waited %v for the refusals, want %v", d, refuseTime)
		}
		serve.Wait()
		for i, c := range slow {
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("refused client %d read %v, want EOF", i, err)
			}
		}
		if len(conns) != 1 {
			t.Fatalf("%d connections came out of Accept, want 1", len(conns))
		}
		conns[0].Close()
	})
}

func TestLimitClosesWhereNothingRefuses(t *testing.T) {
	ln := Limit(listen(t, "tcp"), 1, nil)
	conns := make(chan net.Conn, 1)
	var serve sync.WaitGroup
	serve.Go(func() { Serve(ln, func(c net.Conn) { conns <- c }, nil) })
	dial(t, ln)
	c := <-conns
	if got, err := io.ReadAll(dial(t, ln)); len(got) != 0 || err != nil {
		t.Errorf("second client read %q, %v; want the end", got, err)
	}
	c.Close()
	ln.Close()
	serve.Wait()
}

// TestServeSpare: a goroutine that is through takes the next connection, for a while.
func TestServeSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &pipes{make(chan net.Conn), make(chan struct{})}
		var by []string
		var serve sync.WaitGroup
		serve.Go(func() {
			Serve(ln, func(c net.Conn) {
				stack := make([]byte, 64)
				runtime.Stack(stack, false)
				by = append(by, strings.Fields(string(stack))[1])
				c.Close()
			}, nil)
		})
		for _, pause := range []time.Duration{spareTime / 2, spareTime, 0} {
			ln.connect()
			time.Sleep(pause)
			synctest.Wait()
		}
		ln.Close()
		serve.Wait()
		if len(by) != 3 || by[0] != by[1] || by[1] == by[2] {
			t.Errorf("served by the goroutines %v, want the first one twice and then another", by)
		}
	})
}
