package judge

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Turn is what one side sent before the other one sent something.
type Turn struct {
	At   time.Duration // since the connection began
	Sent bool          // by the judge
	Size int64         // in bytes
	Head []byte        // at most the first 256 bytes
}

const (
	turnHead = 256
	maxTurns = 40
)

// tap is a connection that keeps the head of what goes over it, and on which
// nobody waits for ever: not longer than wait for the endpoint to send or to accept
// a byte, and not beyond end.
type tap struct {
	net.Conn
	start, end time.Time

	lock  sync.Mutex
	wait  time.Duration
	moved time.Time // when a byte of ours was accepted last
	turns []Turn
}

func newTap(nc net.Conn, wait, total time.Duration) *tap {
	now := time.Now()
	return &tap{Conn: nc, start: now, end: now.Add(total), wait: wait, moved: now}
}

// patience changes how long the endpoint may do nothing, and returns what it was.
func (t *tap) patience(d time.Duration) time.Duration {
	t.lock.Lock()
	defer t.lock.Unlock()
	was := t.wait
	t.wait = d
	return was
}

func (t *tap) until(from time.Time) time.Time {
	t.lock.Lock()
	defer t.lock.Unlock()
	if from.Before(t.moved) {
		from = t.moved
	}
	if end := from.Add(t.wait); end.Before(t.end) {
		return end
	}
	return t.end
}

// Read fails with os.ErrDeadlineExceeded when no byte came, and none of ours was
// accepted, for as long as the endpoint may do nothing.
func (t *tap) Read(b []byte) (int, error) {
	from := time.Now()
	for {
		end := t.until(from)
		_ = t.SetReadDeadline(end)
		n, err := t.Conn.Read(b)
		t.record(false, b[:n])
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && t.until(from).After(end) {
			continue
		}
		return n, err
	}
}

// Write goes on as long as the endpoint accepts something.
func (t *tap) Write(b []byte) (done int, err error) {
	for done < len(b) && err == nil {
		piece := b[done:min(len(b), done+64<<10)]
		_ = t.SetWriteDeadline(t.until(time.Now()))
		var n int
		n, err = t.Conn.Write(piece)
		t.record(true, piece[:n])
		done += n
	}
	return done, err
}

func (t *tap) record(sent bool, b []byte) {
	if len(b) == 0 {
		return
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	now := time.Now()
	if sent {
		t.moved = now
	}
	last := len(t.turns) - 1
	if last < 0 || t.turns[last].Sent != sent {
		if last+1 == maxTurns {
			return
		}
		t.turns = append(t.turns, Turn{At: now.Sub(t.start), Sent: sent})
		last++
	}
	u := &t.turns[last]
	u.Size += int64(len(b))
	u.Head = append(u.Head, b[:min(len(b), turnHead-len(u.Head))]...)
}
