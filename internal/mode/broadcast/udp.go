package broadcast

import (
	"bytes"
	"container/list"
	"net"
	"sync"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
)

const (
	// maxDatagramPeers are remembered: those who sent last.
	maxDatagramPeers = 10000
	// datagramTime is what the system may take for one datagram.
	datagramTime = time.Second
	// datagramHead is what IP and UDP add to a datagram, in bytes, so that many small
	// ones are no way to have more sent than came.
	datagramHead = 28
)

// datagrams are the clients of UDP in a room: who sent a datagram, whose
// lines are messages. A message goes to all of them but its sender.
//
// That a datagram comes from where it says is not proved. So nobody gets more bytes
// than came from there, headers included: what it sent is its credit, of -queue bytes
// at most, and a message beyond it is not sent. On the loopback interface addresses are
// true, and there is no such limit.
type datagrams struct {
	*broadcast
	room *room
	conn net.PacketConn
	*listen.Datagrams

	mu      sync.Mutex
	changed sync.Cond // waiting or over did
	peers   map[string]*datagramPeer
	order   list.List // of *datagramPeer, who sent last in front
	waiting []datagram
	size    int64 // of waiting, in bytes
	over    bool
}

// A datagramPeer is an address that may be sent to.
type datagramPeer struct {
	addr   listen.Source
	name   string
	credit int64 // in bytes
	at     *list.Element
}

// A datagram is a message on its way to all peers.
type datagram struct {
	from any
	p    []byte
}

func (b *broadcast) newDatagrams(room *room, conn net.PacketConn) *datagrams {
	d := &datagrams{broadcast: b, room: room, conn: conn, peers: make(map[string]*datagramPeer)}
	d.changed.L = &d.mu
	d.Datagrams = listen.NewDatagrams(conn)
	return d
}

// serve reads until the socket is closed.
func (d *datagrams) serve() error {
	var writer sync.WaitGroup
	writer.Go(d.write)
	defer writer.Wait()
	defer d.finish()
	return d.Serve(make([]byte, cli.MaxDatagram+1), d.datagram, d.con.Error)
}

// datagram has the room hear the lines of p. The last one needs no end.
func (d *datagrams) datagram(p []byte, from listen.Source, why error) {
	name := "" // of nobody
	if why == nil {
		name = d.heard(from, len(p))
	}
	for line := range bytes.Lines(p) {
		line = bytes.TrimSuffix(line, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		op := lineType(line)
		d.counts.messages.Add(1)
		d.counts.bytes.Add(int64(len(line)))
		d.con.Detail("[FRAME] from udp %v to %d clients: %s", from, d.room.members(), line)
		d.con.Event(event.Event{Event: event.Message, Proto: "udp", Client: -1, Peer: from.String(), Dir: event.In, Payload: line})
		d.room.gather(name, op, line)
	}
	d.room.group.Flush()
}

// heard notes that n bytes came from an address, and returns its name.
func (d *datagrams) heard(from listen.Source, n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := from.String()
	peer := d.peers[name]
	if peer == nil {
		peer = &datagramPeer{addr: from, name: name}
		peer.at = d.order.PushFront(peer)
		d.peers[name] = peer
		if len(d.peers) > maxDatagramPeers {
			last := d.order.Remove(d.order.Back()).(*datagramPeer)
			delete(d.peers, last.name)
		}
	} else {
		d.order.MoveToFront(peer.at)
	}
	peer.credit = min(peer.credit+int64(n+datagramHead), d.queue)
	return name
}

// send leaves p to the writer.
func (d *datagrams) send(from any, p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	size := int64(len(p) + 1)
	switch {
	case len(d.peers) == 0 || d.over:
	case size > cli.MaxDatagram, d.size > 0 && d.size+size > d.queue:
		d.counts.unsent.Add(int64(len(d.peers)))
	default:
		line := append(append(make([]byte, 0, size), p...), '\n')
		d.waiting = append(d.waiting, datagram{from, line})
		d.size += size
		d.changed.Signal()
	}
}

func (d *datagrams) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	d.changed.Signal()
}

// write sends what waits until finish.
func (d *datagrams) write() {
	for {
		p, to := d.next()
		if p == nil {
			return
		}
		if err := accept.Guard(func() error { d.sendTo(to, p); return nil }); err != nil {
			d.con.Error(err)
		}
	}
}

// next returns what is sent next, and to whom; nil after finish.
func (d *datagrams) next() (p []byte, to []listen.Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.waiting) == 0 && !d.over {
		d.changed.Wait()
	}
	if d.over {
		return nil, nil
	}
	m := d.waiting[0]
	d.waiting = d.waiting[1:]
	d.size -= int64(len(m.p))
	return m.p, d.entitled(m)
}

// entitled returns whom a message may be sent to, and has them pay for it.
func (d *datagrams) entitled(m datagram) (to []listen.Source) {
	for name, peer := range d.peers {
		switch {
		case m.from == any(name):
			continue
		case !peer.addr.True() && peer.credit < int64(len(m.p)+datagramHead):
			d.counts.unsent.Add(1)
			continue
		}
		peer.credit = max(peer.credit-int64(len(m.p)+datagramHead), 0)
		to = append(to, peer.addr)
	}
	return to
}

func (d *datagrams) sendTo(to []listen.Source, p []byte) {
	for _, addr := range to {
		d.conn.SetWriteDeadline(time.Now().Add(datagramTime))
		if d.Write(p, addr) != nil {
			d.counts.unsent.Add(1)
		}
	}
}
