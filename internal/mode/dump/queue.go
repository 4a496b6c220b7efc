package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/rawio"
	"socketsrv/linesrv"
)

const (
	writePiece = 64 << 10        // of what waits, in one write
	reportTime = 5 * time.Second // between two lines about a file on its way
)

var (
	errStalled   = errors.New("the peer takes nothing of what is sent")
	errCancelled = errors.New("cancelled")
	errFileBusy  = errors.New("a file is on its way already")
	errNoFile    = errors.New("no file is on its way")
)

// A queue writes to one TCP client. What the socket takes goes out at once;
// the rest waits, 1 MiB at most, and a goroutine that lives only as long as there
// is a backlog writes it. A message is shown as sent once the system has all of it.
// After an error nothing more is taken.
type queue struct {
	client *tcpClient

	mu      sync.Mutex
	changed sync.Cond // running, size or err did
	items   []queued
	size    int  // bytes that wait, those of files aside
	running bool // the goroutine is there
	closing bool // our side has ended or will, after what waits
	err     error
	file    *fileOut // waiting or under way
}

// queued is one of: a message, a file, the end of our side.
type queued struct {
	data  []byte // what is left of the message
	shown []byte // the message
	file  *fileOut
}

func (q *queue) init(c *tcpClient) {
	q.client = c
	q.changed.L = &q.mu
}

// settle waits until what was sent before is shown.
func (q *queue) settle() {
	q.mu.Lock()
	defer q.mu.Unlock()
}

// put takes wire, whole or not at all; shown is what it is in words.
func (q *queue) put(wire, shown []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.usable(); err != nil {
		return err
	}
	if q.size > 0 && q.size+len(wire) > cli.MaxQueue {
		return errQueueFull
	}
	return q.take(wire, shown)
}

// putWait is put for the goroutine that reads: where there is no room it waits, and
// so nothing more is read from a peer that does not read either.
func (q *queue) putWait(wire, shown []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size > 0 && q.size+len(wire) > cli.MaxQueue && q.err == nil {
		q.changed.Wait()
	}
	if err := q.take(wire, shown); err != errClosing {
		return err
	}
	return nil // what is read while we close needs no answer
}

// take writes wire or queues it. q.mu is held, as in all that follow.
func (q *queue) take(wire, shown []byte) error {
	if err := q.usable(); err != nil {
		return err
	}
	c, n := q.client, 0
	if !q.running && c.raw != nil {
		var err error
		n, err = rawio.TryWrite(c.raw, wire)
		q.wrote(n)
		if err == nil && c.halfOpen.Load() && rawio.Lost(c.raw) { // nobody is there; on this machine that is known at once
			err = io.EOF
		}
		if err != nil {
			q.fail(err)
			return q.err
		}
	}
	if n == len(wire) {
		q.sent(shown)
		return nil
	}
	rest := queued{data: bytes.Clone(wire[n:])}
	if rest.shown = rest.data; len(rest.data) != len(shown) {
		rest.shown = bytes.Clone(shown)
	}
	q.size += len(rest.data)
	q.add(rest)
	return nil
}

func (q *queue) usable() error {
	if q.err != nil {
		return q.err
	}
	if q.closing {
		return errClosing
	}
	return nil
}

func (q *queue) add(item queued) {
	q.items = append(q.items, item)
	q.client.waits.Store(true)
	if !q.running {
		q.running = true
		go q.drain()
	}
}

// putFile takes a file; one at a time.
func (q *queue) putFile(f *fileOut) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.usable(); err != nil {
		return err
	}
	if q.file != nil {
		return errFileBusy
	}
	q.file = f
	q.add(queued{file: f})
	return nil
}

// cancelFile stops the file on its way, at once where a write that is cut short does
// no harm; it does in TLS.
func (q *queue) cancelFile() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.file == nil {
		return errNoFile
	}
	q.file.cancelled.Store(true)
	if c := q.client; c.raw != nil {
		c.SetWriteDeadline(time.Unix(1, 0))
	}
	return nil
}

// end ends our side after what waits.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closing && q.err == nil {
		q.closing = true
		q.add(queued{})
	}
}

// finish returns when nothing is being written any more: what waits is written,
// unless abort cuts that short. It returns what was not.
func (q *queue) finish() (left unsent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing = true
	for q.running {
		q.changed.Wait()
	}
	if q.err == nil {
		q.err = errClosing
	}
	for _, item := range q.items {
		if item.data != nil {
			left.messages++
			left.bytes += len(item.data)
		}
	}
	q.items = nil
	q.client.waits.Store(false)
	return left
}

// abort drops what waits.
func (q *queue) abort(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail(err)
}

func (q *queue) fail(err error) {
	if q.err == nil {
		q.err = err
	}
	q.changed.Broadcast()
}

// wrote counts n bytes that are the system's now.
func (q *queue) wrote(n int) {
	q.client.out.bytes.Add(int64(n))
	q.client.t.moved.Add(1)
}

func (q *queue) sent(shown []byte) {
	q.client.out.messages.Add(1)
	q.client.t.sent(&q.client.client, "", shown)
}

