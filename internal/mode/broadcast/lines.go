package broadcast

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// lineMembers are the clients of TCP in a room: a line of theirs is a message,
// a message a line to them, with the line feeds it may hold.
type lineMembers struct {
	*broadcast
	mu      sync.Mutex
	clients map[*lineClient]struct{}
}

func (l *lineMembers) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.clients)
}

func (l *lineMembers) add(c *lineClient) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients[c] = struct{}{}
}

func (l *lineMembers) remove(c *lineClient) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.clients, c)
}

// send leaves p to the writers of all clients.
func (l *lineMembers) send(from any, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.clients {
		if l.exclude && from == any(c) || c.post(p, l.queue) {
			continue
		}
		l.missedSome(&c.member, 1)
		if l.slow == "close" {
			c.abort(errTooSlow)
		}
	}
}

var errTooSlow = errors.New("it reads too slowly")

// A lineClient is a client of TCP. The goroutine that serves it reads, another
// writes.
type lineClient struct {
	member
	nc net.Conn

	mu      sync.Mutex
	changed sync.Cond // waiting or over did
	waiting []byte    // lines to be written
	over    bool      // nothing more will wait
	err     error     // why abort was called
}

// post has p written, unless too much waits: then it returns false.
func (c *lineClient) post(p []byte, limit int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return true // it is on its way out
	case len(c.waiting) > 0 && int64(len(c.waiting)+len(p)) >= limit:
		return false
	}
	c.waiting = append(append(c.waiting, p...), '\n')
	c.changed.Signal()
	return true
}

// write writes what waits until finish or abort.
func (c *lineClient) write() {
	var spare []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && (!c.over || len(c.waiting) > 0) {
		if len(c.waiting) == 0 {
			c.changed.Wait()
			continue
		}
		b := c.waiting
		c.waiting = spare[:0]
		c.mu.Unlock()
		err := c.writeAll(b)
		c.mu.Lock()
		if spare = b; cap(spare) > keepLines {
			spare = nil
		}
		if err != nil {
			c.end(err)
		}
	}
}

const (
	linePiece = 64 << 10 // must be taken within stall
	keepLines = 64 << 10 // storage kept between two writes
)

func (c *lineClient) writeAll(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), linePiece)
		c.nc.SetWriteDeadline(time.Now().Add(stall))
		if _, err := c.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// finish lets write end when nothing waits.
func (c *lineClient) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.changed.Signal()
}

// abort ends the connection at once.
func (c *lineClient) abort(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err)
}

func (c *lineClient) end(err error) {
	if c.err == nil {
		c.err = err
	}
	c.over, c.waiting = true, nil
	c.changed.Signal()
	c.nc.Close()
}

// why is the reason for the end of a connection whose reading ended with err.
func (c *lineClient) why(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return err
}

// A lineServer serves the clients of TCP.
type lineServer struct {
	*broadcast
	mu      sync.Mutex
	open    map[*lineClient]struct{}
	stopped bool
}

func (b *broadcast) newLineServer() *lineServer {
	return &lineServer{broadcast: b, open: make(map[*lineClient]struct{})}
}

func (s *lineServer) serve(ln net.Listener) error {
	return accept.Serve(ln, s.serveConn, s.con.Error)
}

// stop ends all connections, after what waits for them is written if ctx has the
// time.
func (s *lineServer) stop(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for c := range s.open {
		c.nc.SetReadDeadline(time.Unix(1, 0))
		context.AfterFunc(ctx, func() { c.abort(context.Cause(ctx)) })
	}
}

// track notes a connection for stop; false if that came first.
func (s *lineServer) track(c *lineClient) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.open[c] = struct{}{}
	}
	return !s.stopped
}

func (s *lineServer) untrack(c *lineClient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *lineServer) serveConn(nc net.Conn) {
	defer nc.Close()
	c := &lineClient{nc: nc}
	c.changed.L = &c.mu
	c.member = member{id: newUUID(), proto: "tcp", peer: nc.RemoteAddr().String()}
	if s.tls.Enabled() {
		c.proto = "tls"
	}
	if !s.track(c) {
		return
	}
	defer s.untrack(c)
	c.room = s.rooms.join("/")
	var writer sync.WaitGroup
	writer.Go(c.write)
	c.room.lines.add(c)
	s.connected(&c.member, nil)
	s.announce(&c.member, " connected")
	err := accept.Guard(func() error { return s.read(c) })
	c.room.lines.remove(c)
	c.finish()
	writer.Wait()
	s.disconnected(&c.member, c.why(err))
}

// read has the room hear every line that ends.
func (s *lineServer) read(c *lineClient) error {
	cutter := s.listeners.Cutter(linesrv.Framing{})
	defer cutter.Release()
	buf := make([]byte, 16<<10)
	for first := true; ; {
		if d := s.listeners.IdleTimeout; d > 0 && !s.deadline(c, d) {
			return nil
		}
		n, err := c.nc.Read(buf)
		rest := buf[:n]
		for {
			line, more, ok, err := cutter.Next(rest)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if first && linesrv.LooksLikeHTTP(line) { // a page has any browser send that
				return linesrv.ErrHTTP
			}
			first = false
			op := lineType(line)
			s.received(&c.member, op, line)
			c.room.gather(c, op, line)
			rest = more
		}
		if n > 0 {
			c.room.group.Flush()
		}
		if err != nil {
			return s.ending(err, len(cutter.Pending()))
		}
	}
}

// lineType is the type of the message that a line becomes.
func lineType(line []byte) wsproto.Opcode {
	if utf8.Valid(line) {
		return wsproto.OpText
	}
	return wsproto.OpBinary
}

// deadline bounds the next read, unless the server is stopping.
func (s *lineServer) deadline(c *lineClient, d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		c.nc.SetReadDeadline(time.Now().Add(d))
	}
	return !s.stopped
}

// ending says why reading ended, with so many bytes of a line that did not.
func (s *lineServer) ending(err error, pending int) error {
	switch {
	case s.stopping.Load():
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return cli.ErrIdle
	case err == io.EOF && pending > 0:
		return fmt.Errorf("it ended within a line, whose %d bytes nobody got", pending)
	}
	return err
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
