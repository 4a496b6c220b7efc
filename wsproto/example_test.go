package wsproto_test

import (
	"context"
	"fmt"
	"net"

	"socketsrv/wsproto"
)

// An echo server and a client.
func ExampleServer() {
	server := &wsproto.Server{
		OnMessage: func(u *wsproto.User, m wsproto.Message) { u.Reply(m.Opcode, m.Data) },
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go server.Serve(ln)
	defer server.Shutdown(context.Background())

	c, _, err := wsproto.Dial(context.Background(), "ws://"+ln.Addr().String()+"/", wsproto.DialOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(wsproto.StatusNormalClosure, "")
	c.WriteMessage(wsproto.OpText, []byte("hello"))
	m, err := c.ReadMessage()
	fmt.Printf("%v %s %v\n", m.Opcode, m.Data, err)
	// Output: text hello <nil>
}

// The frame of RFC 6455 §5.7: a masked text message, byte by byte.
func ExampleParseHeader() {
	wire := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}
	h, n, err := wsproto.ParseHeader(wire)
	if err != nil {
		fmt.Println(err)
		return
	}
	var a wsproto.Assembler // of a server
	if err := a.Check(h); err != nil {
		fmt.Println(err)
		return
	}
	m, done, err := a.Add(wire[n:])
	fmt.Printf("%v %q %t %v\n", m.Opcode, m.Data, done, err)
	// Output: text "Hello" true <nil>
}
