package echo

import (
	"errors"
	"net"
	"os"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/internal/rawio"
	"socketsrv/linesrv"
)

// A stream is a connection of bytes.
type stream struct {
	accept.Deadlines
	*client
	cutter *listen.Cutter
	back   []byte // what goes back for one read
}

// stream sends the messages of a stream back, framed as they came. The server's end
// ends it after what was read is answered.
func (e *echo) stream(nc net.Conn) {
	defer nc.Close()
	c := &stream{Deadlines: accept.Deadlines{Conn: nc}, client: e.newClient(accept.Proto(nc), accept.Peer(nc.RemoteAddr()))}
	c.cutter = e.listeners.Cutter(e.framing)
	defer c.cutter.Release()
	if _, ok := e.streams.Add(c); !ok {
		return
	}
	defer e.streams.Remove(c)
	e.opened(c.client, nil)
	e.closed(c.client, accept.Guard(func() error { return e.talk(c) }))
}

// talk reads and answers until the stream or the server ends.
func (e *echo) talk(c *stream) error {
	buf := make([]byte, 16<<10)
	writing := rawio.Writing{Stall: cli.WriteStall, Over: c.Killed}
	for {
		silence := e.framing.Kind == linesrv.KindIdle && len(c.cutter.Pending()) > 0
		n, err := e.read(c, buf, silence)
		switch {
		case n > 0:
			err = e.answer(c, buf[:n])
		case silence && errors.Is(err, os.ErrDeadlineExceeded) && c.Stopped() == nil:
			message, _ := c.cutter.Finish()
			err = e.back(c, message)
		case errors.Is(err, accept.ErrStopped) || errors.Is(err, os.ErrDeadlineExceeded) && c.Stopped() != nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return cli.ErrIdle
		}
		if _, werr := writing.Write(c, c.back); werr != nil {
			return werr
		}
		if c.back = c.back[:0]; err != nil {
			return err
		}
	}
}

// read reads by the time of -idle-timeout, or of the silence that ends a message.
func (e *echo) read(c *stream, buf []byte, silence bool) (int, error) {
	wait := e.listeners.IdleTimeout
	if silence {
		wait = e.framing.Silence
	}
	var by time.Time
	if wait > 0 {
		by = time.Now().Add(wait)
	}
	if err := c.ReadBy(by); err != nil {
		return 0, err
	}
	return c.Read(buf)
}

// answer appends what goes back for p.
func (e *echo) answer(c *stream, p []byte) error {
	for {
		message, rest, ok, err := c.cutter.Next(p)
		if err != nil || !ok {
			return err
		}
		if err := e.back(c, message); err != nil {
			return err
		}
		p = rest
	}
}

// back shows and counts a message and appends it to what goes back.
func (e *echo) back(c *stream, message []byte) (err error) {
	e.received(c.client, "", message)
	c.back, err = c.cutter.Framing.Append(c.back, message)
	return err
}

// datagrams sends every datagram that may be answered back. What is not answered is
// said once for each reason, and counted.
func (e *echo) datagrams(pc net.PacketConn) error {
	conn := listen.NewDatagrams(pc)
	said := map[error]bool{}
	return conn.Serve(make([]byte, cli.MaxDatagram+1), func(p []byte, from listen.Source, why error) {
		c := &client{proto: "udp", number: -1, peer: from.String()}
		switch {
		case why != nil:
			e.counts.suppressed.Add(1)
			e.count(len(p))
			if !said[why] {
				said[why] = true
				e.con.Status("datagram from %s not answered: %v", c.peer, why)
			}
			e.con.Event(event.OfFrame(c.event(), true, "", p))
		case conn.Write(p, from) != nil:
			e.counts.lost.Add(1)
		default:
			e.received(c, "", p)
		}
	}, e.con.Error)
}
