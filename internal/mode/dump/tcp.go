package dump

import (
	"bytes"
	"context"
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
	"socketsrv/internal/listen"
	"socketsrv/internal/rawio"
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
	// closeTime is how long a client that we close has to end its side, once it has
	// all that was sent to it; stopTime where the program waits for that.
	closeTime = 5 * time.Second
	stopTime  = 500 * time.Millisecond

	readSize      = event.DefaultMaxShow // so that each read is shown in full
	readSizeQuiet = 256 << 10
	readSizeHeld  = 4 << 10 // where a waiting read must hold its buffer
)

var (
	errHungUp   = errors.New("closed")
	errHTTP     = errors.New("an HTTP request where what comes leads to a program")
	errNotTaken = errors.New("the peer has not taken all that was sent")
)

// tcpServer serves TCP, or TLS, or Unix sockets.
type tcpServer struct {
	*dump
	*protocol
	ctx     context.Context
	ln      net.Listener
	table   accept.Table
	buffers sync.Pool

	lists    sync.Mutex
	halfOpen []*tcpClient // the longest first
}

func (d *dump) newTCP(ctx context.Context, p *protocol, ln net.Listener) *tcpServer {
	p.listens = true
	t := &tcpServer{dump: d, protocol: p, ctx: ctx, ln: ln}
	size := readSize
	if !d.shows && d.framing.Kind == linesrv.KindNone && !d.Answers() {
		size = readSizeQuiet
	}
	t.buffers.New = func() any { b := make([]byte, size); return &b }
	return t
}

func (t *tcpServer) serve() error {
	if err := t.table.Serve(t.ln, t.serveConn, t.con.Error); err != accept.ErrStopped {
		return err
	}
	return nil
}

// A tcpClient is one connection. Its goroutine reads; who sends leaves that to its
// queue.
type tcpClient struct {
	client
	accept.Deadlines
	t       *tcpServer
	raw     syscall.RawConn // nil where waiting needs a buffer: TLS, some systems
	queue   queue
	cutter  *listen.Cutter
	began   bool  // something came
	readErr error // of step

	closing atomic.Bool           // the end is ours
	dead    atomic.Pointer[error] // why abort was called
	over    chan struct{}         // closed by whoever ends the time of a half-open client
	once    sync.Once

	mu       sync.Mutex
	patience time.Duration // of hangUp
	timer    *time.Timer   // runs once our side has ended
	held     int           // what the system had for the peer when it was looked at
	since    time.Time     // it has been so
}

func (t *tcpServer) newClient(nc net.Conn) *tcpClient {
	c := &tcpClient{Deadlines: accept.Deadlines{Conn: nc}, t: t, raw: rawio.Socket(nc), over: make(chan struct{})}
	c.protocol, c.proto, c.peer = t.protocol, accept.Proto(nc), accept.Peer(nc.RemoteAddr())
	c.cutter = t.listeners.Cutter(t.framing)
	if t.framing.Kind == linesrv.KindNone {
		c.stream = t.goal.stream()
	}
	c.queue.init(c)
	return c
}

func (t *tcpServer) serveConn(nc net.Conn) {
	defer nc.Close()
	c := t.newClient(nc)
	if _, ok := t.table.Add(c); !ok {
		return
	}
	defer t.table.Remove(c)
	t.opened(c)
	defer t.gone(c)
	defer c.cutter.Release()
	if t.greets() {
		c.send(wsproto.OpText, []byte(t.ws.Greet)) // what fails, reading tells too
	}
	c.finish(accept.Guard(c.read))
	t.lists.Lock()
	defer t.lists.Unlock()
	t.halfOpen = slices.DeleteFunc(t.halfOpen, func(h *tcpClient) bool { return h == c })
}

// read reads until the stream ends (io.EOF), breaks, or is ended.
func (c *tcpClient) read() (err error) {
	read := c.readHeld
	if c.raw != nil {
		read = c.readRaw
	}
	for err == nil {
		if err = c.arm(); err == nil {
			err = read()
		}
		if silent := errors.Is(err, os.ErrDeadlineExceeded) && c.dead.Load() == nil; silent && c.ending() {
			message, _ := c.cutter.Finish()
			err = c.message(message)
		} else if silent {
			err = cli.ErrIdle
		}
	}
	if dead := c.dead.Load(); dead != nil {
		err = *dead
	}
	if cli.As[*linesrv.ProtocolError](err) {
		return err
	}
	if rest, cut := c.cutter.Finish(); len(rest) > 0 {
		c.in.messages.Add(1)
		c.received(rest) // not answered: it is none
		if cut && err == io.EOF && c.cutter.Kind != linesrv.KindLine {
			err = linesrv.ErrCut
		}
	}
	return err
}

