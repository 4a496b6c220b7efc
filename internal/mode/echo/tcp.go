package echo

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/listen"
	"socketsrv/linesrv"
)

// A tcpEcho sends the bytes or lines of streams back.
type tcpEcho struct {
	*echo
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	stopped bool
}

func newTCPEcho(e *echo) *tcpEcho { return &tcpEcho{echo: e, conns: make(map[net.Conn]struct{})} }

func (t *tcpEcho) serve(ln net.Listener) error {
	return accept.Serve(ln, t.serveConn, t.con.Error)
}

// stop makes every connection end, after what was read from it is answered.
func (t *tcpEcho) stop(context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	for nc := range t.conns {
		nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// track notes a connection for stop; false if that came first.
func (t *tcpEcho) track(nc net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.conns[nc] = struct{}{}
	}
	return !t.stopped
}

func (t *tcpEcho) serveConn(nc net.Conn) {
	defer nc.Close()
	if !t.track(nc) {
		return
	}
	c := &client{proto: "tcp", number: int(t.clients.Add(1) - 1), peer: nc.RemoteAddr().String()}
	t.opened(c, nil)
	answer := t.bytes
	if t.framing == "line" {
		answer = t.lines()
	}
	err := t.talk(nc, c, answer)
	t.mu.Lock()
	delete(t.conns, nc)
	t.mu.Unlock()
	t.closed(c, err)
}

// talk reads and answers until the stream or the server ends. answer returns what
// goes back for p, which it may keep nothing of.
func (t *tcpEcho) talk(nc net.Conn, c *client, answer func(p []byte) ([]byte, error)) error {
	buf := make([]byte, 16<<10)
	for {
		if d := t.listeners.IdleTimeout; d > 0 && !t.deadline(nc, d) {
			return nil
		}
		n, err := nc.Read(buf)
		if n > 0 {
			t.count(n)
			if t.talks {
				t.received(c, "", buf[:n])
			}
			back, aerr := answer(buf[:n])
			nc.SetWriteDeadline(time.Now().Add(cli.WriteStall))
			if _, werr := nc.Write(back); werr != nil {
				return werr
			}
			if aerr != nil {
				return aerr
			}
		}
		if err != nil {
			return t.ending(err)
		}
	}
}

// deadline bounds the next read, unless the server is stopping.
func (t *tcpEcho) deadline(nc net.Conn, d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		nc.SetReadDeadline(time.Now().Add(d))
	}
	return !t.stopped
}

// ending says why reading ended.
func (t *tcpEcho) ending(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return nil
	}
	return cli.ErrIdle
}

func (t *tcpEcho) bytes(p []byte) ([]byte, error) { return p, nil }

// lines returns an answer that sends only whole lines back.
func (t *tcpEcho) lines() func(p []byte) ([]byte, error) {
	cutter := &linesrv.Cutter{Framing: linesrv.Framing{KeepCR: true}}
	var back []byte
	return func(p []byte) ([]byte, error) {
		back = back[:0]
		for {
			line, rest, ok, err := cutter.Next(p)
			if err != nil || !ok {
				return back, err
			}
			back = append(append(back, line...), '\n')
			p = rest
		}
	}
}

// echoAll sends the messages of one client of -framing length back.
func (e *echo) echoMessages(s *linesrv.Socket) error {
	idle := e.listeners.IdleTimeout
	if idle <= 0 {
		idle = -1
	}
	c := e.socket(s.ID(), s.RemoteAddr())
	for {
		p, err := s.Receive(idle)
		if err != nil {
			return err
		}
		e.count(len(p))
		if e.talks {
			e.received(c, "", p)
		}
		if err := s.Send(p); err != nil {
			return err
		}
	}
}

// datagrams sends every datagram that may be answered back.
func (e *echo) datagrams(pc net.PacketConn) error {
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return e.packets(pc)
	}
	r := listen.NewPacketReader(conn)
	buf := make([]byte, cli.MaxDatagram+1)
	for {
		n, from, may, err := r.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil && listen.GoesOn(err):
			continue
		case err != nil:
			return err
		}
		e.count(n)
		if e.talks {
			e.received(&client{proto: "udp", number: -1, peer: from.String()}, "", buf[:n])
		}
		if !may {
			e.counts.suppressed.Add(1)
		} else if _, err := conn.WriteToUDPAddrPort(buf[:n], from); err != nil {
			e.counts.lost.Add(1)
		}
	}
}

// packets is datagrams for Unix sockets, whose peers have proved who they are.
func (e *echo) packets(pc net.PacketConn) error {
	buf := make([]byte, cli.MaxDatagram+1)
	for {
		n, from, err := pc.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil && listen.GoesOn(err):
			continue
		case err != nil:
			return err
		}
		e.count(n)
		if from == nil || from.String() == "" {
			e.counts.suppressed.Add(1)
		} else if _, err := pc.WriteTo(buf[:n], from); err != nil {
			e.counts.lost.Add(1)
		}
	}
}
