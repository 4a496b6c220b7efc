package httpmini

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// deadlines notes what deadlines a connection is given.
type deadlines struct {
	net.Conn
	mu   sync.Mutex
	seen []time.Time
}

func (d *deadlines) note(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, t)
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.note(t); return d.Conn.SetReadDeadline(t) }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.note(t); return d.Conn.SetWriteDeadline(t) }

// HT11: a clock that is set back ends no connection, because all deadlines have a
// monotonic reading.
func TestMonotonicDeadlines(t *testing.T) {
	client, server := net.Pipe()
	d := &deadlines{Conn: server}
	s := &Server{Handler: func(x *Exchange) { x.Respond(200, nil, make([]byte, 100_000)) }}
	var all sync.WaitGroup
	all.Go(func() { s.ServeConn(d) })
	b := make([]byte, 200_000)
	for range 2 {
		client.Write([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"))
		for n := 0; n < 100_000; {
			m, err := client.Read(b)
			must(t, err)
			n += m
		}
	}
	client.Close()
	all.Wait()
	if len(d.seen) < 3 {
		t.Errorf("%d deadlines were set", len(d.seen))
	}
	for _, at := range d.seen {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("the deadline %v moves with the clock", at)
		}
	}
}
