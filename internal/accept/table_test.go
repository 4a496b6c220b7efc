package accept

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/internal/rawio"
)

// A house is a table that echoes in a synctest bubble. A client that sent "!" is
// busy for an hour, whatever its deadlines are.
type house struct {
	t      *testing.T
	table  Table
	ln     *pipes
	served chan error
	ids    chan uint64
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, ln: &pipes{make(chan net.Conn), make(chan struct{})}, served: make(chan error, 1), ids: make(chan uint64, 16)}
	go func() { h.served <- h.table.Serve(h.ln, h.serve, nil) }()
	return h
}

func (h *house) serve(nc net.Conn) {
	defer nc.Close()
	d := &Deadlines{Conn: nc}
	id, ok := h.table.Add(d)
	if !ok {
		return
	}
	defer h.table.Remove(d)
	h.ids <- id
	buf := make([]byte, 16)
	for {
		if d.ReadBy(time.Now().Add(time.Hour)) != nil {
			return
		}
		n, err := d.Read(buf)
		if err != nil {
			return
		}
		if buf[0] == '!' {
			select {
			case <-time.After(time.Hour):
			case <-h.table.Context().Done():
			}
		}
		if _, err := (rawio.Writing{Stall: time.Hour, Over: d.Killed}).Write(nc, buf[:n]); err != nil {
			return
		}
	}
}

// talk says s and returns what comes until the end.
func (h *house) talk(s string) func() string {
	client := h.ln.connect()
	go io.WriteString(client, s)
	synctest.Wait()
	return func() string {
		got, _ := io.ReadAll(client)
		return string(got)
	}
}

func TestTableStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		start := time.Now()
		waits, busy := h.talk(""), h.talk("!")
		if a, b := <-h.ids, <-h.ids; a != 0 || b != 1 || len(h.table.Members()) != 2 {
			t.Errorf("clients %d, %d, of %d; want 0, 1, of 2", a, b, len(h.table.Members()))
		}
		done := make(chan error, 1)
		go func() { done <- h.table.Shutdown(t.Context()) }()
		if got := waits(); got != "" || time.Since(start) != 0 {
			t.Errorf("a client that waited got %q after %v; want its end at once", got, time.Since(start))
		}
		if got := busy(); got != "!" {
			t.Errorf("a busy client got %q, want what it was owed", got)
		}
		if err := <-done; err != nil || time.Since(start) != time.Hour {
			t.Errorf("Shutdown = %v after %v; want nil after the busy client", err, time.Since(start))
		}
		if err := <-h.served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if _, ok := h.table.Add(&Deadlines{}); ok {
			t.Error("a stopped table takes members")
		}
		ln := &pipes{make(chan net.Conn), make(chan struct{})}
		if err := h.table.Serve(ln, h.serve, nil); err != ErrStopped || !isClosed(ln.closed) {
			t.Errorf("Serve of a stopped table = %v, want ErrStopped and the listener closed", err)
		}
		<-h.table.Context().Done()
		<-h.table.Stopped()
	})
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Shutdown, KillAfter and Kill end those who do not end by themselves.
func TestTableKill(t *testing.T) {
	for name, kill := range map[string]func(*Table) error{
		"Shutdown": func(table *Table) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return table.Shutdown(ctx)
		},
		"KillAfter": func(table *Table) error {
			table.KillAfter(time.Minute)
			return table.Shutdown(context.Background())
		},
		"Kill": func(table *Table) error {
			time.Sleep(time.Minute)
			table.Kill()
			return table.Shutdown(context.Background())
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			start := time.Now()
			busy := h.talk("!")
			err := kill(&h.table)
			if want := name == "Shutdown"; errors.Is(err, context.DeadlineExceeded) != want {
				t.Errorf("%s: %v", name, err)
			}
			if got := busy(); got != "" || time.Since(start) != time.Minute {
				t.Errorf("%s: the client got %q after %v; want its end after a minute", name, got, time.Since(start))
			}
			if err := <-h.served; err != nil || len(h.table.Members()) != 0 {
				t.Errorf("%s: Serve = %v, %d members left", name, err, len(h.table.Members()))
			}
		})
	}
}