// ending reports whether silence ends a message.
func (c *tcpClient) ending() bool {
	return c.cutter.Kind == linesrv.KindIdle && len(c.cutter.Pending()) > 0
}

// arm sets the deadline of the next read: that of -idle-timeout, or of the silence
// that ends a message.
func (c *tcpClient) arm() error {
	wait := c.t.listeners.IdleTimeout
	if c.ending() {
		wait = c.cutter.Silence
	}
	switch {
	case wait > 0:
		return c.ReadBy(time.Now().Add(wait))
	case c.cutter.Kind == linesrv.KindIdle:
		return c.ReadBy(time.Time{})
	}
	return nil
}

// readHeld reads where a buffer must be held to wait.
func (c *tcpClient) readHeld() error {
	buf := make([]byte, readSizeHeld)
	for {
		n, err := c.Read(buf)
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
		if err := c.arm(); err != nil {
			return err
		}
	}
}

// readRaw reads where a socket is waited for without a buffer, until the deadline is
// to begin anew.
func (c *tcpClient) readRaw() error {
	c.readErr = nil
	if err := c.raw.Read(c.step); err != nil {
		return err
	}
	return c.readErr
}

// step reads all that has come. It reports false to wait for more, or true to
// have the deadline begin anew, or with readErr at the end.
func (c *tcpClient) step(fd uintptr) bool {
	buf := c.t.buffers.Get().(*[]byte)
	defer c.t.buffers.Put(buf)
	for came := false; c.dead.Load() == nil; came = true {
		n, err := rawio.Read(fd, *buf)
		if err == rawio.ErrAgain {
			return came && (c.t.listeners.IdleTimeout > 0 || c.cutter.Kind == linesrv.KindIdle)
		}
		if c.readErr = err; err == nil {
			c.readErr = c.take((*buf)[:n])
		}
		if c.readErr != nil {
			return true
		}
	}
	c.readErr = *c.dead.Load()
	return true
}

// take deals with what one read brought.
func (c *tcpClient) take(p []byte) error {
	c.in.bytes.Add(int64(len(p)))
	c.t.moved.Add(1)
	if !c.began {
		c.began = true
		c.hint(p)
		if c.t.Program.Given() && isHTTP(p) {
			c.received(p)
			return errHTTP
		}
	}
	for {
		message, rest, ok, err := c.cutter.Next(p)
		if err != nil || !ok {
			return err
		}
		if err := c.message(message); err != nil {
			return err
		}
		p = rest
	}
}

// hint says what a stream looks like that was not meant for this port.
func (c *tcpClient) hint(p []byte) {
	if isClientHello(p) && c.proto == "tcp" {
		c.t.con.Status("hint: what %v sends looks like a TLS ClientHello; -tls would answer it", c)
	}
	if state := tlsconf.State(c.Conn); state != "" {
		c.t.con.Detail("%v: %s", c, state)
	}
}

// isClientHello reports whether p begins as a TLS connection does: a handshake
// record of version 3.x with a ClientHello (RFC 8446 §4, §5.1).
func isClientHello(p []byte) bool {
	return len(p) > 5 && p[0] == 22 && p[1] == 3 && p[2] <= 4 && p[5] == 1
}

// received shows what came, after what was sent before it came.
func (c *tcpClient) received(p []byte) {
	c.queue.settle()
	c.t.received(&c.client, "", p)
}

// message shows one message and answers it.
func (c *tcpClient) message(p []byte) error {
	c.in.messages.Add(1)
	c.received(p)
	if !c.t.Answers() {
		return nil
	}
	back, ok := c.t.answerTo(c.t.ctx, &c.client, wsproto.Message{Data: p}, c.t.listeners.MaxMessage, c.Conn)
	if !ok {
		return nil
	}
	// What programs print ends in LF.
	line := c.cutter.Kind == linesrv.KindLine && !bytes.HasSuffix(back.Data, []byte{'\n'})
	shown, wire, err := c.framed(back.Data, line)
	if err != nil || len(wire) == 0 {
		return nil
	}
	return c.queue.putWait(wire, shown)
}

// framed is p as it goes over the wire, and as it is shown; a line gets the end of
// -eol.
func (c *tcpClient) framed(p []byte, line bool) (shown, wire []byte, err error) {
	switch c.cutter.Kind {
	case linesrv.KindNone, linesrv.KindIdle, linesrv.KindLine:
		if line {
			p = append(p[:len(p):len(p)], talk.LineEnds[c.t.eol]...)
		}
		return p, p, nil
	}
	wire, err = c.cutter.Framing.Append(nil, p)
	return p, wire, err
}

