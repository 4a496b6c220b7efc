package wsproto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

// A talk is a conversation with a Conn over a net.Pipe, in a synctest bubble: the
// test plays the peer, byte by byte.
type talk struct {
	t    *testing.T
	peer net.Conn
	mu   sync.Mutex
	got  []byte
	end  error
	stop chan struct{} // closed when the peer's end was read to its end
	hold chan struct{} // not nil: the peer does not read
}

// newTalk returns the test's side, and the stream for the other.
func newTalk(t *testing.T) (*talk, net.Conn) {
	peer, ours := net.Pipe()
	k := &talk{t: t, peer: peer, stop: make(chan struct{})}
	go k.read()
	t.Cleanup(func() { peer.Close(); <-k.stop })
	return k, ours
}

func (k *talk) read() {
	defer close(k.stop)
	b := make([]byte, 1<<16)
	for {
		if hold := k.hold; hold != nil {
			<-hold
		}
		n, err := k.peer.Read(b)
		k.mu.Lock()
		k.got = append(k.got, b[:n]...)
		if err != nil {
			k.end = err
		}
		k.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (k *talk) send(wire string) { k.sendBytes(unhex(wire)) }

func (k *talk) sendBytes(p []byte) {
	k.t.Helper()
	if _, err := k.peer.Write(p); err != nil {
		k.t.Errorf("send: %v", err)
	}
}

// take returns what came when nothing more happens.
func (k *talk) take() ([]byte, error) {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	got := k.got
	k.got = nil
	return got, k.end
}

func (k *talk) want(wire string) {
	k.t.Helper()
	if got, _ := k.take(); !bytes.Equal(got, unhex(wire)) {
		k.t.Errorf("got %x, want %s", got, strings.ReplaceAll(wire, " ", ""))
	}
}

func (k *talk) wantIdle() {
	k.t.Helper()
	if got, end := k.take(); len(got) > 0 || end != nil {
		k.t.Errorf("got %x and %v, want nothing", got, end)
	}
}

func (k *talk) wantEnd() {
	k.t.Helper()
	if got, end := k.take(); len(got) > 0 || end == nil {
		k.t.Errorf("got %x and %v, want the end", got, end)
	}
}

// echo answers every message until the connection ends, and says why it did.
func echo(c *Conn) <-chan error {
	end := make(chan error, 1)
	go func() {
		for {
			m, err := c.ReadMessage()
			if err == nil {
				err = c.Reply(m.Opcode, m.Data)
			}
			if err != nil {
				c.Close(0, "")
				end <- err
				return
			}
		}
	}()
	return end
}

// talkTo runs a conversation with a Conn that echoes.
func talkTo(t *testing.T, role Role, cfg Config, conversation func(t *testing.T, k *talk, end <-chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		conversation(t, k, echo(NewConn(nc, nil, role, Agreement{}, cfg)))
	})
}

func toServer(b0 byte, payload string) string {
	return hex.EncodeToString(frame(RoleServer, b0, payload))
}

func wantErr(t *testing.T, end <-chan error, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-end:
		var close, wantClose *CloseError
		if errors.As(want, &wantClose) && errors.As(err, &close) && *close == *wantClose {
			return
		}
		if !errors.Is(err, want) {
			t.Errorf("the reader ended with %v, want %v", err, want)
		}
	default:
		t.Errorf("the reader goes on, want %v", want)
	}
}

func TestConnEcho(t *testing.T) {
	talkTo(t, RoleServer, Config{}, func(t *testing.T, k *talk, end <-chan error) {
		k.send(toServer(0x81, "Hello"))
		k.want("81 05 48656c6c6f")
		k.send(toServer(0x01, "Hel") + toServer(0x89, "p") + toServer(0x80, "lo") + toServer(0x82, "\xff"))
		k.want("8a 01 70" + "81 05 48656c6c6f" + "82 01 ff")
		k.send(toServer(0x8a, "unasked"))
		k.wantIdle()
		k.send(toServer(0x88, "\x03\xe8bye"))
		k.want("88 05 03e8 627965")
		k.wantEnd()
		wantErr(t, end, &CloseError{Code: 1000, Reason: "bye"})
	})
}

