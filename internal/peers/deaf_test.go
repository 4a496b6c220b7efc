package peers

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/transfer"
)

// TestStatusNotRead: servers go on where nobody reads their status lines, and end when
// they are told to.
func TestStatusNotRead(t *testing.T) {
	for _, m := range []cli.Mode{echo.Mode, broadcast.Mode, transfer.Transfer} {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			statusNotRead(t, m)
		})
	}
}

func statusNotRead(t *testing.T, m cli.Mode) {
	stderr, w := io.Pipe()
	defer stderr.Close()
	env := cli.System()
	signals := make(chan os.Signal, 1)
	env.Stdin, env.Stdout, env.Stderr, env.Signals = strings.NewReader(""), io.Discard, w, signals
	listening := make(chan string, 1)
	env.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
		ln, err := net.Listen(network, address)
		listening <- ln.Addr().String()
		return ln, err
	}
	ended := make(chan int, 1)
	go func() { ended <- cli.Table{m}.Run(t.Context(), []string{cli.Program, m.Name, "-v", "-port", "0"}, env) }()
	addr := <-listening
	opening := strings.Replace(kit.Opening(), "/path", "/"+strings.Repeat("x", 7000), 1)
	for range 500 {
		nc := kit.DialTCP(t, addr)
		kit.Swap(t, nc, opening, "HTTP/1.1 101")
		nc.Close()
	}
	signals <- syscall.SIGTERM
	if code := <-ended; code != 0 {
		t.Errorf("exit %d", code)
	}
}
