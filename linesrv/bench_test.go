package linesrv

import (
	"bytes"
	"net"
	"testing"
)

// bareConn is a Conn that has borrowed its buffers and whose commands are executed
// by the test.
func bareConn(t testing.TB) *Conn {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	c := newConn(&Server{Handler: func(c *Conn, cmd Command) error {
		switch string(cmd.Line) {
		case "cmd1":
			return c.SendString("ack1")
		}
		return c.Send(cmd.Line)
	}}, server)
	c.borrow()
	return c
}

func TestNoAllocations(t *testing.T) {
	c := bareConn(t)
	for _, pieces := range [][]string{
		{"ping\n"},
		{"cmd1\ncmd1\n"},
		{"p", "in", "g\ncm", "d1\n"},
		{string(bytes.Repeat([]byte("x"), 900)), "x\n"},
		{"\xff\n"},
	} {
		var wire [][]byte
		for _, p := range pieces {
			wire = append(wire, []byte(p))
		}
		if n := testing.AllocsPerRun(100, func() {
			for _, b := range wire {
				if _, err := c.execute(b); err != nil {
					t.Error(err)
				}
			}
			c.b.out = c.b.out[:0]
		}); n != 0 {
			t.Errorf("%.20q: %v allocations", pieces, n)
		}
	}
}

// The work of the server for a command, without the system's.
func BenchmarkCommands(b *testing.B) {
	for _, bm := range []struct{ name, line string }{
		{"ping", "ping\n"},
		{"handler", "cmd1\n"},
		{"handler, 200 bytes", string(bytes.Repeat([]byte("x"), 199)) + "\n"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			c := bareConn(b)
			const n = 50
			commands := bytes.Repeat([]byte(bm.line), n)
			b.ReportAllocs()
			for i := 0; i < b.N; i += n {
				if _, err := c.execute(commands); err != nil {
					b.Fatal(err)
				}
				c.b.out = c.b.out[:0]
			}
		})
	}
}