// A table that never served anything can be ended.
func TestTableOfNothing(t *testing.T) {
	var table Table
	if err := table.Shutdown(t.Context()); err != nil || !table.Stopping() {
		t.Errorf("Shutdown = %v", err)
	}
	table.Kill()
	table.KillAfter(time.Hour)
}

// What Stop and Kill set stays.
func TestDeadlines(t *testing.T) {
	nc, _ := net.Pipe()
	d := &Deadlines{Conn: nc}
	if err := errors.Join(d.Stopped(), d.Killed(), d.ReadBy(time.Time{})); err != nil {
		t.Error(err)
	}
	d.Stop()
	if d.ReadBy(time.Now().Add(time.Hour)) != ErrStopped || d.Stopped() != ErrStopped || d.Killed() != nil {
		t.Errorf("after Stop: %v, %v", d.Stopped(), d.Killed())
	}
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after Stop: %v", err)
	}
	d.Kill()
	d.Stop()
	if _, err := d.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || d.Killed() != ErrStopped {
		t.Errorf("write after Kill: %v, %v", err, d.Killed())
	}
}

// Every connection beyond the bound is counted, and said once a spell.
func TestBoundCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &pipes{make(chan net.Conn), make(chan struct{})}
		said := 0
		b := &Bound{Max: 1, Refuse: func(c net.Conn) { io.Copy(io.Discard, c) }, Full: func() { said++ }}
		ln := b.Listen(inner)
		var serve sync.WaitGroup
		serve.Go(func() { Serve(ln, func(net.Conn) {}, nil) })
		inner.connect() // is never closed
		for range 100 {
			inner.connect()
		}
		synctest.Wait()
		if b.TurnedAway() != 100 || said != 1 {
			t.Errorf("%d turned away, said %d times; want 100, once", b.TurnedAway(), said)
		}
		time.Sleep(spell)
		inner.connect()
		synctest.Wait()
		if b.TurnedAway() != 101 || said != 2 {
			t.Errorf("%d turned away, said %d times; want 101, twice", b.TurnedAway(), said)
		}
		ln.Close()
		serve.Wait()
	})
}

// A bound over TLS hides nothing that a server asks for.
func TestBoundKeepsTLS(t *testing.T) {
	inner := &pipes{make(chan net.Conn, 1), make(chan struct{})}
	below, _ := net.Pipe()
	inner.c <- tls.Server(below, &tls.Config{})
	c, err := Limit(inner, 1, nil).Accept()
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := c.(interface{ NetConn() net.Conn }); !ok || c.NetConn() != below {
		t.Errorf("%T does not show the connection below", c)
	}
	if _, ok := c.(interface{ CloseWrite() error }); !ok {
		t.Errorf("%T has no CloseWrite", c)
	}
	if got := Proto(c); got != "tls" {
		t.Errorf("proto %q, want tls", got)
	}
}

func TestNames(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		ln := listen(t, network)
		dial(t, ln)
		c, err := Limit(ln, 1, nil).Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := Proto(c); got != network {
			t.Errorf("proto %q, want %q", got, network)
		}
		if got := Peer(c.RemoteAddr()); (got == "") != (network == "unix") {
			t.Errorf("peer of %s is %q", network, got)
		}
		c.Close()
	}
	for want, a := range map[string]net.Addr{
		"":              nil,
		"127.0.0.1:7":   &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7},
		"/run/a.socket": &net.UnixAddr{Name: "/run/a.socket", Net: "unix"},
	} {
		if got := Peer(a); got != want {
			t.Errorf("Peer(%v) = %q, want %q", a, got, want)
		}
	}
}
