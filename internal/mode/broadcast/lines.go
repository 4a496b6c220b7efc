package broadcast

import (
	"cmp"
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
	"socketsrv/internal/rawio"
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
		l.missedSome(c.member, 1)
		if l.slow == "close" {
			c.end(errTooSlow)
		}
	}
}

var errTooSlow = errors.New("it reads too slowly")

// A lineClient is a client of TCP. The goroutine that serves it reads, another
// writes.
type lineClient struct {
	*member
	accept.Deadlines

	mu      sync.Mutex
	changed sync.Cond // waiting or over did
	waiting []byte    // lines to be written
	over    bool      // nothing more will wait
	err     error     // why, if it does not end by itself
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

const keepLines = 64 << 10 // bytes of storage kept between two writes

// write writes what waits until end.
func (c *lineClient) write() (err error) {
	writing := rawio.Writing{Stall: stall, Over: c.Killed}
	for b := c.next(nil); len(b) > 0 && err == nil; b = c.next(b) {
		if _, err = writing.Write(c.Conn, b); cap(b) > keepLines {
			b = nil
		}
	}
	return err
}

// next returns what waits, as soon as that is something; nothing: no more will. From
// then on lines wait in spare.
func (c *lineClient) next(spare []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) == 0 && !c.over {
		c.changed.Wait()
	}
	b := c.waiting
	c.waiting = spare[:0]
	return b
}

// end lets write end when nothing waits; with an error the connection ends at once. It
// returns the first of those.
func (c *lineClient) end(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if err != nil {
		c.err, c.waiting = cmp.Or(c.err, err), nil
		c.Deadlines.Kill()
	}
	c.changed.Signal()
	return c.err
}

// Kill is that of an accept.Member.
func (c *lineClient) Kill() { c.end(accept.ErrStopped) }

// serveLines serves a client of TCP.
func (b *broadcast) serveLines(nc net.Conn) {
	defer nc.Close()
	c := &lineClient{member: newMember(accept.Proto(nc), nc.RemoteAddr()), Deadlines: accept.Deadlines{Conn: nc}}
	c.changed.L = &c.mu
	if _, ok := b.streams.Add(c); !ok {
		return
	}
	defer b.streams.Remove(c)
	c.room = b.join("/")
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := accept.Guard(c.write); err != nil {
			c.end(err)
		}
	})
	c.room.lines.add(c)
	b.connected(c.member, nil)
	b.announce(c.member, " connected")
	err := accept.Guard(func() error { return b.readLines(c) })
	c.room.lines.remove(c)
	c.end(nil)
	writer.Wait()
	b.disconnected(c.member, cmp.Or(c.end(nil), err))
}

// readLines has the room hear every line that ends.
func (b *broadcast) readLines(c *lineClient) error {
	cutter := b.listeners.Cutter(linesrv.Framing{})
	defer cutter.Release()
	buf := make([]byte, 16<<10)
	for first := true; ; {
		if d := b.listeners.IdleTimeout; d > 0 && c.ReadBy(time.Now().Add(d)) != nil {
			return nil
		}
		n, err := c.Read(buf)
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
			b.received(c.member, op, line)
			c.room.gather(c, op, line)
			rest = more
		}
		if n > 0 {
			c.room.group.Flush()
		}
		switch pending := len(cutter.Pending()); {
		case err == nil:
		case c.Stopped() != nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return cli.ErrIdle
		case err == io.EOF && pending > 0:
			return fmt.Errorf("it ended within a line, whose %d bytes nobody got", pending)
		default:
			return err
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

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
