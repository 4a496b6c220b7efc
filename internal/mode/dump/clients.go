package dump

import (
	"cmp"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/talk"
	"socketsrv/wsproto"
)

// A target is a client that commands can name.
type target interface {
	about() *client
	// send sends p whole or not at all, shows that it did, and never waits for the
	// peer. TCP and UDP know no opcode: text is what is typed, and may get an end of
	// line.
	send(op wsproto.Opcode, p []byte) error
	// sendFile sends a file, which is the target's to close; TCP goes on with it
	// after the return.
	sendFile(f *fileOut) error
	// end closes politely. The code is for WebSocket; 0 is none.
	end(code wsproto.StatusCode, reason string) error
}

// A client is what is known of a client, of whatever protocol.
type client struct {
	protocol *protocol
	proto    string // in events: tcp, tls, unix, udp, ws, wss
	number   int
	peer     string
	path     string // of WebSocket
	head     string // of WebSocket, with -json: the request as it came
	since    time.Time
	in, out  traffic
	halfOpen atomic.Bool   // the peer sends no more, and can still be sent to
	waits    atomic.Bool   // something is sent that the system has not taken
	stream   *talk.Matcher // what -expect looks for in a stream; nil: in messages
}

// unsent is what a client did not get.
type unsent struct{ messages, bytes int }

func (c *client) about() *client { return c }

// String is the client in a sentence: "TCP connection #0".
func (c *client) String() string { return fmt.Sprintf("%s #%d", c.protocol.noun, c.number) }

// traffic counts one direction.
type traffic struct{ messages, bytes atomic.Int64 }

func (t *traffic) count(n int) {
	t.messages.Add(1)
	t.bytes.Add(int64(n))
}

func (t *traffic) add(other *traffic) {
	t.messages.Add(other.messages.Load())
	t.bytes.Add(other.bytes.Load())
}

// A protocol is one of the three, with its clients. They are numbered from 0,
// and no number is given twice.
type protocol struct {
	name    string // in commands
	noun    string // of a client
	listens bool
	bound   accept.Bound // of connections

	opening sync.Mutex // held while a client gets its number, is shown and joins

	mu      sync.Mutex
	ever    int // clients there have been
	open    map[int]target
	in, out traffic // of those that are gone
}

// next is the number of the next client to join.
func (p *protocol) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ever
}

// join makes a client one that commands find.
func (p *protocol) join(t target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[int]target)
	}
	p.open[t.about().number] = t
	p.ever++
}

func (p *protocol) leave(t target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := t.about()
	if _, ok := p.open[c.number]; !ok {
		return
	}
	delete(p.open, c.number)
	p.in.add(&c.in)
	p.out.add(&c.out)
}

// find returns the client with the given number. The error says whether there
// ever was one: "unknown TCP connection #9", "closed TCP connection #0".
func (p *protocol) find(number int) (target, error) {
	p.opening.Lock() // who has been shown is there
	defer p.opening.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if t, ok := p.open[number]; ok {
		return t, nil
	}
	was := "unknown"
	if number < p.ever {
		was = "closed"
	}
	return nil, fmt.Errorf("%s %s #%d", was, p.noun, number)
}

// all returns the clients by number.
func (p *protocol) all() []target {
	p.opening.Lock()
	defer p.opening.Unlock()
	return p.current()
}

// current is all, without waiting for a client that is being shown.
func (p *protocol) current() []target {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]target, 0, len(p.open))
	for _, t := range p.open {
		list = append(list, t)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].about().number < list[j].about().number })
	return list
}

// A count is the figures of a protocol, those of open clients included.
type count struct {
	open, ever int
	in, out    traffic
}

func (p *protocol) count() *count {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &count{open: len(p.open), ever: p.ever}
	c.in.add(&p.in)
	c.out.add(&p.out)
	for _, t := range p.open {
		c.in.add(&t.about().in)
		c.out.add(&t.about().out)
	}
	return c
}

// statistics is a line about a protocol.
func (d *dump) statistics(p *protocol) string {
	c := p.count()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d open of %d; received %s, %s; sent %s, %s", p.name, c.open, c.ever,
		cli.Plural(c.in.messages.Load(), "message"), cli.Plural(c.in.bytes.Load(), "byte"),
		cli.Plural(c.out.messages.Load(), "message"), cli.Plural(c.out.bytes.Load(), "byte"))
	more := func(n int64, what string) {
		if n > 0 {
			fmt.Fprintf(&b, "; %d %s", n, what)
		}
	}
	more(p.bound.TurnedAway(), "turned away")
	if d.udp != nil && p == d.udp.protocol {
		more(d.udp.forgotten.Load(), "forgotten")
		more(d.udp.unanswered.Load(), "not answered")
		more(d.udp.dropped.Load(), "dropped by the system")
	}
	return b.String()
}

// describe is the line of list_clients about c: number, address, path, age, bytes.
func (c *client) describe(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d: %s", c.number, event.Field(cmp.Or(c.peer, "unix")))
	if c.path != "" {
		b.WriteString(":" + event.Field(c.path))
	}
	fmt.Fprintf(&b, ", %v, %s in, %s out", now.Sub(c.since).Round(time.Second),
		cli.Plural(c.in.bytes.Load(), "byte"), cli.Plural(c.out.bytes.Load(), "byte"))
	if c.halfOpen.Load() {
		b.WriteString(", ended its side")
	}
	return b.String()
}

func droppedError(n int64) error {
	return fmt.Errorf("udp: the system dropped %s for want of room", cli.Plural(n, "datagram"))
}

var (
	errQueueFull = errors.New("send queue full (1 MiB)")
	errClosing   = errors.New("it is being closed")
)
