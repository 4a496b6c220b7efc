package wsproto

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Messages too large to hold are read and sent in pieces, and reading ends with a
// context.

// NextReader returns the next message as it comes, however long: its opcode, and a
// reader that ends with io.EOF where the message does. Config.MaxMessage and
// MaxFragments do not bound it. Text is checked as it is read, compressed data are
// inflated. The reader is for the goroutine that reads, and ends with the next call of
// NextReader or ReadMessage, which read over what is left of the message.
//
// The errors of both are those of ReadMessage. After a time-out NextReader may be
// called again, and so may Read unless the message is compressed.
func (c *Conn) NextReader() (Opcode, io.Reader, error) {
	r := c.stream
	if r != nil && r.op != 0 {
		if err := c.skipStream(); err != nil {
			return 0, nil, err
		}
		r = nil
	}
	if r == nil {
		r = &messageReader{c: c}
		c.stream, c.asm.stream = r, true
	}
	if err := r.begin(); err != nil {
		return 0, nil, err
	}
	return r.op, r, nil
}

// skipStream reads over what is left of the message that NextReader began.
func (c *Conn) skipStream() error {
	r := c.stream
	if r.op != 0 || c.asm.message != 0 {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	r.end(io.EOF) // nothing has come
	return nil
}

// A messageReader is the reader of one message.
type messageReader struct {
	c    *Conn
	op   Opcode // 0 until its first piece has come
	rest []byte // of the piece that came last
	over bool   // that was the last one
	err  error  // how the reader ended

	// Of a compressed message.
	z       *inflater
	broken  error // of the connection
	streams int   // see inflater.inflate
	text    utf8State
	size    int64 // bytes that came out
}

// begin gets the first piece.
func (r *messageReader) begin() (err error) {
	if r.rest, err = r.next(); err != nil || !r.c.asm.deflated {
		return err
	}
	r.z, r.streams, r.text = inflaters.Get().(*inflater), 1, utf8Start
	r.z.src = payload{p: r.rest, tail: wholeTail, more: func() ([]byte, error) {
		p, err := r.next()
		r.broken = err
		return p, err
	}}
	r.z.r.Reset(&r.z.src, r.c.asm.Deflate.window())
	return nil
}

// next returns the next piece of the message, nil if there is none.
func (r *messageReader) next() ([]byte, error) {
	if r.over {
		return nil, nil
	}
	m, err := r.c.readNext()
	if err != nil {
		return nil, err
	}
	r.c.messages.Add(1) // who sends is not idle
	r.op, r.over = m.Opcode, r.c.asm.message == 0
	return m.Data, nil
}

// Read reads from the message.
func (r *messageReader) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil && len(p) > 0 {
		switch {
		case r.err != nil:
			return 0, r.err
		case r.op == 0:
			err = r.begin()
		case r.z != nil:
			n = r.inflate(p)
		case len(r.rest) > 0:
			n = copy(p, r.rest)
			r.rest = r.rest[n:]
		case r.over:
			r.end(io.EOF)
		default:
			r.rest, err = r.next()
		}
	}
	return n, err
}

// end notes how the reader ended.
func (r *messageReader) end(err error) {
	r.err = err
	if z := r.z; z != nil {
		z.src, r.z = payload{}, nil
		inflaters.Put(z)
		if d := r.c.asm.Deflate; !d.receive.takeover {
			d.history = d.history[:0]
		}
	}
	r.c.stream, r.c.asm.stream = nil, false
}

// inflate reads from a compressed message, or ends it. What may be referred to is
// kept in the history of the connection, here also where each message is on its own.
func (r *messageReader) inflate(p []byte) int {
	src, d := &r.z.src, r.c.asm.Deflate
	n, err := r.z.r.Read(p)
	d.remember(p[:n])
	final := err == io.EOF && n == 0 && src.ended()
	if fault := r.check(p[:n], final); fault != nil {
		r.fail(fault)
		return 0
	}
	r.size += int64(n)
	switch {
	case n > 0 || err == nil: // flate says err again
	case r.broken != nil:
		r.end(r.broken)
	case final && !src.odd: // else the tail was taken for more than it is
		r.end(io.EOF)
	case err == io.EOF && !final && r.streams < maxStreams:
		r.streams++
		r.z.r.Reset(src, d.window())
	default:
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errCut
		}
		r.fail(brokeAt(StatusInvalidFramePayloadData, fmt.Errorf("%w: %w", ErrCompressedData, err), src.p, min(src.at, len(src.p))))
	}
	return n
}

// check judges the text that came out of a compressed message.
func (r *messageReader) check(p []byte, final bool) error {
	if r.op != OpText || r.text == utf8Bad {
		return nil
	}
	before := r.text
	if r.text = before.next(p); r.text == utf8Start || r.text != utf8Bad && !final {
		return nil
	}
	r.text = utf8Bad
	fault := brokeAt(StatusInvalidFramePayloadData, ErrInvalidUTF8, p, before.badAt(p))
	fault.Header = r.c.asm.h
	fault.Offset += r.size
	return r.c.asm.forgive(fault)
}

// fail fails the connection.
func (r *messageReader) fail(fault error) {
	r.c.lockReading()
	defer r.c.unlockReading()
	r.c.fail(inFrame(fault, r.c.asm.h))
	r.end(r.c.ended)
}

// NextWriter begins a message that is sent in pieces: each Write is a frame or
// several, not compressed, and Close ends the message. Until then WriteMessage, Reply
// and NextWriter fail with ErrMessageOpen; control frames pass. The pieces of text
// need not end between two characters. The errors are those of WriteMessage.
func (c *Conn) NextWriter(op Opcode) (io.WriteCloser, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if err := c.out.usable(); err != nil {
		return nil, err
	}
	if c.out.open {
		return nil, ErrMessageOpen
	}
	if !op.isMessage() {
		return nil, errNoMessage
	}
	c.out.open = true
	return &messageWriter{c: c, op: op}, nil
}

// A messageWriter sends one message; c is nil once it is ended.
type messageWriter struct {
	c  *Conn
	op Opcode // of the next frame
}

func (w *messageWriter) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		part := p[n:min(len(p), n+noCopy)]
		if err = w.send(part, false); err == nil {
			n += len(part)
		}
	}
	return n, err
}

func (w *messageWriter) Close() error { return w.send(nil, true) }

// send sends a frame.
func (w *messageWriter) send(p []byte, fin bool) error {
	c := w.c
	if c == nil {
		return ErrClosed
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if fin {
		w.c, c.out.open = nil, false
	}
	if err := c.out.usable(); err != nil {
		return err
	}
	c.queue(Header{Fin: fin, Opcode: w.op}, p)
	w.op = OpContinuation
	return c.flush(true)
}

// ReadMessageContext is ReadMessage until ctx ends, whose error it then returns. That
// loses nothing, like a time-out. It takes the place of SetReadDeadline.
func (c *Conn) ReadMessageContext(ctx context.Context) (Message, error) {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.nc.SetReadDeadline(longAgo)
		close(stopped)
	})
	m, err := c.ReadMessage()
	if stop() {
		return m, err
	}
	<-stopped
	c.nc.SetReadDeadline(time.Time{})
	if c.dead.Load() != nil { // it was cut off meanwhile
		c.nc.SetReadDeadline(longAgo)
	}
	if err != nil && isTimeout(err) {
		err = ctx.Err()
	}
	return m, err
}
