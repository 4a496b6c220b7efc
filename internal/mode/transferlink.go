package mode

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"socketsrv/wsproto"
)

// transferClient is what the flags of -send and -receive have in common.
type transferClient struct {
	dialClient
	timeout time.Duration
	retry   time.Duration

	opened time.Time   // the connection there is
	good   atomic.Bool // the other end was heard over it
	broke  time.Time   // when the trouble began; zero: there was none yet
	pause  time.Duration
}

const (
	transferPing = 10 * time.Second // finds out that the server is gone
	beat         = time.Second      // between repetitions; a connection that lasted so long was one
	shortPause   = 50 * time.Millisecond
)

func (c *transferClient) flags(fs *Flags) {
	c.timeout, c.retry = 30*time.Second, 10*time.Second
	c.maxMessage = wsproto.DefaultMaxMessage
	c.keepalive.interval = transferPing
	fs.Duration(&c.timeout, "timeout", "silence after which the other end is given up")
	fs.Duration(&c.retry, "reconnect", "how long a broken connection is tried again")
	fs.Size(&c.maxMessage, "max-message", "largest one: a file of -wire msgpack, half of pdu")
	c.ws = AddClientWS(fs)
	c.tls = AddClientTLS(fs)
	c.output = fs.Output()
	fs.Check(func() error {
		c.ws.NoCompression = true // what is sent is mostly compressed already
		switch {
		case c.maxMessage < 128<<10 || c.maxMessage > 1<<30:
			return Usagef("-max-message: want 128k to 1G")
		case c.timeout == 0:
			return Usagef("-timeout: want more than 0")
		}
		return nil
	})
}

// open connects.
func (c *transferClient) open(ctx context.Context, env *Env, con *Console, t connectTarget) (*wsproto.Conn, error) {
	l, err := c.dial(ctx, env, con, t)
	if err != nil {
		return nil, err
	}
	c.opened = con.now()
	return l.(*wsLink).Conn, nil
}

// target reads the URL of a transfer server.
func (c *transferClient) target(url string) (connectTarget, error) {
	t, err := parseConnectTarget(url, "none")
	if err == nil && !t.webSocket() {
		err = Usagef("want a ws or wss URL, or host:port")
	}
	return t, err
}

// A lostError says that the connection broke, not the transfer.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// lost makes err a lostError, unless the server made plain that it wants us no
// more, or breaks the protocol.
func lost(err error) error {
	if ce, ok := errors.AsType[*wsproto.CloseError](err); ok {
		switch ce.Code {
		case wsproto.StatusNormalClosure, wsproto.StatusGoingAway, wsproto.StatusNoStatusReceived,
			wsproto.StatusInternalError, wsproto.StatusServiceRestart, wsproto.StatusTryAgainLater:
			return &lostError{&Failure{ExitReceive, errors.New(closeText(ce))}}
		}
		return &Failure{ExitPeerClosed, errors.New(closeText(ce))}
	}
	if _, ok := errors.AsType[*wsproto.ProtocolError](err); ok {
		return err
	}
	switch ExitCode(err) {
	case ExitEmpty:
		err = &Failure{ExitReceive, errors.New("connection closed: code 1006, there was no close frame")}
	case ExitFailure: // of the system, such as a reset
		err = &Failure{ExitReceive, err}
	}
	return &lostError{err}
}

// reopen connects again after err, if that is a lostError; it tries for the time
// of -reconnect and returns err if nothing helps. Connections that end as soon as
// they begin are no help.
func (c *transferClient) reopen(ctx context.Context, env *Env, con *Console, t connectTarget, err error) (*wsproto.Conn, error) {
	if _, ok := errors.AsType[*lostError](err); !ok || c.retry == 0 {
		return nil, err
	}
	con.Status("%s; connecting again", errorText(err))
	now := con.now()
	if heard := c.good.Swap(false); heard || c.broke.IsZero() || now.Sub(c.opened) >= beat {
		c.broke, c.pause = now, 0
	}
	limit, cancel := context.WithTimeout(ctx, c.retry-now.Sub(c.broke))
	defer cancel()
	for {
		pause := max(c.pause/2+time.Duration(randomByte())*c.pause/512, shortPause-now.Sub(c.opened))
		c.pause = min(max(2*c.pause, shortPause), 2*time.Second)
		select {
		case <-limit.Done():
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, err
		case <-time.After(pause):
		}
		if conn, derr := c.open(limit, env, con, t); derr == nil {
			return conn, nil
		} else if isRefusal(derr) {
			return nil, derr
		}
	}
}

func randomByte() byte {
	var b [1]byte
	rand.Read(b[:])
	return b[0]
}

func newTransferID() (id transferID) {
	rand.Read(id[:])
	return id
}

// writeControl sends c.
func writeControl(conn *wsproto.Conn, c *control) error {
	return conn.WriteMessage(wsproto.OpText, appendControl(nil, c))
}

// silent says that the other end was not heard for too long.
func silent(d time.Duration) error {
	return &Failure{ExitTimeout, fmt.Errorf("nothing heard for %v", d)}
}
