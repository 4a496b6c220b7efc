package linesrv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

var (
	// ErrNoPong says that the other end did not answer "ping" by "pong": it is not a
	// line server, or one that serves somebody else.
	ErrNoPong = errors.New("no pong came back")
	// ErrDenied says that the server does not let this client end it.
	ErrDenied = errors.New("denied")
)

const defaultClientTimeout = 3 * time.Second

// ClientOptions are how a Client connects and reads. The zero value is fine.
type ClientOptions struct {
	Timeout time.Duration // to connect and prove, for each Send, and for Receive where it is given none; 0 means 3 s
	MaxLine int           // of an answer, as in Server
	KeepCR  bool          // a CR before the LF belongs to the answer
	NoPing  bool          // do not prove the connection

	// SayDisconnect makes Close send "disconnect" first: socket-oneline's own server
	// serves nobody any more after a connection that ends without it.
	SayDisconnect bool

	// Dial connects; nil is that of net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Client sends commands and receives answers. One goroutine may send while
// another receives; Close may be called from anywhere.
type Client struct {
	nc      net.Conn
	opt     ClientOptions
	timeout time.Duration
	lines   Cutter
	in      [readSize]byte
	rest    []byte // of in, not cut yet
	readErr error  // stays
	out     []byte
}

// Dial connects to addr, host:port or unix:path, and proves that a line server
// answers there: ErrNoPong if not, with context.DeadlineExceeded if nothing came in
// time.
func Dial(ctx context.Context, addr string, opt ClientOptions) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(opt.Timeout, defaultClientTimeout))
	defer cancel()
	nc, err := dial(ctx, addr, opt.Dial)
	if err != nil {
		return nil, err
	}
	c := NewClient(nc, opt)
	if opt.NoPing {
		return c, nil
	}
	if err := c.prove(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("%w: %s: %w", ErrNoPong, addr, err)
	}
	return c, nil
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func dial(ctx context.Context, addr string, dial dialFunc) (net.Conn, error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return dial(ctx, "unix", path)
	}
	return dial(ctx, "tcp", addr)
}

// NewClient returns a Client for a connection made elsewhere, and not proved.
func NewClient(nc net.Conn, opt ClientOptions) *Client {
	return &Client{nc: nc, opt: opt, timeout: orDefault(opt.Timeout, defaultClientTimeout),
		lines: Cutter{Framing: Framing{KeepCR: opt.KeepCR}, Max: opt.MaxLine}}
}

func (c *Client) prove(ctx context.Context) error {
	giveUp := context.AfterFunc(ctx, func() { c.nc.SetDeadline(past) })
	answer, err := c.ask("ping")
	switch {
	case !giveUp():
		return ctx.Err()
	case err != nil:
		return err
	case answer != "pong":
		return fmt.Errorf("%q instead", answer)
	}
	return nil
}

// ask is Request without deadlines.
func (c *Client) ask(command string) (answer string, err error) {
	if err := c.write(command); err != nil {
		return "", err
	}
	return c.receive()
}

// Addr is the address of the server.
func (c *Client) Addr() net.Addr { return c.nc.RemoteAddr() }

// Send sends a command, to which it adds the LF. An LF in command makes two
// commands of it, each with its own answers.
func (c *Client) Send(command string) error {
	c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	return c.write(command)
}

func (c *Client) write(command string) error {
	c.out = append(append(c.out[:0], command...), '\n')
	_, err := c.nc.Write(c.out)
	if cap(c.out) > keepOut {
		c.out = nil
	}
	return err
}

// Receive returns the next answer without its LF, and without a CR before that
// unless KeepCR; nothing else is taken off. It waits for timeout at the most; 0
// means the time-out of the options, negative no limit. Errors:
//
//   - io.EOF: the server ended the connection after a whole answer
//   - io.ErrUnexpectedEOF: it ended in the middle of one, whose beginning is returned with the first such error
//   - os.ErrDeadlineExceeded, wrapped: nothing came in time; Receive may be called again and loses nothing
//   - a *ProtocolError of ErrLineTooLong: what comes after it cannot be read
func (c *Client) Receive(timeout time.Duration) (string, error) {
	c.nc.SetReadDeadline(deadline(orDefault(timeout, c.timeout)))
	return c.receive()
}

// deadline is the time d from now, or none if d is negative.
func deadline(d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

func (c *Client) receive() (string, error) {
	for {
		line, rest, ok, err := c.lines.Next(c.rest)
		c.rest = rest
		if ok {
			return string(line), nil
		}
		if err != nil {
			c.readErr = err
		} else if c.readErr != nil {
			line, _ = c.lines.Finish()
		}
		if c.readErr == io.EOF && len(line) > 0 {
			c.readErr = io.ErrUnexpectedEOF
		}
		if c.readErr != nil {
			return string(line), c.readErr
		}
		n, err := c.nc.Read(c.in[:])
		c.rest = c.in[:n]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if n == 0 {
				return "", err
			}
			err = nil
		}
		c.readErr = err
	}
}

// Request sends a command and returns its n answers. It waits for timeout in all,
// as Receive does, and returns with an error what came before it. Answers that
// were still to be received are taken for answers to this command.
func (c *Client) Request(command string, n int, timeout time.Duration) ([]string, error) {
	if err := c.Send(command); err != nil {
		return nil, err
	}
	c.nc.SetReadDeadline(deadline(orDefault(timeout, c.timeout)))
	var answers []string
	for len(answers) < n {
		answer, err := c.receive()
		if err == nil || answer != "" {
			answers = append(answers, answer)
		}
		if err != nil {
			return answers, err
		}
	}
	return answers, nil
}

// Disconnect asks the server to end the connection, waits until it does, and
// closes. When it returns nil, the server is free for the next client.
func (c *Client) Disconnect() error {
	defer c.nc.Close()
	_, err := c.lastWord("disconnect")
	return err
}

// Shutdown asks the server to end, waits until it ends the connection, and closes.
// It is ErrDenied if the server refuses, told by an answer "denied".
func (c *Client) Shutdown() error {
	defer c.nc.Close()
	last, err := c.lastWord("shutdown")
	if last == "denied" {
		return ErrDenied
	}
	return err
}

// lastWord sends command and reads until the end, which is no error, or until the
// answer "denied". It returns the last answer.
func (c *Client) lastWord(command string) (last string, err error) {
	if err := c.Send(command); err != nil {
		return "", err
	}
	c.nc.SetReadDeadline(time.Now().Add(c.timeout))
	for last != "denied" {
		answer, err := c.receive()
		if err == io.EOF {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		last = answer
	}
	return last, nil
}

// Close closes the connection, without a word unless SayDisconnect.
func (c *Client) Close() error {
	if c.opt.SayDisconnect {
		c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
		c.nc.Write([]byte("disconnect\n"))
	}
	return c.nc.Close()
}
