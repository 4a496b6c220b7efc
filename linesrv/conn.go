package linesrv

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/rawio"
)

const (
	readSize   = 16 << 10
	plainSize  = 4 << 10   // of the buffer where a connection cannot wait without one
	flushSize  = 64 << 10  // answers gathered before they are written
	keepOut    = 128 << 10 // a larger buffer is not kept
	lingerTime = time.Second
	lingerSize = 1 << 20
	watchEvery = 250 * time.Millisecond
)

// buffers are what a connection borrows while it has commands to carry out.
type buffers struct {
	in  [readSize]byte
	out []byte
}

var pool = sync.Pool{New: func() any { return &buffers{out: make([]byte, 0, readSize)} }}

// How others end a connection; the goroutine that serves it looks at state
// between two commands. A larger one goes before a smaller one.
const (
	running int32 = iota
	endIdle
	endStopped
	endLost
	endKilled
)

var endReasons = [...]error{nil, ErrIdle, ErrShutdown, ErrReset, ErrShutdown}

// past is a deadline that wakes whoever waits.
var past = time.Unix(1, 0)

// A Conn is a client of a Server. Its methods are for the handler, on the
// goroutine and for the time of its call.
type Conn struct {
	server *Server
	nc     net.Conn
	id     uint64
	lines  Cutter
	last   time.Time // of the latest whole line, where there is an IdleTimeout
	b      *buffers  // nil while the connection waits
	writes int       // that went well
	outErr error     // of a write: nothing is written after it
	heard  bool      // the first line
	cut    bool      // the connection ends though commands may be left
	failed bool      // the handler did not do its work
	endAll bool      // a command asked for the end of the server
	raw    rawIO

	ctx       context.Context // nil until a handler asks
	cancelCtx context.CancelFunc
	watching  chan struct{} // closed to end the watcher
	watched   sync.WaitGroup

	state atomic.Int32
	steps atomic.Uint32 // odd while commands are carried out, and from the last one on
}

func newConn(s *Server, nc net.Conn) *Conn {
	c := &Conn{server: s, nc: nc, lines: Cutter{Framing: Framing{KeepCR: s.KeepCR}, Max: s.MaxLine}}
	if s.OneAtATime {
		s.turn.holder.Store(c)
	}
	return c
}

// ID is the number of the client, counted from 0 for each server.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr is the address of the client.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is the address the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// NetConn returns the stream underneath, for what the system knows of it.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Send answers with packet and an LF; an LF in packet makes two packets of it.
// Answers are gathered and written when no further command has been received, or
// when they are 64 KiB. The error says that the client is gone, and stays.
func (c *Conn) Send(packet []byte) error {
	if c.b == nil || c.outErr != nil {
		return c.cannotSend()
	}
	c.b.out = append(append(c.b.out, packet...), '\n')
	return c.sent(len(packet))
}

// SendString is Send.
func (c *Conn) SendString(packet string) error {
	if c.b == nil || c.outErr != nil {
		return c.cannotSend()
	}
	c.b.out = append(append(c.b.out, packet...), '\n')
	return c.sent(len(packet))
}

func (c *Conn) cannotSend() error {
	if c.b == nil {
		panic("linesrv: Send outside a handler: a server does not speak unasked")
	}
	return c.outErr
}

// sent follows an answer of n bytes. It is small so that it is inlined.
func (c *Conn) sent(n int) error {
	if c.server.OnSend == nil && len(c.b.out) < flushSize {
		return nil
	}
	return c.tellAndFlush(n)
}

func (c *Conn) tellAndFlush(n int) error {
	out := c.b.out
	if hook := c.server.OnSend; hook != nil {
		hook(c, out[len(out)-n-1:len(out)-1])
	}
	if len(out) < flushSize {
		return nil
	}
	return c.Flush()
}