// TestConnCutByClose: a Close between the frames of a message tells what there was of it.
func TestConnCutByClose(t *testing.T) {
	talkTo(t, RoleServer, Config{}, func(t *testing.T, k *talk, end <-chan error) {
		k.send(toServer(0x01, "Hel") + toServer(0x00, "lo") + toServer(0x88, "\x03\xe8bye"))
		k.want("88 05 03e8 627965")
		k.wantEnd()
		wantErr(t, end, &CloseError{Code: 1000, Reason: "bye", Cut: true, Begun: "Hello"})
	})
}

// TestConnByteByByte: where the stream is cut changes nothing.
func TestConnByteByByte(t *testing.T) {
	long := strings.Repeat("0123456789", 30)
	wire := unhex(toServer(0x81, "Hello") + toServer(0x01, "é"[:1]) + toServer(0x89, "p") + toServer(0x80, "é"[1:]) + toServer(0x82, long))
	want := "81 05 48656c6c6f" + "8a 01 70" + "81 02 c3a9" + "82 7e 012c" + hex.EncodeToString([]byte(long))
	talkTo(t, RoleServer, Config{}, func(t *testing.T, k *talk, end <-chan error) {
		for i := range wire {
			k.sendBytes(wire[i : i+1])
		}
		k.want(want)
	})
	for cut := range wire {
		talkTo(t, RoleServer, Config{}, func(t *testing.T, k *talk, end <-chan error) {
			k.sendBytes(wire[:cut])
			k.take()
			k.sendBytes(wire[cut:])
			synctest.Wait()
			k.mu.Lock()
			defer k.mu.Unlock()
		})
	}
}

// TestConnMasks: a client's frames, with known keys.
func TestConnMasks(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	talkTo(t, RoleClient, Config{}, func(t *testing.T, k *talk, end <-chan error) {
		keys := map[string]bool{}
		for range 100 {
			k.send("81 05 48656c6c6f")
			got, _ := k.take()
			h, n, err := ParseHeader(got)
			if err != nil || !h.Masked || len(got) != n+5 {
				t.Fatalf("got %x, want a masked frame", got)
			}
			keys[string(h.MaskingKey[:])] = true
			mask(got[n:], h.MaskingKey, 0)
			if string(got[n:]) != "Hello" {
				t.Fatalf("got %q, want Hello", got[n:])
			}
		}
		if len(keys) < 100 {
			t.Errorf("100 frames with %d masking keys", len(keys))
		}
	})
}

func TestConnFails(t *testing.T) {
	tests := []struct {
		name, send, want string
		err              error
	}{
		{"reserved bit", toServer(0xc1, "x"), "88", ErrReservedBits},
		{"unmasked", "81 01 78", "88", ErrMasking},
		{"bad UTF-8 in a first fragment", toServer(0x01, "\xff"), "88", ErrInvalidUTF8},
		{"bad length", "82 fe 0001", "88", ErrLengthEncoding},
		{"close 1005", toServer(0x88, "\x03\xed"), "88", ErrStatusCode},
		{"2^62 bytes", "82 ff 4000000000000000 00000000", "88", ErrMessageTooBig},
	}
	for _, tt := range tests {
		talkTo(t, RoleServer, Config{}, func(t *testing.T, k *talk, end <-chan error) {
			k.send(tt.send)
			got, _ := k.take()
			if len(got) < 4 || got[0] != 0x88 {
				t.Fatalf("%s: got %x, want a Close frame", tt.name, got)
			}
			code, reason, err := ParseClose(got[2:])
			if err != nil || reason == "" {
				t.Errorf("%s: ParseClose = %d, %q, %v; want a reason", tt.name, code, reason, err)
			}
			time.Sleep(10 * time.Second) // the peer never ends the stream
			k.wantEnd()
			wantErr(t, end, tt.err)
		})
	}
}

