package listen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
)

// opened is what TestOpen and others look at while a server is open.
type opened struct {
	sockets *Sockets
	ln      net.Listener
	max     int
	con     *cli.Console
}

// threeTable is a server for TCP, UDP and WebSocket as mode three, and one with one
// listener as mode one; look runs while they are open.
func threeTable(look func(o opened) error) cli.Table {
	return cli.Table{
		{Name: "three", Brief: "b", Setup: func(fs *cli.Flags) cli.Func {
			l := AddListeners(fs, "127.0.0.1", "0", "0", "0")
			secure, out := AddTLS(fs), fs.Output()
			return func(ctx context.Context, env *cli.Env, args []string) error {
				con, err := out.Open(env)
				if err != nil {
					return err
				}
				defer con.Close()
				s, err := l.Open(ctx, env, con, secure)
				if err != nil {
					return err
				}
				defer s.Close()
				return look(opened{sockets: s, max: l.MaxConns, con: con})
			}
		}},
		oneMode("one", 0, look), oneMode("programs", 160, look),
	}
}

// oneMode is a server with one listener, which needs so many more descriptors.
func oneMode(name string, spare int, look func(o opened) error) cli.Mode {
	return cli.Mode{Name: name, Brief: "b", Setup: func(fs *cli.Flags) cli.Func {
		l := AddListener(fs, "127.0.0.1", "0")
		l.Spare = spare
		secure, out := AddTLS(fs), fs.Output()
		return func(ctx context.Context, env *cli.Env, args []string) error {
			con, err := out.Open(env)
			if err != nil {
				return err
			}
			defer con.Close()
			l.Refuse = func(c net.Conn) { io.WriteString(c, "full\n") }
			ln, err := l.Open(ctx, env, con, "line", secure)
			if err != nil {
				return err
			}
			defer ln.Close()
			return look(opened{ln: ln, max: l.MaxConns, con: con})
		}
	}}
}

// open runs a command line of threeTable.
func open(t *testing.T, change func(*cli.Env), look func(o opened) error, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	env := kit.ListenEnv(&out, &err)
	if change != nil {
		change(env)
	}
	code = threeTable(look).Run(t.Context(), append([]string{"socketsrv"}, args...), env)
	return code, out.String(), err.String()
}

func nothing(opened) error { return nil }

func TestListening(t *testing.T) {
	dir := t.TempDir()
	port := `127\.0\.0\.1:[1-9]\d*`
	tests := []struct {
		line, stderr string // the lines as one pattern
	}{
		{"three", "listening on tcp " + port + "\nlistening on udp " + port + "\nlistening on ws " + port + "\n"},
		{"three -tcp-port off -udp-port off", "listening on ws " + port + "\n"},
		{"three -ws-port off -tcp-port off", "listening on udp " + port + "\n"},
		{"three -host localhost -udp-port off -ws-port off", "listening on tcp (" + port + `|\[::1\]:\d+)` + "\n"},
		{"three -ws-addr 127.0.0.2 -udp-port off -tcp-port off", "listening on ws 127\\.0\\.0\\.2:\\d+\n"},
		{"three -host 0.0.0.0 -tcp-port off -ws-port off", "listening on udp 0\\.0\\.0\\.0:\\d+\n"},
		{"three -host 0.0.0.0 -udp-port off -ws-port off", "listening on tcp 0\\.0\\.0\\.0:\\d+\n"},
		{"three -host * -udp-port off -ws-port off", `listening on tcp (\[::\]|0\.0\.0\.0):\d+` + "\n"},
		{"three -udp-port off -ws-port off -tcp-addr unix:DIR/a", "listening on tcp unix:DIR/a\n"},
		{"three -udp-port off -tcp-port off -host unix:DIR/a", "listening on ws unix:DIR/a\n"},
		{"three -udp-addr unix:DIR/u -tcp-port off -ws-port off", "listening on udp unix:DIR/u\n"},
		{"three -udp-port off -tls", `certificate sha256:[0-9a-f]{64}` + "\nlistening on tls " + port + "\nlistening on wss " + port + "\n"},
		{"one", "listening on line " + port + "\n"},
		{"one -p 0 -tls", `certificate sha256:[0-9a-f]{64}` + "\nlistening on line " + port + "\n"},
		{"one -q", ""},
	}
	for _, tt := range tests {
		if runtime.GOOS != "linux" && strings.ContainsAny(tt.line, "2/") { // the second loopback address, unixgram
			continue
		}
		if !tlsconf.Available && kit.IsTLS.MatchString(tt.line) {
			continue
		}
		line := strings.ReplaceAll(tt.line, "DIR", dir)
		code, stdout, stderr := open(t, nil, nothing, kit.Words(line)...)
		pattern := "^" + strings.ReplaceAll(tt.stderr, "DIR", regexp.QuoteMeta(dir)) + "$"
		if code != 0 || stdout != "" || !regexp.MustCompile(pattern).MatchString(stderr) {
			t.Errorf("%s: exit %d, %q, %q; want %q", line, code, stdout, stderr, tt.stderr)
		}
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Errorf("%s left %q", line, left)
		}
	}
}

