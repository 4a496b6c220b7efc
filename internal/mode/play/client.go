package play

import (
	"bytes"
	"context"
	"net"

	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/talkfile"
	"socketsrv/wsproto"
)

// connect plays the file to a target.
func (p *play) connect(ctx context.Context, arg string) error {
	t, err := dial.ParseTarget(arg, p.framing.String())
	if err != nil {
		return err
	}
	if err := p.start(t.Scheme); err != nil {
		return err
	}
	p.dial.Output, p.dial.MaxMessage = p.output, p.serving.listener.MaxMessage
	c := p.begin(ctx, nil, event.Event{Proto: t.Scheme, Client: -1})
	defer c.cancel()
	dialing, cancel := p.dial.WS.Timeout(c.ctx)
	defer cancel()
	if t.WebSocket() {
		return c.connectWebSocket(dialing, t)
	}
	if c.pipe.Conn, err = p.dial.DialConn(dialing, p.env, p.con, t); err != nil {
		return err
	}
	if t.Datagrams() {
		return c.playOn(&datagrams{pipe: c.pipe})
	}
	return c.playOn(c.stream())
}

func (c *conversation) connectWebSocket(ctx context.Context, t dial.Target) error {
	c.dial.Wrap = func(nc net.Conn) net.Conn {
		c.pipe.Conn = nc
		return c.pipe
	}
	conn, err := c.dial.DialWebSocket(ctx, c.env, c.con, &t, c.config())
	if err != nil {
		return err
	}
	c.con.Status("connected to %s", t.Shown)
	return c.playOn(&socket{c.pipe, conn})
}

// config is that of a WebSocket, whose pings and pongs go to the inbox.
func (c *conversation) config() wsproto.Config {
	return wsproto.Config{
		MaxMessage:   c.serving.listener.MaxMessage,
		CloseTimeout: -1, // within is what it may take
		Tap: func(received bool, h wsproto.Header, payload []byte) {
			if h.Opcode != wsproto.OpPing && h.Opcode != wsproto.OpPong {
				return
			}
			c.con.Event(event.OfFrame(c.who, received, h.Opcode.String(), payload))
			if received {
				kind := talkfile.Ping
				if h.Opcode == wsproto.OpPong {
					kind = talkfile.Pong
				}
				c.in.put(item{kind: kind, data: bytes.Clone(payload)})
			}
		},
	}
}
