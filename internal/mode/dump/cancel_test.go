package dump

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
)

// deadlines accepts one connection and knows its last deadline for writing.
type deadlines struct {
	net.Listener
	last atomic.Pointer[time.Time]
}

type deadlined struct {
	*net.TCPConn
	of *deadlines
}

func (l *deadlines) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &deadlined{nc.(*net.TCPConn), l}, nil
}

func (c *deadlined) SetWriteDeadline(t time.Time) error {
	c.of.last.Store(&t)
	return c.TCPConn.SetWriteDeadline(t)
}

// TestDumpCancelled: a file that was cancelled leaves no deadline behind, which would
// fail what is sent later.
func TestDumpCancelled(t *testing.T) {
	large := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 1<<32); err != nil { // more than goes out meanwhile
		t.Fatal(err)
	}
	ln := new(deadlines)
	d := startDump(t, func(env *cli.Env) {
		listen := env.Listen
		env.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
			l, err := listen(ctx, network, address)
			if ln.Listener == nil {
				ln.Listener = l
				return ln, err
			}
			return l, err
		}
	})
	c := d.dial("tcp")
	d.want(`#0`)
	d.do("sendf tcp 0 " + large)
	for late := time.Now().Add(kit.Patience); ln.last.Load() == nil && time.Now().Before(late); runtime.Gosched() {
	}
	d.do("sendf tcp 0")
	go io.Copy(io.Discard, c.Conn)
	d.want(`bytes of .* sent: cancelled\n`)
	for late := time.Now().Add(kit.Patience); !ln.last.Load().IsZero(); runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatalf("the deadline for writing is %v", *ln.last.Load())
		}
	}
}
