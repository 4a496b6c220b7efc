package ping

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/talk"
	"socketsrv/wsproto"
)

// A framePinger pings by the frames of a WebSocket connection.
type framePinger struct {
	*pinger
	id   string // of this run, in payloads
	conn *wsproto.Conn

	pong  chan struct{} // one came
	ended chan error    // why the connection did
}

// frames pings until it is enough, or ctx or the connection ends.
func (p *pinger) frames(ctx context.Context) error {
	f := &framePinger{pinger: p, id: rand.Text()[:8], pong: make(chan struct{}, 1), ended: make(chan error, 1)}
	if err := f.connect(ctx); err != nil {
		return err
	}
	l := &dial.WSLink{Conn: f.conn}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		f.ended <- listenOnly(l)
	}()
	p.title(f.conn.NetConn().RemoteAddr().String())
	var err error
	if p.stdin {
		err = f.lines(ctx)
	} else {
		err = f.series(ctx)
	}
	f.hangUp(l, gone)
	return err
}

func (f *framePinger) connect(ctx context.Context) (err error) {
	dial, cancel := f.ws.Timeout(ctx)
	defer cancel()
	cfg := wsproto.Config{MaxMessage: f.client.MaxMessage, WriteTimeout: f.wait, Tap: func(received bool, h wsproto.Header, p []byte) {
		if received && h.Opcode == wsproto.OpPong {
			f.received(p)
		}
	}}
	f.conn, err = f.client.DialWebSocket(dial, f.env, f.con, &f.target, cfg)
	return err
}

// listenOnly reads until the connection ends, and says why it did; pongs are the
// tap's.
func listenOnly(l *dial.WSLink) error {
	for {
		if _, err := l.Receive(); err != nil {
			return err
		}
	}
}

func (f *framePinger) hangUp(l *dial.WSLink, gone <-chan struct{}) {
	l.Finish(wsproto.StatusNormalClosure, "")
	select {
	case <-gone:
	case <-time.After(dial.CutTime):
	}
	l.Close()
	select {
	case <-gone:
	case <-time.After(cli.FlushTime): // stdout takes nothing
	}
}

// series sends numbered pings, and waits for the last answers.
func (f *framePinger) series(ctx context.Context) error {
	tick := time.NewTicker(f.pause())
	defer tick.Stop()
	for n := 0; f.count == 0 || n < f.count; n++ {
		if n > 0 {
			if done, err := f.waitTurn(ctx, tick); done {
				return err
			}
		}
		if err := f.conn.Ping([]byte(f.begin(f.payload).payload)); err != nil {
			return f.why(err)
		}
	}
	return f.waitOpen(ctx)
}

func (f *framePinger) pause() time.Duration {
	if f.flood {
		return floodPause
	}
	return f.interval
}

// waitTurn waits until the next ping is due.
func (f *framePinger) waitTurn(ctx context.Context, tick *time.Ticker) (done bool, err error) {
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case err := <-f.ended:
			return true, f.end(err)
		case now := <-tick.C:
			f.overdue(now)
			return false, nil
		case <-f.pong:
			if f.flood {
				tick.Reset(floodPause)
				return false, nil
			}
		}
	}
}

// waitOpen waits for the answers that are missing, and not longer than -W.
func (f *framePinger) waitOpen(ctx context.Context) error {
	late := time.NewTimer(f.wait)
	defer late.Stop()
	for f.opened() > 0 {
		select {
		case <-ctx.Done():
			return nil
		case err := <-f.ended:
			return f.end(err)
		case <-f.pong:
		case now := <-late.C:
			f.overdue(now)
			return nil
		}
	}
	return nil
}

func (f *framePinger) opened() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}

// lines sends the lines of stdin.
func (f *framePinger) lines(ctx context.Context) error {
	lines, failed := make(chan string), make(chan error, 1)
	go func() { failed <- f.readLines(ctx, lines) }()
	check := time.NewTicker(f.wait)
	defer check.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case err := <-f.ended:
			return f.end(err)
		case now := <-check.C:
			f.overdue(now)
		case err := <-failed:
			if err != nil {
				return cli.Fail(cli.ExitRead, fmt.Errorf("stdin: %w", err))
			}
			return f.waitOpen(ctx)
		case line := <-lines:
			if len(line) > maxPingPayload {
				f.con.Error(fmt.Errorf("not sent: a ping has at most %d bytes", maxPingPayload))
				continue
			}
			if err := f.conn.Ping([]byte(f.begin(func(int) string { return line }).payload)); err != nil {
				return f.why(err)
			}
			if n++; n == f.count {
				return f.waitOpen(ctx)
			}
		}
	}
}

func (f *framePinger) readLines(ctx context.Context, lines chan<- string) error {
	r := bufio.NewReader(f.env.Stdin)
	for {
		line, err := talk.ReadLine(r, cli.MaxStatusLine)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case lines <- string(line):
		case <-ctx.Done():
			return nil
		}
	}
}

// payload is the one of ping seq: as much as goes into -s of who we are, the
// number, and letters.
func (f *framePinger) payload(seq int) string {
	b := f.mark() + strconv.Itoa(seq) + ":"
	if n := int(f.size); len(b) < n {
		b += strings.Repeat("abcdefghijklmnopqrstuvwxyz", maxPingPayload/26+1)[:n-len(b)]
	} else if n < len(b) {
		b = fmt.Sprintf("%0*d", n, seq)
		b = b[len(b)-n:]
	}
	return b
}

func (f *framePinger) mark() string { return "socketsrv:" + f.id + ":" }

// received deals with a pong. One that answers no open ping is a duplicate if it
// was one of ours, else nobody asked for it (RFC 6455 §5.5.3).
func (f *framePinger) received(p []byte) {
	at := time.Now()
	detail := ""
	if f.stdin {
		detail = ": " + string(p)
	}
	if f.answered(at, func(ping openPing) bool { return ping.payload == string(p) }, p, detail) {
		select {
		case f.pong <- struct{}{}:
		default:
		}
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isOurs(string(p)) {
		f.duplicates++
		f.print("duplicate: %s", p)
	} else {
		f.unasked++
		f.print("nobody asked for the pong: %s", p)
	}
}

// isOurs says whether p is the payload of a ping that was sent.
func (f *framePinger) isOurs(p string) bool {
	rest, ok := strings.CutPrefix(p, f.mark())
	number, _, _ := strings.Cut(rest, ":")
	seq, err := strconv.Atoi(number)
	return ok && err == nil && seq >= 0 && seq < f.sent
}

// why waits for the reader's word on a connection that takes no more pings.
func (f *framePinger) why(err error) error {
	select {
	case ended := <-f.ended:
		return f.end(ended)
	case <-time.After(dial.EndTime):
		return err
	}
}

// end is what the peer's end of the connection means.
func (f *framePinger) end(err error) error {
	if ce, ok := errors.AsType[*wsproto.CloseError](err); ok {
		return cli.Fail(max(cli.CloseCode(ce.Code), cli.ExitFailure), errors.New(dial.CloseText(ce)))
	}
	if err == io.EOF {
		return cli.Fail(cli.ExitReceive, errors.New("connection closed: code 1006, there was no close frame"))
	}
	return err
}
