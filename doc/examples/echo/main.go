// Command echo is a server of net/http with one path for WebSocket.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"

	"socketsrv/wsproto"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen here")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") })
	mux.HandleFunc("/echo", echo)
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", ln.Addr())
	log.Fatal(http.Serve(ln, mux))
}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := wsproto.Accept(http.NewResponseController(w), r, wsproto.AcceptOptions{}, wsproto.Config{})
	if err != nil {
		log.Print(err) // the client was answered
		return
	}
	defer c.Close(wsproto.StatusNormalClosure, "")
	for {
		m, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(m.Opcode, m.Data); err != nil {
			return
		}
	}
}
