package listen

import (
	"fmt"
	"net"
	"sync"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
)

// Peers makes a connection of each sender of datagrams, until that is closed. Its fields
// are set before Serve.
type Peers struct {
	Datagrams *Datagrams
	Max       int                          // at once
	Handle    func(nc net.Conn, at Source) // runs on a goroutine of its own; nc is closed after it
	Refused   func(at Source, why error)   // told once for each reason why a datagram may not be answered: it is dropped
	ErrorLog  func(error)                  // told of a Handle that panicked, of more than Max, of what is dropped

	running sync.WaitGroup
	refused map[error]bool
	full    accept.Spell // in which peers are turned away
	lost    accept.Spell // in which datagrams are dropped
	dropped int

	mu    sync.Mutex
	peers map[Source]*peer
}

// maxQueued is how many datagrams wait for who handles them; more are dropped, as UDP
// does, and that is said.
const maxQueued = 64

// Serve reads until the socket is closed, and returns when the last Handle did.
func (s *Peers) Serve() error {
	s.peers, s.refused = map[Source]*peer{}, map[error]bool{}
	err := s.Datagrams.Serve(make([]byte, cli.MaxDatagram+1), s.came, s.ErrorLog)
	s.running.Wait()
	if s.dropped > 0 {
		s.ErrorLog(fmt.Errorf("%d datagrams were dropped", s.dropped))
	}
	return err
}

// came takes a datagram to the connection of its sender.
func (s *Peers) came(p []byte, at Source, why error) {
	if why != nil {
		if !s.refused[why] {
			s.refused[why] = true
			s.Refused(at, why)
		}
		return
	}
	s.mu.Lock()
	c := s.peers[at]
	if c == nil && len(s.peers) >= s.Max {
		s.mu.Unlock()
		if s.full.Begins() {
			s.ErrorLog(errFull)
		}
		return
	}
	begins := c == nil
	if begins {
		c = &peer{s: s, at: at, in: make(chan []byte, maxQueued), done: make(chan struct{})}
		s.peers[at] = c
	}
	s.mu.Unlock()
	select {
	case c.in <- append([]byte(nil), p...):
	default:
		s.drop(at)
	}
	if begins {
		s.running.Go(func() {
			defer c.Close()
			if err := accept.Guard(func() error { s.Handle(c, at); return nil }); err != nil {
				s.ErrorLog(fmt.Errorf("%v: %w", at, err))
			}
		})
	}
}

// drop counts a datagram of at, and says so where that begins.
func (s *Peers) drop(at Source) {
	s.dropped++
	if s.lost.Begins() {
		s.ErrorLog(fmt.Errorf("%v: datagrams are dropped: %d wait already", at, maxQueued))
	}
}

// A peer is who sends datagrams, as a connection. A read deadline ends it: it would not
// know of any other end.
type peer struct {
	net.Conn // nil: what it alone has is not asked for
	s        *Peers
	at       Source
	in       chan []byte
	once     sync.Once
	done     chan struct{}
}

func (c *peer) Read(b []byte) (int, error) {
	select {
	case p := <-c.in:
		return copy(b, p), nil
	case <-c.done:
		return 0, net.ErrClosed
	}
}

func (c *peer) Write(p []byte) (int, error)     { return len(p), c.s.Datagrams.Write(p, c.at) }
func (c *peer) SetReadDeadline(time.Time) error { return c.Close() }
func (c *peer) Close() error {
	c.once.Do(func() {
		c.s.mu.Lock()
		delete(c.s.peers, c.at)
		c.s.mu.Unlock()
		close(c.done)
	})
	return nil
}