// Flush writes the answers gathered so far: for a handler that takes its time.
func (c *Conn) Flush() error {
	if c.b == nil || len(c.b.out) == 0 || c.outErr != nil {
		return c.outErr
	}
	out := c.b.out
	c.b.out = out[:0]
	n := c.raw.tryWrite(out)
	if n < len(out) {
		c.outErr = c.writeSlowly(out[n:])
	}
	if c.outErr == nil {
		c.writes++
	}
	return c.outErr
}

// writeSlowly gives the client the time-out for each piece of b.
func (c *Conn) writeSlowly(b []byte) error {
	w := rawio.Writing{Stall: orDefault(c.server.WriteTimeout, defaultWriteTimeout), Least: flushSize, Over: c.killed}
	_, err := w.Write(c.nc, b)
	return err
}

func (c *Conn) killed() error {
	if c.state.Load() == endKilled {
		return ErrShutdown
	}
	return nil
}

// Context ends when the connection is found to be reset, when the server is
// closed, and after the connection's last command. A client that has only ended
// its own side is still there: it waits for the answers.
func (c *Conn) Context() context.Context {
	if c.ctx == nil {
		c.ctx, c.cancelCtx = context.WithCancel(c.server.crew.Context())
	}
	if c.b != nil && c.watching == nil {
		c.watch()
	}
	return c.ctx
}

// watch looks now and then whether the client is still there, until unwatch.
func (c *Conn) watch() {
	lost := lostFunc(c.nc)
	if lost == nil {
		return
	}
	stop, cancel := make(chan struct{}), c.cancelCtx
	c.watching = stop
	c.watched.Go(func() {
		t := time.NewTicker(watchEvery)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
			}
			if lost() {
				c.end(endLost)
				cancel()
				return
			}
		}
	})
}

func (c *Conn) unwatch() {
	if c.watching != nil {
		close(c.watching)
		c.watched.Wait()
		c.watching = nil
	}
}

func (c *Conn) cancel() {
	if c.cancelCtx != nil {
		c.cancelCtx()
	}
}

// A member is a Conn for the table of its server.
type member Conn

func (m *member) Stop() { (*Conn)(m).end(endStopped) }
func (m *member) Kill() { (*Conn)(m).end(endKilled) }

// end makes the goroutine that serves the connection end it. Only that one closes:
// it may be inside RawConn.Read, for which Close would wait.
func (c *Conn) end(how int32) {
	for {
		old := c.state.Load()
		if old >= how {
			return
		}
		if c.state.CompareAndSwap(old, how) {
			break
		}
	}
	if how == endKilled {
		c.nc.SetDeadline(past)
	} else {
		c.nc.SetReadDeadline(past)
	}
}

// ended returns why others ended the connection, or nil.
func (c *Conn) ended() error { return endReasons[c.state.Load()] }

// arm sets the deadline for the next whole line.
func (c *Conn) arm() error {
	if idle := c.server.IdleTimeout; idle > 0 {
		c.nc.SetReadDeadline(c.last.Add(idle))
	}
	return c.ended() // looked at after its deadline may have been replaced
}

// readError returns why the connection ends because of err, or nil when it does
// not: the deadline is set once, not for each line.
func (c *Conn) readError(err error) error {
	if reason := c.ended(); reason != nil {
		return reason
	}
	if idle := c.server.IdleTimeout; errors.Is(err, os.ErrDeadlineExceeded) {
		if idle > 0 && time.Since(c.last) < idle {
			return nil
		}
		return ErrIdle
	}
	return err
}

// handshake shakes hands where nc has to, as TLS does.
func (c *Conn) handshake() error {
	shaking, ok := c.nc.(interface{ HandshakeContext(context.Context) error })
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.server.crew.Context(), handshakeTimeout)
	defer cancel()
	return shaking.HandshakeContext(ctx)
}

// run carries out commands until the connection ends, and returns why.
func (c *Conn) run() error {
	c.last = time.Now()
	if c.raw.open(c) {
		return c.runRaw()
	}
	in := make([]byte, plainSize)
	for {
		if err := c.arm(); err != nil {
			return err
		}
		n, err := c.nc.Read(in)
		if n > 0 {
			c.borrow()
			if err := c.batch(in[:n], true); err != nil {
				return err
			}
			c.giveBack()
		}
		if err != nil {
			if err = c.readError(err); err != nil {
				return err
			}
		}
	}
}

