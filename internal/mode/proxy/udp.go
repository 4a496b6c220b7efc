package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/listen"
)

// A udpServer makes sessions of the datagrams that come, one for each sender.
type udpServer struct {
	p       *proxy
	conn    *listen.Datagrams
	running sync.WaitGroup

	mu      sync.Mutex
	peers   map[listen.Source]*peer
	refused map[error]bool // said once
}

// A peer is who sends datagrams to a udpServer, as a connection.
type peer struct {
	net.Conn // nil: what it alone has is not asked for
	u        *udpServer
	from     listen.Source
	in       chan []byte
	once     sync.Once
	done     chan struct{}
}

// maxQueued is how many datagrams wait for a target; more are dropped, as UDP does.
const maxQueued = 64

func (c *peer) Read(b []byte) (int, error) {
	select {
	case p := <-c.in:
		return copy(b, p), nil
	case <-c.done:
		return 0, net.ErrClosed
	}
}

func (c *peer) Write(p []byte) (int, error)     { return len(p), c.u.conn.Write(p, c.from) }
func (c *peer) SetReadDeadline(time.Time) error { return c.Close() } // it would not know of any end
func (c *peer) Close() error {
	c.once.Do(func() {
		c.u.mu.Lock()
		delete(c.u.peers, c.from)
		c.u.mu.Unlock()
		close(c.done)
	})
	return nil
}

// serveUDP serves clients whose datagrams pass.
func (p *proxy) serveUDP(ctx context.Context) error {
	pc, end, err := p.listener.OpenPacket(ctx, p.env, p.con)
	if err != nil {
		return err
	}
	defer end()
	p.own = pc.LocalAddr()
	u := &udpServer{p: p, conn: listen.NewDatagrams(pc), peers: map[listen.Source]*peer{}, refused: map[error]bool{}}
	return p.until(ctx, end, nil, func() error {
		defer u.running.Wait()
		return u.conn.Serve(make([]byte, cli.MaxDatagram+1), u.came)
	})
}

// came takes a datagram to the session of its sender. One that must not be answered
// is not passed on: its answer could not be.
func (u *udpServer) came(p []byte, from listen.Source, why error) {
	if why != nil {
		if !u.refused[why] {
			u.refused[why] = true
			u.p.con.Error(fmt.Errorf("datagrams of %v are not passed on: %w", from, why))
		}
		return
	}
	u.mu.Lock()
	c := u.peers[from]
	if c == nil && len(u.peers) >= u.p.listener.MaxConns {
		u.mu.Unlock()
		u.p.full()
		return
	}
	begins := c == nil
	if begins {
		c = &peer{u: u, from: from, in: make(chan []byte, maxQueued), done: make(chan struct{})}
		u.peers[from] = c
	}
	u.mu.Unlock()
	select {
	case c.in <- append([]byte(nil), p...):
	default:
	}
	if begins {
		u.running.Go(func() { u.carry(c) })
	}
}

func (u *udpServer) carry(c *peer) {
	defer c.Close()
	if _, err := u.p.carry(&packets{Conn: c}, "udp", c.from.String(), accept.Header{}); err != nil {
		u.p.counts.refused.Add(1)
		if !errors.Is(err, context.Canceled) {
			u.p.con.Error(fmt.Errorf("%v: %w", c.from, err))
		}
	}
}
