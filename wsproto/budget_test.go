package wsproto

import (
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestBudget: clients that leave messages unfinished get no more together than there
// is for them; the one too many is told to try later, and what an end frees is there for
// others.
func TestBudget(t *testing.T) {
	for _, takeover := range []bool{false, true} {
		memory := NewBudget(2 << 20)
		j := newJournal()
		s := echoServer(j)
		s.Config.Memory = memory
		s.Accept.ContextTakeover = takeover
		addr := serve(t, s)
		part := frame(RoleServer, 0x02, string(make([]byte, 300<<10)))
		var clients []*client
		for range 2 {
			c := connect(t, addr, "")
			c.send(part)
			c.send(frame(RoleServer, 0x89, "here?"))
			c.want("8a 05 686572653f")
			clients = append(clients, c)
		}
		if used := memory.Used(); used < 600<<10 || used > 5<<18 { // in blocks of powers of two
			t.Errorf("%d bytes used for two messages of 300 KiB", used)
		}
		c := connect(t, addr, "")
		c.send(part)
		for range 5 {
			c.send(frame(RoleServer, 0x00, string(make([]byte, 300<<10))))
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(c.br, got); err != nil || got[0] != 0x88 || string(got[2:]) != "\x03\xf5" {
			t.Errorf("the client too many got %x, %v; want Close 1013", got, err)
		}
		for _, c := range clients {
			c.send(frame(RoleServer, 0x80, ""))
			head := make([]byte, 10+300<<10)
			if _, err := io.ReadFull(c.br, head); err != nil {
				t.Errorf("a message that fits does not come back: %v", err)
			}
			c.Close()
		}
		c.Close()
		j.waitFor(t, 6)
		s.Shutdown(t.Context())
		if used := memory.Used(); used != 0 {
			t.Errorf("%d bytes are used by nobody", used)
		}
	}
}

// TestBudgetInflated: what comes out of the decompressor counts.
func TestBudgetInflated(t *testing.T) {
	z, _ := newDeflate(RoleClient, DeflateParams{}).Compress(nil, make([]byte, 4<<20))
	a := Assembler{Deflate: newDeflate(RoleServer, DeflateParams{}), Memory: NewBudget(1 << 20)}
	if err := a.Check(Header{Fin: true, Rsv1: true, Opcode: OpText, Masked: true, PayloadLen: int64(len(z))}); err != nil {
		t.Fatal(err)
	}
	var pe *ProtocolError
	if _, _, err := a.Add(z); !errors.As(err, &pe) || pe.Code != StatusTryAgainLater || !errors.Is(err, ErrMemory) {
		t.Errorf("4 MiB in a budget of 1 MiB: %v, want 1013", err)
	}
	if a.drop(); a.Memory.Used() != 0 {
		t.Errorf("%d bytes are used by nobody", a.Memory.Used())
	}
}

// TestMessageTimeout: a message that does not end in time ends the connection, one that
// does leaves no trace.
func TestMessageTimeout(t *testing.T) {
	talkTo(t, RoleServer, Config{MessageTimeout: 10 * time.Second}, func(t *testing.T, k *talk, end <-chan error) {
		k.send(toServer(0x01, "Hel"))
		time.Sleep(9 * time.Second)
		k.send(toServer(0x80, "lo"))
		k.want("81 05 48656c6c6f")
		time.Sleep(time.Minute)
		k.wantIdle()
		k.send(toServer(0x81, "Hello")[:8])
		time.Sleep(9 * time.Second)
		k.wantIdle()
		time.Sleep(2 * time.Second)
		got, _ := k.take()
		if len(got) < 4 || got[0] != 0x88 || string(got[2:4]) != "\x03\xf0" {
			t.Errorf("got %x, want Close 1008", got)
		}
		time.Sleep(6 * time.Second)
		wantErr(t, end, ErrMessageTimeout)
	})
}

// TestBudgetCut: who is cut while others inflate does not have its turn any more. A
// stopped server would else wait for all that its clients had sent compressed.
func TestBudgetCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, ours := newTalk(t)
		memory := NewBudget(1 << 20)
		c := NewConn(ours, nil, RoleServer, Agreement{Deflate: &DeflateParams{}}, Config{Memory: memory})
		for range cap(memory.slots) {
			memory.enter()
		}
		var read sync.WaitGroup
		read.Go(func() {
			if m, err := c.ReadMessage(); err != ErrServerClosed {
				t.Errorf("read %q, %v", m.Data, err)
			}
		})
		k.sendBytes(frame(RoleServer, 0xC1, "\xf2\x48\xcd\xc9\xc9\x07\x00")) // RFC 7692 §7.2.3.1
		synctest.Wait()
		c.abort(ErrServerClosed)
		for range cap(memory.slots) {
			memory.leave()
		}
		read.Wait()
		c.Close(0, "")
	})
}
