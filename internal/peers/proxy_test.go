package peers

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
	"socketsrv/internal/mode/transfer"
)

// TestProxyProtocol: every mode that listens shows and logs who a PROXY header names,
// and ends who sends none.
func TestProxyProtocol(t *testing.T) {
	const client = `192\.0\.2\.7:50001`
	target := kit.Background(t, echo.Mode, "-port", "0").Addr("ws")
	ws := kit.Opening()
	for _, tt := range []struct {
		mode        cli.Mode
		flags       string
		proto, send string
		want        string // on stdout or stderr
	}{
		{dump.Mode, "-tcp-port 0 -udp-port off -ws-port off", "tcp", "hello", `new TCP connection #0: ` + client},
		{dump.Mode, "-ws-port 0 -udp-port off -tcp-port off", "ws", ws, `new WebSocket connection #0: ` + client},
		{echo.Mode, "-port 0 -v", "ws", ws, client},
		{echo.Mode, "-tcp-port 0 -ws-port off -json", "tcp", "hello", `"peer":"` + client},
		{broadcast.Mode, "-port 0 -json", "ws", ws, `"peer":"` + client},
		{line.Mode, "-port 0", "line", "ping\n", client},
		{httpd.Mode, "-port 0", "http", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", `192\.0\.2\.7 - - `},
		{transfer.Transfer, "-port 0 -v", "ws", ws, client},
		{proxy.Mode, "-port 0 -remote_host ws://" + target, "ws", ws, client},
		{proxy.Mode, "-listen tcp://127.0.0.1:0 -remote_host tcp://" + target, "tcp", "hello", client},
	} {
		p := kit.Background(t, tt.mode, append(strings.Fields(tt.flags), "-proxy-protocol")...)
		addr := p.Addr(tt.proto)
		good := kit.DialTCP(t, addr)
		io.WriteString(good, "PROXY TCP4 192.0.2.7 192.0.2.8 50001 80\r\n"+tt.send)
		shown := p.Stderr
		if tt.mode.Name == "dump" || tt.mode.Name == "httpd" || tt.mode.Name == "line" || strings.Contains(tt.flags, "-json") {
			shown = p.Stdout
		}
		shown.WaitFor(t, tt.want)
		liar := kit.DialTCP(t, addr)
		io.WriteString(liar, "GET /\x1b[2J HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if answer, _ := io.ReadAll(liar); len(answer) > 0 {
			t.Errorf("%s: who sends no header is answered %q", tt.mode.Name, answer)
		}
		if shown = p.Stderr; strings.Contains(tt.flags, "-json") {
			shown = p.Stdout
		}
		shown.WaitFor(t, `\S+:\d+: the connection does not begin with a PROXY header: \\?"GET /\\+x1b\[2J`)
		good.Close()
		p.Stop()
	}
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// foreign runs a server of others with a configuration, until the test ends.
func foreign(t *testing.T, port, name, config string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	kit.StartCommand(t, exec.Command(path, append(args, file)...))
	for end := time.Now().Add(kit.Patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if nc, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			nc.Close()
			return
		}
	}
	t.Fatalf("%s does not listen", name)
}

const haproxyHead = "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"

// TestHaproxy: what haproxy sends is understood, and what we send haproxy understands.
func TestHaproxy(t *testing.T) {
	for version, send := range map[string]string{"v1": "send-proxy", "v2": "send-proxy-v2"} {
		server := kit.Background(t, echo.Mode, "-tcp-port", "0", "-ws-port", "off", "-proxy-protocol", "-json")
		port := freePort(t)
		foreign(t, port, "haproxy", fmt.Sprintf("%slisten l\n bind 127.0.0.1:%s\n server s %s %s\n", haproxyHead, port, server.Addr(`\w+`), send), "-db", "-f")
		nc := kit.DialTCP(t, "127.0.0.1:"+port)
		kit.Swap(t, nc, "hello", "hello")
		server.Stdout.WaitFor(t, `"event":"open","proto":"tcp","client":\d+,"peer":"`+nc.LocalAddr().String()+`"`)

		back := kit.ListenFor(t, "tcp", func(nc net.Conn) { io.Copy(nc, nc) })
		port = freePort(t)
		foreign(t, port, "haproxy", fmt.Sprintf("%slisten l\n bind 127.0.0.1:%s accept-proxy\n server s %s send-proxy\n", haproxyHead, port, back), "-db", "-f")
		p := kit.Background(t, proxy.Mode, "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://127.0.0.1:"+port, "-send-proxy", version)
		nc = kit.DialTCP(t, p.Addr("tcp"))
		us, to := nc.LocalAddr().(*net.TCPAddr), nc.RemoteAddr().(*net.TCPAddr)
		kit.Swap(t, nc, "hello", fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nhello", us.Port, to.Port))
	}
}

// TestNginxHears: nginx takes our headers for who its client is.
func TestNginxHears(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	config := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr; master_process off; events {}
		http { access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
		server { listen 127.0.0.1:%[2]s proxy_protocol; location / { return 200 "$proxy_protocol_addr $proxy_protocol_port"; } } }`, dir, port)
	foreign(t, port, "nginx", config, "-e", "stderr", "-c")
	for _, version := range []string{"v1", "v2"} {
		p := kit.Background(t, proxy.Mode, "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://127.0.0.1:"+port, "-send-proxy", version)
		nc := kit.DialTCP(t, p.Addr("tcp"))
		io.WriteString(nc, "GET / HTTP/1.0\r\n\r\n")
		want := fmt.Sprintf("127.0.0.1 %d", nc.LocalAddr().(*net.TCPAddr).Port)
		if answer, err := io.ReadAll(nc); !strings.HasSuffix(string(answer), want) || err != nil {
			t.Errorf("%s: nginx says %q, %v; want %q", version, answer, err, want)
		}
	}
}
