package mode

import (
	"context"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNobodyReadsCurl: the same where the kernel copies the body to stdout.
func TestNobodyReadsCurl(t *testing.T) {
	p := background(t, Httpd, "-port", "0", webRoot(t, map[string]string{"big": strings.Repeat("x", 8<<20)}))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() // for the goroutine that was left behind
	defer w.Close()
	env := System()
	env.Stdout, env.Stderr, env.TTYOut = w, io.Discard, nil
	signals := make(chan os.Signal, 1)
	env.Signals = signals
	ended := make(chan int, 1)
	go func() {
		ended <- Table{Curl}.Run(context.Background(), []string{program, "-curl", "http://" + p.addr("http") + "/big"}, env)
	}()
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	signals <- syscall.SIGTERM
	select {
	case code := <-ended:
		if code != ExitSignal+int(syscall.SIGTERM) {
			t.Errorf("exit %d", code)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}
