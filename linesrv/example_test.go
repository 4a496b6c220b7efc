package linesrv_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"socketsrv/linesrv"
)

func ExampleServer() {
	server := &linesrv.Server{Handler: func(c *linesrv.Conn, cmd linesrv.Command) error {
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

func ExampleClient() {
	client, err := linesrv.Dial(context.Background(), "127.0.0.1:5001", linesrv.ClientOptions{SayDisconnect: true})
	if err != nil {
		fmt.Println("no line server there")
		return
	}
	defer client.Close()
	answers, err := client.Request("cmd01", 1, 0)
	fmt.Println(answers, err)
}

func ExampleSocketServer() {
	server := &linesrv.SocketServer{Handler: func(s *linesrv.Socket) error {
		for {
			p, err := s.Receive(0)
			if err != nil {
				return err
			}
			if err := s.Send(bytes.ToUpper(p)); err != nil {
				return err
			}
		}
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- server.Serve(ln) }()

	socket, err := linesrv.DialSocket(context.Background(), ln.Addr().String(), linesrv.SocketOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	socket.Send([]byte("hello"))
	p, err := socket.Receive(0)
	fmt.Printf("%s %v\n", p, err)
	socket.Close()
	fmt.Println(server.Shutdown(context.Background()), <-served)
	// Output:
	// HELLO <nil>
	// <nil> <nil>
}

func ExampleSocket() {
	here, there := net.Pipe()
	go linesrv.NewSocket(there, linesrv.SocketOptions{}).Send([]byte("a message"))
	p, err := linesrv.NewSocket(here, linesrv.SocketOptions{MaxMessage: 1 << 10}).Receive(time.Second)
	fmt.Printf("%s %v\n", p, err)
	// Output: a message <nil>
}

func ExampleFraming() {
	mllp, err := linesrv.ParseFraming("mllp")
	if err != nil {
		fmt.Println(err)
		return
	}
	wire, err := mllp.Append(nil, []byte("MSH|..."))
	fmt.Printf("%q %v\n", wire, err)

	cutter := linesrv.Cutter{Framing: mllp, Max: 1 << 20}
	for _, received := range []string{"\x0bMSH|A\x1c\r\x0bMS", "H|B\x1c\r\x0bMSH|"} {
		for rest := []byte(received); ; {
			message, more, ok, err := cutter.Next(rest)
			if err != nil || !ok {
				break
			}
			fmt.Printf("%q\n", message)
			rest = more
		}
	}
	last, cut := cutter.Finish()
	fmt.Printf("%q %v\n", last, cut)
	// Output:
	// "\vMSH|...\x1c\r" <nil>
	// "MSH|A"
	// "MSH|B"
	// "\vMSH|" true
}

func ExampleParseBytes() {
	for _, s := range []string{"0d0a", "0x0d, 0x0a", `02 "AB" 03`, "0d0g"} {
		fmt.Println(linesrv.ParseBytes(s))
	}
	// Output:
	// [13 10] <nil>
	// [13 10] <nil>
	// [2 65 66 3] <nil>
	// [] character 4: 'g' is not a hexadecimal digit
}
