package mode

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"socketsrv/wsproto"
)

// transferClient is what the flags of -send and -receive have in common.
type transferClient struct {
	connect // dials
	timeout time.Duration
	retry   time.Duration
}

const (
	transferPing = 10 * time.Second // finds out that the server is gone
	beat         = time.Second      // between repetitions
)

func (c *transferClient) flags(fs *Flags) {
	c.timeout, c.retry = 30*time.Second, 10*time.Second
	c.maxMessage = wsproto.DefaultMaxMessage
	c.keepalive.interval = transferPing
	fs.Duration(&c.timeout, "timeout", "silence after which the other end is given up")
	fs.Duration(&c.retry, "reconnect", "how long a broken connection is tried again")
	fs.Size(&c.maxMessage, "max-message", "largest one: a file of -wire msgpack, half of pdu")
	c.ws = fs.ClientWS()
	c.tls = fs.ClientTLS()
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
// of -reconnect and returns err if nothing helps.
func (c *transferClient) reopen(ctx context.Context, env *Env, con *Console, t connectTarget, err error) (*wsproto.Conn, error) {
	if _, ok := errors.AsType[*lostError](err); !ok || c.retry == 0 {
		return nil, err
	}
	con.Status("%s; connecting again", errorText(err))
	limit, cancel := context.WithTimeout(ctx, c.retry)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		if conn, derr := c.open(limit, env, con, t); derr == nil {
			return conn, nil
		} else if isRefusal(derr) {
			return nil, derr
		}
		select {
		case <-limit.Done():
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, err
		case <-time.After(pause/2 + time.Duration(randomByte())*pause/512):
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
