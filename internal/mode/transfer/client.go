package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/wsproto"
)

// endpoint is what the flags of -send and -receive have in common.
type endpoint struct {
	dial.Client
	timeout time.Duration
	retry   time.Duration
	word    string // of -code
	code    code

	opened time.Time   // the connection there is
	good   atomic.Bool // the other end was heard over it
	broke  time.Time   // when the trouble began; zero: there was none yet
	pause  time.Duration
}

const (
	pingInterval = 10 * time.Second // finds out that the server is gone
	beat         = time.Second      // between repetitions; a connection that lasted so long was one
	shortPause   = 50 * time.Millisecond
)

func (c *endpoint) flags(fs *cli.Flags) {
	c.timeout, c.retry = 30*time.Second, 10*time.Second
	c.MaxMessage = wsproto.DefaultMaxMessage
	c.Keepalive.Interval = pingInterval
	fs.Duration(&c.timeout, "timeout", "Gives up when the other end is silent for D.")
	fs.Duration(&c.retry, "reconnect", "Tries for D to make a broken connection again.")
	fs.String(&c.word, "code", "WORD", "Listens only to the other end that has the same WORD, whoever else is on the server.")
	fs.Hide("code")
	fs.SizeFrom(&c.MaxMessage, "max-message", 128<<10, "Refuses messages of more than SIZE bytes; with -wire msgpack a whole file is one, with pdu a file is one of twice its size.")
	c.WS = dial.AddWebSocket(fs)
	c.TLS = dial.AddTLS(fs)
	c.Output = fs.Output()
	fs.Check(func() error {
		c.WS.NoCompression = true // what is sent is mostly compressed already
		if c.timeout == 0 {
			return cli.Usagef("-timeout: want more than 0")
		}
		var err error
		c.code, err = newCode(c.word)
		return err
	})
}

// open connects.
func (c *endpoint) open(ctx context.Context, env *cli.Env, con *cli.Console, t dial.Target) (*wsproto.Conn, error) {
	l, err := c.Dial(ctx, env, con, t)
	if err != nil {
		return nil, err
	}
	c.opened = con.Now()
	return l.(*dial.WSLink).Conn, nil
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
			return &lostError{cli.Fail(cli.ExitReceive, errors.New(dial.CloseText(ce)))}
		}
		return cli.Fail(cli.ExitPeerClosed, errors.New(dial.CloseText(ce)))
	}
	if _, ok := errors.AsType[*wsproto.ProtocolError](err); ok {
		return err
	}
	switch cli.ExitCode(err) {
	case cli.ExitEmpty:
		err = cli.Fail(cli.ExitReceive, errors.New("connection closed: code 1006, there was no close frame"))
	case cli.ExitFailure: // of the system, such as a reset
		err = cli.Fail(cli.ExitReceive, err)
	}
	return &lostError{err}
}

// reopen connects again after err, if that is a lostError; it tries for the time
// of -reconnect and returns err if nothing helps. Connections that end as soon as
// they begin are no help.
func (c *endpoint) reopen(ctx context.Context, env *cli.Env, con *cli.Console, t dial.Target, err error) (*wsproto.Conn, error) {
	if _, ok := errors.AsType[*lostError](err); !ok || c.retry == 0 {
		return nil, err
	}
	con.Status("%s; connecting again", cli.ErrorText(err))
	now := con.Now()
	if heard := c.good.Swap(false); heard || c.broke.IsZero() || now.Sub(c.opened) >= beat {
		c.broke, c.pause = now, 0
	}
	limit, cancel := context.WithTimeout(ctx, c.retry-now.Sub(c.broke))
	defer cancel()
	for {
		pause := max(c.pause/2+mathrand.N(c.pause/2+1), shortPause-now.Sub(c.opened))
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
		} else if cli.IsRefusal(derr) {
			return nil, derr
		}
	}
}

func newTransferID() (id fileID) {
	rand.Read(id[:])
	return id
}

// told is err for the other end, which is not concerned with paths on this one.
func told(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	} else if link, ok := errors.AsType[*os.LinkError](err); ok {
		err = link.Err
	}
	return cli.Clip(cli.ErrorText(err), maxReason)
}

// silent says that the other end was not heard for too long.
func silent(d time.Duration) error {
	return cli.Fail(cli.ExitTimeout, fmt.Errorf("nothing heard for %v", d))
}
