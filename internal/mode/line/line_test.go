package line

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
)

func TestLine(t *testing.T) {
	t.Parallel()
	p := kit.Background(t, Mode, "-port", "0", "-reply", `cmd01=ack\nmore`, "-reply", "=x=y", "-unknown", "what?")
	if code := p.Wait(); code != cli.ExitUsage {
		t.Fatalf("-reply without a command: exit %d, want %d", code, cli.ExitUsage)
	}
	p = kit.Background(t, Mode, "-port", "0", "-reply", `cmd01=ack\nmore`, "-unknown", "what?")
	addr := p.Addr("line")
	first, second := kit.DialTCP(t, addr), kit.DialTCP(t, addr)
	io.WriteString(second, "ping\n") // waits for its turn
	kit.Swap(t, first, "ping\ncmd01\r\nPING\n\xff\n\n", "pong\nack\nmore\nwhat?\ninvalid\nwhat?\n")
	kit.Swap(t, first, "disconnect\n", "")
	kit.Swap(t, second, "", "pong\n")
	kit.Swap(t, second, "shutdown\n", "")
	if code := p.Wait(); code != 0 {
		t.Errorf("after shutdown: exit %d, want 0", code)
	}
	for _, want := range []string{
		"< new line connection #0: 127.0.0.1:", "< received payload on line connection #0: cmd01\n", "> sent payload to line connection #0: more\n",
		"< end of line connection #0: reason disconnect\n", "< end of line connection #1: reason shutdown\n",
	} {
		if !strings.Contains(p.Stdout.String(), want) {
			t.Errorf("stdout has no %q: %q", want, p.Stdout)
		}
	}
}

func TestLineExec(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-multi", "-exec", `sh -c 'read -r line; echo "$line/$SOCKETSRV_COMMAND"; echo two'`)
	nc := kit.DialTCP(t, p.Addr("line"))
	kit.Swap(t, nc, "a b\nping\n", "a b/a b\ntwo\npong\n")
	slow := kit.Background(t, Mode, "-port", "0", "-sh-exec", "sleep 1000 & sleep 1000", "-exec-timeout", "50ms", "-no-shutdown")
	nc = kit.DialTCP(t, slow.Addr("line"))
	kit.Swap(t, nc, "x\nping\nshutdown\n", "error internal\npong\ndenied\n")
	slow.Stderr.WaitFor(t, "ended after 50ms")
}

func TestLineMaxLine(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-max-line", "100")
	nc := kit.DialTCP(t, p.Addr("line"))
	io.WriteString(nc, strings.Repeat("x", 101)+"\n")
	if got, _ := io.ReadAll(nc); string(got) != "invalid\n" {
		t.Errorf("a line that is too long is answered with %q, want invalid and the end", got)
	}
	kit.Swap(t, kit.DialTCP(t, p.Addr("line")), "ping\n", "pong\n")
}

func TestLineUnixTLS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := kit.Background(t, Mode, "-host", "unix:"+path)
	p.Addr("line")
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	kit.Swap(t, nc, "ping\n", "pong\n")

	if !tlsconf.Available {
		t.Skip("this build has no TLS")
	}
	p = kit.Background(t, Mode, "-port", "0", "-tls", "-json")
	nc, err = tls.Dial("tcp", p.Addr(`\w+`), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(kit.Patience))
	kit.Swap(t, nc, "ping\n", "pong\n")
	p.Stdout.WaitFor(t, `"event":"message","proto":"line","client":0,.*"dir":"out",.*"text":"pong"`)
}

// TestLineClientGone: a client that vanishes frees its place.
func TestLineClientGone(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0")
	addr := p.Addr("line")
	for range 3 {
		nc := kit.DialTCP(t, addr)
		kit.Swap(t, nc, "ping\npin", "pong\n")
		nc.SetLinger(0)
		nc.Close()
	}
	nc := kit.DialTCP(t, addr)
	kit.Swap(t, nc, "ping\n", "pong\n")
	nc.CloseWrite()
	if line, err := bufio.NewReader(nc).ReadString('\n'); err != io.EOF {
		t.Errorf("after the end: %q, %v", line, err)
	}
}
