package broadcast

import (
	"sync"

	"socketsrv/wsproto"
)

// rooms are the rooms that somebody is in, at most one for each client.
type rooms struct {
	mu   sync.Mutex
	open map[string]*room
}

// A room is clients that hear each other.
type room struct {
	path  string
	in    int // clients, guarded by rooms.mu
	group wsproto.Group

	// Where they listen, the clients of TCP and UDP are in the room of path "/".
	lines     *lineMembers
	datagrams *datagrams
	order     sync.Mutex // held while a message is given to all of them
}

func (b *broadcast) newRoom(path string) *room {
	r := &room{path: path}
	r.group.ExcludeSender, r.group.Queue = b.exclude, int(b.queue)
	r.group.OnMissed = func(u *wsproto.User, messages int) {
		b.missedSome(u.Data().(*member), messages)
		if b.slow == "close" {
			u.Close(wsproto.StatusTryAgainLater, "too slow")
		}
	}
	if path == "/" && b.sockets.TCP != nil {
		r.lines = &lineMembers{broadcast: b, clients: make(map[*lineClient]struct{})}
	}
	if path == "/" && b.sockets.UDP != nil {
		r.datagrams = b.newDatagrams(r, b.sockets.UDP)
	}
	return r
}

// join counts one more client into the room of a path.
func (b *broadcast) join(path string) *room {
	if !b.apart {
		path = "/"
	}
	b.rooms.mu.Lock()
	defer b.rooms.mu.Unlock()
	r := b.rooms.open[path]
	if r == nil {
		r = b.newRoom(path)
		b.rooms.open[path] = r
	}
	r.in++
	return r
}

// leave counts a client out; the last one takes the room along.
func (b *broadcast) leave(r *room) {
	b.rooms.mu.Lock()
	defer b.rooms.mu.Unlock()
	if r.in--; r.in == 0 {
		delete(b.rooms.open, r.path)
	}
}

func (rs *rooms) count() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.open)
}

// gather has p go to all, in the same order for each; from is who sent it, as
// WebSocket and the others know him, or nil. It goes out with group.Flush.
func (r *room) gather(from any, op wsproto.Opcode, p []byte) {
	u, _ := from.(*wsproto.User)
	if r.lines == nil && r.datagrams == nil {
		r.group.Gather(u, op, p)
		return
	}
	r.order.Lock()
	defer r.order.Unlock()
	r.group.Gather(u, op, p)
	if r.lines != nil {
		r.lines.send(from, p)
	}
	if r.datagrams != nil {
		r.datagrams.send(from, p)
	}
}

// members is how many would get a message.
func (r *room) members() int {
	n := r.group.Len()
	if r.lines != nil {
		n += r.lines.count()
	}
	return n
}