// finish ends the connection for the reason that reading ended.
func (c *tcpClient) finish(err error) {
	ours := c.closing.Load()
	switch {
	case ours && (err == io.EOF || err == errHungUp):
		c.t.closed(&c.client, event.Event{Dir: event.Out})
	case err == io.EOF:
		stays := c.becomeHalfOpen() // before it is told, so that the order is the same
		if tlsconf.Cut(c.Conn) {
			c.t.closed(&c.client, event.Event{Err: tlsconf.ErrCut.Error()})
		} else {
			c.t.ended(&c.client, event.In)
			defer func() { c.t.con.Event(event.Event{Event: event.Close, Proto: c.proto, Client: c.number, Peer: c.peer}) }()
		}
		if stays {
			c.lingerHalfOpen()
		}
	default:
		ev := event.Event{Err: plainError(err)}
		if broken, ok := errors.AsType[*linesrv.ProtocolError](err); ok {
			ev.Payload, ev.Offset = broken.Bytes, broken.Offset
		}
		c.t.closed(&c.client, ev)
		c.abort(err)
	}
	c.t.notSent(&c.client, c.queue.finish())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
}

// becomeHalfOpen is called when the client sends no more. It may stay for commands,
// unless answers are made without them. There are few who stay: the ones who came first
// have to go, and where the limit of connections is low nobody may.
func (c *tcpClient) becomeHalfOpen() (stays bool) {
	t := c.t
	c.halfOpen.Store(true)
	t.lists.Lock()
	defer t.lists.Unlock()
	most := min(maxHalfOpen, t.listeners.MaxConns/4)
	if t.table.Stopping() || most == 0 || !t.talking.Load() || t.Answers() {
		return false
	}
	if len(t.halfOpen) >= most {
		t.halfOpen[0].release()
		t.halfOpen = t.halfOpen[1:]
	}
	t.halfOpen = append(t.halfOpen, c)
	return true
}

// lingerHalfOpen leaves time for commands.
func (c *tcpClient) lingerHalfOpen() {
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

// Stop ends our side after what waits to be sent.
func (c *tcpClient) Stop() { c.hangUp(stopTime) }

// Kill cuts.
func (c *tcpClient) Kill() { c.abort(errHungUp) }

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
	half, ok := c.Conn.(interface{ CloseWrite() error })
	c.t.ended(&c.client, event.Out)
	if !ok || half.CloseWrite() != nil {
		c.abort(errHungUp)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
	c.timer = time.AfterFunc(c.patience, c.waited)
}

// waited ends a connection whose peer has not ended its side in time, unless it still
// takes of what the system has for it.
func (c *tcpClient) waited() {
	nc := c.Conn
	if inner, ok := nc.(interface{ NetConn() net.Conn }); ok { // of TLS
		nc = inner.NetConn()
	}
	n := 0
	if raw := rawio.Socket(nc); raw != nil {
		n, _ = rawio.Queued(raw)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n != c.held {
		c.held, c.since = n, time.Now()
	}
	switch stall := c.t.stall; {
	case n == 0:
		c.abort(errHungUp)
	case stall > 0 && time.Since(c.since) >= stall:
		c.abort(errNotTaken)
	default:
		c.timer.Reset(c.patience)
	}
}

// abort ends the connection at once; its goroutine reports err.
func (c *tcpClient) abort(err error) {
	if c.dead.CompareAndSwap(nil, &err) {
		c.Deadlines.Kill()
		c.queue.abort(err)
		c.release()
	}
}

// ended is why nothing more may be written.
func (c *tcpClient) ended() error {
	if dead := c.dead.Load(); dead != nil {
		return *dead
	}
	return nil
}

func (c *tcpClient) send(op wsproto.Opcode, p []byte) error {
	shown, wire, err := c.framed(p, op == wsproto.OpText)
	switch {
	case err != nil:
		return err
	case len(wire) == 0:
		return errors.New("nothing to send")
	}
	err = c.queue.put(wire, shown)
	switch {
	case err == nil:
		return nil
	case c.halfOpen.Load() && !errors.Is(err, errQueueFull):
		c.abort(io.EOF)
		return fmt.Errorf("%sclosed %v", toWrite, c)
	}
	return fmt.Errorf("%v: %w", c, err)
}

// sendFile sends a file as it is, or as one message where there are messages.
func (c *tcpClient) sendFile(f *fileOut) (err error) {
	switch c.cutter.Kind {
	case linesrv.KindNone, linesrv.KindIdle, linesrv.KindLine:
	default:
		if err = f.frame(c.cutter.Framing, c.t.listeners.MaxMessage); err != nil {
			f.close()
			return err
		}
	}
	if err = c.queue.putFile(f); err != nil {
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
