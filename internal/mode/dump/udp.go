package dump

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/internal/rawio"
	"socketsrv/wsproto"
)

const (
	maxSessions = 10000
	// sweeps is how often in -udp-idle is looked who has been silent since.
	sweeps = 4
	// sendTime is what the system may take for one datagram of ours.
	sendTime = time.Second
)

// udpServer serves UDP, or datagrams over a Unix socket. There are no connections:
// who has sent something is a session, until it was silent for -udp-idle, or the one
// that was silent longest when there are 10,000.
type udpServer struct {
	*dump
	*protocol
	ctx   context.Context
	pc    net.PacketConn
	conn  *listen.Datagrams // pc
	inode string            // of the socket; "" if not known

	replying   atomic.Int64 // goroutines of replyLater
	forgotten  atomic.Int64 // sessions
	unanswered atomic.Int64 // datagrams that were not to be answered, or not so
	dropped    atomic.Int64 // datagrams, by the system; see lookAtDrops

	last    *udpClient     // of the reader: whose datagram came last
	said    map[error]bool // of the reader: why datagrams are not answered
	sending sync.Mutex     // held while a datagram is sent and shown
	shown   chan struct{}
	others  sync.WaitGroup // goroutines beside the reader
	over    chan struct{}

	lists sync.Mutex
	peers map[udpAddress]*udpClient
	order list.List // of *udpClient, who sent last in front
	full  bool      // said that some have to go
}

// A udpAddress is an address of either kind.
type udpAddress struct {
	netip.AddrPort
	path string // of a Unix socket
}

// A udpClient is a session.
type udpClient struct {
	client
	u       *udpServer
	address udpAddress
	source  atomic.Pointer[listen.Source] // of the last datagram
	at      *list.Element
	gone    atomic.Bool
	seen    int64 // messages when the sweeper looked
	silent  int   // looks since that changed
}

func (d *dump) newUDP(ctx context.Context, p *protocol, pc net.PacketConn) *udpServer {
	p.listens = true
	u := &udpServer{dump: d, protocol: p, ctx: ctx, pc: pc, conn: listen.NewDatagrams(pc), peers: make(map[udpAddress]*udpClient),
		said: make(map[error]bool), shown: make(chan struct{}, 1), over: make(chan struct{})}
	if udp := u.conn.UDP(); udp != nil {
		u.inode = inodeOf(udp)
	}
	return u
}

// serve reads until the socket is closed.
func (u *udpServer) serve() error {
	defer u.others.Wait()
	defer close(u.over)
	u.others.Go(u.flush)
	if u.udpIdle > 0 {
		u.others.Go(u.sweep)
	}
	return u.conn.Serve(make([]byte, 64<<10), u.datagram, u.con.Error)
}

// flush writes what the reader has shown. It does that as fast as stdout takes it,
// and the reader goes on meanwhile: many datagrams go out in one write.
func (u *udpServer) flush() {
	for {
		select {
		case <-u.shown:
			u.con.Release()
		case <-u.over:
			u.con.Release()
			return
		}
	}
}

// settle waits until what was sent before is shown.
func (u *udpServer) settle() {
	u.sending.Lock()
	defer u.sending.Unlock()
}

func (u *udpServer) datagram(p []byte, from listen.Source, why error) {
	c := u.session(from)
	c.in.count(len(p))
	u.moved.Add(1)
	if u.shows {
		u.settle() // after the line of what it may answer
		e := event.Event{Event: event.Message, Proto: "udp", Client: c.number, Peer: c.peer, Dir: event.In, Payload: p}
		u.con.Gather(&e, !u.output.Quiet)
		select {
		case u.shown <- struct{}{}:
		default:
		}
	}
	u.goal.look(&c.client, p)
	switch {
	case !u.Answers():
	case why != nil:
		u.unanswered.Add(1)
		if !u.said[why] {
			u.said[why] = true
			u.con.Status("%v: not answered: %v", c, why)
		}
	case u.Fixed:
		u.reply(c, p, len(p))
	default:
		u.replyLater(c, append([]byte(nil), p...))
	}
}

// session returns the session of an address, a new one if there is none.
func (u *udpServer) session(source listen.Source) *udpClient {
	from := udpAddress{AddrPort: source.AddrPort, path: accept.Peer(source.Unix)}
	if c := u.last; c != nil && c.address == from && !c.gone.Load() {
		if *c.source.Load() != source {
			c.source.Store(&source)
		}
		return c
	}
	u.lists.Lock()
	c, out := u.peers[from], (*udpClient)(nil)
	known := c != nil
	if known {
		u.order.MoveToFront(c.at)
	} else {
		c = &udpClient{u: u, address: from}
		c.protocol, c.proto, c.peer = u.protocol, "udp", from.path
		if source.Unix == nil && source.IsValid() {
			c.peer = source.String()
		}
		c.at = u.order.PushFront(c)
		u.peers[from] = c
		if u.order.Len() > maxSessions {
			out = u.order.Back().Value.(*udpClient)
			u.remove(out)
		}
	}
	c.source.Store(&source)
	u.lists.Unlock()
	if out != nil {
		u.forgotten.Add(1)
		if !u.full {
			u.full = true
			u.con.Status("udp: %d sessions are kept, those silent longest are forgotten", maxSessions)
		}
		u.ended(out, event.Event{Reason: "forgotten"})
	}
	if !known {
		u.opened(c)
	}
	u.last = c
	return c
}

// remove takes c from the table; u.lists is held.
func (u *udpServer) remove(c *udpClient) bool {
	if c.gone.Swap(true) {
		return false
	}
	u.order.Remove(c.at)
	delete(u.peers, c.address)
	return true
}

