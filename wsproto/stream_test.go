package wsproto

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// streamsOf is readsOf by NextReader, in reads of n bytes.
func streamsOf(role Role, ag Agreement, cfg Config, wire []byte, n int) (got []Message, err error) {
	c := NewConn(newHole(), wire, role, ag, cfg)
	defer c.Close(0, "")
	for {
		op, r, err := c.NextReader()
		if err != nil {
			return got, err
		}
		var b bytes.Buffer
		if _, err := io.CopyBuffer(&b, struct{ io.Reader }{r}, make([]byte, n)); err != nil {
			return got, err
		}
		got = append(got, Message{op, b.Bytes()})
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			return got, fmt.Errorf("after its end the reader gives %d bytes, %v", n, err)
		}
	}
}

// sameStream compares what NextReader gives with what ReadMessage gives.
func sameStream(t *testing.T, name string, role Role, ag Agreement, cfg Config, wire []byte, n int) {
	t.Helper()
	whole, wholeErr := readsOf(role, ag, cfg, bytes.Clone(wire))
	if errors.Is(wholeErr, ErrMessageTooBig) {
		return // which is no limit of a reader
	}
	parts, partsErr := streamsOf(role, ag, cfg, bytes.Clone(wire), n)
	if errors.Is(partsErr, ErrCompressedData) && len(parts) < len(whole) {
		whole, wholeErr = whole[:len(parts)], partsErr // it cannot look twice at a message that ends oddly
	}
	if fmt.Sprintf("%q", parts) != fmt.Sprintf("%q", whole) || (wholeErr == io.EOF) != (partsErr == io.EOF) {
		t.Errorf("%s: %x: NextReader gives %q, %v; ReadMessage %q, %v", name, wire, parts, partsErr, whole, wholeErr)
	}
	if errors.Is(partsErr, ErrCompressedData) || errors.Is(partsErr, ErrInvalidUTF8) && ag.Deflate != nil {
		return // it looks at compressed data before the message is whole
	}
	pe, _ := errors.AsType[*ProtocolError](wholeErr)
	se, ok := errors.AsType[*ProtocolError](partsErr)
	if pe != nil && (!ok || se.Code != pe.Code || se.Header != pe.Header) {
		t.Errorf("%s: %x: NextReader ends with %+v, ReadMessage with %+v", name, wire, se, pe)
	}
}

func TestNextReader(t *testing.T) {
	for _, n := range []int{1, 3, 1000} {
		for _, tt := range ruleVectors {
			for _, role := range []Role{RoleServer, RoleClient} {
				var wire []byte
				for _, f := range tt.frames {
					wire = append(wire, frame(role, f.b0, f.payload)...)
				}
				sameStream(t, tt.name, role, Agreement{}, Config{}, append(wire, frame(role, 0x81, "next")...), n)
			}
		}
		for _, tt := range evidence {
			sameStream(t, tt.name, tt.role, deflated, Config{}, unhex(tt.wire), n)
		}
		for _, tt := range faults {
			sameStream(t, tt.name, tt.role, deflated, Config{Lenient: func(error) {}}, tt.wire, n)
		}
		for _, tt := range deflateVectors {
			p := string(fromHex(t, tt.wire))
			for cut := range len(p) {
				wire := bytes.Join([][]byte{frame(RoleClient, 0x41, p[:cut]), frame(RoleClient, 0x89, "ping"), frame(RoleClient, 0x80, p[cut:]),
					frame(RoleClient, 0xc1, p), frame(RoleClient, 0xc1, "\x02\x13\x00\x00"), frame(RoleClient, 0x81, "plain")}, nil)
				sameStream(t, tt.name, RoleClient, Agreement{Deflate: &DeflateParams{}}, Config{}, wire, n)
				sameStream(t, tt.name, RoleClient, deflated, Config{}, wire, n)
			}
		}
	}
}

func FuzzNextReader(f *testing.F) {
	for _, tt := range evidence {
		f.Add(unhex(tt.wire), uint8(3), tt.role == RoleServer, true)
	}
	f.Add(unhex("41 04 f248cdc9 80 03 c90700 c1 04 02130000 81 01 61"), uint8(0), false, true)
	f.Fuzz(func(t *testing.T, wire []byte, n uint8, server, takeover bool) {
		role, ag := RoleClient, deflated
		if server {
			role = RoleServer
		}
		if takeover {
			ag = Agreement{Deflate: &DeflateParams{}}
		}
		sameStream(t, "fuzz", role, ag, Config{}, wire, int(n)+1)
	})
}

