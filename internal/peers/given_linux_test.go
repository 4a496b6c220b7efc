package peers

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/kit"
)

// A filer is a socket that can be given away.
type filer interface{ File() (*os.File, error) }

// given returns a command with sockets as sd_listen_fds(3) has them.
func given(t *testing.T, bin, line string, sockets ...filer) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, bin}, strings.Fields(line)...)...)
	cmd.Env = append(os.Environ(), "LISTEN_FDNAMES=x:y", "LISTEN_FDS="+string(rune('0'+len(sockets))))
	for _, s := range sockets {
		f, err := s.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}

// socketsGiven: what systemd listens on is served in place of what flags say, and
// nothing else; what nothing would serve ends the program.
func socketsGiven(t *testing.T, bin string) {
	one, err := net.Listen("tcp", "127.0.0.1:0")
	two, err2 := net.Listen("tcp", "127.0.0.1:0")
	udp, err3 := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil || err2 != nil || err3 != nil {
		t.Fatal(err, err2, err3)
	}
	defer one.Close()
	defer two.Close()
	defer udp.Close()
	stream, other, datagrams := one.(*net.TCPListener), two.(*net.TCPListener), udp.(*net.UDPConn)
	for _, tt := range []struct {
		line    string
		sockets []filer
		want    string // all that it says, with the addresses
	}{
		{"dump", []filer{stream}, "listening on tcp ONE\n"},
		{"dump", []filer{datagrams, stream}, "listening on tcp ONE\nlistening on udp UDP\n"},
		{"dump", []filer{stream, other}, "listening on tcp ONE\nlistening on ws TWO\n"},
		{"echo -udp-port 0", []filer{datagrams}, "listening on udp UDP\n"},
		{"line -port 1", []filer{stream}, "listening on line ONE\n"},
		{"httpd -port 1", []filer{stream, other}, "socketsrv: 1 socket given by LISTEN_FDS that nothing here listens on\n"},
		{"httpd -port 1", []filer{datagrams}, "socketsrv: no socket was given for it\n"},
		{"echo -port 1", []filer{datagrams}, "socketsrv: no socket was given for it\n"},
	} {
		want := strings.NewReplacer("ONE", one.Addr().String(), "TWO", two.Addr().String(), "UDP", udp.LocalAddr().String()).Replace(tt.want)
		p := kit.StartCommand(t, given(t, bin, tt.line, tt.sockets...))
		p.WaitFor("^" + want + "$")
		p.Kill()
	}
	p := kit.StartCommand(t, given(t, bin, "echo -tcp-port 0 -udp-port 0 -record /dev/null", datagrams, stream))
	for _, nc := range []net.Conn{kit.DialTCP(t, one.Addr().String()), dialUDP(t, udp.LocalAddr().String())} {
		kit.Swap(t, nc, "hello", "hello")
	}
	p.Kill()
}

func dialUDP(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// inetd: one client on stdin and stdout, which are a socket, and stderr too, of which
// it then sees nothing; or pipes. With it the program ends.
func inetd(t *testing.T, bin string) {
	for _, tt := range []struct{ line, send, want string }{
		{"echo -inetd -tcp-port 0 -ws-port off -v", "hello", "hello"},
		{"line -inetd -json", "ping\n", "pong\n"},
		{"dump -inetd -greet hi", "x", "hi\n"},
		{"httpd -inetd " + t.TempDir(), "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
	} {
		client, server := unixPair(t)
		f, err := server.File()
		if err != nil {
			t.Fatal(err)
		}
		server.Close()
		cmd := exec.Command("sh", append([]string{"-c", `exec "$0" "$@" 2>&0`, bin}, strings.Fields(tt.line)...)...)
		cmd.Stdin, cmd.Stdout = f, f
		p := kit.StartCommand(t, cmd)
		f.Close()
		io.WriteString(client, tt.send)
		client.CloseWrite()
		got, err := io.ReadAll(client)
		if err != nil || !strings.HasPrefix(string(got), tt.want) || !strings.HasPrefix(tt.want, "HTTP") && string(got) != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.line, got, err, tt.want)
		}
		if p.Wait(); cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("%s: %v", tt.line, cmd.ProcessState)
		}

		ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
		cmd = exec.CommandContext(ctx, bin, strings.Fields(tt.line)...)
		cmd.Stdin = strings.NewReader(tt.send) // through a pipe
		if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), tt.want) {
			t.Errorf("%s, by pipes: %q, %v; want %q", tt.line, out, err, tt.want)
		}
		cancel()
	}

	cmd := exec.Command(bin, "echo", "-inetd", "-tcp-port", "0", "-ws-port", "off")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	p := kit.StartCommand(t, cmd)
	p.WaitFor("New connection")
	io.WriteString(in, "late")
	in.Close()
	if p.Wait(); out.String() != "late" {
		t.Errorf("echo -inetd by a pipe to which nothing was written when it began: %q, want %q", out.String(), "late")
	}
}

// unixPair returns both ends of a connection.
func unixPair(t *testing.T) (client, server *net.UnixConn) {
	t.Helper()
	conns := make(chan net.Conn, 1)
	addr := kit.ListenFor(t, "unix", func(nc net.Conn) {
		f, _ := nc.(*net.UnixConn).File()
		own, _ := net.FileConn(f) // this one lives longer
		f.Close()
		conns <- own
	})
	nc, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(kit.Patience))
	return nc.(*net.UnixConn), (<-conns).(*net.UnixConn)
}

// systemd has its own program for sockets start ours: with the listener, and with a
// connection each.
func systemd(t *testing.T, bin string) {
	path, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip(err)
	}
	for _, args := range []string{"BIN line", "-a BIN line", "-a --inetd BIN line -inetd"} {
		addr := "127.0.0.1:" + freePort(t)
		p := kit.StartCommand(t, exec.Command(path, append([]string{"-l", addr}, strings.Fields(strings.Replace(args, "BIN", bin, 1))...)...))
		p.WaitFor("Listening on " + addr)
		nc := kit.DialTCP(t, addr)
		kit.Swap(t, nc, "ping\n", "pong\n")
		nc.CloseWrite()
		if rest, err := io.ReadAll(nc); len(rest) > 0 || err != nil {
			t.Errorf("%s: then %q, %v", args, rest, err)
		}
		p.Kill()
	}
}
