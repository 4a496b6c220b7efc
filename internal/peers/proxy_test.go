package peers

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/httpd"
	"socketsrv/internal/mode/line"
	"socketsrv/internal/mode/proxy"
	"socketsrv/internal/mode/transfer"
	"socketsrv/internal/tlsconf"
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

// talked is what passed both ways.
type talked struct{ fromClient, toClient []byte }

// shownTo returns what a proxy's events of messages add up to.
func shownTo(t *testing.T, lines string) (all talked) {
	t.Helper()
	for line := range strings.Lines(lines) {
		e, err := event.Parse([]byte(line))
		switch {
		case err != nil:
			t.Fatalf("%q: %v", line, err)
		case e.Event != event.Message:
		case e.Dir == event.In:
			all.fromClient = append(all.fromClient, e.Payload...)
		default:
			all.toClient = append(all.toClient, e.Payload...)
		}
	}
	return all
}

// followed returns what tshark finds in a stream of a capture to the server at port.
func followed(t *testing.T, tshark, file, proto string, stream int, port string) (all talked) {
	t.Helper()
	cmd := exec.Command(tshark, "-r", file, "-q", "-d", "tcp.port==1-65535,tls", "-z", fmt.Sprintf("follow,%s,raw,%d", proto, stream))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	byClient := true // what has no tab before it, from node 0
	for line := range strings.Lines(string(out)) {
		if node, ok := strings.CutPrefix(line, "Node 0: "); ok {
			byClient = !strings.HasSuffix(strings.TrimSpace(node), ":"+port)
		}
		data, err := hex.DecodeString(strings.TrimSpace(line))
		switch {
		case err != nil:
		case strings.HasPrefix(line, "\t") != byClient:
			all.fromClient = append(all.fromClient, data...)
		default:
			all.toClient = append(all.toClient, data...)
		}
	}
	return all
}

func (a talked) want(t *testing.T, name string, b talked) {
	t.Helper()
	if !bytes.Equal(a.fromClient, b.fromClient) || !bytes.Equal(a.toClient, b.toClient) {
		t.Errorf("%s has %d and %d bytes, the proxy shows %d and %d, or they differ",
			name, len(a.fromClient), len(a.toClient), len(b.fromClient), len(b.toClient))
	}
}

// captured runs dumpcap on the loopback interface while do runs.
func captured(t *testing.T, filter string, do func()) (file string) {
	t.Helper()
	path, err := exec.LookPath("dumpcap")
	if err != nil {
		t.Skip(err)
	}
	marker, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer marker.Close()
	_, port, _ := net.SplitHostPort(marker.LocalAddr().String())
	file = filepath.Join(t.TempDir(), "lo.pcapng")
	p := kit.StartCommand(t, exec.Command(path, "-i", "lo", "-q", "-B", "64", "-w", file, "-f", filter+" or udp port "+port))
	has := func(text string) {
		for end := time.Now().Add(kit.Patience); ; time.Sleep(20 * time.Millisecond) {
			marker.WriteTo([]byte(text), marker.LocalAddr())
			b, _ := os.ReadFile(file)
			if bytes.Contains(b, []byte(text)) {
				return
			}
			if time.Now().After(end) {
				t.Skipf("dumpcap captures nothing here: %s", p.Stderr)
			}
		}
	}
	has("the capture has begun")
	do()
	has("all is over")
	p.End()
	return file
}

// TestShowsWhatWas: what the proxy shows of a session is what a capture of both of its
// connections has.
func TestShowsWhatWas(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip(err)
	}
	target := kit.ListenFor(t, "tcp", func(nc net.Conn) { io.Copy(nc, nc) })
	_, targetPort, _ := net.SplitHostPort(target)
	p := kit.Background(t, proxy.Mode, "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://"+target, "-json")
	addr := p.Addr("tcp")
	_, port, _ := net.SplitHostPort(addr)
	file := captured(t, "tcp port "+targetPort+" or tcp port "+port, func() {
		random := rand.New(rand.NewPCG(1, 2))
		nc := kit.DialTCP(t, addr)
		for range 50 {
			piece := make([]byte, random.IntN(40000))
			for i := range piece {
				piece[i] = byte(random.Uint32())
			}
			kit.Swap(t, nc, string(piece), string(piece))
		}
		nc.CloseWrite()
		io.Copy(io.Discard, nc)
		p.Stdout.WaitFor(t, `"event":"close"`)
	})
	p.Stop()
	shown := shownTo(t, p.Stdout.String())
	for stream, port := range []string{port, targetPort} {
		followed(t, tshark, file, "tcp", stream, port).want(t, "a stream", shown)
	}
}

// TestShowsWhatWasInTLS is that for TLS that the proxy opens, and the capture that it
// makes itself.
func TestShowsWhatWasInTLS(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip(err)
	}
	if !tlsconf.Available {
		t.Skip("this build leaves TLS out")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "p.pcapng")
	target := kit.Background(t, echo.Mode, "-tcp-port", "0", "-ws-port", "off", "-tls").Addr("tls")
	p := kit.Background(t, proxy.Mode, "-listen", "tls://127.0.0.1:0", "-ca", dir, "-remote_host", "tls://"+target, "-k", "-json", "-record", file)
	addr := p.Addr("tls")
	_, port, _ := net.SplitHostPort(addr)
	args := []string{"tls://" + addr, "-cacert", filepath.Join(dir, "ca-cert.pem"), "-framing", "line", "-count", "3", "-m", "one", "-m", "\x1b[2Jtwo", "-m", strings.Repeat("three", 9999)}
	if c := kit.Background(t, connect.Mode, args...); c.Wait() != 0 {
		t.Fatalf("connect: %s", c.Stderr)
	}
	p.Stdout.WaitFor(t, `"event":"close"`)
	p.Stop()
	shown := shownTo(t, p.Stdout.String())
	if len(shown.fromClient) < 9999*5 || !bytes.Equal(shown.fromClient, shown.toClient) {
		t.Errorf("of an echo it shows %d bytes and %d", len(shown.fromClient), len(shown.toClient))
	}
	_, targetPort, _ := net.SplitHostPort(target)
	for stream, port := range []string{port, targetPort} {
		followed(t, tshark, file, "tls", stream, port).want(t, "a stream", shown)
	}
}