// TestNextReaderSize: what is longer than MaxMessage comes through, compressed or not,
// and little of it is held.
func TestNextReaderSize(t *testing.T) {
	want := jsonText(3 << 20)
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 6)
	w.Write(want)
	w.Flush()
	for b0, p := range map[byte]string{0x01: string(want), 0x41: z.String()[:z.Len()-4]} {
		for _, role := range []Role{RoleServer, RoleClient} {
			wire := bytes.Join([][]byte{frame(role, b0, p[:len(p)/2]), frame(role, 0x80, p[len(p)/2:]), frame(role, 0x81, "next")}, nil)
			got, err := streamsOf(role, Agreement{Deflate: &DeflateParams{}}, Config{MaxMessage: 1000, MaxFragments: 1}, wire, 32<<10)
			if len(got) != 2 || !bytes.Equal(got[0].Data, want) || string(got[1].Data) != "next" || err != io.EOF {
				t.Errorf("first byte %x to a %v: %d messages, %v; want the text and next", b0, role, len(got), err)
			}
		}
	}
	c := NewConn(newHole(), frame(RoleServer, 0x02, "a piece"), RoleServer, Agreement{}, Config{})
	if _, _, err := c.NextReader(); err != nil || c.asm.buf != nil {
		t.Errorf("after a fragment: %v, held: %v", err, c.asm.buf)
	}
	c.Close(0, "")
}

// TestNextReaderSkips: what was not read of a message does not get into the next one,
// nor out of the context that this refers to.
func TestNextReaderSkips(t *testing.T) {
	wire := bytes.Join([][]byte{frame(RoleClient, 0x41, "\xf2\x48\xcd\xc9"), frame(RoleClient, 0x80, "\xc9\x07\x00"),
		frame(RoleClient, 0xc1, "\x02\x13\x00\x00"), frame(RoleClient, 0x01, "a"), frame(RoleClient, 0x80, "b"), frame(RoleClient, 0x81, "c")}, nil)
	nc, peer := net.Pipe()
	defer peer.Close()
	c := NewConn(nc, wire, RoleClient, Agreement{Deflate: &DeflateParams{}}, Config{})
	_, first, err := c.NextReader()
	if _, err := io.ReadFull(first, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if m, merr := c.ReadMessage(); string(m.Data) != "Hello" || err != nil || merr != nil {
		t.Errorf("the second message is %q, %v, %v; want Hello", m.Data, err, merr)
	}
	if n, err := first.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the first reader then gives %d bytes, %v", n, err)
	}
	if op, _, err := c.NextReader(); op != OpText || err != nil {
		t.Errorf("the third message: %v, %v", op, err)
	}
	if _, r, err := c.NextReader(); err != nil {
		t.Error(err)
	} else if b, err := io.ReadAll(r); string(b) != "c" || err != nil {
		t.Errorf("the fourth message is %q, %v; want c", b, err)
	}
	nc.Close()
}

// TestNextReaderTimeout: a time-out loses nothing.
func TestNextReaderTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, peer := net.Pipe()
		c := NewConn(nc, nil, RoleClient, Agreement{}, Config{})
		late := func(want string, read func() error) {
			t.Helper()
			c.SetReadDeadline(time.Now().Add(time.Second))
			if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v, want a time-out", want, err)
			}
			c.SetReadDeadline(time.Time{})
		}
		next := func() error { _, _, err := c.NextReader(); return err }
		late("nothing", next)
		go peer.Write(unhex("02 03 61"))
		_, r, err := c.NextReader()
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(r, make([]byte, 1))
		late("the middle of a frame", func() error { _, err := r.Read(make([]byte, 1)); return err })
		go peer.Write(unhex("6263 80 00 01 00 80 01 64"))
		if b, err := io.ReadAll(r); string(b) != "bc" || err != nil {
			t.Errorf("the rest is %q, %v; want bc", b, err)
		}
		if _, r, err = c.NextReader(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); string(b) != "d" || err != nil {
			t.Errorf("the next message is %q, %v; want d", b, err)
		}
		late("nothing again", next)
		go peer.Write(unhex("81 01 65"))
		if m, err := c.ReadMessage(); string(m.Data) != "e" || err != nil {
			t.Errorf("the last message is %q, %v; want e", m.Data, err)
		}
		nc.Close()
		peer.Close()
	})
}

func TestNextWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		c := NewConn(nc, nil, RoleServer, deflated, Config{})
		w, err := c.NextWriter(OpText)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"Hel", "lo"} {
			if n, err := io.WriteString(w, s); n != len(s) || err != nil {
				t.Errorf("Write(%q) = %d, %v", s, n, err)
			}
		}
		k.want("01 03 48656c 00 02 6c6f")
		_, err = c.NextWriter(OpBinary)
		for what, err := range map[string]error{"NextWriter": err, "WriteMessage": c.WriteMessage(OpText, nil), "Reply": c.Reply(OpText, nil)} {
			if err != ErrMessageOpen {
				t.Errorf("%s in the middle of a message: %v, want %v", what, err, ErrMessageOpen)
			}
		}
		if err := c.Ping(nil); err != nil {
			t.Error(err)
		}
		k.want("89 00")
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		k.want("80 00")
		for range 2 {
			if _, err := io.WriteString(w, "x"); err != ErrClosed || w.Close() != ErrClosed {
				t.Errorf("Write after Close: %v", err)
			}
		}
		c.WriteMessage(OpText, []byte("x"))
		k.want("81 01 78")
		w, _ = c.NextWriter(OpBinary)
		io.WriteString(w, strings.Repeat("x", noCopy+1))
		w.Close()
		got, _ := k.take()
		if h, n, err := ParseHeader(got); h != (Header{Opcode: OpBinary, PayloadLen: noCopy}) || err != nil || !bytes.Equal(got[n+noCopy:], unhex("00 01 78 80 00")) {
			t.Errorf("%d bytes in one Write: %+v and %d bytes", noCopy+1, h, len(got)-n)
		}
		c.CloseWrite(1000, "")
		if _, err := c.NextWriter(OpText); err != ErrCloseSent {
			t.Errorf("NextWriter after CloseWrite: %v", err)
		}
		nc.Close()
	})
}

// TestReadMessageContext: a context ends the reading and loses nothing.
func TestReadMessageContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, peer := net.Pipe()
		c := NewConn(nc, nil, RoleClient, Agreement{}, Config{})
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := c.ReadMessageContext(ctx); err != context.DeadlineExceeded {
				t.Errorf("%d: %v, want the end of the context", i, err)
			}
			cancel()
			if _, err := c.ReadMessageContext(ctx); err != context.DeadlineExceeded {
				t.Errorf("%d: %v, want that it has ended", i, err)
			}
			go peer.Write(unhex("81 01 61"))
			if m, err := c.ReadMessageContext(t.Context()); string(m.Data) != "a" || err != nil {
				t.Errorf("%d: then comes %q, %v", i, m.Data, err)
			}
		}
		peer.Close()
		if _, err := c.ReadMessageContext(t.Context()); err != io.EOF {
			t.Errorf("at the end: %v, want EOF", err)
		}
		nc.Close()
	})
}

func TestOnPong(t *testing.T) {
	var got []string
	readsOf(RoleClient, Agreement{}, Config{OnPong: func(p []byte) { got = append(got, string(p)) }}, unhex("8a 01 61 89 01 62 8a 00"))
	if fmt.Sprintf("%q", got) != `["a" ""]` {
		t.Errorf("pongs %q, want a and an empty one", got)
	}
}

// TestReadAfterClose: a reader is told that we closed, and what the peer said to it.
func TestReadAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		c := NewConn(nc, nil, RoleServer, Agreement{}, Config{})
		end := make(chan error, 1)
		go func() {
			_, err := c.ReadMessage()
			end <- err
		}()
		synctest.Wait()
		go c.Close(4001, "")
		k.want("88 02 0fa1")
		k.send(toServer(0x88, "\x0f\xa2"))
		err := <-end
		_, again := c.ReadMessage()
		for _, err := range []error{err, again} {
			if ce, ok := errors.AsType[*CloseError](err); !errors.Is(err, ErrClosed) || !ok || ce.Code != 4002 {
				t.Errorf("the reader ended with %v, want %v and code 4002", err, ErrClosed)
			}
		}
	})
}

// What is no message is not sent as one: a Close frame by WriteMessage, as other packages
// have it, or an Opcode that was forgotten.
func TestWriteNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		c := NewConn(nc, nil, RoleServer, Agreement{}, Config{})
		u := &User{server: new(Server)}
		u.init(newHole(), nil, Agreement{})
		for _, op := range []Opcode{OpContinuation, 3, OpClose, OpPing, OpPong} {
			_, err := c.NextWriter(op)
			for what, err := range map[string]error{"NextWriter": err, "WriteMessage": c.WriteMessage(op, nil), "Reply": c.Reply(op, nil), "Send": u.Send(op, nil)} {
				if err != errNoMessage {
					t.Errorf("%s of %v: %v, want %v", what, op, err, errNoMessage)
				}
			}
			func() {
				defer func() {
					if v := recover(); v != errNoMessage {
						t.Errorf("Gather of %v: panic %v, want %v", op, v, errNoMessage)
					}
				}()
				new(Group).Gather(nil, op, nil)
			}()
		}
		k.wantIdle()
		if err := c.WriteMessage(OpText, []byte("hi")); err != nil {
			t.Error(err)
		}
		k.want("81 02 6869")
		nc.Close()
	})
}
