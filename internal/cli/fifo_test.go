//go:build unix

package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The open of a FIFO waits for a reader, and the first signal ends that.
func TestFIFO(t *testing.T) {
	for _, flag := range []string{"-log", "-record"} {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Skip(err)
		}
		table := Table{{Name: "only", Brief: "b", Setup: func(fs *Flags) Func {
			o := fs.Output()
			return func(ctx context.Context, env *Env, args []string) error {
				_, err := o.Open(env)
				return err
			}
		}}}
		var stdout, stderr bytes.Buffer
		env := testEnv(&stdout, &stderr)
		signals := make(chan os.Signal, 1)
		signals <- syscall.SIGTERM
		env.Signals = signals
		code := make(chan int, 1)
		go func() { code <- table.Run(t.Context(), []string{"socketsrv", flag, path}, env) }()
		select {
		case code := <-code:
			if code != ExitSignal+15 || stderr.String() != "" {
				t.Errorf("%s: exit %d, %q; want %d", flag, code, stderr.String(), ExitSignal+15)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: a signal does not end it", flag)
		}
		if f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil { // lets the open go
			f.Close()
		}
	}
}
