package dump

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/talk"
	"socketsrv/internal/tlsconf"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

const (
	// halfOpenTime is how long a client that ended its side can still be sent to,
	// as long as there may be commands: nobody can tell it from one that is gone.
	halfOpenTime = 10 * time.Second
	maxHalfOpen  = 64
	// closeTime is how long a client that we close has to end its side, stopTime
	// where the program waits for that.
	closeTime = 5 * time.Second
	stopTime  = 500 * time.Millisecond

	readSize      = event.DefaultMaxShow // so that each read is shown in full
	readSizeQuiet = 256 << 10
	readSizeHeld  = 4 << 10 // where a waiting read must hold its buffer
)

var (
	errHungUp = errors.New("closed")
	longAgo   = time.Unix(1, 0) // the deadline of what shall end at once
)

// tcpServer serves TCP, or TLS, or Unix sockets.
type tcpServer struct {
	*dump
	*protocol
	ctx     context.Context
	ln      net.Listener
	proto   string // of events
	buffers sync.Pool

	lists    sync.Mutex
	stopping bool
	clients  map[*tcpClient]struct{} // whose connection is open
	halfOpen []*tcpClient            // the longest first
}

func (d *dump) newTCP(ctx context.Context, p *protocol, ln net.Listener) *tcpServer {
	p.listens = true
	t := &tcpServer{dump: d, protocol: p, ctx: ctx, ln: ln, proto: "tcp", clients: make(map[*tcpClient]struct{})}
	switch {
	case d.tls.Enabled():
		t.proto = "tls"
	case ln.Addr().Network() == "unix":
		t.proto = "unix"
	}
	size := readSize
	if !d.shows && d.framing == "none" && !d.Answers() {
		size = readSizeQuiet
	}
	t.buffers.New = func() any { b := make([]byte, size); return &b }
	return t
}

func (t *tcpServer) serve() error { return accept.Serve(t.ln, t.serveConn, t.con.Error) }

// stop ends all clients: what waits for them is sent while ctx lasts.
func (t *tcpServer) stop(ctx context.Context) {
	t.lists.Lock()
	t.stopping = true
	clients := make([]*tcpClient, 0, len(t.clients))
	for c := range t.clients {
		clients = append(clients, c)
	}
	t.lists.Unlock()
	for _, c := range clients {
		c.hangUp(stopTime)
	}
	// Not waited for: serve returns when all are gone.
	context.AfterFunc(ctx, func() {
		for _, c := range clients {
			c.abort(errHungUp)
		}
	})
}

// A tcpClient is one connection. Its goroutine reads; who sends leaves that to its
// queue.
type tcpClient struct {
	client
	t       *tcpServer
	nc      net.Conn
	raw     syscall.RawConn // nil where waiting needs a buffer: TLS, some systems
	queue   queue
	cutter  cutter // nil: what a read brings is a message
	began   bool   // something came
	readErr error  // of step

	closing atomic.Bool           // the end is ours
	dead    atomic.Pointer[error] // why abort was called
	over    chan struct{}         // closed by whoever ends the time of a half-open client
	once    sync.Once

	mu       sync.Mutex
	patience time.Duration // of hangUp
	timer    *time.Timer   // runs once our side has ended
}

func (t *tcpServer) newClient(nc net.Conn) *tcpClient {
	c := &tcpClient{t: t, nc: nc, raw: rawConn(nc), over: make(chan struct{})}
	c.protocol, c.proto, c.peer = t.protocol, t.proto, cli.PeerName(nc.RemoteAddr())
	c.cutter = newDumpCutter(t.framing, int(t.listeners.MaxMessage))
	c.queue.init(c)
	return c
}

// track notes a client for stop; false if that came first.
func (t *tcpServer) track(c *tcpClient) bool {
	t.lists.Lock()
	defer t.lists.Unlock()
	if !t.stopping {
		t.clients[c] = struct{}{}
	}
	return !t.stopping
}

func (t *tcpServer) untrack(c *tcpClient) {
	t.lists.Lock()
	defer t.lists.Unlock()
	delete(t.clients, c)
	if i := slices.Index(t.halfOpen, c); i >= 0 {
		t.halfOpen = slices.Delete(t.halfOpen, i, i+1)
	}
}

func (t *tcpServer) serveConn(nc net.Conn) {
	defer nc.Close()
	c := t.newClient(nc)
	if !t.track(c) {
		return
	}
	defer t.untrack(c)
	t.opened(c)
	defer t.gone(c)
	c.finish(c.read())
}

