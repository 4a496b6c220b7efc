// Package transfer has the three modes that move files: transfer relays, send sends,
// receive receives.
//
// The relay is a broadcast server that leaves out the sender and knows nothing of
// files. The two others speak through it: format.go has the messages, send.go and
// peers.go the sender, receive.go and stream.go the receiver, sendws.go and
// receivews.go the formats of the ws tool (package wire). What becomes of a file on
// the disk is in package files, the connection and its repair in client.go.
package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/wsproto"
)

// Transfer relays between senders and receivers. That none of its queues fills up is
// the senders' care: they keep within a window.
var Transfer = cli.Mode{
	Name: "transfer", Brief: "file transfer: the server between -send and -receive",
	Examples: []string{
		"socketsrv -transfer",
		"socketsrv -transfer -host 0.0.0.0 -port 8008 -token s3cret",
		"socketsrv -transfer -tls -port 8443",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		t := &transfer{queue: 16 << 20}
		t.listener = listen.AddListener(fs, "127.0.0.1", "8008")
		fs.Group("Transfer")
		fs.SizeFrom(&t.queue, "queue", 1, "Lets SIZE bytes wait for a client that is slow, and closes it with 1013 beyond them.")
		t.tls = listen.AddTLS(fs)
		t.ws = listen.AddWebSocket(fs, false)
		t.ws.Writes = true
		t.output = fs.Output()
		t.output.Lossy = true
		return t.run
	},
	Checks: []cli.Check{{Name: "a file from send to receive", Run: checkTransfer}},
}

type transfer struct {
	listener *listen.Listener
	queue    int64
	tls      *listen.TLS
	ws       *listen.WebSocket
	output   *cli.Output

	con    *cli.Console
	proto  string
	group  wsproto.Group
	counts struct{ clients, messages, bytes, slow, refused atomic.Int64 }
}

func (t *transfer) run(ctx context.Context, env *cli.Env, args []string) error {
	con, err := t.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	ln, err := t.listener.Open(ctx, env, con, "ws", t.tls)
	if err != nil {
		return err
	}
	defer ln.Close()
	t.con = con
	s := t.server()
	err = listen.ServeAll(ctx, &t.listener.Serving, func(ctx context.Context) { s.Shutdown(ctx) },
		func() error { return s.Serve(ln) })
	t.summary()
	return err
}

func (t *transfer) server() *wsproto.Server {
	t.proto = t.tls.Proto("ws")
	t.group.ExcludeSender = true
	t.group.Queue = int(t.queue)
	t.group.OnMissed = func(u *wsproto.User, messages int) {
		t.group.Remove(u)
		t.counts.slow.Add(1)
		t.con.Status("client %v is too slow: its queue is full", u.Data())
		u.Close(wsproto.StatusTryAgainLater, "too slow")
	}
	s := t.ws.Server(&t.listener.Serving, t.con, t.tls.Enabled(), t.opened)
	listen.Refusals(t.con, s, t.proto, &t.counts.refused)
	s.OnMessage = func(u *wsproto.User, m wsproto.Message) {
		t.counts.messages.Add(1)
		t.counts.bytes.Add(int64(len(m.Data)))
		t.group.Gather(u, m.Opcode, m.Data)
	}
	s.OnPause = func(*wsproto.User) { t.group.Flush() }
	s.OnDisconnect = t.closed
	return s
}

func (t *transfer) opened(u *wsproto.User, req *httpmini.Request) {
	n := int(t.counts.clients.Add(1) - 1)
	u.SetData(n)
	if t.ws.Permitted(req) { // if not it is closed, and neither heard nor told anything
		t.group.Add(u)
	}
	peer := accept.Peer(u.RemoteAddr())
	t.con.Status("client %d: %s", n, peer)
	t.con.Event(event.Event{Event: event.Open, Proto: t.proto, Client: n, Peer: peer, Path: req.Target, Head: cli.ConcealedHead(req.Raw)})
}

func (t *transfer) closed(u *wsproto.User, err error) {
	t.group.Remove(u)
	n, _ := u.Data().(int)
	e := cli.Ended(event.Event{Proto: t.proto, Client: n, Peer: accept.Peer(u.RemoteAddr())}, err)
	t.con.Status("client %d: connection %s", n, cli.Field(event.EndText(&e)))
	t.con.Event(e)
}

func (t *transfer) summary() {
	c := &t.counts
	t.con.Summary(cli.Counted("clients", c.clients.Load(), "client", ""), cli.Counted("messages", c.messages.Load(), "message", ""),
		cli.Counted("bytes", c.bytes.Load(), "byte", ""), cli.Counted("slow", c.slow.Load(), "client", "too slow"),
		cli.Counted("refused", c.refused.Load(), "", "refused"))
}

// checkTransfer sends a file of a few chunks to a receiver in another folder.
func checkTransfer(ctx context.Context, b *cli.Bench) error {
	dir, err := b.Dir()
	if err != nil {
		return err
	}
	from, to := filepath.Join(dir, "file"), filepath.Join(dir, "in")
	data := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	if err := errors.Join(os.WriteFile(from, data, 0o600), os.Mkdir(to, 0o700)); err != nil {
		return err
	}
	_, addr, err := b.Start(ctx, "ws", "transfer", "-port", "0")
	if err != nil {
		return err
	}
	receiver := cli.StartInside(ctx, b.Modes, "receive", "ws://"+addr, to)
	if err := b.Run(ctx, "", "send", "-q", "ws://"+addr, from); err != nil {
		return err
	}
	if code, err := receiver.Wait(ctx); code != 0 || err != nil {
		return fmt.Errorf("receive: exit %d, %v; %s", code, err, receiver.Stderr)
	}
	got, err := os.ReadFile(filepath.Join(to, "file"))
	if err == nil && !bytes.Equal(got, data) {
		err = errors.New("what was received is not what was sent")
	}
	return err
}
