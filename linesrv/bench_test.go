package linesrv

import (
	"bytes"
	"net"
	"testing"
)

// The work of the server for a command, without the system's.
func BenchmarkCommands(b *testing.B) {
	for _, bm := range []struct{ name, line string }{
		{"ping", "ping\n"},
		{"handler", "cmd1\n"},
		{"handler, 200 bytes", string(bytes.Repeat([]byte("x"), 199)) + "\n"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			client, server := net.Pipe()
			defer client.Close()
			c := newConn(&Server{Handle: func(c *Conn, cmd Command) error { return c.SendString("ack1") }}, server)
			c.borrow()
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