// TestConnCut: the end of the stream never makes a message of half of one.
func TestConnCut(t *testing.T) {
	for name, send := range map[string]string{
		"in a header":       "81",
		"in a payload":      toServer(0x81, "Hello")[:16],
		"between fragments": toServer(0x01, "Hel"),
		"in a ping":         toServer(0x89, "Hello")[:16],
	} {
		talkTo(t, RoleServer, Config{}, func(t *testing.T, k *talk, end <-chan error) {
			k.send(send)
			k.peer.Close()
			wantErr(t, end, ErrMessageCut)
			if got, _ := k.take(); len(got) > 0 {
				t.Errorf("%s: got %x, want nothing", name, got)
			}
		})
	}
	talkTo(t, RoleServer, Config{}, func(t *testing.T, k *talk, end <-chan error) {
		k.send(toServer(0x81, "x"))
		k.take()
		k.peer.Close()
		wantErr(t, end, io.EOF)
	})
}

func TestConnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		c := NewConn(nc, nil, RoleServer, Agreement{}, Config{})
		done := make(chan error)
		go func() { done <- c.Close(1000, "bye") }()
		k.want("88 05 03e8 627965")
		k.send(toServer(0x82, "late")) // read and dropped
		k.wantIdle()
		if err := c.WriteMessage(OpText, nil); err != ErrCloseSent {
			t.Errorf("WriteMessage after Close: %v, want ErrCloseSent", err)
		}
		k.send(toServer(0x88, "\x03\xe8"))
		k.wantEnd()
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := c.ReadMessage(); !errors.As(err, new(*CloseError)) {
			t.Errorf("ReadMessage after Close: %v, want the peer's", err)
		}
		if err := c.Ping(nil); err != ErrClosed {
			t.Errorf("Ping after Close: %v, want ErrClosed", err)
		}
	})
}

// TestConnCloseUnanswered: the closing handshake has a deadline.
func TestConnCloseUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		end := echoing(NewConn(nc, nil, RoleServer, Agreement{}, Config{}))
		begin := time.Now()
		if err := end.c.Close(0, ""); err != ErrCloseTimeout {
			t.Errorf("Close: %v, want ErrCloseTimeout", err)
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("Close took %v, want 5s", d)
		}
		k.want("88 00")
		wantErr(t, end.err, ErrCloseTimeout)
	})
}

type echoer struct {
	c   *Conn
	err <-chan error
}

func echoing(c *Conn) echoer { return echoer{c, echo(c)} }

// TestConnReadDeadline: a time-out loses nothing.
func TestConnReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		c := NewConn(nc, nil, RoleServer, Agreement{}, Config{})
		defer nc.Close()
		wire := frame(RoleServer, 0x81, "Hello")
		for i := range wire {
			c.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := c.ReadMessage(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("ReadMessage with %d bytes there: %v, want a time-out", i, err)
			}
			go k.sendBytes(wire[i : i+1])
		}
		c.SetReadDeadline(time.Time{})
		if m, err := c.ReadMessage(); err != nil || string(m.Data) != "Hello" {
			t.Errorf("ReadMessage = %q, %v; want Hello", m.Data, err)
		}
	})
}

// TestConnPings: a peer that writes pings and does not read holds up nobody and
// fills no memory; the pongs it gets are the first ones and the newest.
func TestConnPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, nc := net.Pipe()
		defer peer.Close()
		end := echo(NewConn(nc, nil, RoleServer, Agreement{}, Config{}))
		for i := range 20000 {
			if _, err := peer.Write(frame(RoleServer, 0x89, string([]byte{byte(i >> 8), byte(i)}))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		var pongs []byte
		b := make([]byte, 1<<16)
		for {
			peer.SetReadDeadline(time.Now().Add(time.Second))
			n, err := peer.Read(b)
			if err != nil {
				break
			}
			pongs = append(pongs, b[:n]...)
		}
		if len(pongs) < 4*maxPongs || len(pongs) > 4*(2*maxPongs+2) {
			t.Errorf("%d pongs, want %d to %d", len(pongs)/4, maxPongs, 2*maxPongs+2)
		}
		if !bytes.HasPrefix(pongs, unhex("8a020000")) || !bytes.HasSuffix(pongs, unhex("8a024e1f")) {
			t.Errorf("pongs %x: want the first and the newest", pongs)
		}
		peer.Close()
		wantErr(t, end, io.EOF)
	})
}