// drain writes what waits, and returns when nothing does or nothing can be written.
func (q *queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 && q.err == nil {
		if err := accept.Guard(q.next); err != nil {
			q.unlocked(func() error { return err })
		}
	}
	for _, item := range q.items {
		if f := item.file; f != nil {
			q.unlocked(func() error { f.done(0, q.err); return f.file.Close() })
		}
	}
	q.file, q.running = nil, false
	if q.err == nil {
		q.items = nil
		q.client.waits.Store(false)
	}
	q.changed.Broadcast()
}

// next writes what is in front.
func (q *queue) next() error {
	switch item := q.items[0]; {
	case item.data != nil:
		q.writeItems()
	case item.file != nil:
		q.unlocked(func() error { return q.sendFile(item.file) })
		q.file, q.items = nil, q.items[1:]
		if q.err == nil {
			q.client.SetWriteDeadline(time.Time{}) // that of the last write, or of cancelFile
		}
	default:
		q.unlocked(func() error { q.client.endSide(); return nil })
		q.items = q.items[1:]
	}
	return nil
}

// unlocked does what may take long without q.mu; its first error is the connection's.
func (q *queue) unlocked(do func() error) {
	q.mu.Unlock()
	err := accept.Guard(do)
	q.mu.Lock()
	if err != nil && q.err == nil {
		q.fail(err)
		q.mu.Unlock()
		q.client.abort(err) // the reader is told
		q.mu.Lock()
	}
}

// writeItems writes a piece of the messages in front.
func (q *queue) writeItems() {
	p := q.items[0].data
	if len(p) < writePiece && len(q.items) > 1 {
		p = make([]byte, 0, writePiece)
		for _, item := range q.items {
			if item.data == nil || len(p)+len(item.data) > writePiece && len(p) > 0 {
				break
			}
			p = append(p, item.data...)
		}
	}
	n := 0
	q.unlocked(func() (err error) {
		n, err = q.write(p[:min(len(p), writePiece)], q.client.ended)
		return err
	})
	q.wrote(n)
	q.size -= n
	q.changed.Broadcast()
	for n > 0 {
		item := &q.items[0]
		k := min(n, len(item.data))
		item.data, n = item.data[k:], n-k
		if len(item.data) == 0 {
			q.items = q.items[1:]
			q.sent(item.shown)
		}
	}
}

// write writes p, as long as the peer takes something within -stall and over is nil.
func (q *queue) write(p []byte, over func() error) (int, error) {
	c := q.client
	n, err := rawio.Writing{Stall: c.t.stall, Over: over}.Write(c.Conn, p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if err = over(); err == nil {
			err = errStalled
		}
	}
	if err == nil {
		c.SetWriteDeadline(time.Time{})
	}
	return n, err
}

// sendFile sends f. The error is one of the connection.
func (q *queue) sendFile(f *fileOut) error {
	defer f.file.Close()
	f.began = time.Now()
	err := q.copyFile(f)
	f.done(f.sent, err)
	switch {
	case err == nil:
		q.client.out.messages.Add(1)
	case errors.Is(err, errCancelled) && (f.content == nil || f.sent == 0), errors.As(err, new(*os.PathError)):
		return nil
	}
	return err
}

func (q *queue) copyFile(f *fileOut) error {
	over := func() error {
		if f.cancelled.Load() {
			return errCancelled
		}
		return q.client.ended()
	}
	var from io.Reader = f.file
	if f.content != nil {
		from = bytes.NewReader(f.content)
	}
	buf := make([]byte, writePiece)
	for report := f.began; f.sent < f.size; {
		p := buf[:min(f.size-f.sent, int64(len(buf)))]
		if _, err := io.ReadFull(from, p); err != nil {
			return &os.PathError{Op: "read", Path: f.name, Err: err}
		}
		n, err := q.write(p, over)
		f.sent += int64(n)
		q.mu.Lock()
		q.wrote(n)
		q.mu.Unlock()
		if err != nil {
			return err
		}
		if now := time.Now(); now.Sub(report) >= reportTime {
			report = now
			f.progress(f.sent)
		}
	}
	return nil
}

// A fileOut is a file to send.
type fileOut struct {
	file    *os.File
	name    string
	size    int64  // what is sent of it
	content []byte // goes in place of the file: all of it, framed

	began     time.Time
	sent      int64
	cancelled atomic.Bool
	progress  func(sent int64)
	done      func(sent int64, err error)
}

func (f *fileOut) close() { f.file.Close() }

// openDumpFile opens a regular file: others may block, or have no end.
func openDumpFile(name string) (*fileOut, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &fileOut{file: file, name: name, size: info.Size()}, nil
}

// read returns the whole of a file that has limit bytes at most.
func (f *fileOut) read(limit int64) ([]byte, error) {
	if f.size > limit {
		return nil, fmt.Errorf("%s: %w (max %d)", f.name, errMessageTooLong, limit)
	}
	b := make([]byte, f.size)
	if _, err := io.ReadFull(f.file, b); err != nil {
		return nil, &os.PathError{Op: "read", Path: f.name, Err: err}
	}
	return b, nil
}

// frame makes one message of a file that has limit bytes at most.
func (f *fileOut) frame(how linesrv.Framing, limit int64) error {
	b, err := f.read(limit)
	if err == nil {
		f.content, err = how.Append(nil, b)
		f.size = int64(len(f.content))
	}
	return err
}

var errMessageTooLong = errors.New("message too long")
