package wsproto

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/rawio"
)

// A Config sets the limits and habits of a connection. The zero value works. It
// must not be changed while a Conn uses it.
type Config struct {
	MaxMessage   int64   // bytes of a received message, after inflating; 0 means DefaultMaxMessage
	MaxFragments int     // frames of a received message; 0 means DefaultMaxFragments
	Memory       *Budget // bounds what messages take of all connections that have it; nil: no bound
	// MessageTimeout is how long a message may take from its first byte to its last
	// (else 1008); 0 means for ever.
	MessageTimeout time.Duration

	WriteTimeout time.Duration // for each 256 KiB that are sent, or what there is of it; 0 means 30 s
	CloseTimeout time.Duration // how long the closing handshake may take; 0 means 5 s, negative the same but no limit after CloseWrite
	PingInterval time.Duration // a ping goes out after so long without a byte from the peer; 0 means never
	PongTimeout  time.Duration // how long the peer may then stay silent; 0 means 20 s
	IdleTimeout  time.Duration // ends a connection on which no message came for so long; 0 means never
	NoPong       bool          // pings are not answered: against RFC 6455 §5.5.2, to test peers

	// OnPong, if not nil, is given the payload of each pong by whoever reads, and must
	// not read or close the Conn. The payload is valid until it returns.
	OnPong func(payload []byte)

	// Lenient, if not nil, is told of faults of the peer that nothing depends on, and the
	// connection goes on: text that is not UTF-8, which is handed out as it came, masking
	// on the wrong side (the first time), a Close frame's payload. err is a *ProtocolError
	// as it would have ended the connection. It is called by whoever reads and must not
	// call the Conn. Dial tells it, with a *HandshakeError, of a subprotocol that nobody
	// offered, and of what httpmini.Faults a head has, as well.
	Lenient func(err error)

	// Tap, if not nil, sees each frame once its header is known, whether or not
	// it breaks a rule, and each frame sent. The payload, unmasked, is there for
	// control frames only, which the tap sees when they are whole. It is called
	// with locks held: it must not call the Conn, and payload is valid only until it
	// returns.
	Tap func(received bool, h Header, payload []byte)
}

const (
	// readSize is the room a read is given. A connection that waits holds none.
	readSize = 256 << 10
	// plainReadSize is the room where a waiting read must hold its buffer.
	plainReadSize = 4 << 10
	// maxBatch bounds the answers gathered before they are sent.
	maxBatch = 64 << 10
)

// A Conn is a WebSocket connection after its opening handshake.
//
// One goroutine at a time may call ReadMessage and Reply; every other method
// may be called from any goroutine. Only a reader sees what the peer does, so a
// Conn must be read for pings to be answered and for Close to end politely.
type Conn struct {
	nc      net.Conn
	raw     syscall.RawConn // nil where waiting needs a buffer: TLS, pipes, some systems
	cfg     *Config
	ag      Agreement
	deflate *Deflate // nil: permessage-deflate was not agreed on

	// Of the goroutine that reads.
	*input
	ended error // why nothing more will be read

	out      outbox
	dead     atomic.Pointer[error] // why abort was called
	heard    atomic.Uint32         // counts reads that brought something
	messages atomic.Uint32         // counts messages read, if Config.IdleTimeout is set
	closed   atomic.Bool           // Close was called
	role     Role
	reading  bool // guarded by out.mu: a Mutex would hide from testing/synctest that somebody waits
	late     bool // slow runs
	alive    *keepalive
	slow     *time.Timer // runs while a message is incomplete, if Config.MessageTimeout is set
	inLoop
}

// An input is what a Conn needs to read. One that waits in a loop has none.
type input struct {
	asm     Assembler
	in      *block             // what p is a part of, if it is borrowed
	p       []byte             // input not yet looked at
	rest    [MaxHeaderLen]byte // where a header cut by the end of the input waits
	whole   []byte             // the last message and room for a header before it, if our buffers hold that
	inFrame bool               // asm has a frame whose payload is not complete
	size    int                // of the next read where the buffer is held
	stream  *messageReader     // of the message that NextReader began
	stepped error              // the outcome of readStep
	step    func(fd uintptr) bool
}

