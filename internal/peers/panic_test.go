package peers

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/httpd"
	"socketsrv/internal/mode/line"
	"socketsrv/internal/mode/proxy"
)

// A fragile connection panics as it reads boom.
type fragile struct{ net.Conn }

func (c fragile) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.Contains(p[:n], []byte("boom")) {
		panic("boom came")
	}
	return n, err
}

type fragileListener struct{ net.Listener }

func (l fragileListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return fragile{nc}, nil
}

// breakable is m with fragile connections.
func breakable(m cli.Mode) cli.Mode {
	setup := m.Setup
	m.Setup = func(fs *cli.Flags) cli.Func {
		run := setup(fs)
		return func(ctx context.Context, env *cli.Env, args []string) error {
			own := *env
			own.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
				ln, err := env.Listen(ctx, network, address)
				return fragileListener{ln}, err
			}
			return run(ctx, &own, args)
		}
	}
	return m
}

// TestPanics: what goes wrong inside with one connection is the end of that one and a
// line, in every mode.
func TestPanics(t *testing.T) {
	t.Parallel()
	back := kit.Background(t, echo.Mode, "-ws-port", "off", "-tcp-port", "0")
	opening := kit.Opening()
	for _, tt := range []struct {
		mode             cli.Mode
		args, proto      string
		before, say, get string // get is how the answer to say begins
	}{
		{echo.Mode, "-ws-port off -tcp-port 0", "tcp", "", "hi\n", "hi\n"},
		{echo.Mode, "-port 0", "ws", opening, opening, "HTTP/1.1 101"},
		{dump.Mode, "-host 127.0.0.1 -tcp-port 0 -udp-port off -ws-port off -reply {}", "tcp", "", "hi\n", "hi\n"},
		{dump.Mode, "-host 127.0.0.1 -tcp-port off -udp-port off -ws-port 0", "ws", opening, opening, "HTTP/1.1 101"},
		{broadcast.Mode, "-ws-port off -tcp-port 0 -no-announce", "tcp", "", "hi\n", "hi\n"},
		{line.Mode, "-port 0", "line", "", "ping\n", "pong\n"},
		{httpd.Mode, "-port 0", "http", "", "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200"},
		{proxy.Mode, "-listen tcp://127.0.0.1:0 -remote-host tcp://" + back.Addr("tcp"), "tcp", "", "hi\n", "hi\n"},
	} {
		t.Run(tt.mode.Name+" "+tt.proto, func(t *testing.T) {
			t.Parallel()
			p := kit.Background(t, breakable(tt.mode), strings.Fields(tt.args)...)
			addr := p.Addr(tt.proto)
			bad := kit.DialTCP(t, addr)
			if tt.before != "" {
				kit.Swap(t, bad, tt.before, tt.get)
			}
			io.WriteString(bad, "boom\n")
			bad.CloseWrite()
			bad.SetReadDeadline(time.Now().Add(kit.Patience))
			if _, err := io.Copy(io.Discard, bad); err != nil && cli.IsTimeout(err) {
				t.Error("the connection goes on after a panic")
			}
			said := p.Stderr
			if tt.proto == "tcp" && tt.mode.Name == "dump" {
				said = p.Stdout
			}
			said.WaitFor(t, "boom came")
			kit.Swap(t, kit.DialTCP(t, addr), tt.say, tt.get)
			if code := p.Stop(); code != 0 {
				t.Errorf("exit %d, want 0", code)
			}
		})
	}
}
