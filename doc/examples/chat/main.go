// Command chat passes what one client says on to all others in its room: the path of
// its URL. SIGINT lets the clients end politely.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"

	"socketsrv/httpmini"
	"socketsrv/wsproto"
)

// A hub has the rooms that somebody is in.
type hub struct {
	mu    sync.Mutex
	rooms map[string]*room
}

type room struct {
	name string
	wsproto.Group
}

func (h *hub) join(u *wsproto.User, req *httpmini.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[req.Path()]
	if r == nil {
		r = &room{req.Path(), wsproto.Group{ExcludeSender: true}}
		h.rooms[r.name] = r
	}
	r.Add(u)
	u.SetData(r)
}

func (h *hub) leave(u *wsproto.User, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := u.Data().(*room)
	if r.Remove(u); r.Len() == 0 {
		delete(h.rooms, r.name)
	}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen here")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	h := &hub{rooms: make(map[string]*room)}
	server := &wsproto.Server{
		OnConnect:    h.join,
		OnMessage:    func(u *wsproto.User, m wsproto.Message) { u.Data().(*room).Gather(u, m.Opcode, m.Data) },
		OnPause:      func(u *wsproto.User) { u.Data().(*room).Flush() },
		OnDisconnect: h.leave,
		ErrorLog:     func(err error) { log.Print(err) },
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", ln.Addr())
	go server.Serve(ln)
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	server.Shutdown(grace)
}