func TestConnKeepalive(t *testing.T) {
	cfg := Config{PingInterval: 30 * time.Second, PongTimeout: 20 * time.Second}
	talkTo(t, RoleServer, cfg, func(t *testing.T, k *talk, end <-chan error) {
		time.Sleep(29 * time.Second)
		k.wantIdle()
		time.Sleep(time.Second)
		k.want("89 00")
		k.send(toServer(0x8a, ""))
		time.Sleep(20 * time.Second) // looks whether something came
		k.wantIdle()
		time.Sleep(30 * time.Second)
		k.want("89 00")
		time.Sleep(20 * time.Second)
		k.wantEnd()
		wantErr(t, end, ErrPongTimeout)
	})
}

func TestConnIdleTimeout(t *testing.T) {
	talkTo(t, RoleServer, Config{IdleTimeout: 8 * time.Second}, func(t *testing.T, k *talk, end <-chan error) {
		time.Sleep(7 * time.Second)
		k.send(toServer(0x81, ""))
		k.want("81 00")
		time.Sleep(7 * time.Second)
		k.send(toServer(0x89, "")) // a ping is no message
		k.want("8a 00")
		time.Sleep(3 * time.Second)
		got, _ := k.take()
		if code, _, _ := ParseClose(got[min(2, len(got)):]); code != StatusGoingAway {
			t.Errorf("after the idle timeout: %x, want Close 1001", got)
		}
		time.Sleep(5 * time.Second)
		k.wantEnd()
		wantErr(t, end, ErrIdleTimeout)
	})
}

// TestConnWriteStall: a peer that takes nothing is given up.
func TestConnWriteStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, nc := net.Pipe()
		defer peer.Close()
		c := NewConn(nc, nil, RoleClient, Agreement{}, Config{WriteTimeout: 3 * time.Second})
		begin := time.Now()
		if err := c.WriteMessage(OpBinary, make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("WriteMessage: %v, want a time-out", err)
		}
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("after %v, want 3s", d)
		}
		if err := c.WriteMessage(OpText, nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the next WriteMessage: %v, want the same error", err)
		}
		c.Close(0, "")
	})
}

func TestConnTap(t *testing.T) {
	var seen []string
	cfg := Config{Tap: func(received bool, h Header, p []byte) {
		dir := ">"
		if received {
			dir = "<"
		}
		seen = append(seen, dir+h.Opcode.String()+" "+string(p))
	}}
	talkTo(t, RoleServer, cfg, func(t *testing.T, k *talk, end <-chan error) {
		k.send(toServer(0x81, "hi") + toServer(0x89, "p") + toServer(0xf3, "bad"))
		k.take()
		k.peer.Close()
		<-end
		want := "<text |<ping p|>pong p|>text |<reserved 0x3 |>close "
		if got := strings.Join(seen, "|"); !strings.HasPrefix(got, "<text |>text |<ping p|>pong p|<reserved 0x3 |>close ") {
			t.Errorf("the tap saw %q, want %q", got, want)
		}
	})
}

func TestConnNoPong(t *testing.T) {
	talkTo(t, RoleServer, Config{NoPong: true}, func(t *testing.T, k *talk, end <-chan error) {
		k.send(toServer(0x89, "p"))
		k.wantIdle()
	})
}

func TestConnControlTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nc := newTalk(t)
		c := NewConn(nc, nil, RoleServer, Agreement{}, Config{})
		defer nc.Close()
		if err := c.Ping(make([]byte, 126)); err != ErrControlTooLong {
			t.Errorf("Ping of 126 bytes: %v, want ErrControlTooLong", err)
		}
		if err := c.Pong(make([]byte, 125)); err != nil {
			t.Errorf("Pong of 125 bytes: %v", err)
		}
	})
}
