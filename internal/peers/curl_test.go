package peers

import (
	"context"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/curl"
	"socketsrv/internal/mode/httpd"
)

// TestNobodyReadsCurl: the same where the kernel copies the body to stdout.
func TestNobodyReadsCurl(t *testing.T) {
	t.Parallel()
	p := kit.Background(t, httpd.Mode, "-port", "0", kit.WebRoot(t, map[string]string{"big": strings.Repeat("x", 8<<20)}))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() // for the goroutine that was left behind
	defer w.Close()
	env := cli.System()
	env.Stdout, env.Stderr, env.TTYOut = w, io.Discard, nil
	signals := make(chan os.Signal, 1)
	env.Signals = signals
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Table{curl.Mode}.Run(context.Background(), []string{cli.Program, "-curl", "http://" + p.Addr("http") + "/big"}, env)
	}()
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	signals <- syscall.SIGTERM
	select {
	case code := <-ended:
		if code != cli.ExitSignal+int(syscall.SIGTERM) {
			t.Errorf("exit %d", code)
		}
	case <-time.After(kit.Patience):
		t.Fatal("it does not end")
	}
}
