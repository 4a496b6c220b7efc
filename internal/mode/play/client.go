package play

import (
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
	if p.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	in := newInbox()
	who := event.Event{Proto: t.Scheme, Client: -1}
	if t.WebSocket() {
		return p.connectWebSocket(ctx, t, who, in)
	}
	dialing, cancel := p.dial.WS.Timeout(ctx)
	defer cancel()
	nc, err := p.dial.DialConn(dialing, p.env, p.con, t)
	if err != nil {
		return err
	}
	pipe := &pipe{Conn: nc, ctx: ctx}
	return p.conversation(ctx, who, p.plain(pipe, t.Datagrams()), pipe, in)
}

// plain is a wire of datagrams or of a stream.
func (p *play) plain(pipe *pipe, packets bool) wire {
	if packets {
		return &datagrams{pipe: pipe}
	}
	return newStream(pipe, p.framing, p.serving.listener.MaxMessage)
}

func (p *play) connectWebSocket(ctx context.Context, t dial.Target, who event.Event, in *inbox) error {
	dialing, cancel := p.dial.WS.Timeout(ctx)
	defer cancel()
	p.dial.Wrap = func(nc net.Conn) net.Conn { return &pipe{Conn: nc, ctx: ctx} }
	conn, err := p.dial.DialWebSocket(dialing, p.env, p.con, &t, p.config(who, in))
	if err != nil {
		return err
	}
	p.con.Status("connected to %s", t.Shown)
	pipe := conn.NetConn().(*pipe)
	return p.conversation(ctx, who, &socket{pipe, conn}, pipe, in)
}

// config is that of a WebSocket, whose pings and pongs go to in.
func (p *play) config(who event.Event, in *inbox) wsproto.Config {
	return wsproto.Config{
		MaxMessage:   p.serving.listener.MaxMessage,
		CloseTimeout: -1, // within is what it may take
		Tap: func(received bool, h wsproto.Header, payload []byte) {
			if h.Opcode != wsproto.OpPing && h.Opcode != wsproto.OpPong {
				return
			}
			p.con.Event(event.OfFrame(who, received, h.Opcode.String(), payload))
			if received {
				kind := talkfile.Ping
				if h.Opcode == wsproto.OpPong {
					kind = talkfile.Pong
				}
				in.put(item{kind: kind, data: append([]byte(nil), payload...)})
			}
		},
	}
}
