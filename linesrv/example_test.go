package linesrv_test

import (
	"context"
	"fmt"
	"net"

	"socketsrv/linesrv"
)

func ExampleServer() {
	server := &linesrv.Server{Handle: func(c *linesrv.Conn, cmd linesrv.Command) error {
		if string(cmd.Line) == "cmd01" {
			return c.SendString("ack")
		}
		return linesrv.Unknown(c, cmd)
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- server.Serve(ln) }()

	client, err := linesrv.Dial(context.Background(), ln.Addr().String(), linesrv.ClientOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.Request("cmd01\ncmd02", 2, 0))
	fmt.Println(client.Shutdown(), <-served)
	// Output:
	// [ack nak - unknown cmd] <nil>
	// <nil> <nil>
}

func ExampleAppendMessage() {
	wire := linesrv.AppendMessage(nil, []byte("Hello"))
	fmt.Printf("% x\n", wire)
	p, n, err := linesrv.ParseMessage(wire, 0)
	fmt.Printf("%s %d %v\n", p, n, err)
	// Output:
	// 00 00 00 05 48 65 6c 6c 6f
	// Hello 9 <nil>
}

func ExampleCutter() {
	var lines linesrv.Cutter
	for _, received := range []string{"ping\nhe", "llo\r\nwor"} {
		for b := []byte(received); ; {
			line, rest, ok, err := lines.Next(b)
			if err != nil || !ok {
				break
			}
			fmt.Printf("%q\n", line)
			b = rest
		}
	}
	fmt.Printf("%q has not ended\n", lines.Pending())
	// Output:
	// "ping"
	// "hello"
	// "wor" has not ended
}
