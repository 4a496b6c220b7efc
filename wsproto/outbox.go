package wsproto

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/rawio"
)

// An outbox holds the frames of a Conn that are not yet in the system's hands,
// and settles who writes them: one goroutine at a time, without the lock, so
// that others can add theirs meanwhile, which that goroutine then takes too.
type outbox struct {
	mu       sync.Mutex
	cond     *sync.Cond // of those who wait until writing or err changes; nil if nobody did
	ahead    []piece    // what goes out before buf
	held     int        // bytes in ahead
	buf      *block     // frames in order; nil when there are none
	err      error      // of the stream: nothing can be sent any more
	pongs    int32      // pongs in buf
	frames   int32      // frames in buf
	lastPong int32      // where in buf the last frame begins if it is a pong; else -1
	writing  bool       // somebody is writing what was taken
	closing  bool       // a Close frame is in buf or sent
	open     bool       // a message of NextWriter is not ended

	// In a loop.
	blocked  bool        // the socket takes no more: what waits is ahead
	deaf     bool        // nothing more is read in any case
	stalling bool        // stall runs
	full     atomic.Bool // so much is blocked that nothing more is read
	moved    int         // bytes that the peer took since stall was set
	stall    *time.Timer

	trial *trial // of tryWrite; nil until then
}

// A trial is a write of what the socket takes at once, by whoever is writing.
type trial struct {
	step func(fd uintptr) bool
	p    []byte
	n    int
	err  error
}

// wait waits for wake. The caller holds mu.
func (o *outbox) wait() {
	if o.cond == nil {
		o.cond = sync.NewCond(&o.mu)
	}
	o.cond.Wait()
}

func (o *outbox) wake() {
	if o.cond != nil {
		o.cond.Broadcast()
	}
}

// A piece is bytes to be sent, p, in a block that others may be sending as well.
type piece struct {
	v *block
	p []byte
}

// maxPongs pongs may wait for a peer that does not read; beyond that only the
// newest is kept (§5.5.3 allows to leave out the others).
const maxPongs = 16

const (
	// noCopy is the size from which a payload is not copied to go out with others.
	noCopy = 64 << 10
	// inPlace is the size from which a message that is sent on as it came is
	// written from where it was received.
	inPlace = 4 << 10
)

func (o *outbox) len() int {
	if o.buf == nil {
		return o.held
	}
	return o.held + len(o.buf.b)
}

// stuck reports whether what is queued now is not sent at once.
func (o *outbox) stuck() bool { return o.writing || o.blocked }

func (o *outbox) onlyPongs() bool { return o.held == 0 && o.frames > 0 && o.frames == o.pongs }

// take removes and returns the first of what waits. The caller holds mu.
func (o *outbox) take() (first piece) {
	if len(o.ahead) > 0 {
		first = o.ahead[0]
		o.ahead[0] = piece{}
		o.ahead = o.ahead[1:]
		o.held -= len(first.p)
		return first
	}
	return o.takeBuf()
}

func (o *outbox) takeBuf() piece {
	v := o.buf
	o.buf, o.pongs, o.frames, o.lastPong = nil, 0, 0, -1
	return piece{v, v.b}
}

// drop forgets what waits. The caller holds mu.
func (o *outbox) drop() {
	for o.len() > 0 {
		putBlock(o.take().v)
	}
	o.ahead = nil
}

// write sends or, if !now, gathers a data frame.
func (c *Conn) write(op Opcode, p []byte, now bool) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.writeLocked(op, p, now)
}

// writeLocked is write for who holds mu. With a defer more it would be slower: the
// compiler keeps them cheap up to fifteen ways out.
func (c *Conn) writeLocked(op Opcode, p []byte, now bool) error {
	o := &c.out
	for o.stuck() && o.len() > maxBatch && o.err == nil {
		if c.loop != nil {
			c.loop.yield(c)
		}
		o.wait()
	}
	if c.loop == nil && len(p) >= noCopy/2 {
		c.flush(true) // what is written directly must be compressed when its turn has come
	}
	if err := o.usable(); err != nil {
		return err
	}
	if o.open {
		return ErrMessageOpen
	}
	if !op.isMessage() {
		return errNoMessage
	}
	h := Header{Fin: true, Opcode: op}
	if z, err := c.deflated(p); err != nil {
		return err
	} else if z != nil {
		defer putBlock(z)
		h.Rsv1, p = true, z.b
	}
	h.PayloadLen = int64(len(p))
	if c.loop != nil {
		if frame := c.frameInPlace(h, p, now); frame != nil {
			return c.sendInPlace(h, frame)
		}
	} else if c.role == RoleServer && c.raw != nil {
		if frame := c.frameInPlace(h, p, now); frame != nil {
			return c.writeLarge(h, frame, nil)
		}
		if len(p) >= noCopy {
			return c.writeLarge(h, AppendHeader(make([]byte, 0, MaxHeaderLen), h), p)
		}
	}
	c.queue(h, p)
	if now || o.len() >= maxBatch {
		return c.flush(true)
	}
	return nil
}

