package accept_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"socketsrv/internal/accept"
)

// A server that sends back what it gets.
func ExampleTable() {
	var table accept.Table
	bound := accept.Bound{Max: 1024}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() {
		served <- table.Serve(bound.Listen(ln), func(nc net.Conn) {
			defer nc.Close()
			c := &accept.Deadlines{Conn: nc}
			id, ok := table.Add(c)
			if !ok {
				return // it came as the server stopped
			}
			defer table.Remove(c)
			fmt.Println(id, accept.Proto(nc))
			io.Copy(nc, nc)
		}, nil)
	}()

	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Write([]byte("hello"))
	io.CopyN(io.Discard, client, 5)
	fmt.Println(table.Shutdown(context.Background()), <-served, bound.TurnedAway())
	// Output:
	// 0 tcp
	// <nil> <nil> 0
}