// TestIPv6 has RL16, as far as this machine knows IPv6.
func TestIPv6(t *testing.T) {
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	probe.Close()
	for host, want := range map[string]string{
		"::1": `\[::1\]`, "[::1]": `\[::1\]`, "::1%lo": `\[::1(%lo)?\]`, "::": `\[::\]`, "::ffff:127.0.0.1": `127\.0\.0\.1`,
	} {
		if runtime.GOOS != "linux" && strings.Contains(host, "%") {
			continue
		}
		_, _, stderr := open(t, nil, nothing, "three", "-host", host)
		pattern := regexp.MustCompile("^listening on tcp " + want + `:\d+` + "\nlistening on udp " + want + `:\d+` + "\nlistening on ws " + want + `:\d+` + "\n$")
		if !pattern.MatchString(stderr) {
			t.Errorf("-host %s: %q", host, stderr)
		}
	}
	open(t, nil, func(o opened) error { // one listener for both families
		_, port, _ := net.SplitHostPort(o.sockets.TCP.Addr().String())
		for _, addr := range []string{"127.0.0.1:" + port, "[::1]:" + port} {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Errorf("all interfaces: %v", err)
				continue
			}
			c.Close()
		}
		return nil
	}, "three", "-host", "*")
}

func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	used := taken.Addr().String()
	_, port, _ := net.SplitHostPort(used)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		line   string
		code   int
		stderr string
	}{
		{"one -port " + port, 1, "socketsrv: listen tcp " + used + ": address already in use\n"},
		{"three -ws-port " + port, 1, "socketsrv: listen tcp " + used + ": address already in use\n"}, // and nothing else was said
		{"three -tcp-port off -udp-port off -ws-port off", 2, "socketsrv: all listeners are off\ntry: socketsrv -three -h\n"},
		{"one -host unix:" + file, 1, "socketsrv: listen unix " + file + ": address already in use\n"},
		{"one -host 203.0.113.1", 1, "socketsrv: listen tcp 203.0.113.1:0: cannot assign requested address\n"},
		{"one -pidfile " + dir + "/no/such", 1, "socketsrv: open " + dir + "/no/such: no such file or directory\n"},
		{"one -log " + dir + "/no/such", 23, "socketsrv: open " + dir + "/no/such: no such file or directory\n"},
		{"one -cert " + dir + "/none.pem", 1, "socketsrv: open " + dir + "/none.pem: no such file or directory\n"},
	}
	for _, tt := range tests {
		if !tlsconf.Available && kit.IsTLS.MatchString(tt.line) {
			continue
		}
		if runtime.GOOS != "linux" { // the texts are its
			tt.stderr = ""
		}
		code, stdout, stderr := open(t, nil, nothing, kit.Words(tt.line)...)
		if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s: exit %d, %q, %q; want %d, %q", tt.line, code, stdout, stderr, tt.code, tt.stderr)
		}
	}
	refused := func(ctx context.Context, network, address string) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: network, Err: os.NewSyscallError("bind", syscall.EACCES)}
	}
	code, _, stderr := open(t, func(env *cli.Env) { env.Listen = refused }, nothing, "one", "-port", "80")
	if code != 1 || stderr != "socketsrv: listen tcp: permission denied\n" {
		t.Errorf("a privileged port: exit %d, %q", code, stderr)
	}
}

// TestListenFailureClosesOthers: the second listener fails, the first is free again.
func TestListenFailureClosesOthers(t *testing.T) {
	var first net.Listener
	code, _, _ := open(t, func(env *cli.Env) {
		env.Listen = func(ctx context.Context, network, address string) (ln net.Listener, err error) {
			if first != nil {
				return nil, errors.New("no more")
			}
			first, err = net.Listen(network, address)
			return first, err
		}
	}, nothing, "three")
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first listener is not closed: %v", err)
	}
}

func TestUnixSocketFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such files there")
	}
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)

	code, _, stderr := open(t, nil, nothing, "one", "-host", "unix:"+path)
	if code != 1 || !strings.Contains(stderr, "address already in use") {
		t.Errorf("somebody listens there: exit %d, %q", code, stderr)
	}
	stale.Close()
	code, _, stderr = open(t, nil, func(o opened) error {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err
	}, "one", "-host", "unix:"+path)
	if code != 0 || stderr != "listening on line unix:"+path+"\n" {
		t.Errorf("nobody listens there: exit %d, %q", code, stderr)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestPidfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	code, _, stderr := open(t, nil, func(o opened) error {
		b, err := os.ReadFile(path)
		if pid, _ := strconv.Atoi(strings.TrimSpace(string(b))); pid != os.Getpid() {
			t.Errorf("it holds %q", b)
		}
		return err
	}, "three", "-pidfile", path)
	if _, err := os.Stat(path); code != 0 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("exit %d, %q; afterwards %v", code, stderr, err)
	}
}

func TestMaxConns(t *testing.T) {
	for _, tt := range []struct {
		line        string
		descriptors int
		max         int
		said        string
	}{
		{"one", 0, 1024, ""},
		{"one", 1 << 20, 1024, ""},
		{"one", 1024, 960, "at most 960 clients on each listener: only 1024 files may be open\n"},
		{"three", 1024, 480, "at most 480 clients on each listener: only 1024 files may be open\n"},
		{"three -ws-port off", 1024, 960, "at most 960 clients"},
		{"one", 64, 32, "at most 32 clients"},
		{"one", 1, 1, "at most 1 clients"},
		{"programs", 1024, 800, "at most 800 clients"},
		{"programs", 256, 32, "at most 32 clients"},
		{"one -max-conns 10", 1024, 10, ""},
		{"three -tcp-port off -ws-port off", 64, 1024, ""}, // no descriptor for a client of UDP
	} {
		got := 0
		_, _, stderr := open(t, func(env *cli.Env) { env.Descriptors = tt.descriptors }, func(o opened) error {
			got = o.max
			return nil
		}, kit.Words(tt.line)...)
		if got != tt.max || !strings.HasPrefix(stderr, tt.said) || tt.said == "" && strings.Contains(stderr, "at most") {
			t.Errorf("%s with %d descriptors: %d, %q; want %d, %q", tt.line, tt.descriptors, got, stderr, tt.max, tt.said)
		}
	}
}

// TestTooManyClients: the one too many is told so, and its place is free again.
func TestTooManyClients(t *testing.T) {
	code, _, stderr := open(t, nil, func(o opened) error {
		addr := o.ln.Addr().String()
		first, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer first.Close()
		second, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer second.Close()
		c, err := o.ln.Accept()
		if err != nil {
			return err
		}
		go o.ln.Accept() // where the second is refused
		if b, err := io.ReadAll(second); string(b) != "full\n" {
			return fmt.Errorf("the second client got %q, %v", b, err)
		}
		return c.Close()
	}, "one", "-max-conns", "1")
	if code != 0 {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

// TestProxyProtocol: a connection is of whom its first line names, with TLS or
// without; the line before TLS.
func TestProxyProtocol(t *testing.T) {
	for _, flags := range []string{"", "-tls"} {
		if flags != "" && !tlsconf.Available {
			continue
		}
		look := func(o opened) error {
			nc, err := net.Dial("tcp", o.ln.Addr().String())
			if err != nil {
				return err
			}
			defer nc.Close()
			io.WriteString(nc, "PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n")
			c, err := o.ln.Accept()
			if err != nil {
				return err
			}
			defer c.Close()
			if got := c.RemoteAddr().String(); got != "192.0.2.1:5" {
				t.Errorf("%q: the client is %s", flags, got)
			}
			if flags == "" {
				return nil
			}
			config, _ := tlsconf.Client(tlsconf.Options{Insecure: true})
			go config.Client(t.Context(), nc, "localhost")
			return c.(interface{ HandshakeContext(context.Context) error }).HandshakeContext(t.Context())
		}
		if code, _, stderr := open(t, nil, look, append([]string{"one", "-q", "-proxy-protocol"}, strings.Fields(flags)...)...); code != 0 {
			t.Errorf("%q: exit %d, %s", flags, code, stderr)
		}
	}
}

// TestMemoryForMessages has the limits of both versions of control groups.
func TestMemoryForMessages(t *testing.T) {
	for _, tt := range []struct {
		limit int64
		text  string
		want  int64
	}{
		{math.MaxInt64, "max\n", 256 << 20},
		{math.MaxInt64, "9223372036854771712\n", 256 << 20}, // version 1: no limit
		{math.MaxInt64, "67108864\n", 16 << 20},
		{math.MaxInt64, "4096\n", 1 << 20},
		{40 << 20, "67108864\n", 10 << 20},
	} {
		file := filepath.Join(t.TempDir(), "limit")
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := memoryForMessages(tt.limit, file+".not", file); got != tt.want {
			t.Errorf("limit %d, control group %q: %d; want %d", tt.limit, tt.text, got, tt.want)
		}
	}
}
