package wsproto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/httpmini"
)

// A faulty connection breaks at the n-th operation of a kind, and stays broken.
type faulty struct {
	net.Conn
	reads, writes int // until it breaks, the one included; 0: never
	half          bool
	hit           atomic.Bool
}

var errFault = errors.New("fault")

func (f *faulty) breaks(left *int) bool {
	*left--
	if *left == 0 {
		f.hit.Store(true)
		f.Close()
	}
	return f.hit.Load()
}

func (f *faulty) Read(p []byte) (int, error) {
	if f.breaks(&f.reads) {
		return 0, errFault
	}
	return f.Conn.Read(p)
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.writes == 1 && f.half {
		n, _ := f.Conn.Write(p[:len(p)/2])
		f.breaks(&f.writes)
		return n, errFault
	}
	if f.breaks(&f.writes) {
		return 0, errFault
	}
	return f.Conn.Write(p)
}

// TestFaults breaks the connection at each of its operations in turn, on either
// side: whatever has begun ends, for both, and each user that came goes (RL11).
func TestFaults(t *testing.T) {
	for _, side := range []string{"server", "client"} {
		for _, kind := range []string{"read", "write", "half a write"} {
			n := 1
			for ; ; n++ {
				name, hit := fmt.Sprintf("%s %d of the %s", kind, n, side), false
				synctest.Test(t, func(t *testing.T) {
					f := &faulty{half: kind == "half a write"}
					if kind == "read" {
						f.reads = n
					} else {
						f.writes = n
					}
					hit = converse(t, name, f, side == "server")
				})
				if !hit {
					break
				}
			}
			if n < 5 {
				t.Errorf("of a %s on the %s there are only %d to break", kind, side, n-1)
			}
		}
	}
}

// converse has a client and a server talk over f, and says whether f broke.
func converse(t *testing.T, name string, f *faulty, server bool) (hit bool) {
	far, near := net.Pipe()
	if server {
		f.Conn, far = far, f
	} else {
		f.Conn, near = near, f
	}
	came, gone := 0, 0
	s := &Server{
		OnConnect:    func(u *User, _ *httpmini.Request) { came++; u.Send(OpText, []byte("welcome")) },
		OnMessage:    func(u *User, m Message) { u.Reply(m.Opcode, m.Data) },
		OnDisconnect: func(u *User, err error) { gone++ },
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		(&httpmini.Server{Handler: s.ServeExchange}).ServeConn(far)
	}()
	err := chatOver(near)
	near.Close()
	s.Shutdown(t.Context())
	<-served
	if came != gone || came > 1 {
		t.Errorf("%s: %d users came, %d went", name, came, gone)
	}
	if err != nil && !f.hit.Load() {
		t.Errorf("%s: %v", name, err)
	}
	return f.hit.Load()
}

// chatOver is what a client does with a server that welcomes and echoes.
func chatOver(nc net.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, _, err := Dial(ctx, "ws://server/", DialOptions{NetDial: func(context.Context, string, string) (net.Conn, error) { return nc, nil }})
	if err != nil {
		return err
	}
	defer c.NetConn().Close()
	want := []byte("welcome")
	for _, next := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("compressible "), 100), make([]byte, 300_000)} {
		if next != nil {
			sent := make(chan error, 1)
			go func() { sent <- c.WriteMessage(OpBinary, next) }() // the answer may come before the end of it
			defer func() { <-sent }()
			want = next
		}
		m, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if !bytes.Equal(m.Data, want) {
			return fmt.Errorf("got %d bytes, want %d", len(m.Data), len(want))
		}
	}
	return c.Close(StatusNormalClosure, "bye")
}

// A leaver takes all and is gone before its deadline can be lifted.
type leaver struct{ net.Conn }

func (leaver) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		return io.ErrClosedPipe
	}
	return nil
}

// TestWriteToLeaver: what was taken was written.
func TestWriteToLeaver(t *testing.T) {
	ours, theirs := net.Pipe()
	go io.Copy(io.Discard, theirs)
	defer ours.Close()
	c := NewConn(leaver{ours}, nil, RoleServer, Agreement{}, Config{})
	if err := c.WriteMessage(OpText, []byte("bye")); err != nil {
		t.Error(err)
	}
}