// deflated returns p compressed, in a block of its own, or nil if p goes as it is.
func (c *Conn) deflated(p []byte) (*block, error) {
	d := c.deflate
	if d == nil || !d.wants(len(p)) {
		return nil, nil
	}
	z := getBlock(len(p))
	var err error
	if z.b, err = d.Compress(z.b, p); err != nil {
		putBlock(z)
		return nil, err
	}
	return z, nil
}

// usable says why nothing more can be sent. The caller holds mu.
func (o *outbox) usable() error {
	if o.err != nil {
		return o.err
	}
	if o.closing {
		return ErrCloseSent
	}
	return nil
}

// queue appends a frame to what waits. The caller holds mu.
func (c *Conn) queue(h Header, p []byte) {
	o := &c.out
	h.PayloadLen = int64(len(p))
	if c.cfg.Tap != nil {
		if h.Opcode.IsControl() {
			c.cfg.Tap(false, h, p)
		} else {
			c.cfg.Tap(false, h, nil)
		}
	}
	if c.role == RoleClient {
		h.Masked = true
		rand.Read(h.MaskingKey[:])
	}
	o.buf = o.buf.grow(MaxHeaderLen + len(p))
	o.frames++
	o.lastPong = -1
	if h.Opcode == OpPong {
		o.pongs++
		o.lastPong = int32(len(o.buf.b))
	}
	b := AppendHeader(o.buf.b, h)
	n := len(b)
	b = append(b, p...)
	if h.Masked {
		mask(b[n:], h.MaskingKey, 0)
	}
	o.buf.b = b
}

// queuePong queues the answer to a ping.
func (c *Conn) queuePong(p []byte) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.usable() != nil {
		return
	}
	if o.stuck() && o.pongs >= maxPongs && o.lastPong >= 0 {
		o.buf.b = o.buf.b[:o.lastPong]
		o.pongs--
		o.frames--
	}
	c.queue(Header{Fin: true, Opcode: OpPong}, p)
	if o.len() >= maxBatch {
		c.flush(c.raw != nil && o.pongs > maxPongs && !o.writing)
	}
}

// queueClose queues a Close frame with the given payload unless there was one.
func (c *Conn) queueClose(p []byte) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.usable() == nil {
		c.queue(Header{Fin: true, Opcode: OpClose}, p)
		o.closing = true
	}
}

func (c *Conn) writeControl(op Opcode, p []byte) error {
	if len(p) > maxControl {
		return ErrControlTooLong
	}
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.usable(); err != nil {
		return err
	}
	c.queue(Header{Fin: true, Opcode: op}, p)
	return c.flush(true)
}

// post sends a frame without ever waiting for the peer: what the socket does not
// take is queued, beside one frame at most limit bytes, and written by a goroutine
// that lives only as long as there is a backlog.
func (c *Conn) post(op Opcode, p []byte, limit int) error {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.usable(); err != nil {
		return err
	}
	if n := o.len(); n > 0 && n+len(p) > limit {
		return ErrQueueFull
	}
	h := Header{Fin: true, Opcode: op}
	if !op.IsControl() {
		if z, err := c.deflated(p); err != nil {
			return err
		} else if z != nil {
			defer putBlock(z)
			h.Rsv1, p = true, z.b
		}
	}
	c.queue(h, p)
	return c.flush(false)
}

// flush hands what waits to the system. With block it returns when that is done,
// otherwise a goroutine goes on with what the socket does not take. The caller
// holds mu, which is released meanwhile.
func (c *Conn) flush(block bool) error {
	o := &c.out
	if c.loop != nil {
		return c.pump()
	}
	for o.writing {
		if !block {
			return o.err // whoever writes will take ours too
		}
		o.wait()
	}
	for o.len() > 0 && o.err == nil {
		w := o.take()
		o.writing = true
		o.mu.Unlock()
		n, err := c.tryWrite(w.p)
		if err == nil && n < len(w.p) {
			w.p = w.p[n:]
			if !block {
				go c.drain(w)
				o.mu.Lock()
				return nil
			}
			err = c.writeAll(w.p)
		}
		putBlock(w.v)
		o.mu.Lock()
		o.wrote(err)
	}
	return o.err
}