func (c *Conn) borrow() { c.b = pool.Get().(*buffers) }

func (c *Conn) giveBack() {
	if cap(c.b.out) > keepOut {
		c.b.out = make([]byte, 0, readSize)
	}
	c.b.out = c.b.out[:0]
	pool.Put(c.b)
	c.b = nil
}

// batch carries out the commands that end in p and writes their answers if flush
// says that nothing more has come.
func (c *Conn) batch(p []byte, flush bool) error {
	some, err := c.execute(p)
	if err != nil {
		c.cut = true
		return err
	}
	if flush {
		err = c.Flush()
	}
	if some {
		c.steps.Add(1)
		if c.server.IdleTimeout > 0 {
			c.last = time.Now()
		}
	}
	return err
}

// execute reports whether there were some. It makes the steps odd with the first.
func (c *Conn) execute(p []byte) (some bool, err error) {
	defer func() {
		c.unwatch()
		if v := recover(); v != nil {
			c.failed, err = true, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	handle := c.server.Handler
	if handle == nil {
		handle = Unknown
	}
	for {
		line, rest, ok, err := c.lines.Next(p)
		if !ok {
			return some, err
		}
		if err := c.ended(); err != nil {
			return some, err
		}
		if !some {
			some = true
			c.steps.Add(1)
		}
		if !c.heard {
			if c.heard = true; LooksLikeHTTP(line) {
				return some, &ProtocolError{Err: ErrHTTP, Bytes: bytes.Clone(line[:min(len(line), maxShown)])}
			}
		}
		if err := c.command(handle, line); err != nil {
			return some, err
		}
		p = rest
	}
}

// command carries out one command. The built-in words are exact.
func (c *Conn) command(handle func(*Conn, Command) error, line []byte) error {
	if hook := c.server.OnCommand; hook != nil {
		hook(c, newCommand(line))
	}
	switch string(line) {
	case "ping":
		c.b.out = append(c.b.out, "pong\n"...)
		return c.sent(len("pong"))
	case "disconnect":
		return ErrDisconnect
	case "shutdown":
		if !c.server.mayShutdown(c) {
			return c.SendString("denied")
		}
		c.endAll = true
		return ErrShutdown
	}
	err := handle(c, newCommand(line))
	if err == nil || c.outErr != nil {
		return c.outErr
	}
	c.endAll = errors.Is(err, ErrShutdown)
	c.failed = !c.endAll && !errors.Is(err, ErrDisconnect)
	return err
}

// finish says the last word, where there is one, and returns why the connection
// ends.
func (c *Conn) finish(reason error) error {
	if c.b == nil {
		c.borrow()
	}
	defer c.giveBack()
	switch {
	case errors.Is(reason, ErrLineTooLong):
		c.SendString("invalid")
	case c.failed:
		c.SendString("error internal")
	}
	if err := c.Flush(); err != nil {
		return err
	}
	return reason
}

// leaveTurn lets the next client in, where one is served at a time.
func (c *Conn) leaveTurn() {
	if t := &c.server.turn; c.server.OneAtATime && t.holder.CompareAndSwap(c, nil) {
		<-t.place
	}
}

// linger reads what the client still sends, where that may be something: closing
// over it would be a reset, which can take the last answers from the client.
func (c *Conn) linger() {
	if !c.cut || c.outErr != nil {
		return
	}
	c.nc.SetDeadline(time.Now().Add(lingerTime))
	if c.state.Load() != endKilled { // looked at after its deadline may have been replaced
		c.borrow()
		defer c.giveBack()
		drain(c.nc, c.b.in[:])
	}
}

// drain ends what nc sends and reads the rest of what it receives, within limits.
func drain(nc net.Conn, b []byte) {
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	for n := 0; n < lingerSize; {
		m, err := nc.Read(b)
		if err != nil {
			return
		}
		n += m
	}
}