// read reads until the stream ends (io.EOF), breaks, or is ended.
func (c *tcpClient) read() (err error) {
	if c.raw != nil {
		err = c.readRaw()
	} else {
		err = c.readHeld()
	}
	if dead := c.dead.Load(); dead != nil {
		err = *dead
	}
	if c.cutter != nil {
		if rest := c.cutter.pending(); len(rest) > 0 {
			c.in.messages.Add(1)
			c.t.received(&c.client, "", rest) // not answered: it is none
			if err == io.EOF && c.t.framing == "length" {
				err = linesrv.ErrCut
			}
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = cli.ErrIdle
	}
	return err
}

// readHeld reads where a buffer must be held to wait.
func (c *tcpClient) readHeld() error {
	buf := make([]byte, readSizeHeld)
	for {
		c.arm()
		n, err := c.nc.Read(buf)
		if n > 0 {
			if err := c.take(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if n == len(buf) && n < readSize {
			buf = make([]byte, readSize)
		}
	}
}

// arm sets the deadline of -idle-timeout.
func (c *tcpClient) arm() {
	if d := c.t.listeners.IdleTimeout; d > 0 {
		c.nc.SetReadDeadline(time.Now().Add(d))
		if c.dead.Load() != nil { // looked at after its deadline may have been replaced
			c.nc.SetReadDeadline(longAgo)
		}
	}
}

// take deals with what one read brought.
func (c *tcpClient) take(p []byte) error {
	c.in.bytes.Add(int64(len(p)))
	c.t.moved.Add(1)
	if !c.began {
		c.began = true
		c.hint(p)
	}
	if c.cutter != nil {
		return c.cutter.feed(p, c.message)
	}
	return c.message(p)
}

// hint says what a stream looks like that was not meant for this port.
func (c *tcpClient) hint(p []byte) {
	if isClientHello(p) && c.proto == "tcp" {
		c.t.con.Status("hint: what %v sends looks like a TLS ClientHello; -tls would answer it", c)
	}
	if state := tlsconf.State(c.nc); state != "" {
		c.t.con.Detail("%v: %s", c, state)
	}
}

// isClientHello reports whether p begins as a TLS connection does: a handshake
// record of version 3.x with a ClientHello (RFC 8446 §4, §5.1).
func isClientHello(p []byte) bool {
	return len(p) > 5 && p[0] == 22 && p[1] == 3 && p[2] <= 4 && p[5] == 1
}

// message shows one message and answers it.
func (c *tcpClient) message(p []byte) error {
	c.in.messages.Add(1)
	c.t.received(&c.client, "", p)
	if !c.t.Answers() {
		return nil
	}
	back, ok := c.t.answerTo(c.t.ctx, &c.client, wsproto.Message{Data: p}, c.t.listeners.MaxMessage)
	if !ok {
		return nil
	}
	wire := c.framed(back.Data)
	if len(wire) == 0 {
		return nil
	}
	c.t.sent(&c.client, "", back.Data)
	return c.queue.putWait(wire)
}

// framed is p as an answer goes over the wire.
func (c *tcpClient) framed(p []byte) []byte {
	switch c.t.framing {
	case "length":
		return linesrv.AppendMessage(make([]byte, 0, len(p)+4), p)
	case "line":
		if len(p) == 0 || p[len(p)-1] != '\n' { // what programs print ends in one
			return append(p[:len(p):len(p)], '\n')
		}
	}
	return p
}

// finish ends the connection for the reason that reading ended.
func (c *tcpClient) finish(err error) {
	ours := c.closing.Load()
	switch {
	case ours && (err == io.EOF || err == errHungUp):
		c.t.closed(&c.client, event.Event{Dir: event.Out})
	case err == io.EOF:
		c.halfOpen.Store(true)
		c.t.closed(&c.client, event.Event{})
		c.lingerHalfOpen()
	default:
		c.t.closed(&c.client, event.Event{Err: plainError(err)})
		c.abort(err)
	}
	c.queue.finish()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
}

// lingerHalfOpen leaves time for commands to a client that sends no more, unless
// answers are made without them. There are few of them: the ones who came first
// have to go, and where the limit of connections is low nobody may stay.
func (c *tcpClient) lingerHalfOpen() {
	t := c.t
	t.lists.Lock()
	most := min(maxHalfOpen, t.listeners.MaxConns/4)
	if t.stopping || most == 0 || !t.talking.Load() || t.Answers() {
		t.lists.Unlock()
		return
	}
	if len(t.halfOpen) >= most {
		t.halfOpen[0].release()
		t.halfOpen = t.halfOpen[1:]
	}
	t.halfOpen = append(t.halfOpen, c)
	t.lists.Unlock()
	timer := time.NewTimer(halfOpenTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.over:
	}
}

func (c *tcpClient) release() { c.once.Do(func() { close(c.over) }) }

// releaseHalfOpen lets those go that only waited for commands.
func (t *tcpServer) releaseHalfOpen() {
	t.lists.Lock()
	defer t.lists.Unlock()
	for _, c := range t.halfOpen {
		c.release()
	}
	t.halfOpen = nil
}

// hangUp ends our side after what waits to be sent, and then the connection when
// the peer has done the same or wait is over.
func (c *tcpClient) hangUp(wait time.Duration) {
	c.closing.Store(true)
	c.mu.Lock()
	c.patience = wait
	if c.timer != nil {
		c.timer.Reset(wait)
	}
	c.mu.Unlock()
	c.queue.end()
	c.release()
}

// endSide ends our side.
func (c *tcpClient) endSide() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.abort(errHungUp)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(c.patience, func() { c.abort(errHungUp) })
}

// abort ends the connection at once; its goroutine reports err.
func (c *tcpClient) abort(err error) {
	if c.dead.CompareAndSwap(nil, &err) {
		c.queue.abort(err)
		c.nc.SetDeadline(longAgo)
		c.release()
	}
}

func (c *tcpClient) send(op wsproto.Opcode, p []byte) error {
	t := c.t
	shown, wire := p, p
	switch {
	case t.framing == "length":
		wire = c.framed(p)
	case op == wsproto.OpText:
		shown = append(p[:len(p):len(p)], talk.LineEnds[t.eol]...)
		wire = shown
	}
	if len(wire) == 0 {
		return errors.New("nothing to send")
	}
	show := func() { t.sent(&c.client, "", shown) }
	if c.halfOpen.Load() {
		return c.sendHalfOpen(wire, show)
	}
	if err := c.queue.put(wire, show); err != nil {
		return fmt.Errorf("%v: %w", c, err)
	}
	return nil
}

// sendHalfOpen is for clients of which nobody knows whether they are gone. Their
// answer to what is sent tells it, on this machine at once.
func (c *tcpClient) sendHalfOpen(wire []byte, show func()) error {
	err := c.queue.put(wire, func() {})
	switch {
	case errors.Is(err, errQueueFull):
		return fmt.Errorf("%v: %w", c, err)
	case err != nil || c.lost():
		c.abort(io.EOF)
		return fmt.Errorf("%sclosed %v", toWrite, c)
	}
	show()
	return nil
}

// lost reports whether the peer refused what was sent to it.
func (c *tcpClient) lost() bool { return c.raw != nil && isLost(c.raw) }

func (c *tcpClient) sendFile(f *fileOut) error {
	if c.t.framing == "length" {
		if f.size > 1<<32-1 {
			f.close()
			return fmt.Errorf("%s: %w", f.name, linesrv.ErrMessageTooLong)
		}
		f.head = binary.BigEndian.AppendUint32(nil, uint32(f.size))
	}
	if err := c.queue.putFile(f); err != nil {
		f.close()
		return fmt.Errorf("%v: %w", c, err)
	}
	return nil
}

func (c *tcpClient) end(code wsproto.StatusCode, _ string) error {
	if code != 0 {
		return errors.New("codes are for WebSocket")
	}
	c.hangUp(closeTime)
	return nil
}

// A cutter cuts a stream into messages.
type cutter interface {
	// feed calls each for every message that p ends.
	feed(p []byte, each func([]byte) error) error
	// pending is the beginning of a message that has not ended.
	pending() []byte
}

func newDumpCutter(framing string, limit int) cutter {
	switch framing {
	case "line":
		return &lineCutter{linesrv.Cutter{Max: limit}}
	case "length":
		return &lengthCutter{max: limit}
	}
	return nil
}

type lineCutter struct{ linesrv.Cutter }

func (k *lineCutter) feed(p []byte, each func([]byte) error) error {
	for {
		line, rest, ok, err := k.Next(p)
		if err != nil || !ok {
			return err
		}
		if err := each(line); err != nil {
			return err
		}
		p = rest
	}
}

func (k *lineCutter) pending() []byte { return k.Pending() }

// A lengthCutter cuts messages with their length in front.
type lengthCutter struct {
	max  int
	part []byte
}

// keepPart is how much storage a lengthCutter keeps between two messages.
const keepPart = 64 << 10

func (k *lengthCutter) feed(p []byte, each func([]byte) error) error {
	if len(k.part) > 0 {
		k.part = append(k.part, p...)
		p = k.part
	}
	for {
		message, n, err := linesrv.ParseMessage(p, k.max)
		if err != nil {
			k.part = append(k.part[:0], p...)
			return err
		}
		if n == 0 {
			break
		}
		if err := each(message); err != nil {
			return err
		}
		p = p[n:]
	}
	if len(p) == 0 && cap(k.part) > keepPart {
		k.part = nil
		return nil
	}
	k.part = append(k.part[:0], p...)
	return nil
}

func (k *lengthCutter) pending() []byte { return k.part }