// NewConn returns the Conn for a stream on which the opening handshake has been
// done. buffered is what was read beyond it. The Conn owns nc from now on.
func NewConn(nc net.Conn, buffered []byte, role Role, ag Agreement, cfg Config) *Conn {
	c := new(Conn)
	c.init(nc, buffered, role, ag, &cfg)
	c.startKeepalive()
	return c
}

func (c *Conn) init(nc net.Conn, buffered []byte, role Role, ag Agreement, cfg *Config) {
	c.nc, c.role, c.ag, c.cfg = nc, role, ag, cfg
	c.raw = rawio.Socket(nc)
	if ag.Deflate != nil {
		c.deflate = newDeflate(role, *ag.Deflate)
	}
	c.borrow()
	c.size = plainReadSize
	if len(buffered) > 0 {
		c.in = getBlock(len(buffered))
		c.in.b = append(c.in.b, buffered...)
		c.p = c.in.b
	}
}

// inputs are those that no Conn needs.
var inputs = sync.Pool{New: func() any { return new(input) }}

// borrow gives c an input unless it has one.
func (c *Conn) borrow() {
	if c.input == nil {
		cfg := c.cfg
		c.input = inputs.Get().(*input)
		c.asm = Assembler{Role: c.role, Deflate: c.deflate, MaxMessage: cfg.MaxMessage, MaxFragments: cfg.MaxFragments, Memory: cfg.Memory, Lenient: cfg.Lenient, dead: &c.dead}
	}
}

// Subprotocol returns the subprotocol agreed on, "" if none.
func (c *Conn) Subprotocol() string { return c.ag.Subprotocol }

// Agreement returns what the opening handshake settled.
func (c *Conn) Agreement() Agreement { return c.ag }

// NetConn returns the stream underneath, for its addresses and the like. Reading,
// writing or closing it breaks the connection.
func (c *Conn) NetConn() net.Conn { return c.nc }

// SetReadDeadline bounds ReadMessage. A time-out (os.ErrDeadlineExceeded) loses
// nothing: after a new deadline, reading goes on where it was.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// ReadMessage returns the next whole text or binary message. Before it waits it
// sends what Reply gathered. Pings are answered, a Close frame too.
//
// The error is a *CloseError when the peer closed, a *ProtocolError when it
// broke a rule (it has been sent a Close frame with the error's code), io.EOF
// when the stream ended between two messages without one, io.ErrUnexpectedEOF
// wrapped with ErrMessageCut when it ended inside one, or an error of the stream.
// After any but a time-out, call Close. Once that was called, the error wraps
// ErrClosed as well.
func (c *Conn) ReadMessage() (Message, error) {
	if c.stream != nil {
		if err := c.skipStream(); err != nil {
			return Message{}, err
		}
	}
	return c.readNext()
}

// readNext returns the next message, or the next piece of it while there is a stream.
func (c *Conn) readNext() (Message, error) {
	c.lockReading()
	defer c.unlockReading()
	for c.ended == nil {
		m, ok, err := c.next()
		if err != nil {
			c.fail(err)
			break
		}
		if ok {
			return m, nil
		}
		if err := c.fill(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && c.dead.Load() == nil {
				return Message{}, err
			}
			c.fail(err)
		}
	}
	if c.closed.Load() {
		return Message{}, closedError{c.ended}
	}
	return Message{}, c.ended
}

// closedError is what ended a connection that was closed by us.
type closedError struct{ cause error }

func (e closedError) Error() string   { return ErrClosed.Error() }
func (e closedError) Unwrap() []error { return []error{ErrClosed, e.cause} }

// lockReading waits until no other goroutine reads.
func (c *Conn) lockReading() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	for c.reading {
		c.out.wait()
	}
	c.reading = true
}

func (c *Conn) unlockReading() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.reading = false
	c.out.wake()
}