// wrote notes the end of a write. The caller holds mu.
func (o *outbox) wrote(err error) {
	o.writing = false
	if err != nil && o.err == nil {
		o.err = err
		o.drop()
	}
	o.wake()
}

// drain writes w and whatever is queued meanwhile. It ends with the backlog or the
// stream; hangUp waits for it. Nobody else would see that it failed.
func (c *Conn) drain(w piece) {
	err := c.writeAll(w.p)
	putBlock(w.v)
	c.out.mu.Lock()
	c.out.wrote(err)
	err = c.flush(true)
	c.out.mu.Unlock()
	if err != nil {
		c.abort(err)
	}
}

// frameInPlace returns the frame of p if that is the message last read, sent on by
// the goroutine that reads, and so lies in a buffer with room for the header.
func (c *Conn) frameInPlace(h Header, p []byte, now bool) []byte {
	if now || len(p) < inPlace || c.input == nil || len(c.whole) < len(p) {
		return nil
	}
	at := len(c.whole) - len(p)
	if &c.whole[at] != &p[0] {
		return nil
	}
	var room [MaxHeaderLen]byte
	head := AppendHeader(room[:0], h)
	copy(c.whole[at-len(head):], head) // never longer than the masked one it came with
	return c.whole[at-len(head):]
}

// writeLarge sends what waits and then a frame, the bytes of a and then those of p,
// without copying them. The caller holds mu.
func (c *Conn) writeLarge(h Header, a, p []byte) error {
	o := &c.out
	if err := c.flush(true); err != nil {
		return err
	}
	if err := o.usable(); err != nil { // mu was released
		return err
	}
	if c.cfg.Tap != nil {
		c.cfg.Tap(false, h, nil)
	}
	o.writing = true
	o.mu.Unlock()
	var err error
	if p != nil {
		err = c.writeBoth(a, p)
	} else if n, werr := c.tryWrite(a); werr != nil || n == len(a) {
		err = werr
	} else {
		err = c.writeAll(a[n:])
	}
	o.mu.Lock()
	o.wrote(err)
	if o.len() > 0 {
		return c.flush(true)
	}
	return o.err
}

// vectors are the lists of buffers that writeBoth passes to the system.
var vectors = sync.Pool{New: func() any { return new(vector) }}

type vector struct {
	list net.Buffers
	room [2][]byte
}

// writeBoth writes a and then p.
func (c *Conn) writeBoth(a, p []byte) error {
	n := min(len(p), writeStride)
	v := vectors.Get().(*vector)
	v.room = [2][]byte{a, p[:n]}
	v.list = v.room[:]
	c.nc.SetWriteDeadline(time.Now().Add(c.cfg.writeTimeout()))
	if err := c.died(); err != nil {
		return err
	}
	_, err := v.list.WriteTo(c.nc)
	v.room, v.list = [2][]byte{}, nil
	vectors.Put(v)
	if err != nil {
		return err
	}
	return c.writeAll(p[n:])
}

// writeStride is how much must be sent within each WriteTimeout.
const writeStride = 256 << 10

// tryWrite writes what the socket takes at once.
func (c *Conn) tryWrite(b []byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	t := c.out.trial
	if t == nil {
		t = new(trial)
		t.step = func(fd uintptr) bool {
			t.n, t.err = rawio.Write(fd, t.p)
			return true
		}
		c.out.trial = t
	}
	t.p = b
	err := c.raw.Write(t.step)
	t.p = nil
	if err != nil {
		return 0, err
	}
	return t.n, t.err
}

// writeAll writes b.
func (c *Conn) writeAll(b []byte) error {
	w := rawio.Writing{Stall: c.cfg.writeTimeout(), Least: writeStride, Over: c.died}
	if _, err := w.Write(c.nc, b); err != nil {
		return cmp.Or(c.died(), err)
	}
	c.nc.SetWriteDeadline(time.Time{}) // it may have gone by now, but has taken all
	return nil
}

// died returns what abort was called with, if it was.
func (c *Conn) died() error {
	if dead := c.dead.Load(); dead != nil {
		return *dead
	}
	return nil
}

var errNoMessage = errors.New("wsproto: a message is text or binary") // §5.6

func (o Opcode) isMessage() bool { return o == OpText || o == OpBinary }

var errStall = &net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
