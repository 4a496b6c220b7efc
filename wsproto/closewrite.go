package wsproto

import (
	"net"
	"time"
)

// CloseWrite begins the closing handshake and returns: a Close frame goes out,
// unless one did before, and nothing can be sent after it. ReadMessage goes on
// with what the peer still sends and ends with its Close frame, or with
// ErrCloseTimeout when that takes longer than Config.CloseTimeout. Close is to be
// called after that, as always. Code and reason are as for Close.
func (c *Conn) CloseWrite(code StatusCode, reason string) error {
	c.queueClose(AppendClose(nil, code, closeReason(reason)))
	if c.cfg.CloseTimeout >= 0 {
		time.AfterFunc(c.cfg.closeTimeout(), func() { c.abort(ErrCloseTimeout) })
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.flush(false)
}

// endWriting says that nothing more is sent: by close_notify where there is TLS, and
// by the end of the stream below it, for peers that look at that only.
func endWriting(nc net.Conn) {
	for nc != nil {
		if half, ok := nc.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		below, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		nc = below.NetConn()
	}
}