// next returns the next message that is whole in the input; !ok wants more of it.
// Control frames are dealt with on the way.
func (c *Conn) next() (m Message, ok bool, err error) {
	if c.cfg.MessageTimeout > 0 {
		defer func() { c.timeMessage(!ok && len(c.p) > 0) }()
	}
	for len(c.p) > 0 {
		if c.cfg.Tap == nil && !c.inFrame {
			if m, n := c.asm.flat(c.p); n > 0 {
				frame := c.p[:n]
				c.p = c.p[n:]
				if m.Opcode.IsControl() {
					c.control(m) // it is no Close frame
					continue
				}
				c.whole = frame
				if c.cfg.IdleTimeout > 0 {
					c.messages.Add(1)
				}
				return m, true, nil
			}
		}
		var frame []byte // the input from the frame's header on, if that is there
		if !c.inFrame {
			frame = c.p
			if err := c.begin(); err != nil || !c.inFrame {
				return m, false, err
			}
		}
		n := int(min(int64(len(c.p)), c.asm.Left()))
		m, done, err := c.asm.Add(c.p[:n])
		c.p = c.p[n:]
		if err != nil {
			return Message{}, false, err
		}
		if c.asm.stream && !m.Opcode.IsControl() && (done || len(m.Data) > 0) {
			c.inFrame, c.whole = c.asm.Left() > 0, nil
			return m, true, nil
		}
		if c.asm.Left() > 0 {
			return m, false, nil
		}
		c.inFrame = false
		switch {
		case !done:
		case m.Opcode.IsControl():
			if err := c.control(m); err != nil {
				return m, false, err
			}
		default:
			if c.cfg.IdleTimeout > 0 {
				c.messages.Add(1)
			}
			if c.whole = nil; len(m.Data) >= inPlace {
				c.whole = c.locate(m.Data, frame)
			}
			return m, true, nil
		}
	}
	return m, false, nil
}

// begin takes the next frame's header from the input, if it is all there.
func (c *Conn) begin() error {
	h, n, err := ParseHeader(c.p)
	if err != nil || n == 0 {
		return err
	}
	frame := c.p
	c.p = c.p[n:]
	if c.cfg.Tap != nil && !(h.Opcode.IsControl() && h.PayloadLen <= maxControl) {
		c.cfg.Tap(true, h, nil)
	}
	if err := c.asm.Check(h); err != nil {
		return showInput(err, frame)
	}
	c.inFrame = true
	return nil
}

// timeMessage sees to it that slow runs while a message is incomplete; part says that
// the input ends in a header.
func (c *Conn) timeMessage(part bool) {
	part = part || c.inFrame || c.asm.midMessage()
	switch {
	case part == c.late:
		return
	case !part:
		c.slow.Stop()
	case c.slow == nil:
		c.slow = time.AfterFunc(c.cfg.MessageTimeout, func() {
			c.closeWith(StatusPolicyViolation, ErrMessageTimeout.Error())
			time.AfterFunc(c.cfg.closeTimeout(), func() { c.abort(ErrMessageTimeout) })
		})
	default:
		c.slow.Reset(c.cfg.MessageTimeout)
	}
	c.late = part
}

// locate returns the message p with the bytes before it that are free: the header
// it came with, at the start of frame, or the assembler's headroom. It is nil if p is
// in neither place.
func (c *Conn) locate(p, frame []byte) []byte {
	if n := len(frame) - len(c.p); n > len(p) && &frame[n-len(p)] == &p[0] {
		return frame[:n]
	}
	return c.asm.whole(p)
}

// control answers a control frame (§5.5).
func (c *Conn) control(m Message) error {
	if c.cfg.Tap != nil {
		c.cfg.Tap(true, c.asm.h, m.Data)
	}
	switch m.Opcode {
	case OpPing:
		if !c.cfg.NoPong {
			c.queuePong(m.Data)
		}
	case OpPong:
		if c.cfg.OnPong != nil {
			c.cfg.OnPong(m.Data)
		}
	case OpClose:
		code, reason, err := ParseClose(m.Data)
		if err != nil { // it was passed over
			c.queueClose(nil)
		}
		c.queueClose(m.Data)
		cut, begun := c.asm.unfinished()
		return &CloseError{code, reason, cut, begun}
	}
	return nil
}