func (u *udpServer) ended(c *udpClient, ev event.Event) {
	u.closed(&c.client, ev)
	u.dump.gone(c)
}

// sweep forgets who has been silent.
func (u *udpServer) sweep() {
	ticker := time.NewTicker(max(u.udpIdle/sweeps, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-u.over:
			return
		case <-ticker.C:
		}
		for _, c := range u.silent() {
			u.forgotten.Add(1)
			u.ended(c, event.Event{Reason: fmt.Sprintf("silent for %s", cli.FormatDuration(u.udpIdle))})
		}
	}
}

// silent removes and returns those that have been silent for -udp-idle.
func (u *udpServer) silent() (out []*udpClient) {
	u.lists.Lock()
	defer u.lists.Unlock()
	for e := u.order.Back(); e != nil; {
		c := e.Value.(*udpClient)
		e = e.Prev()
		if n := c.in.messages.Load() + c.out.messages.Load(); n != c.seen {
			c.seen, c.silent = n, 0
		} else if c.silent++; c.silent >= sweeps && u.remove(c) {
			out = append(out, c)
		}
	}
	return out
}

// reply answers a message of size bytes. Nobody knows whether its source is true: more
// than that goes back with -udp-long-answers only.
func (u *udpServer) reply(c *udpClient, p []byte, size int) {
	back, ok := u.answerTo(u.ctx, &c.client, wsproto.Message{Data: p}, cli.MaxDatagram, nil)
	switch {
	case !ok:
	case len(back.Data) > size && !u.longAnswers:
		if u.unanswered.Add(1) == 1 {
			u.refuse(fmt.Sprintf("%v: not answered: %d bytes would answer %d, which only -udp-long-answers does; further ones are only counted", c, len(back.Data), size))
		}
	default:
		if u.post(c, back.Data, func() { u.sent(&c.client, "", back.Data) }) != nil {
			u.unanswered.Add(1)
		}
	}
}

// replyLater is reply by a program, which the reader does not wait for; where too
// many run the datagram is not answered.
func (u *udpServer) replyLater(c *udpClient, p []byte) {
	if u.replying.Add(1) > answer.MaxPrograms {
		u.replying.Add(-1)
		u.unanswered.Add(1)
		return
	}
	u.late.Go(func() {
		defer u.replying.Add(-1)
		if err := accept.Guard(func() error { u.reply(c, p, len(p)); return nil }); err != nil {
			u.con.Error(fmt.Errorf("%v: %w", c, err))
		}
	})
}

// write sends p, and counts it before anybody can know of it.
func (u *udpServer) write(c *udpClient, p []byte) error {
	c.out.count(len(p))
	u.pc.SetWriteDeadline(time.Now().Add(sendTime))
	err := u.conn.Write(p, *c.source.Load())
	if err != nil {
		c.out.messages.Add(-1)
		c.out.bytes.Add(-int64(len(p)))
	}
	return err
}

func (c *udpClient) send(_ wsproto.Opcode, p []byte) error {
	return c.u.post(c, p, func() { c.u.sent(&c.client, "", p) })
}

// post sends p, and then calls show before the answer to it can be shown.
func (u *udpServer) post(c *udpClient, p []byte, show func()) error {
	switch {
	case len(p) > cli.MaxDatagram:
		return fmt.Errorf("%w (max %d)", errMessageTooLong, cli.MaxDatagram)
	case c.peer == "":
		return fmt.Errorf("%v: it has no address", c)
	}
	u.sending.Lock()
	defer u.sending.Unlock()
	if err := u.write(c, p); err != nil {
		return fmt.Errorf("%v: %s", c, plainError(err))
	}
	show()
	return nil
}

func (c *udpClient) sendFile(f *fileOut) error {
	defer f.close()
	p, err := f.read(cli.MaxDatagram)
	if err == nil {
		err = c.u.post(c, p, func() {})
	}
	if err == nil {
		f.done(f.size, nil)
	}
	return err
}

// end forgets the session.
func (c *udpClient) end(code wsproto.StatusCode, _ string) error {
	if code != 0 {
		return errors.New("codes are for WebSocket")
	}
	c.u.lists.Lock()
	removed := c.u.remove(c)
	c.u.lists.Unlock()
	if removed {
		c.u.ended(c, event.Event{Dir: event.Out})
	}
	return nil
}

// lookAtDrops asks the system how many datagrams it had no room for, as long as
// the socket is open.
func (u *udpServer) lookAtDrops() {
	if n, ok := udpDrops(u.inode); ok {
		u.dropped.Store(n)
	}
}

// inodeOf returns the inode by which /proc knows the socket, "" if there is none.
func inodeOf(conn *net.UDPConn) (inode string) {
	if raw := rawio.Socket(conn); raw != nil {
		raw.Control(func(fd uintptr) {
			link, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(fd)))
			inode = strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")
		})
	}
	return inode
}

// udpDrops returns how many datagrams the system had no room for, by the last
// column of /proc/net/udp and udp6.
func udpDrops(inode string) (n int64, ok bool) {
	if inode == "" {
		return 0, false
	}
	for range 10 { // a table is read in pieces, and what moves between two of them is not seen
		for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
			b, _ := os.ReadFile(table)
			if n, ok := dropsIn(b, inode); ok {
				return n, true
			}
		}
	}
	return 0, false
}

// dropsIn finds a socket in such a table: sl local remote st queues timer retrnsmt
// uid timeout inode ref pointer drops.
func dropsIn(table []byte, inode string) (int64, bool) {
	const inodeColumn, columns = 9, 13
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) < columns || string(f[inodeColumn]) != inode {
			continue
		}
		n, err := strconv.ParseInt(string(f[len(f)-1]), 10, 64)
		return n, err == nil
	}
	return 0, false
}
