package wsproto_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/wsproto"
)

// TestCloseWrite: what the peer sends between our Close frame and its own is read,
// and nothing can be sent any more.
func TestCloseWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := net.Pipe()
		c := wsproto.NewConn(ours, nil, wsproto.RoleServer, wsproto.Agreement{}, wsproto.Config{})
		go func() {
			defer peer.Close()
			frame := make([]byte, 4)
			io.ReadFull(peer, frame) // 88 02 03e8
			peer.Write([]byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i', 0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa1})
		}()
		if err := c.CloseWrite(wsproto.StatusNormalClosure, ""); err != nil {
			t.Fatalf("CloseWrite: %v", err)
		}
		if err := c.WriteMessage(wsproto.OpText, nil); !errors.Is(err, wsproto.ErrCloseSent) {
			t.Errorf("WriteMessage: %v; want ErrCloseSent", err)
		}
		if m, err := c.ReadMessage(); err != nil || string(m.Data) != "hi" {
			t.Errorf("ReadMessage: %q, %v; want hi", m.Data, err)
		}
		_, err := c.ReadMessage()
		if ce, ok := errors.AsType[*wsproto.CloseError](err); !ok || ce.Code != 4001 {
			t.Errorf("ReadMessage: %v; want code 4001", err)
		}
		if err := c.Close(0, ""); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestCloseWriteUnanswered: the peer is not waited for longer than CloseTimeout.
func TestCloseWriteUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := net.Pipe()
		defer peer.Close()
		go io.Copy(io.Discard, peer)
		c := wsproto.NewConn(ours, nil, wsproto.RoleClient, wsproto.Agreement{}, wsproto.Config{CloseTimeout: 3 * time.Second})
		start := time.Now()
		c.CloseWrite(wsproto.StatusNormalClosure, "")
		if _, err := c.ReadMessage(); err != wsproto.ErrCloseTimeout || time.Since(start) != 3*time.Second {
			t.Errorf("ReadMessage: %v after %v; want ErrCloseTimeout after 3s", err, time.Since(start))
		}
		c.Close(0, "")
	})
}

// TestReadWhileWriting: of two ends that send to one another as much as they can,
// over a stream that holds nothing, neither waits for the other for ever.
func TestReadWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := net.Pipe()
		server := wsproto.NewConn(peer, nil, wsproto.RoleServer, wsproto.Agreement{}, wsproto.Config{})
		go func() {
			for {
				m, err := server.ReadMessage()
				if err != nil {
					server.Close(0, "")
					return
				}
				server.Reply(m.Opcode, m.Data)
			}
		}()
		c := wsproto.NewConn(ours, nil, wsproto.RoleClient, wsproto.Agreement{}, wsproto.Config{})
		const n = 100
		go func() {
			for range n {
				c.WriteMessage(wsproto.OpText, []byte("hi"))
			}
		}()
		for i := range n {
			if m, err := c.ReadMessage(); err != nil || string(m.Data) != "hi" {
				t.Fatalf("message %d: %q, %v", i, m.Data, err)
			}
		}
		c.Close(0, "")
	})
}

// TestCloseWritePatient: a negative CloseTimeout leaves it to others when to give up.
func TestCloseWritePatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := net.Pipe()
		go func() {
			io.ReadFull(peer, make([]byte, 8)) // 88 82, a masking key, 03e8
			time.Sleep(time.Hour)
			peer.Write([]byte{0x88, 0})
			peer.Close()
		}()
		c := wsproto.NewConn(ours, nil, wsproto.RoleClient, wsproto.Agreement{}, wsproto.Config{CloseTimeout: -1})
		c.CloseWrite(wsproto.StatusNormalClosure, "")
		_, err := c.ReadMessage()
		if _, ok := errors.AsType[*wsproto.CloseError](err); !ok {
			t.Errorf("ReadMessage: %v; want the Close that came after an hour", err)
		}
		c.Close(0, "")
	})
}