// fail notes why nothing more will be read and tells the peer, if it is the
// peer's fault.
func (c *Conn) fail(err error) {
	if dead := c.dead.Load(); dead != nil {
		err = *dead
	}
	if c.input != nil && errors.Is(err, io.EOF) && (c.inFrame || len(c.p) > 0 || c.asm.midMessage()) {
		err = cutError{}
	}
	c.ended = err
	if pe, ok := errors.AsType[*ProtocolError](err); ok {
		c.queueClose(AppendClose(nil, pe.Code, pe.Err.Error()))
	}
	c.out.mu.Lock()
	c.flush(false)
	c.out.mu.Unlock()
	c.giveBack()
}

// cutError is the end of the stream inside a frame or message.
type cutError struct{}

func (cutError) Error() string   { return "websocket: " + ErrMessageCut.Error() }
func (cutError) Unwrap() []error { return []error{ErrMessageCut, io.ErrUnexpectedEOF} }

// fill reads more input, waiting for it if need be.
func (c *Conn) fill() error {
	if c.raw != nil {
		c.stepped = nil
		if c.step == nil {
			c.step = c.readStep
		}
		if err := c.raw.Read(c.step); err != nil {
			return err
		}
		return c.stepped
	}
	c.out.mu.Lock()
	// A peer may first write all its pings and then read. And who writes now may need
	// us to read before the peer reads: he takes what waits.
	c.flush(!c.out.onlyPongs() && !c.out.writing)
	c.out.mu.Unlock()
	if len(c.p) == 0 {
		c.giveBack()
	}
	dst, n := c.room(c.size)
	got, err := c.nc.Read(dst[n:])
	c.took(dst, n, got)
	switch {
	case got == len(dst)-n:
		c.size = min(2*c.size, readSize)
	case got < c.size/4:
		c.size = max(c.size/2, plainReadSize)
	}
	if got > 0 {
		return nil
	}
	return err
}

// readStep reads once when the socket has something; false means wait for it.
func (c *Conn) readStep(fd uintptr) bool {
	dst, n := c.room(readSize)
	got, err := rawio.Read(fd, dst[n:])
	c.took(dst, n, got)
	if err == rawio.ErrAgain {
		c.out.mu.Lock()
		c.flush(false)
		c.out.mu.Unlock()
		c.giveBack()
		return false
	}
	c.stepped = err
	return true
}

// room returns where to read to, with the n bytes of input that remain at its
// start.
func (c *Conn) room(size int) (dst []byte, n int) {
	if len(c.p) == 0 {
		if s := c.asm.space(); s != nil {
			return s, 0
		}
	}
	if c.in == nil {
		c.in = getBlock(max(size, 2*MaxHeaderLen))
	}
	dst = c.in.b[:cap(c.in.b)]
	return dst, copy(dst, c.p)
}

// took notes that got bytes were read behind the first n of dst.
func (c *Conn) took(dst []byte, n, got int) {
	c.p = dst[:n+max(got, 0)]
	if got > 0 {
		c.heard.Add(1)
	}
}

// giveBack returns the borrowed buffers; a header cut by the end of the input
// is kept.
func (c *Conn) giveBack() {
	if c.input == nil {
		return
	}
	if c.in != nil {
		c.p = c.rest[:copy(c.rest[:], c.p)]
		putBlock(c.in)
		c.in = nil
	}
	c.asm.release()
}

// WriteMessage sends p as one text or binary message and returns when it has
// been handed to the system. Any other opcode is an error and sends nothing: Ping, Pong
// and Close are for those. Text must be valid UTF-8, which is not looked at. It fails
// with ErrCloseSent after Close, with os.ErrDeadlineExceeded when the peer takes too
// long, see Config.WriteTimeout; after these the connection is of no more use.
func (c *Conn) WriteMessage(op Opcode, p []byte) error { return c.write(op, p, true) }

// Reply is WriteMessage for the goroutine that reads, to answer what it got: the
// message goes out with others in one system call, at the latest when ReadMessage
// would have to wait. It takes a copy of p, or blocks until p is sent.
func (c *Conn) Reply(op Opcode, p []byte) error { return c.write(op, p, false) }

// Flush sends what Reply gathered, for a reader that will not read for a while.
func (c *Conn) Flush() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.flush(true)
}

