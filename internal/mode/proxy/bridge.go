package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/wsproto"
)

// bridgeOptions are those for a target that speaks no WebSocket: what there is to
// agree on we agree on ourselves. Some clients of such bridges insist on the
// subprotocol that says that messages are binary.
func (p *proxy) bridgeOptions() wsproto.AcceptOptions {
	opt := p.accept
	opt.Subprotocols = []string{"binary"}
	opt.NoCompression = p.ws.NoCompression
	return opt
}

// A bridge has the bytes of a stream on one side and messages on the other.
type bridge struct {
	p      *proxy
	s      *session
	conn   *wsproto.Conn
	stream net.Conn

	mu       sync.Mutex
	byTarget bool
	ended    error // why; nil while it goes on
}

// bridge passes what comes from nc in messages to the target as a stream, and
// the stream back in binary messages.
func (p *proxy) bridge(s *session, nc net.Conn, buffered []byte, up *upstream) {
	b := &bridge{p: p, s: s, stream: up.nc}
	b.conn = wsproto.NewConn(nc, buffered, wsproto.RoleServer, up.ag, wsproto.Config{
		MaxMessage:   p.listener.MaxMessage,
		IdleTimeout:  p.listener.IdleTimeout,
		PingInterval: p.listener.PingInterval,
		PongTimeout:  p.listener.PingTimeout,
	})
	s.close = func() {
		b.because(false, wsproto.ErrServerClosed)
		b.conn.CloseWrite(wsproto.StatusGoingAway, "")
	}
	s.abort = func(err error) {
		b.because(false, err)
		nc.Close()
		up.nc.Close()
	}
	p.enter(s)
	var back sync.WaitGroup
	back.Go(b.fromStream)
	b.toStream()
	b.stream.Close()
	b.conn.Close(wsproto.StatusNormalClosure, "")
	back.Wait()
	p.sessions.Remove(s)
	p.closed(s, b.byTarget, b.ended)
}

// because notes how the bridge ends, if it is the first to know.
func (b *bridge) because(byTarget bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil {
		b.byTarget, b.ended = byTarget, err
	}
}

// toStream writes messages to the stream until the client has ended.
func (b *bridge) toStream() {
	tell := b.p.teller(b.s)
	for broken := false; ; {
		m, err := b.conn.ReadMessage()
		if err != nil {
			b.because(false, err)
			return
		}
		b.count(m.Data)
		if tell != nil {
			tell(false, m.Opcode, 0, m.Data)
		}
		if broken {
			continue
		}
		if err := writeSteadily(b.stream, m.Data); err != nil {
			b.because(true, err)
			b.conn.CloseWrite(wsproto.StatusBadGateway, "backend does not take data")
			broken = true // ReadMessage goes on to the end of the closing handshake
		}
	}
}

// fromStream sends what the stream brings until it ends.
func (b *bridge) fromStream() {
	tell := b.p.teller(b.s)
	buf := make([]byte, 32<<10)
	for {
		n, err := b.stream.Read(buf)
		if n > 0 {
			b.count(buf[:n])
			if tell != nil {
				tell(true, wsproto.OpBinary, 0, buf[:n])
			}
			if b.conn.WriteMessage(wsproto.OpBinary, buf[:n]) != nil {
				b.conn.NetConn().Close() // toStream knows why
				return
			}
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			b.because(true, err)
			b.conn.CloseWrite(wsproto.StatusNormalClosure, "")
		case !errors.Is(err, net.ErrClosed):
			b.because(true, err)
			b.conn.CloseWrite(wsproto.StatusBadGateway, "backend connection broke")
		}
		return
	}
}

func (b *bridge) count(p []byte) {
	b.p.counts.messages.Add(1)
	b.p.counts.bytes.Add(int64(len(p)))
}

// stall is how long a target may take nothing of what it is sent.
const stall = 30 * time.Second

// writeSteadily writes p, however long that takes as long as something is taken.
func writeSteadily(nc net.Conn, p []byte) error {
	const piece = 256 << 10
	for len(p) > 0 {
		nc.SetWriteDeadline(time.Now().Add(stall))
		n, err := nc.Write(p[:min(len(p), piece)])
		if err != nil && (n == 0 || !cli.IsTimeout(err)) {
			return err
		}
		p = p[n:]
	}
	return nil
}
