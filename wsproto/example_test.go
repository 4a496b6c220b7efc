package wsproto_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"socketsrv/httpmini"
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

// An echo beside what else a server of net/http has.
func ExampleAccept() {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		c, err := wsproto.Accept(http.NewResponseController(w), r, wsproto.AcceptOptions{}, wsproto.Config{})
		if err != nil {
			return // it was answered
		}
		defer c.Close(wsproto.StatusNormalClosure, "")
		for {
			m, err := c.ReadMessage()
			if err != nil {
				return
			}
			c.Reply(m.Opcode, m.Data)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	c, _, err := wsproto.Dial(context.Background(), strings.Replace(server.URL, "http", "ws", 1)+"/echo", wsproto.DialOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(wsproto.StatusNormalClosure, "")
	c.WriteMessage(wsproto.OpText, []byte("hello"))
	m, err := c.ReadMessage()
	fmt.Printf("%s %v\n", m.Data, err)
	// Output: hello <nil>
}

// A chat: what one says goes to all others.
func ExampleGroup() {
	room := wsproto.Group{ExcludeSender: true}
	server := &wsproto.Server{
		OnConnect: func(u *wsproto.User, _ *httpmini.Request) {
			room.Add(u)
			u.Send(wsproto.OpText, []byte("welcome"))
		},
		OnMessage:    func(u *wsproto.User, m wsproto.Message) { room.Gather(u, m.Opcode, m.Data) },
		OnPause:      func(*wsproto.User) { room.Flush() },
		OnDisconnect: func(u *wsproto.User, _ error) { room.Remove(u) },
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go server.Serve(ln)
	defer server.Shutdown(context.Background())

	var clients [2]*wsproto.Conn
	for i := range clients {
		if clients[i], _, err = wsproto.Dial(context.Background(), "ws://"+ln.Addr().String(), wsproto.DialOptions{}); err != nil {
			fmt.Println(err)
			return
		}
		defer clients[i].Close(wsproto.StatusNormalClosure, "")
		clients[i].ReadMessage() // welcome
	}
	clients[0].WriteMessage(wsproto.OpText, []byte("is anybody there?"))
	m, err := clients[1].ReadMessage()
	fmt.Printf("%s %v\n", m.Data, err)
	// Output: is anybody there? <nil>
}

// A relay between a client and a backend, here in memory.
func ExampleRelay() {
	client, toClient := net.Pipe()
	backend, toBackend := net.Pipe()
	relay := wsproto.NewRelay(toClient, toBackend, nil, nil, wsproto.RelayConfig{
		OnMessage: func(fromBackend bool, op wsproto.Opcode, size int64, payload []byte) {
			if !op.IsControl() {
				fmt.Println(fromBackend, op, size)
			}
		},
	})
	go func() {
		c := wsproto.NewConn(backend, nil, wsproto.RoleServer, wsproto.Agreement{}, wsproto.Config{})
		defer c.Close(wsproto.StatusNormalClosure, "")
		if m, err := c.ReadMessage(); err == nil {
			c.WriteMessage(m.Opcode, append(m.Data, '!'))
		}
	}()
	go func() {
		c := wsproto.NewConn(client, nil, wsproto.RoleClient, wsproto.Agreement{}, wsproto.Config{})
		c.WriteMessage(wsproto.OpText, []byte("hello"))
		c.ReadMessage()
		c.ReadMessage() // the backend's Close, which is answered
		c.Close(0, "")
	}()
	end := relay.Run()
	fmt.Println(end.Err, end.ByBackend)
	// Output:
	// false text 5
	// true text 6
	// websocket: closed by the peer: code 1000 reason "" true
}