// Ping sends a ping; p is at most 125 bytes. It does not wait for the pong,
// which Config.OnPong is given.
func (c *Conn) Ping(p []byte) error { return c.writeControl(OpPing, p) }

// Pong sends a pong that nobody asked for (§5.5.3).
func (c *Conn) Pong(p []byte) error { return c.writeControl(OpPong, p) }

// Close does the closing handshake (§7.1.2): it sends a Close frame unless one
// went out already, reads until the peer's, at most Config.CloseTimeout, and
// closes the stream. Messages that come meanwhile are lost. Code 0 sends no code, one
// that may not be sent panics (see StatusCode.CanSend). A reason that is too long is cut.
// The error is nil unless the peer had to be cut off. The message that was read last
// is not valid any more: another goroutine that uses it must be done before.
func (c *Conn) Close(code StatusCode, reason string) error {
	c.closed.Store(true)
	c.queueClose(AppendClose(nil, code, closeReason(reason)))
	c.out.mu.Lock()
	c.flush(false)
	c.out.mu.Unlock()
	cut := time.AfterFunc(c.cfg.closeTimeout(), func() { c.abort(ErrCloseTimeout) })
	defer cut.Stop()

	c.lockReading()
	defer c.unlockReading()
	c.nc.SetReadDeadline(time.Time{})
	for c.ended == nil {
		_, ok, err := c.next()
		if err == nil && !ok {
			err = c.fill()
		}
		if err != nil {
			c.fail(err)
		}
	}
	c.hangUp()
	if dead := c.dead.Load(); dead != nil && *dead == ErrCloseTimeout {
		return ErrCloseTimeout
	}
	return nil
}

// hangUp closes the stream so that the last frames arrive: what is queued is
// waited for, and input that nobody will read is read, because the system
// answers it with a reset that would overtake them. abort cuts that short.
func (c *Conn) hangUp() {
	c.stopTimers()
	o := &c.out
	o.mu.Lock()
	c.flush(true)
	sound := o.err == nil
	o.mu.Unlock()
	if sound && c.dead.Load() == nil {
		c.linger()
	}
	c.nc.Close()
	o.mu.Lock()
	for o.writing {
		o.wait()
	}
	if o.err == nil {
		o.err = ErrClosed
	}
	o.drop()
	o.mu.Unlock()
	c.giveBack()
	c.asm.drop()
}

// lingerTime bounds how long input is read that nobody wants.
const lingerTime = time.Second

// lingers reports whether the peer is to end the stream after our last frame.
func (c *Conn) lingers() bool {
	_, closed := errors.AsType[*CloseError](c.ended)
	_, failed := errors.AsType[*ProtocolError](c.ended)
	if closed && c.role == RoleServer && len(c.p) == 0 {
		return false // the server closes first (§7.1.1), and the peer sends no more
	}
	return closed || failed // else the stream is broken or at its end
}

// linger waits for the peer to end the stream after our last frame.
func (c *Conn) linger() {
	if !c.lingers() {
		return
	}
	if c.role == RoleServer {
		endWriting(c.nc)
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	v := getBlock(plainReadSize)
	defer putBlock(v)
	for b := v.b[:cap(v.b)]; c.dead.Load() == nil; {
		if _, err := c.nc.Read(b); err != nil {
			return
		}
	}
}

// abort ends the connection at once, whoever is reading or writing it, without
// waiting for them: they find out by the deadline and report err.
func (c *Conn) abort(err error) {
	switch {
	case !c.dead.CompareAndSwap(nil, &err):
	case c.loop != nil:
		c.out.mu.Lock()
		c.cut(err)
		c.out.mu.Unlock()
	default:
		c.nc.SetDeadline(longAgo)
	}
}

// longAgo is the deadline of what shall end at once.
var longAgo = time.Unix(1, 0)

func (c *Config) closeTimeout() time.Duration { return orDefault(c.CloseTimeout, 5*time.Second) }
func (c *Config) writeTimeout() time.Duration { return orDefault(c.WriteTimeout, 30*time.Second) }
func (c *Config) pongTimeout() time.Duration  { return orDefault(c.PongTimeout, 20*time.Second) }

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
