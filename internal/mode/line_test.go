package mode

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/tlsconf"
)

func TestLine(t *testing.T) {
	t.Parallel()
	p := background(t, Line, "-port", "0", "-reply", `cmd01=ack\nmore`, "-reply", "=x=y", "-unknown", "what?")
	if code := p.wait(); code != ExitUsage {
		t.Fatalf("-reply without a command: exit %d, want %d", code, ExitUsage)
	}
	p = background(t, Line, "-port", "0", "-reply", `cmd01=ack\nmore`, "-unknown", "what?")
	addr := p.addr("line")
	first, second := dialTCP(t, addr), dialTCP(t, addr)
	io.WriteString(second, "ping\n") // waits for its turn
	swap(t, first, "ping\ncmd01\r\nPING\n\xff\n\n", "pong\nack\nmore\nwhat?\ninvalid\nwhat?\n")
	swap(t, first, "disconnect\n", "")
	swap(t, second, "", "pong\n")
	swap(t, second, "shutdown\n", "")
	if code := p.wait(); code != 0 {
		t.Errorf("after shutdown: exit %d, want 0", code)
	}
	for _, want := range []string{
		"< new line connection #0: 127.0.0.1:", "< received payload on line connection #0: cmd01\n", "> sent payload to line connection #0: more\n",
		"< end of line connection #0: reason disconnect\n", "< end of line connection #1: reason shutdown\n",
	} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("stdout has no %q: %q", want, p.stdout)
		}
	}
}

func TestLineExec(t *testing.T) {
	p := background(t, Line, "-port", "0", "-multi", "-exec", `sh -c 'read -r line; echo "$line/$SOCKETSRV_COMMAND"; echo two'`)
	nc := dialTCP(t, p.addr("line"))
	swap(t, nc, "a b\nping\n", "a b/a b\ntwo\npong\n")
	slow := background(t, Line, "-port", "0", "-sh-exec", "sleep 1000 & sleep 1000", "-exec-timeout", "50ms", "-no-shutdown")
	nc = dialTCP(t, slow.addr("line"))
	swap(t, nc, "x\nping\nshutdown\n", "error internal\npong\ndenied\n")
	slow.stderr.waitFor(t, "ended after 50ms")
}

func TestLineMaxLine(t *testing.T) {
	p := background(t, Line, "-port", "0", "-max-line", "100")
	nc := dialTCP(t, p.addr("line"))
	io.WriteString(nc, strings.Repeat("x", 101)+"\n")
	if got, _ := io.ReadAll(nc); string(got) != "invalid\n" {
		t.Errorf("a line that is too long is answered with %q, want invalid and the end", got)
	}
	swap(t, dialTCP(t, p.addr("line")), "ping\n", "pong\n")
}

func TestLineUnixTLS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := background(t, Line, "-host", "unix:"+path)
	p.addr("line")
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	swap(t, nc, "ping\n", "pong\n")

	if !tlsconf.Available {
		t.Skip("this build has no TLS")
	}
	p = background(t, Line, "-port", "0", "-tls", "-json")
	nc, err = tls.Dial("tcp", p.jsonAddr(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	swap(t, nc, "ping\n", "pong\n")
	p.stdout.waitFor(t, `"event":"message","proto":"line","client":0,.*"dir":"out",.*"text":"pong"`)
}

// TestLineClientGone: a client that vanishes frees its place.
func TestLineClientGone(t *testing.T) {
	p := background(t, Line, "-port", "0")
	addr := p.addr("line")
	for range 3 {
		nc := dialTCP(t, addr)
		swap(t, nc, "ping\npin", "pong\n")
		nc.SetLinger(0)
		nc.Close()
	}
	nc := dialTCP(t, addr)
	swap(t, nc, "ping\n", "pong\n")
	nc.CloseWrite()
	if line, err := bufio.NewReader(nc).ReadString('\n'); err != io.EOF {
		t.Errorf("after the end: %q, %v", line, err)
	}
}
