package dump

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/cli"
)

const (
	writePiece = 256 << 10 // must be taken within writeStall, at least in part
	filePiece  = 64 << 10
	reportTime = 5 * time.Second // between two lines about a file on its way
)

var (
	errStalled   = errors.New("the peer takes nothing of what is sent")
	errCancelled = errors.New("cancelled")
	errFileBusy  = errors.New("a file is on its way already")
	errNoFile    = errors.New("no file is on its way")
	errFileCut   = errors.New("a file was cut short")
)

// A queue writes to one TCP client. What the socket takes goes out at once;
// the rest waits, 1 MiB at most, and a goroutine that lives only as long as there
// is a backlog writes it. After an error nothing more is taken.
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

// queued is one of: bytes, a file, the end of our side.
type queued struct {
	data []byte
	file *fileOut
}

func (q *queue) init(c *tcpClient) {
	q.client = c
	q.changed.L = &q.mu
}

// put takes p, whole or not at all. Before anything of it can reach the peer it
// calls show.
func (q *queue) put(p []byte, show func()) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.usable(); err != nil {
		return err
	}
	if q.size > 0 && q.size+len(p) > cli.MaxQueue {
		return errQueueFull
	}
	show()
	return q.take(p)
}

// putWait is put for the goroutine that reads: where there is no room it waits, and
// so nothing more is read from a peer that does not read either.
func (q *queue) putWait(p []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size > 0 && q.size+len(p) > cli.MaxQueue && q.err == nil {
		q.changed.Wait()
	}
	if err := q.take(p); err != errClosing {
		return err
	}
	return nil // what is read while we close needs no answer
}

// take writes p or queues it. q.mu is held, as in all that follow.
func (q *queue) take(p []byte) error {
	if err := q.usable(); err != nil {
		return err
	}
	q.client.out.messages.Add(1)
	if !q.running && q.client.raw != nil {
		n, err := tryWrite(q.client.raw, p)
		q.wrote(n)
		if err != nil {
			q.fail(err)
			return q.err
		}
		p = p[n:]
	}
	if len(p) == 0 {
		return nil
	}
	q.size += len(p)
	if n := len(q.items); n > 0 && q.items[n-1].data != nil {
		q.items[n-1].data = append(q.items[n-1].data, p...)
		return nil
	}
	q.add(queued{data: append([]byte(nil), p...)})
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
		c.nc.SetWriteDeadline(time.Unix(1, 0))
	}
	return nil
}

// end ends our side after what waits, except for a file, which is cut short.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.file != nil {
		q.file.cancelled.Store(true)
	}
	if !q.closing && q.err == nil {
		q.closing = true
		q.add(queued{})
	}
}

// finish returns when nothing is being written any more: what waits is written,
// unless abort cuts that short.
func (q *queue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing = true
	for q.running {
		q.changed.Wait()
	}
	if q.err == nil {
		q.err = errClosing
	}
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

// drain writes what waits, and returns when nothing does.
func (q *queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 {
		item := q.items[0]
		q.items = q.items[1:]
		err := q.err
		q.mu.Unlock()
		switch {
		case item.file != nil:
			err = q.sendFile(item.file, err)
		case err != nil:
		case item.data != nil:
			_, err = q.writeAll(item.data, nil)
		default:
			q.client.endSide()
		}
		q.mu.Lock()
		if item.file != nil {
			q.file = nil
		}
		if err != nil && q.err == nil {
			q.fail(err)
			q.mu.Unlock()
			q.client.abort(err) // the reader is told
			q.mu.Lock()
		}
	}
	q.items, q.running = nil, false
	q.changed.Broadcast()
}

// writeAll writes p, however long the peer takes as long as it takes something. It
// is of f, which may be cancelled, or else, with nil, part of size.
func (q *queue) writeAll(p []byte, f *fileOut) (written int, err error) {
	c := q.client
	for len(p) > 0 {
		c.nc.SetWriteDeadline(time.Now().Add(cli.WriteStall))
		// Both are looked at after their deadline may have been replaced.
		if dead := c.dead.Load(); dead != nil {
			return written, *dead
		}
		if f != nil && f.cancelled.Load() {
			return written, errCancelled
		}
		n, err := c.nc.Write(p[:min(len(p), writePiece)])
		q.mu.Lock()
		q.wrote(n)
		written += n
		if f == nil {
			q.size -= n
			q.changed.Broadcast()
		}
		q.mu.Unlock()
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && (f == nil || !f.cancelled.Load()) {
			return written, errStalled
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
		p = p[n:]
	}
	return written, c.nc.SetWriteDeadline(time.Time{})
}

// sendFile sends f, unless err says that nothing can be sent. The error is one of
// the connection.
func (q *queue) sendFile(f *fileOut, err error) error {
	defer f.close()
	f.began = time.Now()
	if err == nil {
		err = q.copyFile(f)
	}
	f.done(f.sent, err)
	switch {
	case err == nil:
		q.client.out.messages.Add(1)
		return nil
	case f.head != nil && f.sent > 0:
		return errFileCut // what follows would be taken for the rest of it
	case errors.Is(err, errCancelled), errors.As(err, new(*os.PathError)):
		return nil
	}
	return err
}

func (q *queue) copyFile(f *fileOut) error {
	buf := make([]byte, filePiece)
	report := f.began
	for n := copy(buf, f.head); f.sent < f.size || n > 0; n = 0 {
		if f.cancelled.Load() {
			return errCancelled
		}
		m, err := io.ReadFull(f.file, buf[n:n+int(min(f.size-f.sent, int64(len(buf)-n)))])
		if err != nil && f.sent < f.size {
			return &os.PathError{Op: "read", Path: f.name, Err: err}
		}
		written, err := q.writeAll(buf[:n+m], f)
		f.sent += int64(max(written-n, 0))
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
	file *os.File
	name string
	size int64  // what is sent of it
	head []byte // goes first

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

var errMessageTooLong = errors.New("message too long")
